"""Rights of a user in the sandbox's cluster, as Kubernetes objects."""

from collections.abc import Iterable
from typing import Any, Final

GROUP: Final = "rbac.authorization.k8s.io"
READ: Final = ("get", "list", "watch")

Rule = tuple[str, Iterable[str], Iterable[str]]  # API group, resources, verbs


def grant(user: str, rules: Iterable[Rule]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The ClusterRole and the ClusterRoleBinding, both named like the user, that give it these rights."""
    common = {"apiVersion": f"{GROUP}/v1", "metadata": {"name": user}}
    role = {
        **common,
        "kind": "ClusterRole",
        "rules": [
            {"apiGroups": [group], "resources": list(resources), "verbs": list(verbs)}
            for group, resources, verbs in rules
        ],
    }
    binding = {
        **common,
        "kind": "ClusterRoleBinding",
        "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": user},
        "subjects": [{"apiGroup": GROUP, "kind": "User", "name": user}],
    }
    return role, binding
