"""What starts kbatch-proxy: a module of its own, mounted beside the published image's.

Run as a program it starts the image's own server; imported by that server it gives ``app``: kbatch-proxy as
`kbatch_completed` completes it, with a limit for requests. For 0.4 it also does what 0.5 learned: it checks
the scope and knows its users by their exact names. It knows nothing but its settings, the JSON file beside
it, and runs on every Python that an image of kbatch-proxy has.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from importlib import util
from pathlib import Path
from typing import Any, NoReturn

PATIENCE = 8  # how often the limit is read and dropped before a connection is given up
SETTINGS = Path(__file__).with_name("start.json")
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


class Limited:
    """An application behind a limit for the size of requests, which are read whole before it sees them."""

    def __init__(self, app: App, most: int) -> None:
        """Put ``app`` behind a limit of ``most`` bytes."""
        self._app, self._most = app, most

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = await self._read(scope, receive)
        if body is None:
            await _refuse(send, self._most)
            return
        read = [body]

        async def replay() -> Message:
            if read:
                return {"type": "http.request", "body": read.pop(), "more_body": False}
            return await receive()

        await self._app(scope, replay, send)

    async def _read(self, scope: MutableMapping[str, Any], receive: Receive) -> bytes | None:
        """The body; None where it is too large.

        What is too large is read to its end and dropped, as long as there is an end: when the connection
        closes while the hub's proxy still sends, it tells its user of a server that is gone.
        """
        stated = dict(scope.get("headers") or ()).get(b"content-length", b"0")
        fits = stated.isdigit() and int(stated) <= self._most
        body, size, more = bytearray(), 0, True
        while more and size <= PATIENCE * self._most:
            message = await receive()
            part = message.get("body", b"")
            size += len(part)
            fits = fits and size <= self._most
            if fits:
                body += part
            more = bool(message.get("more_body"))
        return bytes(body) if fits else None


async def _refuse(send: Send, most: int) -> None:
    text = json.dumps({"detail": f"the request is larger than {most} bytes"}).encode()
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": text})


def make_app() -> App:
    """Make kbatch-proxy's application, completed.

    Raises:
        SystemExit: with one message, if the image holds what this cannot work with.
    """
    settings = json.loads(SETTINGS.read_text(encoding="utf-8"))
    utils, patch = _module("kbatch_proxy.utils"), _module("kbatch_proxy.patch")
    client = _module("kubernetes.client")
    completed = _module("kbatch_completed").Completed(settings, utils, patch, client)
    completed.reader()
    problem = completed.check()
    if problem:
        raise SystemExit(problem)
    completed.jobs()
    completed.names()
    completed.logs(_module("kubernetes.watch").Watch)
    main = _module("kbatch_proxy.main")
    if settings["legacy"]:
        fastapi = _module("fastapi")
        completed.users(lambda text: fastapi.HTTPException(status_code=403, detail=text))
        main.app.dependency_overrides[main.get_current_user] = _scoped(main, fastapi)
    return Limited(main.app, settings["maxBodyBytes"])


def _scoped(main: Any, fastapi: Any) -> Callable[..., Any]:
    """For 0.4: the user of a token that has the scope for the service, as 0.5 asks for it."""

    async def get_current_user(request: Any) -> Any:
        scheme, _, token = request.headers.get(main.auth.auth_header_name, "").partition(" ")
        user = main.auth.user_for_token(token) if scheme.lower() in ("bearer", "token") and token else None
        if not user:
            raise fastapi.HTTPException(status_code=401, detail="Incorrect token")
        wanted = main.auth.access_scopes
        if not wanted or not main.auth.check_scopes(wanted, user):
            raise fastapi.HTTPException(
                status_code=403, detail=f"the token has none of the scopes {sorted(wanted)}"
            )
        return main.User(**user, api_token=None)

    # FastAPI reads the class here; a text, as annotations are in this module, it would not find.
    get_current_user.__annotations__ = {"request": fastapi.Request}
    return get_current_user


def _module(name: str) -> Any:
    return importlib.import_module(name)


def serve() -> NoReturn:
    """Start the image's own server: gunicorn where it is there, as in the published one, or else uvicorn."""
    here, port = str(Path(__file__).parent), os.environ["APP_PORT"]
    host = os.environ.get("APP_HOST", "0.0.0.0")  # noqa: S104 - in a Pod
    # Packages of the published image lie in its working directory.
    path = [here, str(Path.cwd()), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}
    sys.path[:0] = path[:2]
    make_app()  # its message is seen once, and not of each worker again and again
    workers = os.environ.get("WEB_CONCURRENCY", "2")
    if util.find_spec("gunicorn"):
        server = [
            "gunicorn",
            "kbatch_app:app",
            "-k",
            "uvicorn.workers.UvicornWorker",
            "--bind",
            f"{host}:{port}",
        ]
        server += ["--timeout", "120", "--workers", workers]
    else:
        server = ["uvicorn", "kbatch_app:app", "--host", host, "--port", port, "--workers", workers]
    os.execve(sys.executable, [sys.executable, "-m", *server], environment)  # noqa: S606 - no shell is wanted


def __getattr__(name: str) -> Any:
    """``app``, when the server asks for it."""
    if name == "app":
        return make_app()
    raise AttributeError(name)


if __name__ == "__main__":
    serve()
