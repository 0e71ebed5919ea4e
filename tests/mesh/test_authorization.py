"""Who may call what in a workspace: a table, and a real Envoy with istiod's own RBAC that answers it.

The callers are the rows, the ports of Ray's table the columns. Ports that are not in the table stand for all
others, such as those that torch opens. A cell says:

- ``yes``: what is behind the sidecar gets the request;
- ``l7``: it does in the workspace with that mode, whose cluster the gateway exposes;
- ``.``: the caller's certificate is good, and the policies refuse it;
- ``tls``: it does not get as far as the policies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from rayfort.mesh import gateway
from rayfort.ray.ports import NodeRole, RayPorts, Traffic

from tests.mesh.caller import ALPN, HTTP_ALPN, OPAQUE_ALPN, tls
from tests.mesh.deployed import (
    CLIENT,
    CLIENTS,
    CLUSTER,
    L4_TEAM,
    L7_TEAM,
    MONITORING,
    SECOND,
    TARGETS,
    UNDECLARED_PORT,
    Deployed,
    Target,
    account,
    spiffe,
)
from tests.mesh.guards import Certificates, Guards, Verdict

UNDECLARED = "undeclared"
NO_SIDECAR = "no sidecar"

HEAD = """
                             gcs-server dashboard client serve node-manager-port object-manager-port runtime-env-agent-port dashboard-agent-grpc-port dashboard-agent-listen-port metrics-export-port worker undeclared
its own head                    yes        yes      yes   yes        yes                yes                   yes                      yes                        yes                       yes           yes       yes
its own worker                  yes        yes      yes   yes        yes                yes                   yes                      yes                        yes                       yes           yes       yes
head of a neighbour cluster      .          .        .     .          .                  .                     .                        .                          .                         .             .         .
worker of a neighbour cluster    .          .        .     .          .                  .                     .                        .                          .                         .             .         .
another Pod of the team          .          .        .     .          .                  .                     .                        .                          .                         .             .         .
head of another team             .          .        .     .          .                  .                     .                        .                          .                         .             .         .
worker of another team           .          .        .     .          .                  .                     .                        .                          .                         .             .         .
KubeRay operator                 .         yes       .    yes         .                  .                     .                        .                          .                         .             .         .
another Pod beside the operator  .          .        .     .          .                  .                     .                        .                          .                         .             .         .
named client                     .         yes      yes   yes         .                  .                     .                        .                          .                         .             .         .
another Pod beside the client    .          .        .     .          .                  .                     .                        .                          .                         .             .         .
the client's name elsewhere      .          .        .     .          .                  .                     .                        .                          .                         .             .         .
scraper                          .          .        .     .          .                  .                     .                        .                          .                        yes            .         .
scraper of a like namespace      .          .        .     .          .                  .                     .                        .                          .                         .             .         .
kbatch-proxy                     .          .        .     .          .                  .                     .                        .                          .                         .             .         .
istiod                           .          .        .     .          .                  .                     .                        .                          .                         .             .         .
gateway                          .         l7        .     .          .                  .                     .                        .                          .                         .             .         .
a like account of the team       .          .        .     .          .                  .                     .                        .                          .                         .             .         .
head of a like namespace         .          .        .     .          .                  .                     .                        .                          .                         .             .         .
nobody known                     .          .        .     .          .                  .                     .                        .                          .                         .             .         .
its own head, of another mesh   tls        tls      tls   tls        tls                tls                   tls                      tls                        tls                       tls           tls       tls
no sidecar                      tls        tls      tls   tls        tls                tls                   tls                      tls                        tls                       tls           tls       tls
"""  # noqa: E501

WORKER = """
                             node-manager-port object-manager-port runtime-env-agent-port dashboard-agent-grpc-port dashboard-agent-listen-port metrics-export-port worker undeclared
