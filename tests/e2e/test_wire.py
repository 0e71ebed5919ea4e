"""What can be read on the wire between Ray's nodes, and which TLS they take."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e import jobs, visitors
from tests.e2e.sandbox import Done, Sandbox
from tests.e2e.wiretap import assert_only_tls, wiretap

pytestmark = pytest.mark.real

PLAIN, PARTNER = "test-plain", "test-partner"
MARKER = b"rayfort-marker-that-nobody-else-says"
PLAIN_PORT = 8088
PORTS = [8265, 6379]


@pytest.fixture(scope="module", autouse=True)
def guests(sandbox: Sandbox) -> Iterator[None]:
    """Two Pods beside the Ray cluster, without sidecars."""
    with sandbox.running(
        visitors.open_network(),
        sandbox.client(PLAIN, meshed=False, labels=visitors.GUEST),
        sandbox.client(PARTNER, meshed=False, labels=visitors.GUEST),
    ):
        yield


def _handshake(sandbox: Sandbox, port: int, version: str) -> Done:
    """What openssl says of a handshake, and of the certificate that it was shown."""
    script = (
        'openssl s_client -connect "$0" "$1" </dev/null >/tmp/said 2>&1; cat /tmp/said; '
        "openssl x509 -noout -issuer -ext subjectAltName </tmp/said 2>&1"
    )
    return sandbox.execute(PLAIN, "sh", "-c", script, f"{sandbox.address('head')}:{port}", version)


@pytest.mark.parametrize("port", PORTS)
def test_tls_1_2_is_refused(sandbox: Sandbox, port: int) -> None:
    said = _handshake(sandbox, port, "-tls1_2").output
    assert "SSL alert number 70" in said, said  # protocol version
    assert "BEGIN CERTIFICATE" not in said


@pytest.mark.parametrize("port", PORTS)
def test_tls_1_3_shows_who_it_is_and_asks_who_comes(sandbox: Sandbox, port: int) -> None:
    said = _handshake(sandbox, port, "-tls1_3").output
    assert "TLSv1.3, Cipher is TLS_" in said, said
    assert "issuer=O = cluster.local" in said, said
    assert "URI:spiffe://cluster.local/ns/team-a/sa/ray-head" in said, said
    assert "Acceptable client certificate CA names" in said, said


def test_nothing_of_a_job_can_be_read(sandbox: Sandbox) -> None:
    token = sandbox.token().encode()
    plain, partner = (sandbox.get("pod", name)["status"]["podIP"] for name in (PLAIN, PARTNER))
    pairs = {
        "ray": (sandbox.address("head"), sandbox.address("worker")),
        "control": (plain, partner),
    }
    with wiretap(sandbox.state, pairs, {"marker": MARKER, "token": token}) as tape:
        _talk_in_plain(sandbox, plain, sandbox.token())
        done = sandbox.execute(
            sandbox.head(), "ray", *jobs.submit(jobs.move_data(MARKER)), container="ray-head"
        )
    assert done.ok, done.output
    assert len(jobs.result(done.output)["bytes"]) == 2

    # The tap sees what can be seen.
    control = tape.seen["control"]
    assert all(control.found.values()), control
    assert control.not_tls, control

    assert_only_tls(tape, "ray", jobs.MOVED_BYTES)


def _talk_in_plain(sandbox: Sandbox, address: str, token: str) -> None:
    serve = (
        "import http.server as h, os, sys\n"
        "class Page(h.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.send_response(200); self.end_headers()\n"
        f"        self.wfile.write(bytes.fromhex('{MARKER.hex()}') * 1000)\n"
        f"server = h.HTTPServer(('', {PLAIN_PORT}), Page)\n"
        "if os.fork(): sys.exit()\n"
        "os.setsid(); null = os.open(os.devnull, os.O_RDWR)\n"
        "for each in range(3): os.dup2(null, each)\n"
        "server.handle_request()\n"
    )
    done = sandbox.execute(PLAIN, "python3", "-c", serve)
    assert done.ok, done.output
    url = f"http://{address}:{PLAIN_PORT}/"
    ask = ("curl", "--silent", "--show-error", "--max-time", "20", "--header", "@-", url)
    done = sandbox.execute(PARTNER, *ask, stdin=f"Authorization: Bearer {token}")
    assert done.output == MARKER.decode() * 1000
