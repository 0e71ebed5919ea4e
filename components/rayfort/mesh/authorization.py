"""Who may talk to whom inside the mesh: AuthorizationPolicies of one workspace.

Nothing is allowed but what is listed, by the identity of the caller's service account. Only ports and
principals are used: on TCP ports a rule with HTTP fields never allows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rayfort import labels
from rayfort.model import JsonObject
from rayfort.ray.ports import NodeRole, Peer, RayPorts, ports_for

ALLOW_NOTHING: Final = "allow-nothing"
# Istio's default, whatever the cluster's DNS zone is.
TRUST_DOMAIN: Final = "cluster.local"


@dataclass(frozen=True)
class Identity:
    """A service account, as Istio knows it."""

    namespace: str
    service_account: str

    def principal(self, trust_domain: str) -> str:
        """The identity in its certificate, without the ``spiffe://``."""
        return f"{trust_domain}/ns/{self.namespace}/sa/{self.service_account}"


def allow_nothing_spec() -> JsonObject:
    """``spec`` of the policy that refuses everything in its namespace."""
    return {}


def intra_cluster_spec(cluster: str, members: Sequence[Identity], trust_domain: str) -> JsonObject:
    """``spec`` that lets the nodes of one Ray cluster reach each other on every port."""
    return {
        "selector": {"matchLabels": {labels.RAY_CLUSTER: cluster}},
        "action": "ALLOW",
        "rules": [_rule(_principals(members, trust_domain))],
    }


def head_spec(
    cluster: str,
    ports: RayPorts,
    callers: Sequence[tuple[Peer, Sequence[Identity]]],
    trust_domain: str,
) -> JsonObject:
    """``spec`` that lets callers reach the head on the ports that are for them."""
    return {
        "selector": {"matchLabels": {labels.RAY_CLUSTER: cluster, labels.RAY_NODE_TYPE: NodeRole.HEAD.value}},
        "action": "ALLOW",
        "rules": [
            _rule(_principals(identities, trust_domain), _numbers(ports, peer))
            for peer, identities in callers
            if identities
        ],
    }


def metrics_spec(cluster: str, ports: RayPorts, namespaces: Sequence[str]) -> JsonObject:
    """``spec`` that lets scrapers of these namespaces, which are in the mesh, read metrics."""
    return {
        "selector": {"matchLabels": {labels.RAY_CLUSTER: cluster}},
        "action": "ALLOW",
        "rules": [_rule({"namespaces": list(namespaces)}, _numbers(ports, Peer.METRICS))],
    }


def access_spec(pod: Mapping[str, str], namespaces: Sequence[str], ports: Sequence[int]) -> JsonObject:
    """``spec`` that lets the mesh's Pods of these namespaces reach some Pods on these ports, and nobody else.

    Without namespaces nobody reaches them at all: a policy that allows, with no rule that does.

    Args:
        pod: the labels of the Pods that are reached.
        namespaces: where the callers run.
        ports: the Pods' ports.
    """
    rules = {"rules": [_rule({"namespaces": list(namespaces)}, ports)]} if namespaces else {}
    return {"selector": {"matchLabels": dict(pod)}, "action": "ALLOW", **rules}


def callers_spec(
    pod: Mapping[str, str], callers: Sequence[Identity], ports: Sequence[int], trust_domain: str
) -> JsonObject:
    """``spec`` that lets callers reach some Pods on these ports, and nobody else.

    Args:
        pod: the labels of the Pods that are reached.
        callers: who they are.
        ports: the Pods' ports.
        trust_domain: the mesh's trust domain.
    """
    rules = [_rule(_principals(callers, trust_domain), ports)]
    return {"selector": {"matchLabels": dict(pod)}, "action": "ALLOW", "rules": rules}


def _numbers(ports: RayPorts, peer: Peer) -> list[int]:
    return [number for port in ports_for(ports, NodeRole.HEAD, peer) for number in port.numbers]


def _principals(identities: Sequence[Identity], trust_domain: str) -> JsonObject:
    return {"principals": [identity.principal(trust_domain) for identity in identities]}


def _rule(source: JsonObject, ports: Sequence[int] | None = None) -> JsonObject:
    to = {} if ports is None else {"to": [{"operation": {"ports": [str(port) for port in ports]}}]}
    return {"from": [{"source": source}], **to}
