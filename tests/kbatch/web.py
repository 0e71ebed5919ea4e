"""Requests to servers of the loopback, with nothing added and nothing put right."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import yaml

from tests.e2e.sandbox import Sandbox

SECONDS = 120.0


@dataclass(frozen=True)
class Answer:
    """What a server said."""

    status: int
    body: str

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def message(self) -> str:
        """The words of a refusal, as kbatch-proxy, JupyterHub and Kubernetes put them."""
        try:
            said = self.json()
        except ValueError:
            return self.body
        told = said.get("detail") or said.get("message") if isinstance(said, dict) else None
        return str(told or self.body)


def request(
    port: int, method: str, path: str, headers: Mapping[str, str] | None = None, body: Any = None
) -> Answer:
    """One request; the path is sent as it stands.

    Args:
        port: of the loopback.
        method, path, headers: as they are sent.
        body: text or bytes as they are, parts of unknown size as they come, anything else as JSON.
    """
    return _ask(http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS), method, path, headers, body)


@dataclass(frozen=True)
class Api:
    """The API server, by a token alone."""

    sandbox: Sandbox
    token: str

    def call(self, method: str, path: str, body: Any = None, content: str = "application/json") -> Answer:
        """One request."""
        cluster = yaml.safe_load(self.sandbox.environment.kubeconfig.read_text())["clusters"][0]["cluster"]
        address = urlsplit(cluster["server"])
        context = ssl.create_default_context(cafile=cluster["certificate-authority"])
        assert address.hostname
        connection = http.client.HTTPSConnection(
            address.hostname, address.port, timeout=SECONDS, context=context
        )
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": content}
        return _ask(connection, method, path, headers, body)


def _ask(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    headers: Mapping[str, str] | None,
    body: Any,
) -> Answer:
    content = body if isinstance(body, str | bytes | Iterator | None) else json.dumps(body)
    try:
        connection.request(method, path, content, {"Content-Type": "application/json", **(headers or {})})
        answer = connection.getresponse()
        return Answer(answer.status, answer.read().decode(errors="replace"))
    finally:
        connection.close()
