"""Who may reach Prometheus, Kiali and Jaeger, on the wire and in the mesh.

None of them but Kiali asks for a login, so the policies decide: Kiali reads from the other two, sidecars send
traces, Prometheus scrapes. Nobody reaches a user interface over the network; `kubectl port-forward` ends
inside the Pod, and is allowed by RBAC.
"""

from collections.abc import Iterator, Sequence

from rayfort import labels, network
from rayfort.mesh import mtls
from rayfort.mesh.authorization import Identity
from rayfort.mesh.observability import jaeger, kiali, prometheus
from rayfort.mesh.observability.surroundings import Surroundings
from rayfort.mesh.telemetry import OTLP_PORT
from rayfort.model import JsonObject

_Labels = dict[str, str]


def network_policies(around: Surroundings, *, openid: bool) -> Iterator[tuple[str, JsonObject]]:
    """Names and specs of the NetworkPolicies.

    Args:
        around: what the three are put into.
        openid: whether Kiali asks an identity provider.
    """
    scrape = _rule("from", [_pods(prometheus.POD)], [network.SIDECAR_METRICS_PORT])
    watched = [_namespace(name) for name in around.watched]
    api_server = _rule("to", [network.address_block(cidr) for cidr in _api_server(around)], [443, 6443])
    provider = _rule("to", [network.address_block(network.ANYWHERE)], [443])
    yield (
        prometheus.NAME,
        _policy(
            prometheus.POD,
            around,
            ingress=[_rule("from", [_pods(kiali.POD)], [prometheus.PORT]), scrape],
            # Which ports, the other side's policies say.
            egress=[api_server, {"to": watched}],
        ),
    )
    yield (
        kiali.NAME,
        _policy(
            kiali.POD,
            around,
            ingress=[scrape],
            egress=[
                api_server,
                _rule("to", [_pods(prometheus.POD)], [prometheus.PORT]),
                _rule("to", [_pods(jaeger.POD)], [jaeger.QUERY_GRPC_PORT]),
                *([provider] if openid else []),
            ],
        ),
    )
    yield (
        jaeger.RELEASE,
        _policy(
            jaeger.POD,
            around,
            ingress=[
                _rule("from", watched, [OTLP_PORT]),
                _rule("from", [_pods(kiali.POD)], [jaeger.QUERY_GRPC_PORT]),
                scrape,
            ],
            egress=[],
        ),
    )


def mesh_policies(around: Surroundings) -> Iterator[tuple[str, str, str, JsonObject]]:
    """API version, kind, name and spec of Istio's objects."""
    for name, spec in authorization_policies(around):
        yield mtls.SECURITY_API, "AuthorizationPolicy", name, spec
    for name, spec in destination_rules(around):
        yield mtls.NETWORKING_API, "DestinationRule", name, spec


def authorization_policies(around: Surroundings) -> Iterator[tuple[str, JsonObject]]:
    """Names and specs of the AuthorizationPolicies."""
    reader = {"principals": [Identity(around.namespace, kiali.NAME).principal(around.trust_domain)]}
    senders = {"namespaces": list(around.watched)}
    yield prometheus.NAME, _allow(prometheus.POD, [(reader, prometheus.PORT)])
    yield kiali.NAME, _allow(kiali.POD, [])
    yield jaeger.RELEASE, _allow(jaeger.POD, [(senders, OTLP_PORT), (reader, jaeger.QUERY_GRPC_PORT)])


def destination_rules(around: Surroundings) -> Iterator[tuple[str, JsonObject]]:
    """Names and specs of the DestinationRules: traces and metrics never travel in plaintext.

    By itself Istio sends plaintext to a Pod without a sidecar.
    """
    for name, exported in ((prometheus.NAME, "."), (jaeger.NAME, "*")):
        tls = {"tls": {"mode": "ISTIO_MUTUAL"}}
        yield name, {"host": around.host(name), "trafficPolicy": tls, "exportTo": [exported]}


def _api_server(around: Surroundings) -> Sequence[str]:
    return around.api_server_cidrs or [network.ANYWHERE]


def _policy(
    pod: _Labels, around: Surroundings, *, ingress: list[JsonObject], egress: list[JsonObject]
) -> JsonObject:
    return {
        "podSelector": {"matchLabels": pod},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": ingress,
        "egress": [
            network.dns_rule(around.dns_namespace, around.dns_addresses),
            _rule("to", [_namespace(around.mesh_namespace)], [network.ISTIOD_XDS_PORT]),
            *egress,
        ],
    }


def _allow(pod: _Labels, callers: Sequence[tuple[JsonObject, int]]) -> JsonObject:
    return {
        "selector": {"matchLabels": pod},
        "action": "ALLOW",
        "rules": [
            {"from": [{"source": source}], "to": [{"operation": {"ports": [str(port)]}}]}
            for source, port in callers
        ],
    }


def _rule(direction: str, peers: list[JsonObject], ports: Sequence[int]) -> JsonObject:
    return {direction: peers, "ports": [{"protocol": "TCP", "port": port} for port in ports]}


def _pods(pod: _Labels) -> JsonObject:
    return {"podSelector": {"matchLabels": pod}}


def _namespace(name: str) -> JsonObject:
    return {"namespaceSelector": {"matchLabels": {labels.NAMESPACE_NAME: name}}}
