"""What istiod's configuration needs before a plain Envoy can run it without a mesh around it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from envoy.config.core.v3.extension_pb2 import TypedExtensionConfig  # noqa: F401 (registers its type)
from envoy.config.listener.v3.listener_components_pb2 import Filter, FilterChain, ListenerFilter
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_components_pb2 import Route
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.listener.proxy_protocol.v3.proxy_protocol_pb2 import ProxyProtocol
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message

from tests.mesh.envoy import LOOPBACK

HTTP = "envoy.filters.network.http_connection_manager"
TCP = "envoy.filters.network.tcp_proxy"
# Istio's own filters, which are a part of its build of Envoy: they count and label, and decide nothing.
ISTIO_FILTERS = frozenset({"istio.metadata_exchange", "istio.stats", "istio.alpn"})

Unpacked = TypeVar("Unpacked", bound=Message)


def unpack(packed: Any, kind: type[Unpacked]) -> Unpacked:
    """The message in an Any."""
    made = kind()
    assert packed.Unpack(made), packed.type_url
    return made


def chains(listener: Listener) -> list[FilterChain]:
    """Every filter chain of a listener, the default one last."""
    default = [listener.default_filter_chain] if listener.HasField("default_filter_chain") else []
    return [*listener.filter_chains, *default]


def managers(chain: FilterChain) -> Iterator[HttpConnectionManager]:
    """The HTTP connection managers of a chain."""
    for each in chain.filters:
        if each.typed_config.Is(HttpConnectionManager.DESCRIPTOR):
            yield unpack(each.typed_config, HttpConnectionManager)


@dataclass
class Standalone:
    """Listeners for an Envoy that has nobody to send anything to.

    Only what comes last in a chain is replaced, and what a plain Envoy does not have is left out.

    Args:
        terminal: the filter for what a TCP proxy would send on to a cluster.
        answer: makes a route answer by itself, given the cluster that it leads to.
        routes: the route configurations by name.

    Attributes:
        removed: the names of the filters that were left out.
    """

    terminal: Callable[[str], Filter | None]
    answer: Callable[[Route, str], None]
    routes: Callable[[str], RouteConfiguration] | None = None
    removed: set[str] = field(default_factory=set)

    def listener(self, listener: Listener, *, bound: bool) -> Listener:
        """A listener on loopback, or one that only another listener hands connections to."""
        made = Listener()
        made.CopyFrom(listener)
        made.stat_prefix = made.name
        made.ClearField("access_log")
        made.ClearField("additional_addresses")
        if bound:
            made.address.socket_address.address = LOOPBACK
            made.address.socket_address.port_value = 0
            made.ClearField("bind_to_port")
            first = ListenerFilter(name="envoy.filters.listener.proxy_protocol")
            first.typed_config.Pack(ProxyProtocol())
            others = [each for each in made.listener_filters if not each.name.endswith(".original_dst")]
            del made.listener_filters[:]
            made.listener_filters.extend([first, *others])
        for chain in chains(made):
            self._rewrite(chain)
        return made

    def _rewrite(self, chain: FilterChain) -> None:
        kept = [made for each in chain.filters if (made := self._filter(each))]
        del chain.filters[:]
        chain.filters.extend(kept)

    def _filter(self, each: Filter) -> Filter | None:
        if self._istios(each.name):
            return None
        if each.name == TCP:
            proxy = unpack(each.typed_config, TcpProxy)
            return self.terminal(proxy.cluster) or _silent(each, proxy)
        if each.name == HTTP:
            return self._manager(each)
        return each

    def _manager(self, each: Filter) -> Filter:
        manager = unpack(each.typed_config, HttpConnectionManager)
        manager.ClearField("tracing")
        manager.ClearField("access_log")
        kept = [one for one in manager.http_filters if not self._istios(one.name)]
        del manager.http_filters[:]
        manager.http_filters.extend(kept)
        if manager.HasField("rds"):
            assert self.routes, manager.rds.route_config_name
            manager.route_config.CopyFrom(self.routes(manager.rds.route_config_name))
        for host in manager.route_config.virtual_hosts:
            for route in host.routes:
                if route.WhichOneof("action") == "route":
                    self.answer(route, route.route.cluster)
        made = Filter(name=each.name)
        made.typed_config.Pack(manager)
        return made

    def _istios(self, name: str) -> bool:
        if not name.startswith("istio"):
            return False
        self.removed.add(name)
        return True


def _silent(each: Filter, proxy: TcpProxy) -> Filter:
    """The same proxy without logs, which would go to istiod's own formats."""
    proxy.ClearField("access_log")
    made = Filter(name=each.name)
    made.typed_config.Pack(proxy)
    return made
