"""Settings of Pods that a user laid over those which Rayfort computes."""

from collections.abc import Iterator
from typing import Final

from rayfort.workspace import WorkspaceSpec

HOST_NAMESPACES: Final = frozenset({"hostNetwork", "hostPID", "hostIPC"})
LOOSE: Final = HOST_NAMESPACES | {"securityContext"}


def pod_settings(workspace: WorkspaceSpec, wanted: frozenset[str]) -> Iterator[str]:
    """The keys, below the workspace's, of those settings of Pods that a user laid over Rayfort's."""
    for number, cluster in enumerate(workspace.clusters):
        nodes = {"head": cluster.head} | {
            f"workerGroups[{position}]": group for position, group in enumerate(cluster.worker_groups)
        }
        for node, settings in nodes.items():
            for setting in sorted(wanted & settings.pod_spec.keys()):
                yield f"clusters[{number}].{node}.podSpec.{setting}"
