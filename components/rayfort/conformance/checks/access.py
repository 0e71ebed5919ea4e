"""Who may talk to whom: AuthorizationPolicies and NetworkPolicies."""

from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any, Final

from rayfort import network
from rayfort.conformance.check import Check, Scope, Seen
from rayfort.conformance.checks.mesh import NO_MESH, istiods, root
from rayfort.conformance.observations import Observations, labelled, name_of
from rayfort.model import JsonObject

_ISTIOD_TLS: Final = frozenset({network.ISTIOD_XDS_PORT, network.ISTIOD_WEBHOOK_PORT})


def _mesh_denies(seen: Observations, namespace: str) -> Iterator[str]:
    if not istiods(seen):
        yield NO_MESH
        return
    # A policy that selects every Pod and lists nothing: only what others allow is left.
    found = [
        item
        for item in seen.of("AuthorizationPolicy", namespace)
        if not item["spec"].get("selector")
        and item["spec"].get("action", "ALLOW") == "ALLOW"
        and not item["spec"].get("rules")
    ]
    if found:
        yield Seen(f"AuthorizationPolicy {name_of(found[0])} allows nothing to anybody")
    else:
        yield "no AuthorizationPolicy refuses what is not listed"


def _mesh_allows(seen: Observations, namespace: str) -> Iterator[str]:
    for item in seen.of("AuthorizationPolicy", namespace):
        spec, name = item["spec"], f"AuthorizationPolicy {name_of(item)}"
        if spec.get("action", "ALLOW") != "ALLOW":
            continue
        for rule in spec.get("rules") or ():
            sources = [each.get("source") or {} for each in rule.get("from") or ()]
            if not sources or not all(map(_named, sources)):
                yield f"{name}: a rule is for everybody"
            else:
                yield Seen(f"{name}: lists who may")


def _named(source: JsonObject) -> bool:
    """Whether a source names identities or namespaces, and none that stands for everybody."""
    named = [*source.get("principals", ()), *source.get("namespaces", ()), *source.get("serviceAccounts", ())]
    return bool(named) and not any(set(each) <= {"*"} for each in named)


def _network_denies(seen: Observations, namespace: str) -> Iterator[str]:
    policies = [item["spec"] for item in seen.of("NetworkPolicy", namespace)]
    for direction in ("Ingress", "Egress"):
        # Anything that selects every Pod for a direction and lists nothing in it.
        if any(
            not _selects_some(spec) and direction in _types(spec) and not spec.get(direction.lower())
            for spec in policies
        ):
            yield Seen(f"{direction.lower()} is refused unless it is listed")
        else:
            yield f"no NetworkPolicy refuses {direction.lower()} that is not listed"


def _network_allows(seen: Observations, namespace: str) -> Iterator[str]:
    for item in seen.of("NetworkPolicy", namespace):
        spec, name = item["spec"], f"NetworkPolicy {name_of(item)}"
        problems = [*_wide_ingress(spec), *_wide_egress(spec)]
        yield from (f"{name}: {problem}" for problem in problems)
        if not problems:
            yield Seen(f"{name}: lists who and where")


def _wide_ingress(spec: JsonObject) -> Iterator[str]:
    for rule in spec.get("ingress") or ():
        peers = rule.get("from")
        if not peers:
            yield "everybody may connect"
        for peer in peers or ():
            block = (peer.get("ipBlock") or {}).get("cidr")
            if block and ip_network(block).prefixlen == 0:
                yield f"{block} may connect"
            # An empty selector of namespaces is every one of them.
            if peer.get("namespaceSelector") == {} and not (peer.get("podSelector") or {}):
                yield "every namespace may connect"


def _wide_egress(spec: JsonObject) -> Iterator[str]:
    for rule in spec.get("egress") or ():
        peers = rule.get("to")
        if not peers:
            yield f"Pods may connect anywhere{'' if rule.get('ports') else ', on every port'}"
        for peer in peers or ():
            block = peer.get("ipBlock")
            if block and not network.reaches_metadata(block["cidr"]):
                wanted = network.address_block(block["cidr"])["ipBlock"].get("except", [])
                for hole in set(wanted) - set(block.get("except") or []):
                    yield f"{block['cidr']} holds the clouds' metadata servers at {hole}"


