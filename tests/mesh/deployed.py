"""The platform that all tests of the mesh share: workspaces in `l4` and `l7`, and neighbours."""

from __future__ import annotations

import base64
import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from rayfort import pod_security
from rayfort.mesh import membership
from rayfort.mesh.telemetry import Tracing
from rayfort.ray.manifest import RAY_GID, RAY_UID
from rayfort.ray.ports import NodeRole, Traffic
from rayfort.ray.spec import RayClusterSpec

from infra.reading import parse
from infra.settings import Settings
from sandbox.node_kind import NodeKind
from sandbox.stack import values
from sandbox.xds.client import Sidecar
from sandbox.xds.node import node_of
from sandbox.xds.state import Snapshot
from tests.e2e import front_door
from tests.e2e.sandbox import ROOT, Sandbox
from tests.mesh.certificates import Authority

TRUST_DOMAIN = "cluster.local"
MESH_NAMESPACE = "istio-system"
L4_TEAM, L7_TEAM = "team-a", "team-b"
CLUSTER, SECOND = "ray", "batch"  # both teams have both; names are the same on purpose
CLIENTS, CLIENT, MONITORING = "notebooks", "jupyter", "monitoring"
UNDECLARED_PORT = 29500  # torch's; it stands for all that Istio does not know
QUIET = 0.5  # seconds without a push; istiod waits 0.1 s for further changes
LIMIT = 90.0  # seconds until istiod has told everybody of a change
_LITTLE = {"cpu": "250m", "memory": "2Gi"}


def _groups(*names: str) -> list[dict[str, Any]]:
    return [{"name": name, "replicas": 1, "resources": _LITTLE} for name in names]


def overrides() -> dict[str, Any]:
    """What is laid over the stack file: more teams, clusters and callers than it has."""
    written = yaml.safe_load((ROOT / "stacks" / "Pulumi.sandbox.yaml").read_text())["config"]
    first = copy.deepcopy(written["rayfort:workspaces"][0])
    first.pop("quota", None)
    team = {
        "clients": [{"namespace": CLIENTS, "serviceAccount": CLIENT}],
        "metricsNamespaces": [MONITORING],
    }
    ray = {"name": CLUSTER, "head": {"resources": _LITTLE}}
    batch = {"name": SECOND, "head": {"resources": _LITTLE}, "workerGroups": _groups("small")}
    return {
        "mesh": {"metricsNamespaces": [MONITORING]},
        "kbatch": {"users": [{"name": "alice", "workspace": first["name"], "cluster": CLUSTER}]},
        "workspaces": [
            {**first, **team, "clusters": [{**ray, "workerGroups": _groups("small", "large")}, batch]},
            {
                "name": L7_TEAM,
                **team,
                "clusters": [
                    {**ray, "workerGroups": _groups("small"), "traffic": "l7", "autoscaling": True},
                ],
            },
        ],
    }


@dataclass(frozen=True)
class Target:
    """One of the Ray nodes that are looked at."""

    traffic: Traffic
    role: NodeRole

    @property
    def namespace(self) -> str:
        return L4_TEAM if self.traffic is Traffic.L4 else L7_TEAM

    def __str__(self) -> str:
        return f"{self.traffic.value}-{self.role.value}"


TARGETS = tuple(Target(traffic, role) for traffic in Traffic for role in NodeRole)


