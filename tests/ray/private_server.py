"""A private HTTPS server on the loopback, with logins and a certificate of its own authority."""

from __future__ import annotations

import base64
import http.server
import io
import ssl
import threading
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from sandbox.certs import Authority, Subject

LOOPBACK = "127.0.0.1"


class PrivateServer:
    """Serves `/<anything>/<name>.zip`, a package with the module `<name>`, to who is let in.

    Attributes:
        authority: the file with its authority's certificate.
        logins: who is let in, by the name under which the server is asked.
        seen: the status, name and path of every answer.
    """

    def __init__(self, directory: Path, bearer: str) -> None:
        made = Authority(directory, "private files")
        self.authority = made.pair.cert
        identity = made.issue("server", Subject("files", hosts=("localhost", LOOPBACK)))
        self.logins: dict[str, tuple[str, str]] = {}
        self.seen: list[tuple[int, str, str]] = []
        self._bearer = bearer
        self._server = http.server.ThreadingHTTPServer((LOOPBACK, 0), _handler(self))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(identity.cert, identity.key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def url(self, name: str, path: str) -> str:
        """Where a package is, by one of the server's names."""
        return f"https://{name}:{self._server.server_port}/{path}.zip"

    def answer(self, headers: Mapping[str, str], path: str) -> tuple[int, bytes]:
        """The status, and the package for who is let in."""
        name = headers["Host"].rpartition(":")[0]
        given = headers.get("Authorization", "")
        login = ":".join(self.logins.get(name, ("", "")))
        # As `requests` encodes it.
        allowed = {f"Basic {base64.b64encode(login.encode('latin1')).decode()}", f"Bearer {self._bearer}"}
        status = 200 if given in allowed else 401
        self.seen.append((status, name, path))
        return status, package(
            path.rpartition("/")[2].removesuffix(".zip")
        ) if status == 200 else b"who are you?"


def package(name: str) -> bytes:
    """A package as Ray takes it from afar: one directory in a zip file."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(f"{name}/{name}.py", f"VALUE = 'private {name}'\n")
        archive.writestr(f"{name}/__init__.py", f"VALUE = 'private {name}'\n")
    return packed.getvalue()


def _handler(server: PrivateServer) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = server.answer({**self.headers}, self.path)
            self.send_response(status)
            if status == 401:
                self.send_header("WWW-Authenticate", "Basic")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
