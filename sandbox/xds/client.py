"""A sidecar's connection to istiod."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import grpc
from envoy.config.core.v3.base_pb2 import Node
from envoy.service.discovery.v3.ads_pb2_grpc import AggregatedDiscoveryServiceStub

from sandbox.xds.errors import XdsError
from sandbox.xds.kinds import KINDS
from sandbox.xds.state import AdsState, Snapshot

SNAPSHOT_SECONDS: Final = 60.0
QUIET_SECONDS: Final = 1.0
_LONGEST_PAUSE: Final = 2.0
_JOIN_SECONDS: Final = 10.0
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", -1),  # a mesh without scopes sends a lot
    ("grpc.use_local_subchannel_pool", 1),  # each sidecar has a connection of its own
    ("grpc.enable_http_proxy", 0),
)


@dataclass(frozen=True)
class Push:
    """One response of istiod.

    Attributes:
        kind: CDS, EDS, LDS or RDS.
        bytes: its size.
        at: when it came, on the clock of `time.monotonic`.
        changed, removed: the names of the resources.
    """

    kind: str
    bytes: int
    at: float
    changed: tuple[str, ...]
    removed: tuple[str, ...]


class Sidecar:
    """A Pod's sidecar as istiod sees it, connected while the `with` block runs.

    It subscribes in Envoy's order (all clusters, their endpoints, all listeners, their routes), with the
    incremental protocol that Istio's agent speaks, and acknowledges what it can read. A connection that
    breaks is made again, and begins anew. Secrets do not come from istiod, but from the agent.

    Args:
        address: `host:port` of istiod's plaintext xDS; in a sandbox ``endpoints.local.xds``.
        node: see `sandbox.xds.node.node_of`.
        keep: whether to keep the messages; without them a snapshot has names and sizes only.
    """

    def __init__(self, address: str, node: Node, *, keep: bool = True) -> None:
        self.address = address
        self.name = node.id.split("~")[2] if node.id.count("~") == 3 else node.id
        self._node = node
        self._keep = keep
        self._changed = threading.Condition()
        self._state = AdsState(node, keep=keep)
        self._pushes: list[Push] = []
        self._connections = 0
        self._last = time.monotonic()
        self._trouble = "no answer yet"
        self._closing = False
        self._call: Any = None
        self._thread = threading.Thread(target=self._run, name=f"xds {self.name}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._closing = True
            call = self._call
            self._changed.notify_all()
        if call is not None:
            call.cancel()
        self._thread.join(_JOIN_SECONDS)

    def snapshot(
        self, timeout_seconds: float = SNAPSHOT_SECONDS, quiet_seconds: float = QUIET_SECONDS
    ) -> Snapshot:
        """The whole configuration, once it is complete and nothing came for `quiet_seconds`.

        Raises:
            XdsError: if that does not happen in time, or something came that cannot be read.
        """
        deadline = time.monotonic() + timeout_seconds
        with self._changed:
            while True:
                if self._state.rejected:
                    raise XdsError(
                        f"The sidecar of {self.name} refused configuration: {self._state.rejected[0]}. "
                        "Compare the versions of xds-protos and Istio."
                    )
                now = time.monotonic()
                quiet = self._last + quiet_seconds
                if self._state.complete and now >= quiet:
                    return self._state.snapshot()
                if now >= deadline:
                    raise XdsError(self._late(timeout_seconds))
                self._changed.wait(min(deadline, quiet if self._state.complete else deadline) - now)

    def mark(self) -> int:
        """Where the pushes are now, for `pushes`."""
        with self._changed:
            return len(self._pushes)

    def pushes(self, since: int = 0) -> tuple[Push, ...]:
        """What came after a mark, the first state and that after a reconnection included."""
        with self._changed:
            return tuple(self._pushes[since:])

    @property
    def connections(self) -> int:
        """How often istiod answered a new connection."""
        with self._changed:
            return self._connections

    def _late(self, seconds: float) -> str:
        where = f"istiod at {self.address}"
        if not self._connections:
            return (
                f"The sidecar of {self.name} got no answer from {where} in {seconds:g} seconds: "
                f"{self._trouble}. See whether istiod runs, and its log."
            )
        if self._state.complete:
            return f"{where} still changes the configuration of {self.name} after {seconds:g} seconds."
        return (
            f"The configuration of {self.name} is not complete after {seconds:g} seconds; {where} "
            f"did not send: {self._state.missing}. Its log may say why."
        )

    def _run(self) -> None:
        pause = 0.1
        while not self._closing:
            before = self._connections
            try:
                self._converse()
                self._trouble = "the stream ended"
            except grpc.RpcError as error:
                self._trouble = f"{error.code().name}: {error.details()}"
            pause = 0.1 if self._connections > before else min(pause * 2, _LONGEST_PAUSE)
            with self._changed:
                if not self._closing:
                    self._changed.wait_for(lambda: self._closing, pause)

    def _converse(self) -> None:
        """One stream, from its start to its end."""
        requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        state = AdsState(self._node, keep=self._keep)
        with grpc.insecure_channel(self.address, options=_OPTIONS) as channel:
            stub = AggregatedDiscoveryServiceStub(channel)
            call = stub.DeltaAggregatedResources(_until_none(requests))
            with self._changed:
                if self._closing:
                    call.cancel()
                self._call, self._state = call, state
            for request in state.start():
                requests.put(request)
            try:
                first = True
                for response in call:
                    with self._changed:
                        self._connections += first
                        first = False
                        answers = state.receive(response)
                        self._note(response)
                    for request in answers:
                        requests.put(request)
            finally:
                requests.put(None)

    def _note(self, response: Any) -> None:
        self._last = time.monotonic()
        kind = KINDS.get(response.type_url)
        self._pushes.append(
            Push(
                kind=kind.name if kind else str(response.type_url),
                bytes=response.ByteSize(),
                at=self._last,
                changed=tuple(resource.name for resource in response.resources),
                removed=tuple(response.removed_resources),
            )
        )
        self._changed.notify_all()


def _until_none(requests: queue.SimpleQueue[Any]) -> Iterator[Any]:
    while (request := requests.get()) is not None:
        yield request
