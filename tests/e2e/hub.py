"""JupyterHub as its users have it: log in, start a notebook, work in it."""

from __future__ import annotations

import contextlib
import http.cookiejar
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

from rayfort.proxy.jupyterhub import PASSWORD_KEY, SECRET

from sandbox import port_forward
from tests.e2e.sandbox import Done, Sandbox, wait_for

NAMESPACE = "jupyterhub"
CONTAINER = "notebook"
PROXY_PORT = 8000


class Visitor:
    """Somebody with a browser, logged in.

    Args:
        origin: where the hub's proxy is reached.
        user: the user's name.
    """

    def __init__(self, origin: str, user: str) -> None:
        self.user = user
        self._origin = origin
        self._cookies = http.cookiejar.CookieJar()
        # Nothing of the environment's: a proxy that it names does not lead to the sandbox.
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(self._cookies)
        )

    def log_in(self, password: str) -> None:
        """Log in, as the login page does it; what follows is a page that starts no notebook."""
        self.call("/hub/login")
        form = {"username": self.user, "password": password, "_xsrf": self._xsrf()}
        page = "/hub/login?next=%2Fhub%2Ftoken"
        status, _ = self.call(page, data=urllib.parse.urlencode(form).encode(), method="POST")
        assert status == 200
        assert any(cookie.name.startswith("jupyterhub-session") for cookie in self._cookies)

    def api(self, path: str, method: str = "GET", body: Mapping[str, Any] | None = None) -> tuple[int, Any]:
        """Call the hub's API."""
        data = json.dumps(body).encode() if body is not None else None
        # A browser's cookie counts for JSON alone, which no form of another page can send.
        headers = {"X-XSRFToken": self._xsrf(), "Content-Type": "application/json"}
        status, text = self.call(f"/hub/api{path}", method=method, data=data, headers=headers)
        return status, json.loads(text) if text else None

    def call(
        self,
        path: str,
        *,
        method: str = "GET",
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, str]:
        """Status and text of an answer, redirects followed."""
        request = urllib.request.Request(self._origin + path, data, dict(headers or {}), method=method)
        try:
            with self._opener.open(request, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()

    def token(self) -> str:
        """A new token with everything that the user may do, as the hub's token page gives it."""
        status, made = self.api(f"/users/{self.user}/tokens", "POST", {"note": "test", "expires_in": 3600})
        assert status == 201, made
        return str(made["token"])

    def _xsrf(self) -> str:
        values = [each.value for each in self._cookies if each.name == "_xsrf" and each.path == "/hub/"]
        return values[0] or "" if values else ""


@contextlib.contextmanager
def reached(sandbox: Sandbox) -> Iterator[str]:
    """Where the hub's proxy is reached on this machine."""
    (pod,) = sandbox.get("pods", "-l", "component=proxy", namespace=NAMESPACE)["items"]
    name = pod["metadata"]["name"]
    kubeconfig = sandbox.environment.kubeconfig
    with port_forward.to_pod(kubeconfig, NAMESPACE, name, PROXY_PORT) as port:
        yield f"http://127.0.0.1:{port}"


def logged_in(sandbox: Sandbox, origin: str, user: str) -> Visitor:
    """A user who has logged in with the one password of the sandbox's hub."""
    names = [each["metadata"]["name"] for each in sandbox.get("secrets", namespace=NAMESPACE)["items"]]
    (secret,) = [name for name in names if name.startswith(f"{SECRET}-")]
    visitor = Visitor(origin, user)
    visitor.log_in(sandbox.secret(secret, PASSWORD_KEY, NAMESPACE))
    return visitor


@contextlib.contextmanager
def notebook(sandbox: Sandbox, visitor: Visitor) -> Iterator[str]:
    """A user's notebook, running; gives its Pod's name."""
    status, said = visitor.api(f"/users/{visitor.user}/server", "POST")
    assert status in (201, 202) or "already running" in str(said), said
    try:
        wait_for(lambda: _server(visitor), 180, f"the notebook of {visitor.user}")
        yield f"jupyter-{visitor.user}"
    finally:
        visitor.api(f"/users/{visitor.user}/server", "DELETE")
        gone = ("-n", NAMESPACE, "wait", "--for=delete", "--timeout=90s", f"pod/jupyter-{visitor.user}")
        sandbox.kubectl(*gone)


def _server(visitor: Visitor) -> bool:
    _, user = visitor.api(f"/users/{visitor.user}")
    return bool(user["servers"].get("", {}).get("ready"))


def run(sandbox: Sandbox, pod: str, *command: str, stdin: str | None = None, seconds: float = 180) -> Done:
    """Run a command in a notebook's terminal."""
    return sandbox.execute(
        pod, *command, container=CONTAINER, namespace=NAMESPACE, stdin=stdin, seconds=seconds
    )
