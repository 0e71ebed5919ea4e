"""The rights that are meant: KubeRay's own, and those that Kubernetes gives to everyone.

Source: `config/rbac` of KubeRay 1.6.2, and the API server's default roles.
"""

from collections.abc import Sequence
from typing import Final

from rayfort.model import JsonObject

_READ: Final = ("get", "list", "watch")
_WRITE: Final = ("create", "delete", "patch", "update", *_READ)


def _rule(group: str, resources: str, verbs: Sequence[str]) -> JsonObject:
    return {"apiGroups": [group], "resources": resources.split(), "verbs": list(verbs)}


EVERYONE: Final[Sequence[JsonObject]] = (
    _rule("authorization.k8s.io", "selfsubjectaccessreviews selfsubjectrulesreviews", ["create"]),
    _rule("authentication.k8s.io", "selfsubjectreviews", ["create"]),
)

OPERATOR_RULES: Final[Sequence[JsonObject]] = (
    _rule("", "events pods/status services", _WRITE),
    _rule("", "pods", (*_WRITE, "deletecollection")),
    _rule("", "pods/proxy services/status", ("get", "patch", "update")),
    _rule("", "pods/resize", ["patch"]),
    _rule("", "secrets", ("create", *_READ)),
    _rule("", "serviceaccounts", ("create", "delete", *_READ)),
    _rule("", "services/proxy", ("create", "get", "patch", "update")),
    _rule("batch", "jobs", _WRITE),
    _rule("coordination.k8s.io", "leases", ("create", "get", "list", "update")),
    _rule("discovery.k8s.io", "endpointslices", _READ),
    _rule("extensions", "ingresses", _WRITE),
    _rule("networking.k8s.io", "ingresses", _WRITE),
    _rule("networking.k8s.io", "ingressclasses", _READ),
    _rule("gateway.networking.k8s.io", "gateways httproutes", ("create", "update", *_READ)),
    _rule("ray.io", "rayclusters raycronjobs rayjobs rayservices", _WRITE),
    _rule(
        "ray.io",
        "rayclusters/finalizers raycronjobs/finalizers rayjobs/finalizers rayservices/finalizers",
        ["update"],
    ),
    _rule(
        "ray.io",
        "rayclusters/status raycronjobs/status rayjobs/status rayservices/status",
        ("get", "patch", "update"),
    ),
    _rule("rbac.authorization.k8s.io", "rolebindings", ("create", "delete", *_READ)),
    _rule("rbac.authorization.k8s.io", "roles", ("create", "delete", "update", *_READ)),
    _rule("route.openshift.io", "routes", _WRITE),
)

# In the operator's own namespace: which of its replicas leads.
OPERATOR_LEADER: Final[Sequence[JsonObject]] = (
    _rule("", "configmaps", _WRITE),
    _rule("", "events", ["create"]),
    _rule("coordination.k8s.io", "leases", ("create", "get", "list", "update")),
)
