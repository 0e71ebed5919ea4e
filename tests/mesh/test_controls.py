"""Each proof of the mesh against a mesh without the thing that is proven: there it must fail.

Settings are taken away on the live istiod and put back.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from envoy.extensions.transport_sockets.tls.v3.common_pb2 import TlsParameters
from rayfort import labels
from rayfort.mesh.authorization import ALLOW_NOTHING
from rayfort.mesh.mtls import DEFAULT_NAME
from rayfort.ray.headless_service import service_host
from rayfort.ray.ports import NodeRole, Traffic
from rayfort.workspace import WORKSPACE_POLICY

from sandbox.xds.client import Sidecar
from sandbox.xds.show import as_dict
from sandbox.xds.state import Snapshot
from tests.mesh import outbound
from tests.mesh.caller import tls
from tests.mesh.certificates import Authority
from tests.mesh.deployed import (
    CLUSTER,
    L4_TEAM,
    MESH_NAMESPACE,
    UNDECLARED_PORT,
    Deployed,
    Target,
    address,
    simple_pod,
    spiffe,
    until,
)
from tests.mesh.filters import chains
from tests.mesh.guards import Certificates, Guards, Verdict, guards
from tests.mesh.inbound import VIRTUAL_INBOUND, all_rules, downstream_tls

WORKER = Target(Traffic.L4, NodeRole.WORKER)
TLS_1_2 = ssl.TLSVersion.TLSv1_2
OWN, STRANGER = spiffe(L4_TEAM, f"{CLUSTER}-head"), spiffe("nowhere", "nobody")
AUTHORIZATION, AUTHENTICATION = (
    "authorizationpolicies.security.istio.io",
    "peerauthentications.security.istio.io",
)

Guarded = Callable[[Mapping[str, Any], Snapshot], Any]


@pytest.fixture
def guarded(authority: Authority, tmp_path: Path) -> Guarded:
    """Makes an Envoy for one Pod with what istiod tells its sidecar now."""

    @contextmanager
    def made(pod: Mapping[str, Any], told: Snapshot) -> Iterator[Guards]:
        with guards(tmp_path, authority, {"pod": (pod, told)}) as running:
            yield running

    return made


@pytest.fixture
def worker(pods: Mapping[Target, dict[str, Any]]) -> dict[str, Any]:
    return pods[WORKER]


@pytest.fixture
def live(deployed: Deployed, worker: dict[str, Any]) -> Iterator[Sidecar]:
    """A worker's sidecar that hears of every change, to the end that all is as it was."""
    with deployed.sidecar(worker) as sidecar:
        before = plain(sidecar.snapshot())
        yield sidecar
        until(sidecar, lambda told: plain(told) == before, "what it was told before the test")


def plain(told: Snapshot) -> dict[str, Any]:
    """What a sidecar was told, to compare; istiod's own bytes hold maps in any order."""
    return {
        f"{kind} {name}": as_dict(message)
        for kind in ("listeners", "clusters", "routes")
        for name, message in getattr(told, kind).items()
    }


def inward(told: Snapshot) -> list[Any]:
    """The TLS of every inbound chain."""
    return [downstream_tls(chain) for chain in chains(told.listeners[VIRTUAL_INBOUND])]


def test_tls_1_2_passes_where_the_minimum_is_taken_away(
    deployed: Deployed, worker: dict[str, Any], live: Sidecar, guarded: Guarded, certificates: Certificates
) -> None:
    def loosen(config: dict[str, Any]) -> None:
        config["data"]["mesh"] = config["data"]["mesh"].replace("TLSV1_3", "TLSV1_2")

    def loosened(told: Snapshot) -> bool:
        minima = {
            each.common_tls_context.tls_params.tls_minimum_protocol_version for each in inward(told) if each
        }
        return minima == {TlsParameters.TLSv1_2}

    port = deployed.spec(L4_TEAM).effective_ports.node_manager
    with deployed.changed("configmap", "istio", MESH_NAMESPACE, loosen):
        told = until(live, loosened, "TLS 1.2")
        with guarded(worker, told) as guards:
            for number in (port, UNDECLARED_PORT):
                verdict, answer = guards.call("pod", number, tls(certificates.of(OWN), TLS_1_2, TLS_1_2))
                assert (verdict, answer.tls) == (Verdict.ALLOWED, "TLSv1.2")
                assert guards.ask("pod", number, None) is Verdict.NO_CHAIN  # the rest holds


