"""The Ray clusters of the sandbox, as KubeRay and Kubernetes see them."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rayfort.labels import RAY_CLUSTER

from sandbox.kube_api import ApiUnreachable, KubeApi
from sandbox.processes import SandboxError

READY_SECONDS: Final = 120
POLL_SECONDS: Final = 0.5
SIDECAR: Final = "istio-proxy"


@dataclass(frozen=True)
class RayClusterStatus:
    """One Ray cluster.

    Attributes:
        namespace, name: which one.
        state: KubeRay's word for its state, such as ``ready``.
        pods: how many Pods it should have.
        running: how many run.
        injected: how many have a sidecar.
    """

    namespace: str
    name: str
    state: str
    pods: int
    running: int
    injected: int

    @property
    def ready(self) -> bool:
        """Whether KubeRay calls it ready and every Pod runs."""
        return self.state == "ready" and self.running == self.pods


def read(kubeconfig: Path) -> list[RayClusterStatus]:
    """Every Ray cluster; none where the API server does not answer or knows no Ray."""
    try:
        with KubeApi(kubeconfig) as api:
            found = api.get("/apis/ray.io/v1/rayclusters")
            pods = api.get("/api/v1/pods") or {}
    except ApiUnreachable:
        return []
    return [_status(item, pods.get("items", [])) for item in (found or {}).get("items", [])]


def wait_ready(kubeconfig: Path) -> list[RayClusterStatus]:
    """Every Ray cluster, once all are ready.

    Raises:
        SandboxError: naming those that are not ready in time.
    """
    deadline = time.monotonic() + READY_SECONDS
    while True:
        clusters = read(kubeconfig)
        late = [cluster for cluster in clusters if not cluster.ready]
        if not late:
            return clusters
        if time.monotonic() > deadline:
            names = ", ".join(
                f"{cluster.namespace}/{cluster.name} ({cluster.state or 'no state'}, {cluster.running} of "
                f"{cluster.pods} Pods run)"
                for cluster in late
            )
            raise SandboxError(
                f"Not ready after {READY_SECONDS} seconds: {names}. Look at its events with "
                "`./rayfort kubectl describe raycluster -A`, then run `./rayfort up` again."
            )
        time.sleep(POLL_SECONDS)


def _status(cluster: dict[str, Any], pods: list[dict[str, Any]]) -> RayClusterStatus:
    meta = cluster["metadata"]
    own = [
        pod
        for pod in pods
        if pod["metadata"]["namespace"] == meta["namespace"]
        and pod["metadata"].get("labels", {}).get(RAY_CLUSTER) == meta["name"]
    ]
    groups = cluster["spec"].get("workerGroupSpecs", [])
    return RayClusterStatus(
        namespace=meta["namespace"],
        name=meta["name"],
        state=cluster.get("status", {}).get("state", ""),
        pods=1 + sum(group.get("replicas", 0) for group in groups),
        running=sum(pod.get("status", {}).get("phase") == "Running" for pod in own),
        injected=sum(_has_sidecar(pod) for pod in own),
    )


def _has_sidecar(pod: dict[str, Any]) -> bool:
    spec = pod["spec"]
    return any(
        container["name"] == SIDECAR for container in [*spec.get("initContainers", []), *spec["containers"]]
    )
