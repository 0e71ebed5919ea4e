"""The outbound sides of Pods' sidecars, each run by an Envoy of its own, and which way they would send."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

from sandbox.xds.state import Snapshot
from tests.mesh import caller, envoy, inbound, outbound

Name = TypeVar("Name")


class Roads:
    """One Pod's outbound side."""

    def __init__(self, running: envoy.Envoy) -> None:
        self._entrance = running.address(outbound.VIRTUAL_OUTBOUND)

    def cluster(self, address: str, port: int, host: str) -> str:
        """The cluster for what the Pod sends to an address; `host` is the authority of its requests."""
        answer = caller.call(self._entrance, address, port, None, host=host)
        assert answer.reply, (address, port, answer)
        return answer.reply.rpartition(b"\r\n\r\n")[2].decode()


@contextmanager
def roads(directory: Path, told: Mapping[Name, Snapshot]) -> Iterator[dict[Name, Roads]]:
    """The outbound sides, given what istiod tells the sidecars; two of them cannot share an Envoy."""
    with ExitStack() as stack:
        made = {}
        for index, (name, snapshot) in enumerate(told.items()):
            listeners = outbound.standalone(snapshot.listeners.values(), snapshot.routes)
            running = envoy.running(directory / str(index), listeners, clusters=[inbound.black_hole()])
            made[name] = Roads(stack.enter_context(running))
        yield made
