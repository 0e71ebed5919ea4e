"""The outbound side of a Pod's sidecar, for a plain Envoy: which cluster a connection would go to.

Envoy's own choice of listener, chain, virtual host and route is asked; the answer is the cluster's name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.proxy_protocol_pb2 import ProxyProtocolConfig
from envoy.config.listener.v3.listener_components_pb2 import Filter
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_components_pb2 import Route
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.network.direct_response.v3.config_pb2 import Config as DirectResponse
from envoy.extensions.transport_sockets.proxy_protocol.v3.upstream_proxy_protocol_pb2 import (
    ProxyProtocolUpstreamTransport,
)
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import UpstreamTlsContext

from tests.mesh.filters import Standalone, unpack
from tests.mesh.inbound import CERTIFICATE, ROOT, VIRTUAL_INBOUND, local_secrets

VIRTUAL_OUTBOUND = "virtualOutbound"
PASSTHROUGH = "PassthroughCluster"


def standalone(listeners: Iterable[Listener], routes: Mapping[str, RouteConfiguration]) -> list[Listener]:
    """All outbound listeners; the first is bound, and hands over to the one that was meant."""
    return _entered(Standalone(_named, _answer, routes.__getitem__), listeners)


def _entered(rewriting: Standalone, listeners: Iterable[Listener]) -> list[Listener]:
    by_name = {each.name: each for each in listeners if each.name != VIRTUAL_INBOUND}
    entrance = rewriting.listener(by_name.pop(VIRTUAL_OUTBOUND), bound=True)
    entrance.use_original_dst.value = True
    others = [each for each in by_name.values() if each.HasField("bind_to_port")]
    return [entrance, *(rewriting.listener(each, bound=False) for each in others)]


def connected(
    listeners: Iterable[Listener], clusters: Iterable[Cluster], owner: str, peer: tuple[str, int]
) -> tuple[list[Listener], list[Cluster]]:
    """The opaque listeners, which send on, and the clusters, which all lead to one peer.

    A PROXY header, before the TLS that istiod told, tells the peer the address and port that were meant.
    """
    rewriting = Standalone(lambda _: None, _answer, lambda name: RouteConfiguration(name=name))
    return _entered(rewriting, listeners), [_towards(each, owner, peer) for each in clusters]


def _towards(cluster: Cluster, owner: str, peer: tuple[str, int]) -> Cluster:
    made = Cluster(name=cluster.name, type=Cluster.STATIC)
    made.connect_timeout.CopyFrom(cluster.connect_timeout)
    made.load_assignment.cluster_name = cluster.name
    endpoint = made.load_assignment.endpoints.add().lb_endpoints.add().endpoint
    endpoint.address.socket_address.address, endpoint.address.socket_address.port_value = peer
    context = unpack(cluster.transport_socket.typed_config, UpstreamTlsContext)
    local_secrets(context.common_tls_context, owner)
    outer = ProxyProtocolUpstreamTransport()
    outer.config.version = ProxyProtocolConfig.V1
    outer.transport_socket.name = cluster.transport_socket.name
    outer.transport_socket.typed_config.Pack(context)
    made.transport_socket.name = "envoy.transport_sockets.upstream_proxy_protocol"
    made.transport_socket.typed_config.Pack(outer)
    return made


def mutual(cluster: Cluster) -> bool:
    """Whether everything that goes to a cluster is mTLS with the mesh's certificates, without a choice."""
    if cluster.transport_socket_matches or not cluster.HasField("transport_socket"):
        return False
    common = unpack(cluster.transport_socket.typed_config, UpstreamTlsContext).common_tls_context
    own = [each.name for each in common.tls_certificate_sds_secret_configs]
    trusted = common.combined_validation_context.validation_context_sds_secret_config.name
    return own == [CERTIFICATE] and trusted == ROOT


def _named(cluster: str) -> Filter:
    made = Filter(name="envoy.filters.network.direct_response")
    config = DirectResponse()
    config.response.inline_string = cluster
    made.typed_config.Pack(config)
    return made


def _answer(route: Route, cluster: str) -> None:
    route.direct_response.status = 200
    route.direct_response.body.inline_string = cluster