def _istiod_closed(seen: Observations, _: str) -> Iterator[str]:
    if not istiods(seen):
        yield NO_MESH
        return
    namespace = root(seen)
    for istiod in istiods(seen):
        pod = labelled(istiod["spec"]["template"])
        own = [
            item
            for item in seen.of("NetworkPolicy", namespace)
            if _selector(item["spec"]).items() <= pod.items()
        ]
        guards = [item for item in own if "Ingress" in _types(item["spec"])]
        if not guards:
            yield f"{name_of(istiod)}: no NetworkPolicy closes its plaintext ports"
        for item in guards:
            for rule in item["spec"].get("ingress") or ():
                ports = {port.get("port") for port in rule.get("ports") or ()}
                if not ports:
                    yield f"NetworkPolicy {name_of(item)} opens every port of {name_of(istiod)}"
                    continue
                # Metrics are for those who are listed; the others are plaintext for everybody.
                metrics = {network.ISTIOD_METRICS_PORT} if rule.get("from") else set()
                wrong = sorted(ports - _ISTIOD_TLS - metrics)
                if wrong:
                    yield f"NetworkPolicy {name_of(item)} opens {wrong} of {name_of(istiod)}"
                else:
                    yield Seen(
                        f"NetworkPolicy {name_of(item)} opens {', '.join(map(str, sorted(ports)))} alone"
                    )


def _private_services(seen: Observations, namespace: str) -> Iterator[str]:
    for item in seen.of("Service", namespace):
        kind, name = item["spec"].get("type", "ClusterIP"), name_of(item)
        if kind in {"LoadBalancer", "NodePort"}:
            yield f"Service {name} is a {kind}"
        elif item["spec"].get("externalIPs"):
            yield f"Service {name} has external addresses"
        else:
            yield Seen(f"Service {name} is inside the cluster")


def _gateway_tls(seen: Observations, _: str) -> Iterator[str]:
    for item in seen.all("Gateway"):
        if labelled(item).get("app.kubernetes.io/part-of") != "rayfort":
            continue
        for server in item["spec"].get("servers") or ():
            tls, port = server.get("tls") or {}, server.get("port") or {}
            where = f"Gateway {name_of(item)}, port {port.get('number')}"
            if not tls.get("mode") or port.get("protocol") == "HTTP":
                yield f"{where}: plaintext"
            elif tls.get("minProtocolVersion") != "TLSV1_3":
                yield f"{where}: takes TLS older than 1.3"
            else:
                yield Seen(f"{where}: {tls['mode']}, TLS 1.3")


def _types(spec: JsonObject) -> list[str]:
    """The directions that a policy is about; Kubernetes' default where it names none."""
    return list(spec.get("policyTypes") or ["Ingress", *(["Egress"] if spec.get("egress") else [])])


def _selector(spec: JsonObject) -> dict[str, Any]:
    return dict((spec.get("podSelector") or {}).get("matchLabels") or {})


def _selects_some(spec: JsonObject) -> bool:
    return bool(spec.get("podSelector"))


_REFRESH: Final = "run `pulumi up --refresh`"

CHECKS: Final = (
    Check(
        "mesh-denies-by-default",
        "In the mesh nothing is allowed but what is listed",
        "security model: AuthorizationPolicy, by service account",
        _REFRESH,
        _mesh_denies,
    ),
    Check(
        "mesh-allows-by-name",
        "Every AuthorizationPolicy lists who may",
        "security model: who talks to whom",
        "name identities in `clients` of the workspace; remove policies that are for everybody",
        _mesh_allows,
    ),
    Check(
        "network-denies-by-default",
        "No packet goes in or out but what is listed",
        "security model: NetworkPolicy is the second layer",
        _REFRESH,
        _network_denies,
    ),
    Check(
        "network-allows-by-name",
        "Every NetworkPolicy lists who and where, and never a metadata server",
        "security model: NetworkPolicy is the second layer",
        "remove policies that are for everybody; `egress` of the workspace cuts metadata servers out",
        _network_allows,
    ),
    Check(
        "istiod-plaintext-closed",
        "istiod's plaintext ports are closed by a NetworkPolicy",
        "security model: which TLS, where (15010, 8080, 15014)",
        _REFRESH,
        _istiod_closed,
        Scope.PLATFORM,
    ),
    Check(
        "no-public-service",
        "No Service of the workspace leads out of the cluster",
        "security model: no public endpoint by default",
        "make the Service ClusterIP; the dashboard gateway shows dashboards to people",
        _private_services,
    ),
    Check(
        "gateway-tls-1.3",
        "The dashboard gateway takes TLS 1.3 alone",
        "security model: which TLS, where",
        _REFRESH,
        _gateway_tls,
        Scope.PLATFORM,
    ),
)
