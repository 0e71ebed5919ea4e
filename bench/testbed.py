"""A running sandbox with simulated nodes, in the words of the bench."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, Self

from rayfort import labels
from rayfort.model import JsonObject

from sandbox.environment import Environment
from sandbox.health import answers
from sandbox.kube_api import ApiRefused, ApiUnreachable, KubeApi
from sandbox.local_workload import program
from sandbox.processes import ProcessTable, SandboxError
from sandbox.proxies import direct
from sandbox.stood_in import HEALTH, ISTIOD
from sandbox.xds.client import Sidecar
from sandbox.xds.node import SIDECAR, node_of

LIMIT: Final = 900.0  # seconds until everything that was asked for runs; hundreds of Pods take minutes
QUIET: Final = 2.0  # seconds without a push after which istiod has said everything
_POLL: Final = 1.0
_PACE: Final = 0.02  # seconds between two sidecars that connect
_CONNECTING: Final = 16

Note = Callable[[str], None]

# The path of a kind: its group's, and its name in the plural.
_PATHS: Final = {
    "Namespace": ("/api/v1", "namespaces"),
    "Service": ("/api/v1", "services"),
    "ServiceAccount": ("/api/v1", "serviceaccounts"),
    "RayCluster": ("/apis/ray.io/v1", "rayclusters"),
    "PeerAuthentication": ("/apis/security.istio.io/v1", "peerauthentications"),
    "AuthorizationPolicy": ("/apis/security.istio.io/v1", "authorizationpolicies"),
    "DestinationRule": ("/apis/networking.istio.io/v1", "destinationrules"),
    "Sidecar": ("/apis/networking.istio.io/v1", "sidecars"),
}


class BenchError(SandboxError):
    """The bench cannot go on; the message says why and what to do."""


class Testbed:
    """The API server, istiod, and the sidecars that the bench plays.

    Args:
        environment: a sandbox with simulated nodes that is up.
        istio_version: of its istiod.
    """

    def __init__(self, environment: Environment, istio_version: str) -> None:
        local = environment.endpoints.local
        if local is None:
            raise BenchError("The bench needs simulated nodes. Give it a state directory of its own.")
        self._environment = environment
        self._xds = local.xds
        self._health = int(local.istiod_http.rpartition(":")[2])
        self._istio_version = istio_version
        self._api = KubeApi(environment.kubeconfig, timeout=60.0)

    def __enter__(self) -> Self:
        self._api.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._api.__exit__(*error)

    def apply(self, objects: Iterable[JsonObject]) -> None:
        """Make objects, or change them."""
        for each in objects:
            self._api.apply(path_of(each), each)

    def wait_running(self, pods: int, note: Note) -> None:
        """Return when so many Pods of Ray clusters run, each with a sidecar, and no more are there.

        Raises:
            BenchError: if that does not happen in time.
        """
        deadline = time.monotonic() + LIMIT
        while True:
            found = self._ray_pods()
            running = sum(is_running(pod) for pod in found)
            note(f"{running} of {pods} Pods run")
            if running == len(found) == pods:
                return
            if time.monotonic() > deadline:
                raise BenchError(
                    f"{running} of {pods} Pods run after {LIMIT:.0f} seconds ({len(found)} exist). The "
                    "machine may be too slow for so many; give a smaller number to --workspaces."
                )
            time.sleep(_POLL)

    def pods(self, namespace: str | None = None, node_type: str | None = None) -> list[dict[str, Any]]:
        """Pods of Ray clusters by name, of one namespace or of all."""
        found = (
            pod
            for pod in self._ray_pods()
            if namespace in (None, pod["metadata"]["namespace"])
            and node_type in (None, pod["metadata"]["labels"][labels.RAY_NODE_TYPE])
        )
        return sorted(found, key=lambda pod: (pod["metadata"]["namespace"], pod["metadata"]["name"]))

    def sidecar(self, pod: dict[str, Any]) -> Sidecar:
        """A connection as that Pod's sidecar, which keeps sizes only."""
        return Sidecar(self._xds, node_of(pod, self._istio_version), keep=False)

    @contextmanager
    def crowd(self, pods: Sequence[dict[str, Any]], note: Note) -> Iterator[None]:
        """The sidecars of these Pods, connected and told everything while the block runs."""
        with ExitStack() as stack:
            connected = []
            for pod in pods:
                connected.append(stack.enter_context(self.sidecar(pod)))
                time.sleep(_PACE)
            with ThreadPoolExecutor(_CONNECTING) as pool:
                told = pool.map(lambda sidecar: sidecar.snapshot(LIMIT, QUIET), connected)
                for number, _ in enumerate(told, start=1):
                    note(f"{number} of {len(pods)} sidecars are configured")
            yield

    def istiod_mib(self) -> float:
        """istiod's resident memory now."""
        pid = self._istiod_pid()
        if pid is None:
            raise BenchError("istiod ended while it was measured. Its log is in the state directory.")
        status = Path(f"/proc/{pid}/status")
        if status.exists():
            line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS:"))
            return int(line.split()[1]) / 1024
        shown = subprocess.run(
            ["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True
        )
        return int(shown.stdout) / 1024

    def restart_istiod(self) -> None:
        """An istiod that remembers nothing of what was measured before.

        Raises:
            BenchError: if it does not come back in time.
        """
        before = self._istiod_pid()
        ProcessTable(self._environment.state).terminate(program(ISTIOD))
        deadline = time.monotonic() + LIMIT
        while self._istiod_pid() in (None, before) or not answers(self._health, HEALTH[ISTIOD][1]):
            if time.monotonic() > deadline:
                raise BenchError(f"istiod did not come back in {LIMIT:.0f} seconds. See its log.")
            time.sleep(_POLL)

    def remove(self, namespaces: Sequence[str]) -> None:
        """Delete namespaces with all that is in them, and wait until they are gone."""
        api_server = self._environment.endpoints.api_server
        done = subprocess.run(
            [
                *(str(self._environment.tool("kubectl")), "delete", "namespaces", *namespaces),
                *("--ignore-not-found", f"--timeout={LIMIT:.0f}s"),
            ],
            env={**direct(os.environ, api_server), "KUBECONFIG": str(self._environment.kubeconfig)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise BenchError(f"The bench's namespaces cannot be deleted: {done.stderr.strip()}")

    def _istiod_pid(self) -> int | None:
        record = ProcessTable(self._environment.state).running(program(ISTIOD))
        return record.pid if record else None

    def _ray_pods(self) -> list[dict[str, Any]]:
        try:
            found = self._api.get(f"/api/v1/pods?labelSelector={labels.RAY_CLUSTER}")
        except (ApiRefused, ApiUnreachable) as error:
            raise BenchError(f"The API server does not answer: {error}. See its log.") from error
        return list((found or {}).get("items", []))


def path_of(manifest: JsonObject) -> str:
    """Where the API server has an object."""
    group, plural = _PATHS[manifest["kind"]]
    meta = manifest["metadata"]
    inside = f"/namespaces/{meta['namespace']}" if "namespace" in meta else ""
    return f"{group}{inside}/{plural}/{meta['name']}"


def is_running(pod: dict[str, Any]) -> bool:
    """Whether a Pod runs with a sidecar and has an address."""
    containers = [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]
    return (
        pod["status"].get("phase") == "Running"
        and bool(pod["status"].get("podIPs"))
        and "deletionTimestamp" not in pod["metadata"]
        and any(each["name"] == SIDECAR for each in containers)
    )
