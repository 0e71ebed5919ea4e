"""Real connections to an Envoy with the TLS that istiod told it, and certificates of the mesh's own CA."""

from __future__ import annotations

import copy
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from rayfort.ray.ports import NodeRole, Traffic

from sandbox.xds.state import Snapshot
from tests.mesh import caller, envoy, inbound, outbound
from tests.mesh.caller import tls
from tests.mesh.certificates import Authority
from tests.mesh.deployed import CLUSTER, L4_TEAM, TARGETS, UNDECLARED_PORT, Deployed, Target, address, spiffe
from tests.mesh.guards import Certificates, Guards, Verdict, guards

HEAD, WORKER = (Target(Traffic.L4, role) for role in NodeRole)
each_node = pytest.mark.parametrize("target", TARGETS, ids=str)
# A port that Ray declares, and one that nobody does, which a chain of its own takes.
each_port = pytest.mark.parametrize("declared", [True, False], ids=["declared", "undeclared"])
TLS_1_2 = ssl.TLSVersion.TLSv1_2


@pytest.fixture
def own(certificates: Certificates, target: Target) -> Path:
    """The certificate of the head of the same Ray cluster, whom policies let in everywhere."""
    return certificates.of(spiffe(target.namespace, f"{CLUSTER}-head"))


@pytest.fixture
def port(deployed: Deployed, target: Target, declared: bool) -> int:
    ports = deployed.spec(target.namespace).effective_ports
    return ports.node_manager if declared else UNDECLARED_PORT


@each_node
@each_port
def test_tls_1_3_with_a_certificate_of_the_mesh_passes(
    nodes: Guards, target: Target, port: int, own: Path
) -> None:
    verdict, answer = nodes.call(str(target), port, tls(own))
    assert verdict is Verdict.ALLOWED
    assert answer.tls == "TLSv1.3"


@each_node
@each_port
def test_tls_1_2_is_refused(nodes: Guards, target: Target, port: int, own: Path) -> None:
    verdict, answer = nodes.call(str(target), port, tls(own, TLS_1_2, TLS_1_2))
    assert verdict is Verdict.NO_HANDSHAKE
    assert "PROTOCOL_VERSION" in answer.error


@each_node
@each_port
def test_plaintext_is_refused(nodes: Guards, target: Target, port: int) -> None:
    assert nodes.ask(str(target), port, None) is Verdict.NO_CHAIN


@each_node
@each_port
def test_a_caller_without_a_certificate_is_refused(nodes: Guards, target: Target, port: int) -> None:
    assert nodes.ask(str(target), port, tls(None)) is Verdict.NO_CERTIFICATE


@each_node
@each_port
def test_the_certificate_of_a_foreign_ca_is_refused(
    nodes: Guards, target: Target, port: int, tmp_path: Path
) -> None:
    """It says the same name, and its CA says the same of itself."""
    foreign = Authority.foreign().issue(spiffe(target.namespace, f"{CLUSTER}-head"))
    assert nodes.ask(str(target), port, tls(foreign.write(tmp_path / "foreign.pem"))) is Verdict.NOT_TRUSTED


@contextmanager
def sending(
    directory: Path, authority: Authority, told: Snapshot, peer: tuple[str, int]
) -> Iterator[envoy.Envoy]:
    """The outbound side of a worker's sidecar, which reaches one peer alone."""
    clusters = [each for each in told.clusters.values() if outbound.mutual(each)]
    listeners, clusters = outbound.connected(told.listeners.values(), clusters, "worker", peer)
    secrets = inbound.secrets(authority, "worker", spiffe(L4_TEAM, f"{CLUSTER}-worker"))
    blackhole = inbound.black_hole()
    with envoy.running(directory, listeners, clusters=[*clusters, blackhole], secrets=secrets) as running:
        yield running


def test_a_worker_and_its_head_speak_tls_1_3(
    deployed: Deployed,
    authority: Authority,
    pods: Mapping[Target, dict[str, Any]],
    told: Mapping[Target, Snapshot],
    nodes: Guards,
    tmp_path: Path,
) -> None:
    """Both sides are as istiod tells them: from a worker's Envoy into its head's."""
    ports = deployed.spec(L4_TEAM).effective_ports
    with sending(tmp_path, authority, told[WORKER], nodes.where(str(HEAD))) as worker:
        for port in (ports.gcs, ports.node_manager, ports.max_worker):
            entrance = worker.address(outbound.VIRTUAL_OUTBOUND)
            answer = caller.call(entrance, address(pods[HEAD]), port, None)
            assert answer.served, (port, answer)
        versions = worker.counters(r"ssl\.versions")
        assert {name.rpartition(".versions.")[2] for name, count in versions.items() if count} == {"TLSv1.3"}


def test_a_worker_sends_nothing_to_another_identity(
    deployed: Deployed,
    authority: Authority,
    pods: Mapping[Target, dict[str, Any]],
    told: Mapping[Target, Snapshot],
    tmp_path: Path,
) -> None:
    """Another Pod of the mesh in the head's place is not taken for the head."""
    impostor = copy.deepcopy(pods[HEAD])
    impostor["spec"]["serviceAccountName"] = "default"
    sides = {"impostor": (impostor, told[HEAD])}
    port = deployed.spec(L4_TEAM).effective_ports.gcs
    with (
        guards(tmp_path / "head", authority, sides) as head,
        sending(tmp_path / "worker", authority, told[WORKER], head.where("impostor")) as worker,
    ):
        entrance = worker.address(outbound.VIRTUAL_OUTBOUND)
        assert not caller.call(entrance, address(impostor), port, None).served
        assert sum(worker.counters(r"ssl\.fail_verify_san$").values()) == 1
