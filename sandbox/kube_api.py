"""The few calls that the sandbox itself makes to its API server, with nothing but the standard library.

The processes that wait for a Deployment live as long as the sandbox: a full Kubernetes client would cost
each of them a second of start-up and tens of megabytes.
"""

from __future__ import annotations

import http.client
import json
import ssl
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

import yaml

from sandbox.yaml_text import as_yaml

_FIELD_MANAGER: Final = "rayfort-sandbox"
_MAX_SERVER_ERROR: Final = 500


class ApiUnreachable(OSError):
    """The API server does not answer, or answers that it cannot serve now."""


class ApiRefused(RuntimeError):
    """The API server answered with an error; the message is its own."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class KubeApi:
    """A connection with the identity of a kubeconfig. Use it as a context manager, from one thread."""

    def __init__(self, kubeconfig: Path, timeout: float = 20.0) -> None:
        """`timeout` bounds each call, in seconds."""
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        context = ssl.create_default_context(cafile=cluster["certificate-authority"])
        context.load_cert_chain(user["client-certificate"], user["client-key"])
        address = urlsplit(cluster["server"])
        if address.hostname is None:
            raise ValueError(f"{kubeconfig}: the server's URL {cluster['server']!r} names no host")
        self._connection = http.client.HTTPSConnection(
            address.hostname, address.port, timeout=timeout, context=context
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def get(self, path: str) -> dict[str, Any] | None:
        """The object at `path` (with its query); None if there is none."""
        status, body = self._call("GET", path)
        return None if status == http.HTTPStatus.NOT_FOUND else self._object(status, body)

    def apply(self, path: str, manifest: dict[str, Any], *, dry_run: bool = False) -> dict[str, Any]:
        """Server-side apply: `path` is the object's own path, or that of its subresource.

        With `dry_run` the server only says whether it would take it, and refuses unknown fields.
        """
        target = f"{path}?fieldManager={_FIELD_MANAGER}&force=true"
        if dry_run:
            target += "&dryRun=All&fieldValidation=Strict"
        status, body = self._call("PATCH", target, as_yaml(manifest), "application/apply-patch+yaml")
        return self._object(status, body)

    def annotate(self, path: str, key: str, value: str) -> None:
        """Annotate the object at `path`; nothing happens if it is gone."""
        patch = json.dumps({"metadata": {"annotations": {key: value}}})
        status, body = self._call("PATCH", path, patch, "application/merge-patch+json")
        if status != http.HTTPStatus.NOT_FOUND:
            self._object(status, body)

    def ready(self, path: str = "/readyz") -> bool:
        """Whether a health endpoint answers 200 now."""
        try:
            return self._call("GET", path)[0] == http.HTTPStatus.OK
        except ApiUnreachable:
            return False

    def _call(
        self, method: str, path: str, body: str | None = None, content: str = "application/json"
    ) -> tuple[int, bytes]:
        headers = {"Accept": "application/json", "Content-Type": content}
        kept = self._connection.sock is not None
        try:
            return self._send(method, path, None if body is None else body.encode(), headers)
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            # The server ends connections that were idle for long; every call here may be made twice.
            if kept and isinstance(error, ConnectionError):
                return self._call(method, path, body, content)
            raise ApiUnreachable(f"{self._connection.host}:{self._connection.port}: {error}") from error

    def _send(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        self._connection.request(method, path, body, headers)
        response = self._connection.getresponse()
        return response.status, response.read()

    def _object(self, status: int, body: bytes) -> dict[str, Any]:
        try:
            answer = json.loads(body)
        except ValueError:
            answer = {"message": body.decode(errors="replace")}
        if status < http.HTTPStatus.BAD_REQUEST:
            return dict(answer)
        message = str(answer.get("message", f"status {status}"))
        if status >= _MAX_SERVER_ERROR or status == http.HTTPStatus.TOO_MANY_REQUESTS:
            raise ApiUnreachable(message)
        raise ApiRefused(status, message)
