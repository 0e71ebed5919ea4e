"""The mesh's own doors: which of istiod's ports answer, and how metrics leave a STRICT mesh."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e import visitors
from tests.e2e.sandbox import Done, Sandbox

pytestmark = pytest.mark.real

GUEST = "test-knocks-at-istiod"
XDS, WEBHOOK = 15012, 15017
PLAINTEXT = [15010, 8080, 15014]


@pytest.fixture(scope="module", autouse=True)
def _guest(sandbox: Sandbox) -> Iterator[None]:
    """A Pod without a sidecar whose packets may go anywhere: what then refuses is at istiod."""
    guest = sandbox.client(GUEST, meshed=False, labels=visitors.GUEST)
    with sandbox.running(visitors.open_network(), guest):
        yield


@pytest.fixture(scope="module")
def istiod(sandbox: Sandbox) -> str:
    (pod,) = sandbox.get("pods", "-l", "app=istiod", namespace="istio-system")["items"]
    return str(pod["status"]["podIP"])


def _handshake(sandbox: Sandbox, istiod: str, port: int, version: str) -> Done:
    script = 'exec timeout 20 openssl s_client -connect "$0" "$1" </dev/null 2>&1'
    return sandbox.execute(GUEST, "sh", "-c", script, f"{istiod}:{port}", version)


def test_plaintext_ports_are_closed(sandbox: Sandbox, istiod: str) -> None:
    """Istio cannot close them; a NetworkPolicy does. The others show that the way is open."""
    answers = visitors.ask(sandbox, GUEST, istiod, [*PLAINTEXT, XDS], token="")
    assert {port: answers[port] for port in PLAINTEXT} == dict.fromkeys(PLAINTEXT, "silent")
    assert answers[XDS] == "closed", answers


@pytest.mark.parametrize("port", [XDS, WEBHOOK])
def test_istiod_itself_takes_tls_1_3_only(sandbox: Sandbox, istiod: str, port: int) -> None:
    old, new = (_handshake(sandbox, istiod, port, version).output for version in ("-tls1_2", "-tls1_3"))
    assert "SSL alert number 70" in old, old  # protocol version
    assert "TLSv1.3, Cipher is TLS_" in new, new


@pytest.mark.parametrize("role", ["head", "worker"])
def test_ray_s_metrics_come_out_with_the_sidecar_s(sandbox: Sandbox, role: str) -> None:
    """A scraper then needs no sidecar, and no port is PERMISSIVE."""
    (pod,) = sandbox.ray_pods(role)
    ask = ("curl", "--silent", "--show-error", "--fail", "http://127.0.0.1:15020/stats/prometheus")
    done = sandbox.execute(pod["metadata"]["name"], *ask, container=f"ray-{role}")
    assert done.ok, done.output
    metrics = {line.partition("{")[0] for line in done.output.splitlines() if not line.startswith("#")}
    assert any(name.startswith("ray_") for name in metrics), sorted(metrics)[:20]
    assert any(name.startswith("envoy_") for name in metrics), sorted(metrics)[:20]
