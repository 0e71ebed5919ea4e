"""The inbound side of a Pod's sidecar, for a plain Envoy: who gets in, and with which TLS.

istiod's filter chains decide, as they are: what they match, their transport sockets and their RBAC. Only
where they would hand the traffic to Ray is an echo instead, and certificates come from this machine.
"""

from __future__ import annotations

from dataclasses import dataclass

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.listener.v3.listener_components_pb2 import Filter, FilterChain
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.rbac.v3.rbac_pb2 import RBAC as Rules
from envoy.config.route.v3.route_components_pb2 import Route
from envoy.extensions.filters.http.rbac.v3.rbac_pb2 import RBAC as HttpRbac
from envoy.extensions.filters.network.echo.v3.echo_pb2 import Echo
from envoy.extensions.filters.network.rbac.v3.rbac_pb2 import RBAC as NetworkRbac
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import Secret
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import CommonTlsContext, DownstreamTlsContext

from tests.mesh.certificates import Authority
from tests.mesh.filters import Standalone, chains, managers, unpack

VIRTUAL_INBOUND = "virtualInbound"
BLACK_HOLE = "BlackHoleCluster"
CERTIFICATE, ROOT = "default", "ROOTCA"  # as sidecars ask for them


@dataclass(frozen=True)
class Inbound:
    """A listener to run, and which of istiod's filters it lacks."""

    listener: Listener
    removed: frozenset[str]


def standalone(listener: Listener, name: str) -> Inbound:
    """``virtualInbound`` of a sidecar as a listener on loopback, under another name."""
    rewriting = Standalone(_echo, _answer)
    made = rewriting.listener(listener, bound=True)
    made.name = made.stat_prefix = name
    for chain in chains(made):
        context = downstream_tls(chain)
        if context:
            local_secrets(context.common_tls_context, name)
            chain.transport_socket.typed_config.Pack(context)
    return Inbound(made, frozenset(rewriting.removed))


def downstream_tls(chain: FilterChain) -> DownstreamTlsContext | None:
    """The chain's TLS; None where it takes plaintext."""
    if not chain.HasField("transport_socket"):
        return None
    return unpack(chain.transport_socket.typed_config, DownstreamTlsContext)


def rules(chain: FilterChain) -> list[Rules]:
    """The rules of every RBAC filter of a chain."""
    found = [
        unpack(each.typed_config, NetworkRbac).rules
        for each in chain.filters
        if each.typed_config.Is(NetworkRbac.DESCRIPTOR)
    ]
    for manager in managers(chain):
        found += [
            unpack(each.typed_config, HttpRbac).rules
            for each in manager.http_filters
            if each.typed_config.Is(HttpRbac.DESCRIPTOR)
        ]
    return found


def all_rules(listener: Listener) -> list[list[Rules]]:
    """The rules of every chain, in order."""
    return [rules(chain) for chain in chains(listener)]


def black_hole() -> Cluster:
    """The cluster that leads nowhere."""
    made = Cluster(name=BLACK_HOLE, type=Cluster.STATIC)
    made.connect_timeout.FromSeconds(1)
    return made


def secrets(authority: Authority, owner: str, identity: str) -> list[Secret]:
    """What the agent of one sidecar, the owner, would give it: its certificate, and whom it trusts."""
    issued = authority.issue(identity)
    own, root = Secret(name=f"{CERTIFICATE} of {owner}"), Secret(name=f"{ROOT} of {owner}")
    own.tls_certificate.certificate_chain.inline_string = issued.certificate
    own.tls_certificate.private_key.inline_string = issued.key
    root.validation_context.trusted_ca.inline_string = authority.root
    return [own, root]


def local_secrets(context: CommonTlsContext, owner: str) -> None:
    """Take secrets from Envoy's own configuration, not from an agent."""
    validation = context.combined_validation_context.validation_context_sds_secret_config
    assert validation.name == ROOT
    for each in (*context.tls_certificate_sds_secret_configs, validation):
        each.ClearField("sds_config")
        each.name += f" of {owner}"


def _echo(cluster: str) -> Filter | None:
    """An echo in the place of Ray. It waits for data, as RBAC does, so that RBAC comes first."""
    if cluster == BLACK_HOLE:
        return None
    made = Filter(name="envoy.filters.network.echo")
    made.typed_config.Pack(Echo())
    return made


def _answer(route: Route, cluster: str) -> None:
    route.direct_response.status = 200
    route.direct_response.body.inline_string = cluster
