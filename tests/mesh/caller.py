"""Somebody who connects to a Pod's port, as Envoy sees it behind the Pod's redirection of traffic.

The PROXY header takes the place of that redirection: it tells Envoy which address and port were meant.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

CALLER_ADDRESS = "10.99.0.1"
TIMEOUT = 30.0  # seconds; an answer or a refusal comes at once
# What sidecars offer for HTTP, and for all else.
HTTP_ALPN, OPAQUE_ALPN = ("istio-http/1.1", "http/1.1"), ("istio",)
ALPN = HTTP_ALPN + OPAQUE_ALPN


@dataclass(frozen=True)
class Answer:
    """What the caller got.

    Attributes:
        reply: what came back; nothing where the connection was ended.
        tls: the TLS version that was agreed; None where there was no handshake to the end.
        error: why there was no reply, in the words of TLS or of the socket.
    """

    reply: bytes = b""
    tls: str | None = None
    error: str = ""

    @property
    def served(self) -> bool:
        """Whether what is behind the sidecar got the request."""
        return bool(self.reply) and not self.reply.startswith(b"HTTP/1.1 403")


def tls(
    certificate: Path | None,
    minimum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    maximum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    *,
    alpn: Sequence[str] = ALPN,
) -> ssl.SSLContext:
    """How a caller speaks TLS; it does not mind who answers."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version, context.maximum_version = minimum, maximum
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if certificate:
        context.load_cert_chain(certificate)
    return context


def call(
    envoy: tuple[str, int], pod: str, port: int, context: ssl.SSLContext | None, *, host: str = "ray"
) -> Answer:
    """One HTTP request to a port of a Pod; what is opaque to Envoy takes it as any other bytes.

    Args:
        envoy: where the Pod's Envoy listens.
        pod, port: the address and port that were meant.
        context: how to speak TLS; None for plaintext.
        host: the authority of the request.
    """
    header = f"PROXY TCP4 {CALLER_ADDRESS} {pod} 40000 {port}\r\n"
    request = f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    agreed: str | None = None
    try:
        with socket.create_connection(envoy, timeout=TIMEOUT) as plain:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            plain.sendall(header.encode())
            connection = context.wrap_socket(plain) if context else plain
            agreed = connection.version() if isinstance(connection, ssl.SSLSocket) else None
            with connection:
                with contextlib.suppress(ConnectionError):  # its reason is still to be read
                    connection.sendall(request)
                reply = _read(connection, request)
    except TimeoutError:
        raise  # neither an answer nor a refusal
    except (ssl.SSLError, ConnectionError) as error:
        return Answer(tls=agreed, error=str(error))
    return Answer(reply, agreed, "" if reply else "the connection was ended")


def _read(connection: socket.socket, request: bytes) -> bytes:
    """All that comes: the echo, a whole HTTP response (Envoy is slow to end connections), or to the end."""
    reply = b""
    while reply != request and not _whole(reply) and (more := connection.recv(65536)):
        reply += more
    return reply


def _whole(reply: bytes) -> bool:
    head, end, body = reply.partition(b"\r\n\r\n")
    length = re.search(rb"\r\ncontent-length: (\d+)", head)
    return bool(end) and length is not None and len(body) >= int(length[1])
