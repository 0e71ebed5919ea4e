"""An API server's front on loopback that breaks what passes through it, at a request that a fault names.

Every plugin and every helm of the suite reaches the API server through it. It ends TLS with a certificate of
its own and speaks upstream as the sandbox's administrator.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from sandbox.certs import Authority, Subject
from sandbox.health import HOST
from sandbox.kubeconfig import KeyPair

_HOP = frozenset({"connection", "transfer-encoding", "content-length", "keep-alive", "date", "server"})
_PATIENCE = 120.0


@dataclass(frozen=True)
class Request:
    """A kind of request.

    Attributes:
        words: what it is about.
        pattern: of `METHOD path?query`.
    """

    words: str
    pattern: str


@dataclass(frozen=True)
class Moment:
    """A request that has something happen.

    Attributes:
        request: its kind.
        number: which of the matching ones, from 1.
        after: whether the API server has done what it was asked before anything happens.
    """

    request: Request
    number: int = 1
    after: bool = False

    def __str__(self) -> str:
        number = f", number {self.number}" if self.number > 1 else ""
        return f"{'after' if self.after else 'before'} {self.request.words}{number}"


@dataclass
class Plan:
    """What the proxy does at a moment.

    Attributes:
        moment: when.
        act: is called then, while the request waits.
        drop: whether the request gets no answer.
        status: the answer instead of the API server's; 0 for its own.
        delay: seconds before the request goes on.
        times: to how many requests from that moment on that match it this applies.
        seen: how many matched.
        request: the one that had it happen.
        failed: what went wrong with it.
    """

    moment: Moment
    act: Callable[[], None] = lambda: None
    drop: bool = False
    status: int = 0
    delay: float = 0.0
    times: int = 1
    seen: int = 0
    request: str = ""
    failed: list[BaseException] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def applies(self, request: str) -> bool:
        """Whether the moment is there with this request."""
        if not re.search(self.moment.request.pattern, request):
            return False
        with self._lock:
            self.seen += 1
            return self.moment.number <= self.seen < self.moment.number + self.times

    def happen(self, request: str) -> None:
        """Do it; only the first request has anything done."""
        with self._lock:
            if self.request:
                return
            self.request = request.partition("?")[0]
            try:
                self.act()
            except BaseException as error:
                self.failed.append(error)

    def finish(self) -> None:
        """Wait until what is being done is done."""
        with self._lock:
            pass


class Proxy:
    """The front.

    Args:
        directory: for its certificates.
        upstream: `host:port` of the API server.
        ca: the authority of the API server's certificate.
        identity: whom the proxy speaks as.
    """

    def __init__(self, directory: Path, upstream: str, ca: Path, identity: KeyPair) -> None:
        self.ca = Authority(directory, "faults").pair.cert
        server = Authority(directory, "faults").issue("server", Subject("server", hosts=(HOST, "localhost")))
        stranger = Authority(directory / "stranger", "stranger")
        other = stranger.issue("server", Subject("server", hosts=(HOST, "localhost")))
        self._good, self._strange = _server_side(server), _server_side(other)
        self._upstream = upstream
        self._context = ssl.create_default_context(cafile=str(ca))
        self._context.load_cert_chain(identity.cert, identity.key)
        self.strange = False
        self.plan: Plan | None = None
        self.requests: list[str] = []
        self._open: set[socket.socket] = set()
        self._server = self._listen(0)
        self.port = int(self._server.server_address[1])

    def arm(self, plan: Plan | None) -> None:
        """Begin a command: with this plan, or with none."""
        self.plan, self.requests = plan, []

    def refuse(self) -> None:
        """Refuse connections, and end those that are open."""
        self._server.shutdown()
        self._server.server_close()
        self.reset_all()

    def reset_all(self) -> None:
        """End every open connection rudely."""
        for each in list(self._open):
            _reset(each)

    def serve_again(self) -> None:
        """Accept connections as before."""
        self.strange = False
        if self._server.socket.fileno() == -1:
            self._server = self._listen(self.port)

    def close(self) -> None:
        """Stop for good."""
        self.refuse()

    def _listen(self, port: int) -> ThreadingHTTPServer:
        proxy = self

        class Handler(_Handler):
            owner = proxy

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True
            request_queue_size = 128

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A connection that ends is no news here."""

        server = Server((HOST, port), Handler)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return server

    def secured(self, plain: socket.socket) -> ssl.SSLSocket:
        context = self._strange if self.strange else self._good
        plain.settimeout(_PATIENCE)
        made = context.wrap_socket(plain, server_side=True)
        self._open.add(made)
        return made

    def forget(self, connection: socket.socket) -> None:
        self._open.discard(connection)

    def upstream(self) -> http.client.HTTPSConnection:
        host, _, port = self._upstream.rpartition(":")
        return http.client.HTTPSConnection(host, int(port), timeout=_PATIENCE, context=self._context)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: Proxy
    upstream: http.client.HTTPSConnection | None = None

    def setup(self) -> None:
        self.request = self.owner.secured(self.request)
        super().setup()

    def finish(self) -> None:
        self.owner.forget(self.request)
        if self.upstream:
            self.upstream.close()
        with contextlib.suppress(OSError):
            super().finish()

    def log_message(self, *_: Any) -> None:
        """Nobody reads it."""

    def _pass_on(self) -> None:
        request = f"{self.command} {self.path}"
        self.owner.requests.append(request)
        body = self._body()
        plan = self.owner.plan
        if plan is None or not plan.applies(request):
            self._forward(body)
            return
        if plan.moment.after:
            self._forward(body, before_answer=lambda: plan.happen(request), answered=not plan.drop)
        else:
            plan.happen(request)
            time.sleep(plan.delay)
            if plan.status:
                self._refuse(plan.status)
            elif not plan.drop:
                self._forward(body)
        if plan.drop:
            self.close_connection = True
            _reset(self.request)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = _pass_on

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _refuse(self, status: int) -> None:
        words = {409: "Conflict", 429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable"}
        reason = words[status]
        said = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": f"the fault suite answers {status}",
            "reason": reason,
            "code": status,
        }
        body = json.dumps(said).encode()
        self.send_response_only(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if status in (429, 503):
            self.send_header("Retry-After", "1")
        self.end_headers()
        self.wfile.write(body)

    def _forward(
        self, body: bytes, *, before_answer: Callable[[], None] = lambda: None, answered: bool = True
    ) -> None:
        headers = {key: value for key, value in self.headers.items() if key.lower() not in _HOP | {"host"}}
        answer = self._ask(body, headers)
        if answer is None:
            self.close_connection = True
            _reset(self.request)
            return
        before_answer()
        if not answered:
            answer.read()
            return
        self.send_response_only(answer.status, answer.reason)
        for key, value in answer.getheaders():
            if key.lower() not in _HOP:
                self.send_header(key, value)
        if answer.length is not None:
            self.send_header("Content-Length", str(answer.length))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.read())
            return
        # A watch, which has no end.
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while chunk := answer.read1(65536):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        self.wfile.write(b"0\r\n\r\n")

    def _ask(self, body: bytes, headers: dict[str, str]) -> http.client.HTTPResponse | None:
        """The API server's answer; None where it gives none."""
        if self.command == "POST" and self.upstream:
            self.upstream.close()  # sent again, it would find what it made: so on a connection that is new
            self.upstream = None
        for fresh in (self.upstream is None, True):
            if self.upstream is None:
                self.upstream = self.owner.upstream()
            try:
                self.upstream.request(self.command, self.path, body or None, headers)
                return self.upstream.getresponse()
            except (OSError, http.client.HTTPException):
                self.upstream.close()
                self.upstream = None
                if fresh:  # else the server has ended a connection that was idle for long
                    return None
        return None


def _server_side(pair: KeyPair) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    return context


def _reset(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError):
        connection.close()
