"""NetworkPolicies of one workspace: the second layer, for Pods and ports that the mesh does not see."""

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final

from rayfort import labels
from rayfort.model import JsonObject
from rayfort.ray.fault_tolerance import CLEANUP_NODE
from rayfort.ray.ports import NodeRole, Peer, RayPort, RayPorts, ports_for

DEFAULT_DENY: Final = "default-deny"
ISTIOD_XDS_PORT: Final = 15012
ISTIOD_WEBHOOK_PORT: Final = 15017
ISTIOD_METRICS_PORT: Final = 15014
SIDECAR_METRICS_PORT: Final = 15020
# Where clouds keep their metadata servers: link-local addresses, and two of IPv6 (AWS, Google).
METADATA_BLOCKS: Final = ("169.254.0.0/16", "fd00:ec2::254/128", "fd20:ce::254/128")
# Addresses of networks of one's own: RFC 1918, carrier-grade NAT, and those of IPv6.
PRIVATE_BLOCKS: Final = (
    "10.0.0.0/8",
    "100.64.0.0/10",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "fc00::/7",
    "fe80::/10",
)
ANYWHERE: Final = "0.0.0.0/0"


def default_deny_spec() -> JsonObject:
    """``spec`` that refuses all traffic of every Pod of the namespace, in and out."""
    return {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def dns_spec(dns_namespace: str, addresses: Sequence[str] = ()) -> JsonObject:
    """``spec`` that lets every Pod ask the cluster's DNS."""
    return _egress({}, [dns_rule(dns_namespace, addresses)])


def dns_rule(dns_namespace: str, addresses: Sequence[str] = ()) -> JsonObject:
    """The rule for questions to the cluster's DNS, in a namespace and at addresses outside the cluster.

    Such an address may be the metadata server's: what it serves besides names stays closed.
    """
    ports = [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")]
    outside = [{"ipBlock": {"cidr": address}} for address in addresses]
    return {"to": [_namespace(dns_namespace), *outside], "ports": ports}


def mesh_spec(root_namespace: str) -> JsonObject:
    """``spec`` that lets sidecars reach istiod on its TLS port.

    Its plaintext ports (15010, 8080, 15014) stay closed.
    """
    return _egress({}, [{"to": [_namespace(root_namespace)], "ports": _tcp([ISTIOD_XDS_PORT])}])


def istiod_spec(metrics_namespaces: Sequence[str]) -> JsonObject:
    """``spec`` for istiod: its plaintext ports (15010, 8080) are closed to everybody, and 15014 to all but
    monitoring namespaces.

    Istio cannot close them itself: without an address of its own xDS moves to 8080.
    """
    rules: list[JsonObject] = [
        {"from": [{"namespaceSelector": {}}], "ports": _tcp([ISTIOD_XDS_PORT])},
        {"ports": _tcp([ISTIOD_WEBHOOK_PORT])},  # the API server is no Pod
    ]
    if metrics_namespaces:
        scrapers = [_namespace(name) for name in metrics_namespaces]
        rules.append({"from": scrapers, "ports": _tcp([ISTIOD_METRICS_PORT])})
    return {
        "podSelector": {"matchLabels": {"app": "istiod"}},
        "policyTypes": ["Ingress"],
        "ingress": rules,
    }


def tracing_spec(namespace: str, port: int) -> JsonObject:
    """``spec`` that lets sidecars send traces to a collector."""
    return _egress({}, [{"to": [_namespace(namespace)], "ports": _tcp([port])}])


def egress_spec(cidrs: Sequence[str], ports: Sequence[int]) -> JsonObject:
    """``spec`` that lets Pods out to these addresses and TCP ports, never to a metadata server
    that merely lies in one of them."""
    return _egress({}, [{"to": [address_block(cidr) for cidr in cidrs], "ports": _tcp(ports)}])


def api_server_spec(cluster: str, cidrs: Sequence[str]) -> JsonObject:
    """``spec`` that lets a head with an autoscaler reach the API server."""
    blocks = [address_block(cidr) for cidr in cidrs or [ANYWHERE]]
    return _egress(_head(cluster), [{"to": blocks, "ports": _tcp([443, 6443])}])


def redis_spec(cluster: str, namespace: str | None, cidrs: Sequence[str], port: int) -> JsonObject:
    """``spec`` that lets a head, and the Job that clears its state away, reach the Redis with that state."""
    nodes = [NodeRole.HEAD.value, CLEANUP_NODE]
    selector = {
        "matchLabels": {labels.RAY_CLUSTER: cluster},
        "matchExpressions": [{"key": labels.RAY_NODE_TYPE, "operator": "In", "values": nodes}],
    }
    inside = [_namespace(namespace)] if namespace else []
    return _egress(selector, [{"to": [*inside, *map(address_block, cidrs)], "ports": _tcp([port])}])


def address_block(cidr: str) -> JsonObject:
    """A peer for a block of addresses, without the metadata servers that lie in it."""
    return _without(cidr, METADATA_BLOCKS)


def public_block(cidr: str) -> JsonObject:
    """A peer for a block of addresses, without metadata servers and private networks that lie in it."""
    return _without(cidr, (*METADATA_BLOCKS, *PRIVATE_BLOCKS))


def _without(cidr: str, blocks: Sequence[str]) -> JsonObject:
    """A block without those that lie in it; what was listed on purpose lies in one of them itself."""
    listed = any(holds(block, cidr) for block in blocks)
    holes = [block for block in blocks if not listed and holds(cidr, block)]
    return {"ipBlock": {"cidr": cidr, **({"except": holes} if holes else {})}}


def reaches_metadata(cidr: str) -> bool:
    """Whether a block lies among the metadata servers' own addresses: it was listed on purpose."""
    return any(holds(block, cidr) for block in METADATA_BLOCKS)


def holds(outer: str, inner: str) -> bool:
    """Whether the block ``inner`` is a part of the block ``outer``, or the same."""
    one, other = ip_network(inner), ip_network(outer)
    if isinstance(one, IPv4Network) and isinstance(other, IPv4Network):
        return one.subnet_of(other)
    if isinstance(one, IPv6Network) and isinstance(other, IPv6Network):
        return one.subnet_of(other)
    return False


def intra_cluster_spec(cluster: str) -> JsonObject:
    """``spec`` that lets the nodes of one Ray cluster reach each other."""
    nodes = {"matchLabels": {labels.RAY_CLUSTER: cluster}}
    peers = [{"podSelector": nodes}]
    return {
        "podSelector": nodes,
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": peers}],
        "egress": [{"to": peers}],
    }


def head_ingress_spec(cluster: str, ports: RayPorts, callers: Mapping[Peer, Sequence[str]]) -> JsonObject:
    """``spec`` that lets namespaces reach the head on the ports that are for them.

    Args:
        cluster: the RayCluster's name.
        ports: its ports.
        callers: for each kind of caller, the namespaces it runs in.
    """
    return {
        "podSelector": _head(cluster),
        "policyTypes": ["Ingress"],
        "ingress": [
            {
                "from": [_namespace(name) for name in namespaces],
                "ports": [_range(port) for port in ports_for(ports, NodeRole.HEAD, peer)],
            }
            for peer, namespaces in callers.items()
            if namespaces
        ],
    }


def head_egress_spec(namespace: str, cluster: str, ports: RayPorts) -> JsonObject:
    """``spec`` that lets every Pod of another namespace reach a head on the ports for clients.

    Args:
        namespace: the head's.
        cluster: the RayCluster's name.
        ports: its ports.
    """
    peer = {**_namespace(namespace), "podSelector": _head(cluster)}
    clients = ports_for(ports, NodeRole.HEAD, Peer.CLIENT)
    return _egress({}, [{"to": [peer], "ports": [_range(port) for port in clients]}])


def namespace_egress_spec(namespace: str, ports: Sequence[int]) -> JsonObject:
    """``spec`` that lets every Pod reach these TCP ports in another namespace."""
    return _egress({}, [{"to": [_namespace(namespace)], "ports": _tcp(ports)}])


def public_egress_spec(cidrs: Sequence[str], ports: Sequence[int]) -> JsonObject:
    """``spec`` that lets Pods out to these addresses and TCP ports, never to a private network or a metadata
    server that merely lies in one of them."""
    return _egress({}, [{"to": [public_block(cidr) for cidr in cidrs], "ports": _tcp(ports)}])


def metrics_spec(cluster: str, ports: RayPorts, namespaces: Sequence[str]) -> JsonObject:
    """``spec`` that lets monitoring namespaces scrape Ray's and the sidecars' metrics."""
    numbers = [port.first for port in ports_for(ports, NodeRole.WORKER, Peer.METRICS)]
    return {
        "podSelector": {"matchLabels": {labels.RAY_CLUSTER: cluster}},
        "policyTypes": ["Ingress"],
        "ingress": [
            {
                "from": [_namespace(name) for name in namespaces],
                "ports": _tcp([*numbers, SIDECAR_METRICS_PORT]),
            }
        ],
    }


def access_spec(pod: Mapping[str, str], namespaces: Sequence[str], ports: Sequence[int]) -> JsonObject:
    """``spec`` that lets these namespaces reach some Pods on these TCP ports, and nobody else.

    Args:
        pod: the labels of the Pods that are reached.
        namespaces: where the callers run; none for nobody at all.
        ports: the Pods' ports.
    """
    rule = {"from": [_namespace(name) for name in namespaces], "ports": _tcp(ports)}
    return {
        "podSelector": {"matchLabels": dict(pod)},
        "policyTypes": ["Ingress"],
        "ingress": [rule] if namespaces else [],
    }


def _egress(selector: JsonObject, rules: list[JsonObject]) -> JsonObject:
    return {"podSelector": selector, "policyTypes": ["Egress"], "egress": rules}


def _head(cluster: str) -> JsonObject:
    return {"matchLabels": {labels.RAY_CLUSTER: cluster, labels.RAY_NODE_TYPE: NodeRole.HEAD.value}}


def _namespace(name: str) -> JsonObject:
    return {"namespaceSelector": {"matchLabels": {labels.NAMESPACE_NAME: name}}}


def _tcp(ports: Sequence[int]) -> list[JsonObject]:
    return [{"protocol": "TCP", "port": port} for port in ports]


def _range(port: RayPort) -> JsonObject:
    end = {"endPort": port.last} if port.last != port.first else {}
    return {"protocol": "TCP", "port": port.first, **end}
