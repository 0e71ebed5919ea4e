"""A real JupyterHub with its real proxy, and the users and tokens that it knows."""

from __future__ import annotations

import copy
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bench.local_ray import free_block
from tests.kbatch.programs import Programs
from tests.kbatch.running import bare, running
from tests.kbatch.web import Answer, request

CONFIGURATION = Path(__file__).with_name("hub_config.py")
SERVICE = "kbatch"
USE = f"access:services!service={SERVICE}"  # the one scope that a token needs


@dataclass(frozen=True)
class Token:
    """A user's token.

    Attributes:
        user: whose it is.
        value: what is sent.
        id: under which the hub knows it.
    """

    user: str
    value: str
    id: str

    def headers(self, scheme: str = "Bearer") -> dict[str, str]:
        return {"Authorization": f"{scheme} {self.value}"}


@dataclass(frozen=True)
class Hub:
    """A JupyterHub that runs.

    Attributes:
        port: of its proxy, where users are.
        api_port: of the hub itself, which services ask.
        log: of both.
    """

    port: int
    api_port: int
    log: Path
    administrator: str

    @property
    def api(self) -> str:
        """The hub's API, for services."""
        return f"http://127.0.0.1:{self.api_port}/hub/api"

    @property
    def service(self) -> str:
        """Where the hub's proxy has kbatch."""
        return f"http://127.0.0.1:{self.port}/services/{SERVICE}/"

    def ask(self, method: str, path: str, body: Any = None) -> Answer:
        """A request to the hub's API as the administrator."""
        headers = {"Authorization": f"token {self.administrator}"}
        return request(self.port, method, f"/hub/api{path}", headers, body)

    def add(self, *users: str) -> None:
        """Make users; those that are there stay."""
        answer = self.ask("POST", "/users", {"usernames": list(users)})
        assert answer.status in (201, 409), answer

    def token(self, user: str, scopes: Sequence[str] = (USE,), roles: Sequence[str] = ()) -> Token:
        """A new token of a user, with these scopes or the roles instead."""
        wanted = {"roles": list(roles)} if roles else {"scopes": list(scopes)}
        answer = self.ask("POST", f"/users/{quote(user, safe='')}/tokens", {"note": "test", **wanted})
        assert answer.status == 201, answer
        made = answer.json()
        return Token(user, made["token"], made["id"])

    def revoke(self, token: Token) -> None:
        answer = self.ask("DELETE", f"/users/{quote(token.user, safe='')}/tokens/{token.id}")
        assert answer.status == 204, answer


@contextmanager
def hub(
    programs: Programs,
    directory: Path,
    values: Mapping[str, Any],
    kbatch: tuple[int, str],
    strangers: Sequence[str],
) -> Iterator[Hub]:
    """A hub on the loopback.

    Args:
        programs: the real ones.
        directory: for its files.
        values: for the zero-to-jupyterhub chart, as Rayfort states them.
        kbatch: the port where kbatch-proxy will be, and the token that it has for the hub.
        strangers: users who get the scope for kbatch, which the values do not give them.
    """
    directory.mkdir()
    first = free_block(3)
    ports = {"public": first, "hub": first + 1, "api": first + 2}
    administrator = secrets.token_hex(32)
    own = copy.deepcopy(dict(values))
    service = own["hub"]["services"][SERVICE]
    service |= {"url": f"http://127.0.0.1:{kbatch[0]}", "api_token": kbatch[1]}
    settings = directory / "settings.json"
    settings.touch(mode=0o600)
    given = {
        "ports": ports,
        "values": own,
        "administrator": administrator,
        "use": [USE],
        "strangers": list(strangers),
        "http_proxy": list(programs.http_proxy),
    }
    settings.write_text(json.dumps(given))
    environment = {
        **bare(programs.hub, directory),
        "HUB_SETTINGS": str(settings),
        "CONFIGPROXY_AUTH_TOKEN": secrets.token_hex(32),
    }
    command = [str(programs.hub / "jupyterhub"), "--config", str(CONFIGURATION)]
    with running(command, environment, directory, first, "/hub/api/") as log:
        yield Hub(first, first + 1, log, administrator)
