"""The Pods of Ray clusters, for the trials."""

from rayfort.conformance import probe
from rayfort.conformance.observations import (
    SIMULATED,
    NotSeen,
    Observations,
    containers,
    labelled,
    name_of,
    namespace_of,
)
from rayfort.labels import RAY_NODE_TYPE
from rayfort.model import JsonObject
from rayfort.ray.ports import NodeRole, RayPorts


def heads_of(seen: Observations) -> list[tuple[str, JsonObject | None]]:
    """The head of every Ray cluster of a workspace; None where there is none."""
    found: list[tuple[str, JsonObject | None]] = []
    for namespace in seen.workspaces.values():
        for cluster in seen.objects.get("RayCluster", ()):
            if namespace_of(cluster) == namespace:
                nodes = [
                    pod for pod in pods_of(seen, namespace, name_of(cluster)) if role_of(pod) is NodeRole.HEAD
                ]
                found.append((f"{namespace}/{name_of(cluster)}", nodes[0] if nodes else None))
    return found


def pods_of(seen: Observations, namespace: str, cluster: str | None = None) -> list[JsonObject]:
    """The Pods of a namespace's Ray clusters, or of one of them; none where Pods were not observed."""
    return seen.ray_pods(namespace, cluster) if "Pod" not in seen.reasons else []


def running(seen: Observations, pod: JsonObject | None) -> JsonObject:
    """A Pod whose containers run.

    Raises:
        NotSeen: with the reason why they do not.
    """
    if pod is None:
        raise NotSeen("it has no head Pod")
    if seen.simulated(pod):
        raise NotSeen(SIMULATED)
    status = pod.get("status", {})
    if status.get("phase") != "Running" or not probe.is_address(status.get("podIP", "")):
        raise NotSeen(f"Pod {name_of(pod)} does not run ({status.get('phase', 'no phase')})")
    return pod


def role_of(pod: JsonObject) -> NodeRole:
    """Whether a Pod is a head or a worker."""
    return NodeRole(labelled(pod).get(RAY_NODE_TYPE, NodeRole.WORKER))


def port_of(pod: JsonObject, name: str) -> int:
    """The number of a port that Ray's container declares; the dashboard's default where it does not."""
    return int(declared_ports(pod).get(name, RayPorts().dashboard))


def declared_ports(pod: JsonObject) -> dict[str, int]:
    """The ports that Ray's container declares, by name."""
    ports = next(containers(pod["spec"], init=False)).get("ports", ())
    return {each.get("name", ""): each["containerPort"] for each in ports}
