"""Who may call the platform's own Pods: the operator and kbatch-proxy, by istiod's RBAC in a real Envoy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from rayfort.proxy.jupyterhub_values import HUB_ACCOUNT, NOTEBOOK_ACCOUNT, PROXY_ACCOUNT
from rayfort.proxy.kbatch_config import PORT as PROXY_PORT
from rayfort.ray.operator import METRICS_PORT

from tests.mesh.caller import tls
from tests.mesh.certificates import Authority
from tests.mesh.deployed import CLUSTER, L4_TEAM, MONITORING, UNDECLARED_PORT, Deployed, spiffe
from tests.mesh.guards import Certificates, Guards, Verdict, guards

OPERATOR, PROXY = "operator", "proxy"
HUB = "jupyterhub"

# The Pod that is called, its port, the caller, and what becomes of it.
ROWS = [
    (OPERATOR, METRICS_PORT, spiffe(MONITORING, "default"), Verdict.ALLOWED),
    (OPERATOR, UNDECLARED_PORT, spiffe(MONITORING, "default"), Verdict.DENIED),
    (OPERATOR, METRICS_PORT, spiffe(f"{MONITORING}-too", "default"), Verdict.DENIED),
    (OPERATOR, METRICS_PORT, spiffe(L4_TEAM, f"{CLUSTER}-head"), Verdict.DENIED),
    (OPERATOR, METRICS_PORT, spiffe("kuberay-system", "default"), Verdict.DENIED),
    (OPERATOR, METRICS_PORT, None, Verdict.NO_CHAIN),
    (PROXY, PROXY_PORT, spiffe(HUB, HUB_ACCOUNT), Verdict.ALLOWED),
    (PROXY, PROXY_PORT, spiffe(HUB, PROXY_ACCOUNT), Verdict.ALLOWED),
    (PROXY, PROXY_PORT, spiffe(HUB, "default"), Verdict.DENIED),
    (PROXY, UNDECLARED_PORT, spiffe(HUB, HUB_ACCOUNT), Verdict.DENIED),
    (PROXY, PROXY_PORT, spiffe(f"{HUB}2", HUB_ACCOUNT), Verdict.DENIED),
    (PROXY, PROXY_PORT, spiffe(L4_TEAM, f"{CLUSTER}-head"), Verdict.DENIED),
    (PROXY, PROXY_PORT, spiffe(HUB, NOTEBOOK_ACCOUNT), Verdict.DENIED),
    (PROXY, PROXY_PORT, spiffe("kbatch-alice", "default"), Verdict.DENIED),
    (PROXY, PROXY_PORT, spiffe("kbatch-alice", "kbatch-job"), Verdict.DENIED),
    (PROXY, PROXY_PORT, spiffe(MONITORING, "default"), Verdict.DENIED),
    (PROXY, PROXY_PORT, None, Verdict.NO_CHAIN),
]


@pytest.fixture(scope="module")
def platform(
    deployed: Deployed, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Guards]:
    """The inbound sides of both, run by an Envoy."""
    assert deployed.settings.kbatch
    pods = {
        OPERATOR: deployed.pod(
            deployed.settings.operator.namespace, "app.kubernetes.io/name=kuberay-operator"
        ),
        PROXY: deployed.pod(deployed.settings.kbatch.namespace, "app.kubernetes.io/name=kbatch-proxy"),
    }
    told = deployed.snapshots(list(pods.values()))
    sides = {name: (pod, one) for (name, pod), one in zip(pods.items(), told, strict=True)}
    with guards(tmp_path_factory.mktemp("platform"), authority, sides) as made:
        yield made


@pytest.mark.parametrize(
    ("pod", "port", "who", "verdict"), ROWS, ids=[f"{row[0]}-{row[1]}-{row[2] or 'nobody'}" for row in ROWS]
)
def test_the_platforms_pods_answer_whom_they_are_for(
    platform: Guards, certificates: Certificates, pod: str, port: int, who: str | None, verdict: Verdict
) -> None:
    """As a table of callers."""
    context = tls(certificates.of(who)) if who else None
    assert platform.ask(pod, port, context) is verdict
