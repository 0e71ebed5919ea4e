"""Who the sandbox's own processes are to the API server, and what each of them may do there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from sandbox.certs import Subject
from sandbox.node.config import NODE_NAME

# kubeadm's names for them.
KUBELET: Final = Subject(f"system:node:{NODE_NAME}", ("system:nodes",))
KUBELET_CLIENT: Final = Subject("kube-apiserver-kubelet-client", ("system:masters",))
ADMIN: Final = Subject("rayfort-admin", ("system:masters",))
CONTROLLER_MANAGER: Final = Subject("system:kube-controller-manager")
SCHEDULER: Final = Subject("system:kube-scheduler")
SIMULATOR: Final = Subject("rayfort:simulator")
WORKLOADS: Final = Subject("rayfort:workloads")

_RBAC: Final = "rbac.authorization.k8s.io"
_READ: Final = ("get", "list", "watch")

# The simulator plays the kubelets: it reports nodes and pods, and ends deleted pods.
_SIMULATOR_RULES: Final = (
    ("", ("nodes",), _READ),
    ("", ("nodes/status", "pods/status"), ("patch", "update")),
    ("", ("pods",), (*_READ, "delete", "patch", "update")),
    ("", ("events",), ("create", "patch")),
)

# The local workloads look for their Deployment, tell its pods that they serve, and act as its ServiceAccount.
_WORKLOADS_RULES: Final = (
    ("apps", ("deployments",), _READ),
    ("", ("pods",), ("list", "patch")),
    ("", ("configmaps",), ("get",)),
    ("apiextensions.k8s.io", ("customresourcedefinitions",), ("get",)),
    ("", ("serviceaccounts",), ("get", "impersonate")),
)


def rbac_objects() -> Iterator[tuple[str, dict[str, Any]]]:
    """The (path, manifest) pairs that give the identities without built-in rights what they need."""
    for subject, rules in ((SIMULATOR, _SIMULATOR_RULES), (WORKLOADS, _WORKLOADS_RULES)):
        name = subject.common_name
        metadata = {"name": name}
        yield (
            f"/apis/{_RBAC}/v1/clusterroles/{name}",
            {
                "apiVersion": f"{_RBAC}/v1",
                "kind": "ClusterRole",
                "metadata": metadata,
                "rules": [
                    {"apiGroups": [group], "resources": list(resources), "verbs": list(verbs)}
                    for group, resources, verbs in rules
                ],
            },
        )
        yield (
            f"/apis/{_RBAC}/v1/clusterrolebindings/{name}",
            {
                "apiVersion": f"{_RBAC}/v1",
                "kind": "ClusterRoleBinding",
                "metadata": metadata,
                "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": name},
                "subjects": [{"apiGroup": _RBAC, "kind": "User", "name": name}],
            },
        )
