"""What istiod tells the sidecars of Ray's Pods: who gets in, and where what they send goes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from envoy.config.core.v3.base_pb2 import TrafficDirection
from envoy.config.listener.v3.listener_components_pb2 import FilterChain
from envoy.config.trace.v3.opentelemetry_pb2 import OpenTelemetryConfig
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy
from envoy.extensions.transport_sockets.tls.v3.common_pb2 import TlsParameters
from rayfort.ray.headless_service import service_host
from rayfort.ray.manifest import head_service
from rayfort.ray.ports import DeclaredBy, NodeRole, Peer, RayPort, Traffic, ports_for

from sandbox.xds.state import Snapshot
from tests.mesh import outbound
from tests.mesh.deployed import (
    CLIENT,
    CLIENTS,
    CLUSTER,
    L4_TEAM,
    L7_TEAM,
    MONITORING,
    TARGETS,
    UNDECLARED_PORT,
    Deployed,
    Target,
    address,
)
from tests.mesh.filters import chains, managers, unpack
from tests.mesh.inbound import BLACK_HOLE, CERTIFICATE, ROOT, VIRTUAL_INBOUND, downstream_tls
from tests.mesh.roads import Roads, roads

each_node = pytest.mark.parametrize("target", TARGETS, ids=str)
# Answered by Envoy or the agent themselves, outside of what is captured: health and merged metrics.
UNCAPTURED = {15020, 15021, 15090}


@each_node
def test_every_way_in_asks_for_a_certificate_and_tls_1_3(
    told: Mapping[Target, Snapshot], target: Target
) -> None:
    """Those of declared ports and those for all others: no chain may be forgotten."""
    plaintext = []
    for chain in chains(told[target].listeners[VIRTUAL_INBOUND]):
        context = downstream_tls(chain)
        if context is None:
            plaintext.append(chain)
            continue
        common = context.common_tls_context
        assert context.require_client_certificate.value, chain.name
        assert common.tls_params.tls_minimum_protocol_version == TlsParameters.TLSv1_3, chain.name
        assert common.tls_params.tls_maximum_protocol_version == TlsParameters.TLSv1_3, chain.name
        assert [each.name for each in common.tls_certificate_sds_secret_configs] == [CERTIFICATE]
        validation = common.combined_validation_context
        assert validation.validation_context_sds_secret_config.name == ROOT
        assert chain.filter_chain_match.transport_protocol == "tls", chain.name
    assert [cluster for chain in plaintext for cluster in tcp_clusters(chain)] == [BLACK_HOLE]


@each_node
def test_every_port_of_the_table_has_a_chain_of_its_own(
    deployed: Deployed, told: Mapping[Target, Snapshot], target: Target
) -> None:
    """Istio knows Ray's ports, and in l7 what is spoken on them."""
    found = {
        chain.filter_chain_match.destination_port.value: any(managers(chain))
        for chain in told[target].listeners[VIRTUAL_INBOUND].filter_chains
    }
    for port in deployed.spec(target.namespace).effective_ports.table:
        if target.role not in port.roles:
            continue
        spoken = {found[number] for number in port.numbers}
        if target.role is NodeRole.HEAD and Peer.METRICS in port.peers:
            assert len(spoken) == 1  # both Services declare it; the older one's protocol holds
            continue
        # KubeRay declares all of its head Service as tcp.
        opaque = target.traffic is Traffic.L4 or port.declared_by is DeclaredBy.HEAD_SERVICE
        assert spoken == {not opaque}, port.name
    assert not UNCAPTURED & found.keys()


@each_node
def test_there_is_one_way_in(told: Mapping[Target, Snapshot], target: Target) -> None:
    inward = [
        name
        for name, listener in told[target].listeners.items()
        if listener.traffic_direction == TrafficDirection.INBOUND
    ]
    assert inward == [VIRTUAL_INBOUND]


def tcp_clusters(chain: FilterChain) -> Iterator[str]:
    for each in chain.filters:
        if each.typed_config.Is(TcpProxy.DESCRIPTOR):
            yield unpack(each.typed_config, TcpProxy).cluster


@dataclass(frozen=True)
class Destination:
    """A port of a Ray node as a peer dials it."""

    pod: str
    port: int
    host: str


def destinations(nodes: Iterable[dict[str, Any]], port: RayPort, domain: str) -> Iterator[Destination]:
    """Every address that a port has in a Ray cluster: in l4 the Pod's, in l7 a name."""
    for pod in nodes:
        namespace = pod["metadata"]["namespace"]
        headless = service_host(CLUSTER, namespace, domain)
        if pod["metadata"]["labels"]["ray.io/node-type"] not in port.roles:
            continue
        name = f"{address(pod).replace('.', '-')}.{headless}"
        if port.declared_by is DeclaredBy.HEAD_SERVICE:
            name = f"{head_service(CLUSTER)}.{namespace}.svc.{domain}"
        for number in port.numbers:
            yield Destination(address(pod), number, f"{name}:{number}")


