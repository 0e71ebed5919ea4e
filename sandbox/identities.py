"""Who the sandbox's own processes are to the API server, and what each of them may do there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from sandbox.certs import Subject
from sandbox.node.config import NODE_NAME
from sandbox.rbac import GROUP, READ, grant

# kubeadm's names for them.
KUBELET: Final = Subject(f"system:node:{NODE_NAME}", ("system:nodes",))
KUBELET_CLIENT: Final = Subject("kube-apiserver-kubelet-client", ("system:masters",))
ADMIN: Final = Subject("rayfort-admin", ("system:masters",))
CONTROLLER_MANAGER: Final = Subject("system:kube-controller-manager")
SCHEDULER: Final = Subject("system:kube-scheduler")
SIMULATOR: Final = Subject("rayfort:simulator")
WORKLOADS: Final = Subject("rayfort:workloads")

# The simulator plays the kubelets: it reports nodes and pods, and ends deleted pods.
_SIMULATOR_RULES: Final = (
    ("", ("nodes",), READ),
    ("", ("nodes/status", "pods/status"), ("patch", "update")),
    ("", ("pods",), (*READ, "delete", "patch", "update")),
    ("", ("events",), ("create", "patch")),
)

# The local workloads look for their Deployment, tell its pods that they serve, and act as its ServiceAccount.
_WORKLOADS_RULES: Final = (
    ("apps", ("deployments",), READ),
    ("", ("pods",), ("list", "patch")),
    ("", ("configmaps",), ("get",)),
    ("apiextensions.k8s.io", ("customresourcedefinitions",), ("get",)),
    ("", ("serviceaccounts",), ("get", "impersonate")),
)


def rbac_objects() -> Iterator[tuple[str, dict[str, Any]]]:
    """The (path, manifest) pairs that give the identities without built-in rights what they need."""
    for subject, rules in ((SIMULATOR, _SIMULATOR_RULES), (WORKLOADS, _WORKLOADS_RULES)):
        name = subject.common_name
        role, binding = grant(name, rules)
        yield f"/apis/{GROUP}/v1/clusterroles/{name}", role
        yield f"/apis/{GROUP}/v1/clusterrolebindings/{name}", binding
