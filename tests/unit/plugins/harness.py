"""The plugins at the level of gRPC: a server in a thread, a client that speaks as the engine does."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from contextlib import contextmanager
from typing import Any, NamedTuple

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]
from google.protobuf import empty_pb2  # type: ignore[import-untyped]
from google.rpc import status_pb2
from pulumi.runtime import proto
from pulumi.runtime.proto import engine_pb2_grpc, provider_pb2_grpc

from sandbox.plugins.properties import marshal, unmarshal
from sandbox.plugins.server import EngineLog, Plugin


class Failed(Exception):
    """The plugin answered with an error; `init` holds the details of a half-made resource."""

    def __init__(self, error: grpc.RpcError) -> None:
        super().__init__(error.details())
        self.code = error.code()
        self.init: proto.ErrorResourceInitFailed | None = None
        for key, value in error.trailing_metadata() or ():
            if key == "grpc-status-details-bin":
                status = status_pb2.Status.FromString(value)
                self.init = proto.ErrorResourceInitFailed()
                status.details[0].Unpack(self.init)

    def state(self) -> dict[str, Any]:
        """Return the state to keep."""
        assert self.init is not None
        return unmarshal(self.init.properties)


class Message(NamedTuple):
    severity: int
    text: str
    urn: str
    ephemeral: bool


class _Engine(engine_pb2_grpc.EngineServicer):
    def __init__(self) -> None:
        self.messages: list[Message] = []

    def Log(self, request: Any, context: Any) -> empty_pb2.Empty:
        self.messages.append(Message(request.severity, request.message, request.urn, request.ephemeral))
        return empty_pb2.Empty()


class Client:
    """Sends what the engine sends."""

    def __init__(self, stub: Any, engine: _Engine) -> None:
        self.stub = stub
        self.messages = engine.messages

    def call(self, method: str, request: Any) -> Any:
        try:
            return getattr(self.stub, method)(request, timeout=60)
        except grpc.RpcError as error:
            raise Failed(error) from None

    def configure(self, **inputs: Any) -> None:
        self.call("Configure", proto.ConfigureRequest(args=marshal(inputs), acceptSecrets=True))

    def check(
        self, token: str, news: Mapping[str, Any], olds: Mapping[str, Any] | None = None, **more: Any
    ) -> tuple[dict[str, Any], dict[str, str]]:
        request = proto.CheckRequest(urn=urn(token), news=marshal(news), olds=marshal(olds or {}), **more)
        response = self.call("Check", request)
        return unmarshal(response.inputs), {f.property: f.reason for f in response.failures}

    def diff(
        self, token: str, state: Mapping[str, Any], news: Mapping[str, Any], ignore: list[str] | None = None
    ) -> proto.DiffResponse:
        response: proto.DiffResponse = self.call(
            "Diff",
            proto.DiffRequest(
                urn=urn(token), id="x", olds=marshal(state), news=marshal(news), ignoreChanges=ignore
            ),
        )
        return response

    def changes(self, token: str, state: Mapping[str, Any], news: Mapping[str, Any]) -> set[str]:
        """Return the paths of a detailed diff."""
        response = self.diff(token, state, news)
        found = set(response.detailedDiff)
        assert bool(found) == (response.changes == proto.DiffResponse.DIFF_SOME)
        return found

    def create(
        self, token: str, inputs: Mapping[str, Any], *, preview: bool = False, timeout: float = 0
    ) -> tuple[str, dict[str, Any]]:
        request = proto.CreateRequest(
            urn=urn(token), properties=marshal(inputs), preview=preview, timeout=timeout
        )
        response = self.call("Create", request)
        return response.id, unmarshal(response.properties)

    def read(
        self,
        token: str,
        resource_id: str,
        state: Mapping[str, Any] | None = None,
        inputs: Mapping[str, Any] | None = None,
    ) -> tuple[str, dict[str, Any], dict[str, Any]]:
        request = proto.ReadRequest(
            urn=urn(token), id=resource_id, properties=marshal(state or {}), inputs=marshal(inputs or {})
        )
        response = self.call("Read", request)
        return response.id, unmarshal(response.properties), unmarshal(response.inputs)

    def update(
        self,
        token: str,
        state: Mapping[str, Any],
        news: Mapping[str, Any],
        *,
        preview: bool = False,
        timeout: float = 0,
        ignore: list[str] | None = None,
        resource_id: str = "x",
    ) -> dict[str, Any]:
        request = proto.UpdateRequest(
            urn=urn(token),
            id=resource_id,
            olds=marshal(state),
            news=marshal(news),
            preview=preview,
            timeout=timeout,
            ignoreChanges=ignore,
        )
        return unmarshal(self.call("Update", request).properties)

    def delete(self, token: str, resource_id: str, state: Mapping[str, Any], *, timeout: float = 0) -> None:
        request = proto.DeleteRequest(
            urn=urn(token), id=resource_id, properties=marshal(state), timeout=timeout
        )
        self.call("Delete", request)

    def cancel(self) -> None:
        self.call("Cancel", empty_pb2.Empty())


def urn(token: str, name: str = "res") -> str:
    """Return a URN of the given type."""
    return f"urn:pulumi:test::proj::parent:index:Parent${token}::{name}"


@contextmanager
def running(make: Callable[[EngineLog], Plugin]) -> Iterator[Client]:
    """Serve a plugin, and an engine for its messages, until the end of the block."""
    engine = _Engine()
    engine_server = grpc.server(futures.ThreadPoolExecutor(4))
    engine_pb2_grpc.add_EngineServicer_to_server(engine, engine_server)
    engine_port = engine_server.add_insecure_port("127.0.0.1:0")
    engine_server.start()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    plugin = make(EngineLog(None))

    async def start() -> tuple[Any, int]:
        server = grpc.aio.server()
        provider_pb2_grpc.add_ResourceProviderServicer_to_server(plugin, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        return server, port

    server, port = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    channel = grpc.insecure_channel(f"127.0.0.1:{port}")
    client = Client(provider_pb2_grpc.ResourceProviderStub(channel), engine)
    try:
        client.call("Handshake", proto.ProviderHandshakeRequest(engine_address=f"127.0.0.1:{engine_port}"))
        yield client
    finally:
        plugin.stop()
        channel.close()
        asyncio.run_coroutine_threadsafe(server.stop(0.1), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
        engine_server.stop(0.1).wait()
