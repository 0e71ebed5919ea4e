"""NetworkPolicies: the layer for Pods and ports that the mesh does not see."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rayfort import RayPorts, network
from rayfort.ray.ports import Peer

METADATA_SERVERS = ["169.254.169.254", "169.254.170.2", "fd00:ec2::254", "fd20:ce::254"]
ANY_NETWORK = st.ip_addresses().flatmap(
    lambda address: st.integers(0, address.max_prefixlen).map(
        lambda prefix: str(ip_network((address, prefix), strict=False))
    )
)


def permits(block: dict[str, dict[str, object]], address: str) -> bool:
    """Whether an `ipBlock` lets an address through, as Kubernetes defines it."""
    rule = block["ipBlock"]
    holes = rule.get("except", [])
    assert isinstance(holes, list)
    return ip_address(address) in ip_network(str(rule["cidr"])) and not any(
        ip_address(address) in ip_network(hole) for hole in holes
    )


def test_default_deny_covers_both_directions_of_every_pod() -> None:
    """An empty selector is every Pod; a missing direction would be open."""
    assert network.default_deny_spec() == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


@given(ANY_NETWORK)
def test_no_wider_block_reaches_a_metadata_server(cidr: str) -> None:
    """Whoever reaches it has the node's cloud identity."""
    block = network.address_block(cidr)
    if not network.reaches_metadata(cidr):
        assert not any(permits(block, server) for server in METADATA_SERVERS)


@given(ANY_NETWORK)
@example("169.254.0.0/16")
@example("169.254.169.254/32")
def test_the_holes_of_a_block_are_smaller_parts_of_it(cidr: str) -> None:
    """Kubernetes refuses an exception outside its block, or as large as it."""
    block = network.address_block(cidr)["ipBlock"]
    for hole in block.get("except", []):
        assert ip_network(hole).prefixlen > ip_network(cidr).prefixlen
        assert ip_network(hole).network_address in ip_network(cidr)
        assert ip_network(hole).broadcast_address in ip_network(cidr)


@pytest.mark.parametrize("cidr", ["0.0.0.0/0", "128.0.0.0/1", "169.0.0.0/8", "::/0", "fd00::/8"])
def test_blocks_that_hold_a_metadata_server_lose_it(cidr: str) -> None:
    """`0.0.0.0/0` is not the only block that holds it."""
    assert network.address_block(cidr)["ipBlock"]["except"]


@pytest.mark.parametrize("cidr", ["10.0.0.0/8", "fd12::/16"])
def test_other_blocks_are_as_written(cidr: str) -> None:
    """A needless exception is noise in a review."""
    assert network.address_block(cidr) == {"ipBlock": {"cidr": cidr}}


def test_a_metadata_server_that_is_listed_on_purpose_is_reached() -> None:
    """Cloud identities of Pods come from it; the preview says so."""
    block = network.address_block("169.254.169.254/32")
    assert permits(block, "169.254.169.254")
    assert network.reaches_metadata("169.254.169.254/32")
    assert not network.reaches_metadata("0.0.0.0/0")


def test_the_mesh_needs_istiods_tls_port_only() -> None:
    """15010, 8080 and 15014 are plaintext."""
    rule = network.mesh_spec("istio-system")["egress"][0]
    assert rule["ports"] == [{"protocol": "TCP", "port": 15012}]
    assert rule["to"] == [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "istio-system"}}}
    ]


def test_dns_is_asked_over_both_protocols() -> None:
    """Long answers come over TCP."""
    rule = network.dns_spec("kube-system")["egress"][0]
    assert {(port["protocol"], port["port"]) for port in rule["ports"]} == {("UDP", 53), ("TCP", 53)}


def test_nodes_of_one_cluster_reach_each_other() -> None:
    """And not those of the next cluster in the same namespace."""
    spec = network.intra_cluster_spec("ray")
    nodes = {"matchLabels": {"ray.io/cluster": "ray"}}
    assert spec["podSelector"] == nodes
    assert spec["ingress"] == [{"from": [{"podSelector": nodes}]}]
    assert spec["egress"] == [{"to": [{"podSelector": nodes}]}]


def test_only_named_namespaces_reach_the_head() -> None:
    """A rule without `from` would let every Pod of the cluster in."""
    spec = network.head_ingress_spec("ray", RayPorts(), {Peer.OPERATOR: ["kuberay-system"], Peer.CLIENT: []})
    assert len(spec["ingress"]) == 1
    assert spec["ingress"][0]["from"] == [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kuberay-system"}}}
    ]


def test_an_autoscaling_head_reaches_the_api_server_where_it_is_known() -> None:
    """By its addresses where a stack states them; else by its ports, anywhere but metadata servers."""
    stated = network.api_server_spec("ray", ["10.0.0.1/32"])["egress"][0]
    assert stated["to"] == [{"ipBlock": {"cidr": "10.0.0.1/32"}}]
    anywhere = network.api_server_spec("ray", [])["egress"][0]
    assert not permits(anywhere["to"][0], "169.254.169.254")
    assert [port["port"] for port in anywhere["ports"]] == [443, 6443]


@given(st.lists(st.integers(1, 65535), min_size=1, max_size=5), st.lists(ANY_NETWORK, min_size=1, max_size=3))
def test_egress_is_exactly_what_is_listed(ports: list[int], cidrs: list[str]) -> None:
    """Every block, every port, TCP, and nothing besides."""
    rule = network.egress_spec(cidrs, ports)["egress"][0]
    assert [peer["ipBlock"]["cidr"] for peer in rule["to"]] == cidrs
    assert rule["ports"] == [{"protocol": "TCP", "port": port} for port in ports]