@pytest.fixture(scope="module")
def ways(
    told: Mapping[Target, Snapshot], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[Target, Roads]]:
    """The outbound side of every node's sidecar, run by an Envoy each."""
    with roads(tmp_path_factory.mktemp("ways"), told) as made:
        yield made


@each_node
def test_all_that_ray_sends_goes_out_as_mtls(
    deployed: Deployed,
    pods: Mapping[Target, dict[str, Any]],
    told: Mapping[Target, Snapshot],
    ways: Mapping[Target, Roads],
    target: Target,
) -> None:
    """Every port of the table on every other Pod: none to the passthrough cluster."""
    own = address(pods[target])
    domain, nodes = deployed.settings.cluster.facts.cluster_domain, deployed.nodes(target.namespace)
    seen = 0
    for port in deployed.spec(target.namespace).effective_ports.table:
        for to in destinations(nodes, port, domain):
            if to.pod == own:
                continue  # what stays in the Pod is not captured
            cluster = ways[target].cluster(to.pod, to.port, to.host)
            assert cluster.startswith(f"outbound|{to.port}||{CLUSTER}-head"), (to, cluster)
            assert f".{target.namespace}.svc." in cluster, (to, cluster)
            assert outbound.mutual(told[target].clusters[cluster]), (to, cluster)
            seen += 1
    assert seen > 10


def test_what_is_not_declared_goes_out_as_it_is(
    pods: Mapping[Target, dict[str, Any]], ways: Mapping[Target, Roads]
) -> None:
    """The control of the test above, and why ports are pinned and l7 needs names: STRICT refuses these."""
    worker = Target(Traffic.L4, NodeRole.WORKER)
    head = address(pods[Target(Traffic.L4, NodeRole.HEAD)])
    assert ways[worker].cluster(head, UNDECLARED_PORT, head) == outbound.PASSTHROUGH
    worker = Target(Traffic.L7, NodeRole.WORKER)
    head = address(pods[Target(Traffic.L7, NodeRole.HEAD)])
    assert ways[worker].cluster(head, 6380, f"{head}:6380") == outbound.PASSTHROUGH


def test_those_outside_reach_the_head_by_mtls(
    deployed: Deployed, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The operator, a client and a scraper have sidecars that know the head of every workspace."""
    callers = {
        Peer.OPERATOR: deployed.pod(
            deployed.settings.operator.namespace, "app.kubernetes.io/name=kuberay-operator"
        ),
        Peer.CLIENT: deployed.pod(CLIENTS, f"app={CLIENT}"),
        Peer.METRICS: deployed.pod(MONITORING, "app=prometheus"),
    }
    told = dict(zip(callers, deployed.snapshots(list(callers.values())), strict=True))
    domain = deployed.settings.cluster.facts.cluster_domain
    nodes = {namespace: deployed.nodes(namespace) for namespace in (L4_TEAM, L7_TEAM)}
    with roads(tmp_path_factory.mktemp("outside"), told) as ways:
        for peer in callers:
            for namespace, there in nodes.items():
                for port in ports_for(deployed.spec(namespace).effective_ports, NodeRole.HEAD, peer):
                    to = next(destinations(there, port, domain))
                    cluster = ways[peer].cluster(to.pod, to.port, to.host)
                    assert cluster in told[peer].clusters, (peer, to, cluster)
                    assert outbound.mutual(told[peer].clusters[cluster]), (peer, to, cluster)


@each_node
def test_a_sidecar_knows_nothing_of_other_workspaces(told: Mapping[Target, Snapshot], target: Target) -> None:
    other = ({L4_TEAM, L7_TEAM} - {target.namespace}).pop()
    snapshot = told[target]
    for kind in (snapshot.listeners, snapshot.clusters, snapshot.routes, snapshot.endpoints):
        assert kind
        for name, message in kind.items():
            text = message.SerializeToString()
            assert f".{other}.".encode() not in text, name
            assert f"/ns/{other}/".encode() not in text, name
    assert any(f".{target.namespace}." in name for name in snapshot.clusters)


@pytest.mark.parametrize("role", NodeRole)
def test_calls_are_traced_in_l7(deployed: Deployed, told: Mapping[Target, Snapshot], role: NodeRole) -> None:
    """Both sides of every call send spans to the collector, as many as the stack says."""
    tracing = deployed.tracing
    snapshot = told[Target(Traffic.L7, role)]
    collector = f"outbound|{tracing.port}||{tracing.service}"
    assert collector in snapshot.clusters
    inward, outward = 0, 0
    for name, listener in snapshot.listeners.items():
        for chain in chains(listener):
            for manager in managers(chain):
                assert manager.HasField("tracing"), name
                assert manager.tracing.random_sampling.value == tracing.sampling_percentage
                config = unpack(manager.tracing.provider.typed_config, OpenTelemetryConfig)
                assert config.grpc_service.envoy_grpc.cluster_name == collector
                inward += name == VIRTUAL_INBOUND
                outward += name != VIRTUAL_INBOUND
    assert inward > 10
    assert outward > 10
