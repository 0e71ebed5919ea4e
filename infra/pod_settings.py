"""Settings of Pods that a user laid over those which Rayfort computes."""

from collections.abc import Iterator
from typing import Final

from rayfort import labels
from rayfort.ray.spec import RayNode
from rayfort.workspace import WorkspaceSpec

HOST_NAMESPACES: Final = frozenset({"hostNetwork", "hostPID", "hostIPC"})
LOOSE: Final = HOST_NAMESPACES | {"securityContext"}


# What takes traffic past the sidecar, and so past mTLS and policies.
_PAST_THE_SIDECAR: Final = "traffic.sidecar.istio.io/"


def pod_settings(workspace: WorkspaceSpec, wanted: frozenset[str]) -> Iterator[str]:
    """The keys, below the workspace's, of those settings of Pods that a user laid over Rayfort's."""
    for where, node in _nodes(workspace):
        for setting in sorted(wanted & node.pod_spec.keys()):
            yield f"{where}.podSpec.{setting}"


def past_the_sidecar(workspace: WorkspaceSpec) -> Iterator[str]:
    """The keys, below the workspace's, of labels and annotations that take traffic past the sidecar."""
    for where, node in _nodes(workspace):
        for place, values in (("labels", node.labels), ("annotations", node.annotations)):
            for name, value in sorted(values.items()):
                left_out = name == labels.SIDECAR_INJECT and value.lower() == "false"
                if left_out or name.startswith(_PAST_THE_SIDECAR):
                    yield f"{where}.{place}.{name}"


def _nodes(workspace: WorkspaceSpec) -> Iterator[tuple[str, RayNode]]:
    """The head and every worker group of every Ray cluster, each with its key."""
    for number, cluster in enumerate(workspace.clusters):
        yield f"clusters[{number}].head", cluster.head
        for position, group in enumerate(cluster.worker_groups):
            yield f"clusters[{number}].workerGroups[{position}]", group
