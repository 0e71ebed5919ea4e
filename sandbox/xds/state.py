"""What a sidecar holds of its configuration, and what it asks for next: the protocol without a network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.base_pb2 import Node
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse
from google.protobuf.message import DecodeError

from sandbox.xds.kinds import CLUSTERS, ENDPOINTS, KINDS, LISTENERS, ROUTES, Kind

_INVALID_ARGUMENT: Final = 3  # of google.rpc.Code, as Envoy says it


@dataclass(frozen=True)
class Snapshot:
    """All that a sidecar was told.

    Attributes:
        listeners, clusters, routes, endpoints: the messages by name.
        sizes: bytes of each kind (CDS, EDS, LDS, RDS) as they came, each resource with its name and
            version; without the framing of HTTP/2 and of responses.
    """

    listeners: Mapping[str, Any]
    clusters: Mapping[str, Any]
    routes: Mapping[str, Any]
    endpoints: Mapping[str, Any]
    sizes: Mapping[str, int]

    @property
    def wire_bytes(self) -> int:
        """Bytes of the whole state."""
        return sum(self.sizes.values())


class _Held:
    """The resources of one kind: what was asked for and what came."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.asked = False
        self.came = False
        self.wanted: set[str] = set()
        self.missing: set[str] = set()
        self.messages: dict[str, Any] = {}
        self.sizes: dict[str, int] = {}

    def put(self, response: Any, messages: Mapping[str, Any], *, keep: bool) -> None:
        self.came = True
        for resource in response.resources:
            self.messages[resource.name] = messages[resource.name] if keep else None
            self.sizes[resource.name] = resource.ByteSize()
        for name in response.removed_resources:
            self.messages.pop(name, None)
            self.sizes.pop(name, None)
        self.missing -= messages.keys() | set(response.removed_resources)

    def want(self, names: Iterable[str]) -> DeltaDiscoveryRequest | None:
        """The request that makes `names` the subscription; None if they are."""
        new = set(names)
        more, less = new - self.wanted, self.wanted - new
        if not (more or less):
            return None
        self.asked, self.wanted, self.missing = True, new, (self.missing | more) - less
        for name in less:
            self.messages.pop(name, None)
            self.sizes.pop(name, None)
        return DeltaDiscoveryRequest(
            type_url=self.kind.url,
            resource_names_subscribe=sorted(more),
            resource_names_unsubscribe=sorted(less),
        )

    def all(self) -> DeltaDiscoveryRequest:
        """The request for everything there is."""
        self.asked = True
        return DeltaDiscoveryRequest(type_url=self.kind.url)

    @property
    def complete(self) -> bool:
        return (self.came or not self.asked) and not self.missing


class AdsState:
    """One stream's state. Every call is given what came and returns what is to be sent.

    Args:
        node: who speaks.
        keep: whether messages are kept; otherwise only their names and sizes.
    """

    def __init__(self, node: Node, *, keep: bool = True) -> None:
        self._node = node
        self._keep = keep
        self._held = {url: _Held(kind) for url, kind in KINDS.items()}
        self._routes_of: dict[str, set[str]] = {}
        self._endpoints_of: dict[str, str] = {}
        self.rejected: list[str] = []

    def start(self) -> list[DeltaDiscoveryRequest]:
        """What a sidecar says first: who it is, and that it wants all clusters."""
        request = self._held[CLUSTERS.url].all()
        request.node.CopyFrom(self._node)
        return [request]

    def receive(self, response: DeltaDiscoveryResponse) -> list[DeltaDiscoveryRequest]:
        """Take a response: the acknowledgement, and what has to be asked for then."""
        held = self._held.get(response.type_url)
        if held is None:
            return [self._refuse(response, f"nobody asked for {response.type_url}")]
        try:
            messages = {
                resource.name: _parsed(held.kind, resource.resource) for resource in response.resources
            }
        except (DecodeError, TypeError) as error:
            return [self._refuse(response, str(error))]
        held.put(response, messages, keep=self._keep)
        acknowledgement = DeltaDiscoveryRequest(type_url=response.type_url, response_nonce=response.nonce)
        return [acknowledgement, *self._next(held.kind, messages, response.removed_resources)]

    @property
    def complete(self) -> bool:
        """Whether everything that was announced has come."""
        return self._held[LISTENERS.url].came and all(held.complete for held in self._held.values())

    @property
    def missing(self) -> str:
        """What has not come yet, in a few words."""
        late = []
        for held in self._held.values():
            if held.missing:
                late.append(f"{len(held.missing)} of {held.kind.name} such as {min(held.missing)}")
            elif not held.came and (held.asked or held.kind is LISTENERS):
                late.append(held.kind.name)
        return ", ".join(late) or "nothing"

    def snapshot(self) -> Snapshot:
        """What is held now."""
        held = self._held
        return Snapshot(
            listeners=dict(held[LISTENERS.url].messages),
            clusters=dict(held[CLUSTERS.url].messages),
            routes=dict(held[ROUTES.url].messages),
            endpoints=dict(held[ENDPOINTS.url].messages),
            sizes={each.kind.name: sum(each.sizes.values()) for each in held.values()},
        )

    def _next(
        self, kind: Kind, messages: Mapping[str, Any], removed: Iterable[str]
    ) -> list[DeltaDiscoveryRequest]:
        requests = []
        if kind is CLUSTERS:
            _update(self._endpoints_of, {k: _endpoints_name(v) for k, v in messages.items()}, removed)
            names = (name for name in self._endpoints_of.values() if name)
            requests.append(self._held[ENDPOINTS.url].want(names))
        if kind is LISTENERS:
            _update(self._routes_of, {k: route_names(v) for k, v in messages.items()}, removed)
            requests.append(self._held[ROUTES.url].want(set[str]().union(*self._routes_of.values())))
        # Envoy listens to nothing before it knows where to send it.
        listeners = self._held[LISTENERS.url]
        if not listeners.asked and self._held[ENDPOINTS.url].complete:
            requests.append(listeners.all())
        return [request for request in requests if request is not None]

    def _refuse(self, response: DeltaDiscoveryResponse, why: str) -> DeltaDiscoveryRequest:
        kind = KINDS.get(response.type_url)
        self.rejected.append(f"{kind.name if kind else response.type_url}: {why}")
        request = DeltaDiscoveryRequest(type_url=response.type_url, response_nonce=response.nonce)
        request.error_detail.code, request.error_detail.message = _INVALID_ARGUMENT, why
        return request


def route_names(listener: Any) -> set[str]:
    """The route configurations that a listener takes from RDS."""
    names = set()
    for chain in (*listener.filter_chains, listener.default_filter_chain):
        for item in chain.filters:
            if item.typed_config.Is(HttpConnectionManager.DESCRIPTOR):
                manager = HttpConnectionManager()
                item.typed_config.Unpack(manager)
                names.add(manager.rds.route_config_name)
    return names - {""}


def _endpoints_name(cluster: Any) -> str:
    if cluster.type != Cluster.EDS:
        return ""
    return str(cluster.eds_cluster_config.service_name or cluster.name)


def _parsed(kind: Kind, packed: Any) -> Any:
    message = kind.message()
    if not packed.Unpack(message):
        raise TypeError(f"a {packed.type_url or 'resource without type'} came as {kind.name}")
    return message


def _update(known: dict[str, Any], new: Mapping[str, Any], removed: Iterable[str]) -> None:
    known.update(new)
    for name in removed:
        known.pop(name, None)