def test_plaintext_passes_where_mtls_is_permissive(
    deployed: Deployed, worker: dict[str, Any], live: Sidecar, guarded: Guarded
) -> None:
    """Policies refuse it then, as it has no identity; without those it gets through."""

    def loosen(policy: dict[str, Any]) -> None:
        policy["spec"]["mtls"]["mode"] = "PERMISSIVE"

    port = deployed.spec(L4_TEAM).effective_ports.node_manager
    with deployed.changed(AUTHENTICATION, DEFAULT_NAME, L4_TEAM, loosen):
        told = until(live, lambda told: inward(told).count(None) > 1, "chains for plaintext")
        with guarded(worker, told) as guards:
            assert guards.ask("pod", port, None) is Verdict.DENIED
        with deployed.without_all(AUTHORIZATION, L4_TEAM):
            told = until(live, lambda told: not any(all_rules_of(told)), "no policies")
            with guarded(worker, told) as guards:
                assert guards.ask("pod", port, None) is Verdict.UNGUARDED


def all_rules_of(told: Snapshot) -> list[list[Any]]:
    return all_rules(told.listeners[VIRTUAL_INBOUND])


def test_anybody_of_the_mesh_gets_in_without_policies(
    deployed: Deployed, worker: dict[str, Any], live: Sidecar, guarded: Guarded, certificates: Certificates
) -> None:
    port = deployed.spec(L4_TEAM).effective_ports.node_manager
    with deployed.without_all(AUTHORIZATION, L4_TEAM):
        told = until(live, lambda told: not any(all_rules_of(told)), "no policies")
        with guarded(worker, told) as guards:
            assert guards.ask("pod", port, tls(certificates.of(STRANGER))) is Verdict.UNGUARDED


def test_not_even_its_own_head_gets_in_without_the_rule_for_it(
    deployed: Deployed, worker: dict[str, Any], live: Sidecar, guarded: Guarded, certificates: Certificates
) -> None:
    port = deployed.spec(L4_TEAM).effective_ports.node_manager
    before = all_rules_of(live.snapshot())
    with deployed.without(AUTHORIZATION, f"{CLUSTER}-nodes", L4_TEAM):
        told = until(live, lambda told: all_rules_of(told) != before, "one policy less")
        with guarded(worker, told) as guards:
            assert guards.ask("pod", port, tls(certificates.of(OWN))) is Verdict.DENIED


def test_a_pod_that_is_no_ray_node_is_closed_by_the_default_alone(
    deployed: Deployed, guarded: Guarded, certificates: Certificates
) -> None:
    """No rule allows anything to it; without the default deny everybody could call it."""
    pod = deployed.pod(L4_TEAM, "app=bystander")
    with deployed.sidecar(pod) as sidecar:
        with guarded(pod, sidecar.snapshot()) as guards:
            assert guards.ask("pod", 8080, tls(certificates.of(OWN))) is Verdict.DENIED
            assert guards.ask("pod", 8080, tls(certificates.of(STRANGER))) is Verdict.DENIED
        with deployed.without(AUTHORIZATION, ALLOW_NOTHING, L4_TEAM):
            told = until(sidecar, lambda told: not any(all_rules_of(told)), "no policies")
            with guarded(pod, told) as guards:
                assert guards.ask("pod", 8080, tls(certificates.of(STRANGER))) is Verdict.UNGUARDED
        until(sidecar, lambda told: any(all_rules_of(told)), "the policy again")


def test_a_pod_without_a_sidecar_switches_nothing_off(
    deployed: Deployed, live: Sidecar, worker: dict[str, Any]
) -> None:
    """Istio would send plaintext to all Pods of a headless Service, but for the DestinationRule."""
    ports = deployed.spec(L4_TEAM).effective_ports
    host = service_host(CLUSTER, L4_TEAM, deployed.settings.cluster.facts.cluster_domain)
    headless = f"outbound|{ports.node_manager}||{host}"
    odd = simple_pod("odd", L4_TEAM, **{labels.RAY_CLUSTER: CLUSTER, labels.SIDECAR_INJECT: "false"})
    # Under another account than a worker's, istiod would go on expecting that account as well.
    odd["spec"]["serviceAccountName"] = f"{CLUSTER}-worker"
    with deployed.sandbox.running(odd):
        pod = deployed.pod(L4_TEAM, "app=odd")
        known = f"{address(pod)}_{ports.node_manager}"
        told = until(live, lambda told: known in told.listeners, "the Pod without a sidecar")
        own = [cluster for name, cluster in told.clusters.items() if f".{L4_TEAM}.svc." in name]
        assert len(own) > 20
        assert all(outbound.mutual(cluster) for cluster in own)
        with deployed.without("destinationrules.networking.istio.io", WORKSPACE_POLICY, L4_TEAM):
            until(live, lambda told: not told.clusters[headless].HasField("transport_socket"), "plaintext")
