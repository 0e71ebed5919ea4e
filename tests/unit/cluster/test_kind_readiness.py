"""Waiting for a new cluster, against a server that speaks TLS and asks for a certificate."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from rayfort.cluster.kind import readiness
from rayfort.cluster.kind.errors import KindError
from rayfort.cluster.kind.parsing import Access

from sandbox.certs import Authority, Subject
from sandbox.kubeconfig import KeyPair


def node(name: str, ready: str = "True") -> dict[str, Any]:
    return {"metadata": {"name": name}, "status": {"conditions": [{"type": "Ready", "status": ready}]}}


class Server(ThreadingHTTPServer):
    """An API server in name, with a list of nodes that may change with every question."""

    def __init__(self, directory: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.authority = Authority(directory, "the cluster")
        self.answers: list[tuple[int, list[Any]]] = [(200, [node("a"), node("b")])]
        own = self.authority.issue("server", Subject("server", hosts=("127.0.0.1",)))
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(self.authority.pair.cert))
        context.load_cert_chain(own.cert, own.key)
        context.verify_mode = ssl.CERT_REQUIRED
        self.socket = context.wrap_socket(self.socket, server_side=True)

    def access(self, user: KeyPair, authority: Authority | None = None) -> Access:
        return Access(
            server=f"https://127.0.0.1:{self.server_port}",
            authority=(authority or self.authority).pair.cert.read_text(),
            certificate=user.cert.read_text(),
            key=user.key.read_text(),
        )

    def admin(self) -> Access:
        return self.access(self.authority.issue("admin", Subject("admin")))


class Handler(BaseHTTPRequestHandler):
    """Answers what is asked for readiness."""

    server: Server

    def do_GET(self) -> None:
        code, nodes = self.server.answers[0]
        if self.path == "/api/v1/nodes" and len(self.server.answers) > 1:
            del self.server.answers[0]
        self.send_response(code if self.path == "/readyz" else 200)
        self.end_headers()
        self.wfile.write(json.dumps({"items": nodes}).encode())

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(readiness, "POLL_SECONDS", 0.01)
    # One that leads nowhere: the cluster is on this machine.
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    with Server(tmp_path) as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.05,))
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def test_it_waits_until_every_node_is_ready(server: Server) -> None:
    server.answers = [
        (200, []),
        (200, [node("a")]),
        (200, [node("a"), node("b", "False")]),
        (200, [node("a"), node("b")]),
    ]
    readiness.wait(server.admin(), 2, 60)
    assert len(server.answers) == 1


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((500, []), "the API server answers 500"),
        ((200, [node("a")]), "1 of 2 nodes have registered"),
        ((200, [node("a"), node("b", "Unknown")]), "not ready: b"),
    ],
)
def test_the_time_that_is_over_is_told_with_what_is_missing(
    server: Server, answer: tuple[int, list[Any]], said: str
) -> None:
    server.answers = [answer]
    with pytest.raises(KindError, match=said) as failed:
        readiness.wait(server.admin(), 2, 0.2)
    assert "raise `readySeconds`" in str(failed.value)


def test_a_server_of_another_cluster_is_not_believed(server: Server, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other", "another cluster")
    mine = server.authority.issue("admin", Subject("admin"))
    with pytest.raises(KindError, match="does not answer"):
        readiness.wait(server.access(mine, other), 2, 0.2)


def test_the_key_stays_nowhere(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    access = server.admin()
    readiness.wait(access, 2, 60)
    assert not list(temporary.rglob("*"))
    assert access.key not in repr(access)