class Deployed:
    """The running platform."""

    def __init__(self, state: Path) -> None:
        gateway = front_door.settings(Sandbox(state), L7_TEAM, CLUSTER)
        self.overrides = {**overrides(), "gateway": gateway}
        self.sandbox = Sandbox(state, self.overrides)

    def up(self) -> None:
        """Bring it up, with its neighbours."""
        self.sandbox.environment.up(NodeKind.SIMULATED)
        self.sandbox.apply(*_neighbours(self.tracing))

    @cached_property
    def settings(self) -> Settings:
        """What the stack says."""
        return parse(values(ROOT, self.sandbox.state, None, self.overrides))

    @property
    def tracing(self) -> Tracing:
        """Where the stack sends traces."""
        assert self.settings.istio
        assert self.settings.istio.tracing
        return self.settings.istio.tracing

    def spec(self, namespace: str, cluster: str = CLUSTER) -> RayClusterSpec:
        """What the stack says of a Ray cluster."""
        workspace = next(each for each in self.settings.workspaces if each.namespace_name == namespace)
        return next(each for each in workspace.clusters if each.name == cluster)

    def nodes(self, namespace: str, cluster: str = CLUSTER) -> list[dict[str, Any]]:
        """The Pods of a Ray cluster, the head first."""
        return [pod for role in ("head", "worker") for pod in self.sandbox.ray_pods(role, cluster, namespace)]

    def node(self, target: Target) -> dict[str, Any]:
        """The first Pod of that kind."""
        return self.sandbox.ray_pods(target.role.value, CLUSTER, target.namespace)[0]

    def pod(self, namespace: str, selector: str) -> dict[str, Any]:
        """The first Pod that a label selects."""
        return dict(self.sandbox.get("pods", "-l", selector, namespace=namespace)["items"][0])

    def sidecar(self, pod: Mapping[str, Any]) -> Sidecar:
        """A connection to istiod as that Pod's sidecar."""
        local = self.sandbox.environment.endpoints.local
        assert local
        return Sidecar(local.xds, node_of(pod, self.settings.mesh.version))

    def snapshot(self, pod: Mapping[str, Any]) -> Snapshot:
        """What istiod tells that Pod's sidecar now."""
        with self.sidecar(pod) as sidecar:
            return sidecar.snapshot(quiet_seconds=QUIET)

    def snapshots(self, pods: Sequence[Mapping[str, Any]]) -> list[Snapshot]:
        """The same of several Pods."""
        with ThreadPoolExecutor(len(pods)) as pool:
            return list(pool.map(self.snapshot, pods))

    def authority(self) -> Authority:
        """The mesh's own CA."""
        data = self.sandbox.get("secret", "istio-ca-secret", namespace=MESH_NAMESPACE)["data"]
        return Authority.of_mesh(*(base64.b64decode(data[key]) for key in ("ca-cert.pem", "ca-key.pem")))

    @contextmanager
    def without(self, kind: str, name: str, namespace: str) -> Iterator[None]:
        """An object is gone for the length of a block."""
        kept = _portable(self.sandbox.get(kind, name, namespace=namespace))
        self.sandbox.delete(kept)
        try:
            yield
        finally:
            self.sandbox.apply(kept)

    @contextmanager
    def without_all(self, kind: str, namespace: str) -> Iterator[None]:
        """All objects of a kind are gone for the length of a block."""
        kept = [_portable(each) for each in self.sandbox.get(kind, namespace=namespace)["items"]]
        assert kept
        self.sandbox.delete(*kept)
        try:
            yield
        finally:
            self.sandbox.apply(*kept)

    @contextmanager
    def changed(
        self, kind: str, name: str, namespace: str, change: Callable[[dict[str, Any]], None]
    ) -> Iterator[None]:
        """An object is different for the length of a block."""
        kept = _portable(self.sandbox.get(kind, name, namespace=namespace))
        other = copy.deepcopy(kept)
        change(other)
        assert other != kept
        self._replace(other)
        try:
            yield
        finally:
            self._replace(kept)

    def _replace(self, manifest: Mapping[str, Any]) -> None:
        meta = manifest["metadata"]
        live = self.sandbox.get(manifest["kind"], meta["name"], namespace=meta["namespace"])
        version = {"resourceVersion": live["metadata"]["resourceVersion"]}
        text = yaml.safe_dump({**manifest, "metadata": {**meta, **version}})
        done = self.sandbox.kubectl("replace", "-f", "-", stdin=text)
        assert done.ok, done.output


def until(sidecar: Sidecar, condition: Callable[[Snapshot], bool], what: str) -> Snapshot:
    """What a sidecar was told, as soon as it is as awaited."""
    deadline = time.monotonic() + LIMIT
    while True:
        found = sidecar.snapshot(quiet_seconds=QUIET)
        if condition(found):
            return found
        assert time.monotonic() < deadline, f"istiod did not tell {sidecar.name}: {what}"


def account(pod: Mapping[str, Any]) -> str:
    """The identity of a Pod's sidecar."""
    return spiffe(pod["metadata"]["namespace"], pod["spec"]["serviceAccountName"])


def spiffe(namespace: str, service_account: str, trust_domain: str = TRUST_DOMAIN) -> str:
    """The identity of a service account."""
    return f"spiffe://{trust_domain}/ns/{namespace}/sa/{service_account}"


def address(pod: Mapping[str, Any]) -> str:
    """The Pod's address."""
    return str(pod["status"]["podIP"])


def simple_pod(name: str, namespace: str, **extra: str) -> dict[str, Any]:
    """A Pod that is only looked at: nothing of it ever runs."""
    container = {
        "name": "main",
        "image": "main",
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
        "securityContext": pod_security.container_security_context(),
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name, **extra}},
        "spec": {
            "containers": [container],
            "securityContext": pod_security.pod_security_context(RAY_UID, RAY_GID),
        },
    }


def _neighbours(tracing: Tracing) -> list[dict[str, Any]]:
    """What the platform does not make: where traces go, a client, a scraper, and another Pod."""
    injected = membership.namespace_labels(None)
    collector, namespace, *_ = tracing.service.split(".")
    client = simple_pod(CLIENT, CLIENTS)
    client["spec"]["serviceAccountName"] = CLIENT
    return [
        *(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": injected}}
            for name in (CLIENTS, MONITORING)
        ),
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": collector, "namespace": namespace},
            "spec": {
                "selector": {"app": collector},
                "ports": [{"name": "grpc-otlp", "port": tracing.port, "appProtocol": "grpc"}],
            },
        },
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": CLIENT, "namespace": CLIENTS},
        },
        client,
        simple_pod("prometheus", MONITORING),
        simple_pod("bystander", L4_TEAM),
    ]


def _portable(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """An object without what the API server added to it."""
    meta = manifest["metadata"]
    kept = {key: meta[key] for key in ("name", "namespace", "labels", "annotations") if key in meta}
    return {key: value for key, value in manifest.items() if key != "status"} | {"metadata": kept}
