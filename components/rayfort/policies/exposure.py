"""What the outside can reach."""

from collections.abc import Iterator, Mapping
from typing import Final

from rayfort.policies.allowances import ALLOWED, allowed, setting, unless_listed
from rayfort.policies.kinds import RAY_GROUP, chart_name, is_kind, is_release, ray_clusters
from rayfort.policies.rule import Config, Finding, Resource, ResourceRule, Unproven, Violation
from rayfort.policies.values import Node, true

_PUBLIC: Final = "LoadBalancer"
_KEEP: Final = "use ClusterIP, make it internal by annotation, or list namespace/name in the rule's `allowed`"
# With one of these a cloud gives an address of its own network.
_INTERNAL: Final[Mapping[str, frozenset[str]]] = {
    "networking.gke.io/load-balancer-type": frozenset({"internal"}),
    "cloud.google.com/load-balancer-type": frozenset({"internal"}),
    "service.beta.kubernetes.io/aws-load-balancer-scheme": frozenset({"internal"}),
    "service.beta.kubernetes.io/aws-load-balancer-internal": frozenset({"true"}),
    "service.beta.kubernetes.io/azure-load-balancer-internal": frozenset({"true"}),
}
# Charts whose Service is a LoadBalancer where the values say nothing.
_BY_DEFAULT: Final[Mapping[str, tuple[str, ...]]] = {
    "gateway": ("service", "type"),
    "jupyterhub": ("proxy", "service", "type"),
}
_SERVICE_TYPES: Final = ("serviceType", "service_type")
# Classes of the Gateway API whose load balancer is internal, and what tells Istio to make none.
_INTERNAL_CLASSES: Final = frozenset({"gke-l7-rilb", "gke-l7-rilb-mc", "istio-waypoint"})
_GATEWAY_TYPE: Final = "networking.istio.io/service-type"


def _exposed(resource: Resource, config: Config) -> Iterator[Finding]:
    yield from unless_listed(resource, allowed(config), _reachable(resource))


def _reachable(resource: Resource) -> Iterator[Finding]:
    root = resource.root
    if is_kind(resource, "", "Service"):
        yield from _service(root["spec"], root.at("metadata", "annotations"))
    elif is_kind(resource, "gateway.networking.k8s.io", "Gateway"):
        yield from _gateway(root)
    elif is_release(resource):
        yield from _chart(resource)
    for cluster in ray_clusters(resource):
        head = cluster["headGroupSpec"]
        yield from _type(head["serviceType"], cluster["headServiceAnnotations"])
        service = head["headService"]
        yield from _service(service["spec"], service.at("metadata", "annotations"))
        if true(head["enableIngress"]):
            yield Violation(head["enableIngress"].where, "puts the dashboard behind an Ingress; remove it")
    if is_kind(resource, RAY_GROUP, "RayService"):
        service = root.at("spec", "serveService")
        yield from _service(service["spec"], service.at("metadata", "annotations"))


def _service(spec: Node, annotations: Node) -> Iterator[Finding]:
    yield from _type(spec["type"], annotations)
    addresses = spec["externalIPs"]
    if addresses.unknown:
        yield Unproven(addresses.where)
    elif addresses.value:
        yield Violation(addresses.where, "takes traffic for outside addresses; remove it")


def _type(node: Node, annotations: Node) -> Iterator[Finding]:
    if node.unknown or (node.value == _PUBLIC and _maybe_internal(annotations)):
        yield Unproven(node.where)
    elif node.value == _PUBLIC and not _internal(annotations):
        yield Violation(node.where, f"is a public load balancer; {_KEEP}")


def _internal(annotations: Node) -> bool:
    return any(
        str(node.value).lower() in _INTERNAL.get(name, frozenset()) for name, node in annotations.fields()
    )


def _maybe_internal(annotations: Node) -> bool:
    """Whether what would make a load balancer internal is not known yet."""
    return any(node.unknown and name in ("*", *_INTERNAL) for name, node in annotations.fields())


def _gateway(root: Node) -> Iterator[Finding]:
    """A Gateway of the Gateway API: its controller makes a load balancer unless it is told otherwise."""
    name, kind = root.at("spec", "gatewayClassName"), root.at("metadata", "annotations")[_GATEWAY_TYPE]
    if name.unknown or kind.unknown:
        yield Unproven(name.where if name.unknown else kind.where)
    elif name.text not in _INTERNAL_CLASSES and kind.value in (None, _PUBLIC):
        places = (root.at("spec", "infrastructure", "annotations"), root.at("metadata", "annotations"))
        if any(map(_maybe_internal, places)):
            yield Unproven(name.where)
        elif not any(map(_internal, places)):
            yield Violation(name.where, f"gets a public load balancer; {_KEEP}")


def _chart(resource: Resource) -> Iterator[Finding]:
    values = resource.root["values"]
    usual = _BY_DEFAULT.get(chart_name(resource))
    if usual and values.at(*usual).missing:
        annotations = values.at(*usual[:-1])["annotations"]
        if _maybe_internal(annotations):
            yield Unproven(annotations.where)
        elif not _internal(annotations):
            yield Violation(
                values.at(*usual).where, f"is not set, and the chart's default is a load balancer; {_KEEP}"
            )
    for node in values.walk():
        name = str(node.path[-1]) if node.path else ""
        if name.lower().endswith("service"):
            yield from _type(node["type"], node["annotations"])
        elif name in _SERVICE_TYPES:
            yield from _type(node, Node(None))


RULES: Final = (
    ResourceRule(
        name="no-public-load-balancer",
        description="Nothing gets a public load balancer that is not listed.",
        why="A dashboard or client port on a public address is one leaked token away from a stranger's code.",
        settings={ALLOWED: setting("What may have one, as namespace/name")},
        check=_exposed,
    ),
)
