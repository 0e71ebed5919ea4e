"""That every namespace with Ray in it denies what is not allowed."""

from collections.abc import Iterator, Sequence
from typing import Final

from rayfort.policies.kinds import is_kind, ray_clusters
from rayfort.policies.mesh import SECURITY
from rayfort.policies.rule import Config, Finding, Resource, StackRule, Unproven, Violation
from rayfort.policies.values import Node

_ROOT_NAMESPACE: Final = "istio-system"


def _fenced(resources: Sequence[Resource], config: Config) -> Iterator[Finding]:
    ingress, egress, calls = set[str](), set[str](), set[str]()
    unknown = False
    for resource in resources:
        namespace = resource.root.at("metadata", "namespace")
        if is_kind(resource, "networking.k8s.io", "NetworkPolicy"):
            directions = _denied(resource.root["spec"])
            unknown |= namespace.unknown and bool(directions)
            ingress |= {_name(namespace)} if "Ingress" in directions else set()
            egress |= {_name(namespace)} if "Egress" in directions else set()
        elif is_kind(resource, SECURITY, "AuthorizationPolicy") and _allows_nothing(resource.root["spec"]):
            unknown |= namespace.unknown
            calls.add(_name(namespace))
    everywhere = config.get("rootNamespace", _ROOT_NAMESPACE) in calls
    for resource in resources:
        if not any(ray_clusters(resource)):
            continue
        namespace = resource.root.at("metadata", "namespace")
        name = _name(namespace)
        lacks = [
            *([] if name in ingress else ["a NetworkPolicy that denies all ingress"]),
            *([] if name in egress else ["a NetworkPolicy that denies all egress"]),
            *([] if everywhere or name in calls else ["an AuthorizationPolicy that allows nothing"]),
        ]
        if lacks and (unknown or namespace.unknown):
            yield Unproven(namespace.where)
        elif lacks:
            yield Violation(
                "metadata.namespace",
                f"namespace {name} has a Ray cluster and lacks {', '.join(lacks)}; use RayWorkspace, which "
                "makes them, or add them",
                resource.urn,
            )


def _name(namespace: Node) -> str:
    return "" if namespace.unknown else namespace.text or "default"


def _denied(spec: Node) -> set[str]:
    """The directions in which a NetworkPolicy denies everything to every Pod."""
    if spec["podSelector"].value:
        return set()
    types = [item.text for item in spec["policyTypes"].items()]
    directions = set(types) or {"Ingress"}
    return {name for name in directions if not spec[name.lower()].value}


def _allows_nothing(spec: Node) -> bool:
    parts = ("selector", "targetRefs", "targetRef", "rules")
    return spec["action"].value in (None, "", "ALLOW") and not any(spec[part].value for part in parts)


RULES: Final = (
    StackRule(
        name="ray-namespaces-deny-by-default",
        description="Every namespace with a Ray cluster denies what no policy allows.",
        why="A default-deny NetworkPolicy and an AuthorizationPolicy that allows nothing are what all other "
        "policies stand on: without them a forgotten policy is an open door.",
        settings={
            "rootNamespace": {
                "type": "string",
                "description": "Istio's root namespace, whose policies hold everywhere; "
                f"{_ROOT_NAMESPACE} by default.",
            }
        },
        check=_fenced,
    ),
)
