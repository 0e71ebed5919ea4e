"""What the checks need of a cluster."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import quote

from rayfort.model import JsonObject

PAGE: Final = 250


class ClusterError(RuntimeError):
    """The cluster did not do what it was asked; the message says why.

    Attributes:
        status: the API server's status code; 0 where there was none.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Answer:
    """An HTTP answer of a Pod."""

    status: int
    body: bytes


class Connection(Protocol):
    """What the checks need of a cluster. Every method raises `ClusterError`."""

    context: str
    server: str

    def call(
        self, method: str, path: str, body: JsonObject | None = None, acts_as: str | None = None
    ) -> JsonObject | None:
        """A call to the API server; None where there is no such thing."""
        ...

    def text(self, path: str) -> str:
        """What the API server answers as plain text."""
        ...

    def execute(self, namespace: str, pod: str, container: str, command: Sequence[str]) -> str:
        """What a command in a container prints to its standard output."""
        ...

    def ask(self, namespace: str, pod: str, port: int, path: str, headers: Mapping[str, str]) -> Answer:
        """What a Pod's port answers to a GET, through a port-forward."""
        ...


def listed(connection: Connection, path: str) -> list[JsonObject]:
    """Every object at a path, page by page; none where the API server knows no such kind.

    Raises:
        ClusterError: if they cannot be listed.
    """
    found: list[JsonObject] = []
    more = ""
    while True:
        page = connection.call("GET", f"{path}?limit={PAGE}{more}")
        if page is None:
            return found
        kind = str(page.get("kind", "")).removesuffix("List")
        found += [{"kind": kind, **item} for item in page.get("items") or ()]
        token = (page.get("metadata") or {}).get("continue")
        if not token:
            return found
        more = f"&continue={quote(token)}"