its own head                       yes                yes                   yes                      yes                        yes                       yes           yes       yes
its own worker                     yes                yes                   yes                      yes                        yes                       yes           yes       yes
head of a neighbour cluster         .                  .                     .                        .                          .                         .             .         .
worker of a neighbour cluster       .                  .                     .                        .                          .                         .             .         .
another Pod of the team             .                  .                     .                        .                          .                         .             .         .
head of another team                .                  .                     .                        .                          .                         .             .         .
worker of another team              .                  .                     .                        .                          .                         .             .         .
KubeRay operator                    .                  .                     .                        .                          .                         .             .         .
another Pod beside the operator     .                  .                     .                        .                          .                         .             .         .
named client                        .                  .                     .                        .                          .                         .             .         .
another Pod beside the client       .                  .                     .                        .                          .                         .             .         .
the client's name elsewhere         .                  .                     .                        .                          .                         .             .         .
scraper                             .                  .                     .                        .                          .                        yes            .         .
scraper of a like namespace         .                  .                     .                        .                          .                         .             .         .
kbatch-proxy                        .                  .                     .                        .                          .                         .             .         .
istiod                              .                  .                     .                        .                          .                         .             .         .
gateway                             .                  .                     .                        .                          .                         .             .         .
a like account of the team          .                  .                     .                        .                          .                         .             .         .
head of a like namespace            .                  .                     .                        .                          .                         .             .         .
nobody known                        .                  .                     .                        .                          .                         .             .         .
its own head, of another mesh      tls                tls                   tls                      tls                        tls                       tls           tls       tls
no sidecar                         tls                tls                   tls                      tls                        tls                       tls           tls       tls
"""  # noqa: E501

EXPECTED = {
    "yes": {Verdict.ALLOWED},
    ".": {Verdict.DENIED},
    "tls": {Verdict.NO_CHAIN, Verdict.NOT_TRUSTED},
}


def identity(caller: str, namespace: str, deployed: Deployed) -> str | None:
    """Who a caller of the table is, towards the workspace in this namespace; None for nobody."""
    other = ({L4_TEAM, L7_TEAM} - {namespace}).pop()
    operator = deployed.settings.operator.namespace
    kbatch = deployed.settings.kbatch
    assert kbatch
    known = {
        "its own head": spiffe(namespace, f"{CLUSTER}-head"),
        "its own worker": spiffe(namespace, f"{CLUSTER}-worker"),
        "head of a neighbour cluster": spiffe(namespace, f"{SECOND}-head"),
        "worker of a neighbour cluster": spiffe(namespace, f"{SECOND}-worker"),
        "another Pod of the team": spiffe(namespace, "default"),
        "head of another team": spiffe(other, f"{CLUSTER}-head"),
        "worker of another team": spiffe(other, f"{CLUSTER}-worker"),
        "KubeRay operator": spiffe(operator, "kuberay-operator"),
        "another Pod beside the operator": spiffe(operator, "default"),
        "named client": spiffe(CLIENTS, CLIENT),
        "another Pod beside the client": spiffe(CLIENTS, "default"),
        "the client's name elsewhere": spiffe("elsewhere", CLIENT),
        "scraper": spiffe(MONITORING, "default"),
        "scraper of a like namespace": spiffe(f"{MONITORING}-too", "default"),
        "kbatch-proxy": spiffe(kbatch.namespace, "kbatch-proxy"),
        "istiod": spiffe("istio-system", "istiod"),
        "gateway": spiffe(gateway.NAMESPACE, gateway.GATEWAY),
        "a like account of the team": spiffe(namespace, f"{CLUSTER}-head2"),
        "head of a like namespace": spiffe(f"{namespace}2", f"{CLUSTER}-head"),
        "nobody known": spiffe("nowhere", "nobody"),
        "its own head, of another mesh": spiffe(namespace, f"{CLUSTER}-head", "elsewhere.example"),
        NO_SIDECAR: None,
    }
    return known[caller]


@dataclass(frozen=True)
class Row:
    """A caller, and what it may do to one kind of node, by the name of the port."""

    target: Target
    caller: str
    cells: Mapping[str, str]

    def __str__(self) -> str:
        return f"{self.target}-{self.caller}"


def table(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows of one of the tables above."""
    header, *lines = text.strip().splitlines()
    columns = header.split()
    for line in lines:
        words = line.split()
        cells = words[-len(columns) :]
        yield " ".join(words[: -len(columns)]), dict(zip(columns, cells, strict=True))


ROWS = [
    Row(target, caller, cells)
    for target in TARGETS
    for caller, cells in table(HEAD if target.role is NodeRole.HEAD else WORKER)
]


def expected(cell: str, target: Target) -> set[Verdict]:
    """What a cell says of one kind of node."""
    return EXPECTED[{"l7": "yes" if target.traffic is Traffic.L7 else "."}.get(cell, cell)]


def calls(ports: RayPorts, name: str) -> list[tuple[int, Sequence[str]]]:
    """The ports that a column means, of a range both ends, and what the caller offers to speak.

    On ports that Istio does not know the caller chooses the chain by it.
    """
    if name == UNDECLARED:
        return [(UNDECLARED_PORT, OPAQUE_ALPN), (UNDECLARED_PORT, HTTP_ALPN)]
    port = next(each for each in ports.table if each.name == name)
    return [(number, ALPN) for number in sorted({port.first, port.last})]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_caller_reaches_what_the_table_says(
    row: Row, deployed: Deployed, nodes: Guards, certificates: Certificates
) -> None:
    who = identity(row.caller, row.target.namespace, deployed)
    ports = deployed.spec(row.target.namespace).effective_ports
    wrong = {}
    for name, cell in row.cells.items():
        for number, alpn in calls(ports, name):
            context = tls(certificates.of(who), alpn=alpn) if who else None
            verdict = nodes.ask(str(row.target), number, context)
            if verdict not in expected(cell, row.target):
                wrong[f"{name} ({number})"] = verdict
    assert not wrong


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_the_table_has_every_port(deployed: Deployed, target: Target) -> None:
    """A port that Ray gets in future has to be thought about here."""
    ports = deployed.spec(target.namespace).effective_ports
    there = [port.name for port in ports.table if target.role in port.roles]
    for row in ROWS:
        if row.target == target:
            assert list(row.cells) == [*there, UNDECLARED]


def test_the_callers_are_who_the_cluster_says(
    deployed: Deployed, pods: Mapping[Target, dict[str, Any]]
) -> None:
    """The names in the table are those of the Pods' own service accounts."""
    for target, pod in pods.items():
        assert account(pod) == identity(f"its own {target.role.value}", target.namespace, deployed)
    operator = deployed.pod(deployed.settings.operator.namespace, "app.kubernetes.io/name=kuberay-operator")
    assert account(operator) == identity("KubeRay operator", L4_TEAM, deployed)
    neighbours = {account(pod) for pod in deployed.nodes(L4_TEAM, SECOND)}
    assert neighbours == {identity(f"{role} of a neighbour cluster", L4_TEAM, deployed) for role in NodeRole}
    proxy = deployed.pod("batch-system", "app.kubernetes.io/name=kbatch-proxy")
    assert account(proxy) == identity("kbatch-proxy", L4_TEAM, deployed)
    door = deployed.pod(gateway.NAMESPACE, f"app={gateway.GATEWAY}")
    assert account(door) == identity("gateway", L4_TEAM, deployed)
