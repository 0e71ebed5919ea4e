"""What every plugin process does: speak gRPC with the engine, log through it, stop when told to.

The handlers of a plugin are ordinary blocking functions. They run in threads; errors that they raise
reach the engine as one message, with every secret of the request hidden.
"""

import argparse
import asyncio
import contextlib
import functools
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from importlib import metadata
from typing import Any, Final

import grpc
import grpc.aio
from google.protobuf import any_pb2, empty_pb2, struct_pb2
from google.protobuf.message import Message
from google.rpc import status_pb2
from pulumi.runtime import proto
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS
from pulumi.runtime.proto import engine_pb2, provider_pb2_grpc

from sandbox.plugins import attended, properties

THREADS: Final = 128  # each resource that is waited for holds one; far above the engine's parallelism
_GRACE_SECONDS: Final = 5.0

# What hides the secrets of the request that the current thread serves.
_redact: ContextVar[Callable[[str], str]] = ContextVar("redact", default=str)


class PluginError(Exception):
    """An operation failed for a reason that the user can act on; the text says what and how."""


class InvalidRequest(PluginError):
    """The request asks for something that this plugin does not serve."""


class InitFailed(PluginError):
    """The resource exists, but did not become what was asked for; its state is kept.

    Args:
        message: what is wrong.
        resource_id: id of the resource that exists.
        outputs: the state to keep.
        inputs: the inputs to keep, where a read found others than the program gave.
    """

    def __init__(
        self,
        message: str,
        *,
        resource_id: str,
        outputs: Mapping[str, Any],
        inputs: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.resource_id = resource_id
        self.outputs = outputs
        self.inputs = inputs


def urn_type(urn: str) -> str:
    """Return the type token of a URN, e.g. `kubernetes:core/v1:Secret`."""
    return urn.split("::", 3)[2].rsplit("$", 1)[-1]


def urn_name(urn: str) -> str:
    """Return the name that the program gave the resource."""
    return urn.split("::", 3)[3]


def package_version(distribution: str) -> str:
    """Return the version of the SDK whose plugin this is: the stand-in claims to be that version."""
    return metadata.version(distribution)


class EngineLog:
    """Messages to the user, shown beside the resource that they are about."""

    def __init__(self, address: str | None) -> None:
        self._stub: Any = None
        if address:
            self.connect(address)

    def connect(self, address: str) -> None:
        """Send messages to the engine at `address` (host:port) from now on."""
        channel = grpc.insecure_channel(address, options=_GRPC_CHANNEL_OPTIONS)
        self._stub = proto.engine_pb2_grpc.EngineStub(channel)

    def status(self, urn: str, message: str) -> None:
        """Show a message until the next one."""
        self._send(engine_pb2.INFO, urn, message, ephemeral=True)

    def info(self, urn: str, message: str) -> None:
        """Show a message and keep it."""
        self._send(engine_pb2.INFO, urn, message)

    def warning(self, urn: str, message: str) -> None:
        """Show a warning and keep it."""
        self._send(engine_pb2.WARNING, urn, message)

    def _send(self, severity: Any, urn: str, message: str, *, ephemeral: bool = False) -> None:
        if self._stub is None:
            return
        request = engine_pb2.LogRequest(
            severity=severity, message=_redact.get()(message), urn=urn, ephemeral=ephemeral
        )
        # A lost message must not fail the operation that it tells of.
        with contextlib.suppress(grpc.RpcError):
            self._stub.Log(request, timeout=5)


class Plugin(provider_pb2_grpc.ResourceProviderServicer):
    """The gRPC face of a provider. A plugin overrides the lower-case methods."""

    def __init__(self, name: str, version: str, log: EngineLog) -> None:
        self.name = name
        self.version = version
        self.log = log
        self.engine_address: str | None = None
        self.cancelled = threading.Event()
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="rpc")

    # What a plugin overrides.

    def provider_schema(self) -> Mapping[str, Any]:
        """What the schema says about the provider itself: programs in YAML are checked against it."""
        return {}

    def check_config(self, request: proto.CheckRequest) -> proto.CheckResponse:
        return proto.CheckResponse(inputs=request.news)

    def diff_config(self, request: proto.DiffRequest) -> proto.DiffResponse:
        return proto.DiffResponse(changes=proto.DiffResponse.DIFF_NONE)

    def configure(self, request: proto.ConfigureRequest) -> proto.ConfigureResponse:
        return proto.ConfigureResponse(
            acceptSecrets=True, supportsPreview=True, supports_autonaming_configuration=True
        )

    def check(self, request: proto.CheckRequest) -> proto.CheckResponse:
        raise self._unserved(request.urn)

    def diff(self, request: proto.DiffRequest) -> proto.DiffResponse:
        raise self._unserved(request.urn)

    def create(self, request: proto.CreateRequest) -> proto.CreateResponse:
        raise self._unserved(request.urn)

    def read(self, request: proto.ReadRequest) -> proto.ReadResponse:
        raise self._unserved(request.urn)

    def update(self, request: proto.UpdateRequest) -> proto.UpdateResponse:
        raise self._unserved(request.urn)

    def delete(self, request: proto.DeleteRequest) -> None:
        raise self._unserved(request.urn)

    async def construct(self, request: proto.ConstructRequest) -> proto.ConstructResponse:
        raise InvalidRequest(f"the stand-in plugin {self.name} has no component {request.type}")

    def stop(self) -> None:
        """Make every operation under way end soon."""
        self.cancelled.set()

    def _unserved(self, urn: str) -> InvalidRequest:
        return InvalidRequest(
            f"the stand-in plugin {self.name} does not serve {urn_type(urn)}; "
            f"put the official pulumi-resource-{self.name} on PATH to use it"
        )

    # The gRPC methods.

    async def Handshake(
        self, request: proto.ProviderHandshakeRequest, context: Any
    ) -> proto.ProviderHandshakeResponse:
        self._attach(request.engine_address)
        return proto.ProviderHandshakeResponse(accept_secrets=True, supports_autonaming_configuration=True)

    async def Attach(self, request: proto.PluginAttach, context: Any) -> empty_pb2.Empty:
        self._attach(request.address)
        return empty_pb2.Empty()

    def _attach(self, address: str) -> None:
        if address and address != self.engine_address:
            self.engine_address = address
            self.log.connect(address)

    async def GetPluginInfo(self, request: empty_pb2.Empty, context: Any) -> proto.PluginInfo:
        return proto.PluginInfo(version=self.version)

    async def GetSchema(self, request: proto.GetSchemaRequest, context: Any) -> proto.GetSchemaResponse:
        schema = {"name": self.name, "version": self.version, "provider": self.provider_schema()}
        return proto.GetSchemaResponse(schema=json.dumps(schema))

    async def GetMapping(self, request: proto.GetMappingRequest, context: Any) -> proto.GetMappingResponse:
        return proto.GetMappingResponse()

    async def GetMappings(self, request: proto.GetMappingsRequest, context: Any) -> proto.GetMappingsResponse:
        return proto.GetMappingsResponse()

    async def Cancel(self, request: empty_pb2.Empty, context: Any) -> empty_pb2.Empty:
        self.stop()
        return empty_pb2.Empty()

    async def CheckConfig(self, request: proto.CheckRequest, context: Any) -> Any:
        return await self._in_thread(self.check_config, request, context)

    async def DiffConfig(self, request: proto.DiffRequest, context: Any) -> Any:
        return await self._in_thread(self.diff_config, request, context)

    async def Configure(self, request: proto.ConfigureRequest, context: Any) -> Any:
        return await self._in_thread(self.configure, request, context)

    async def Check(self, request: proto.CheckRequest, context: Any) -> Any:
        return await self._in_thread(self.check, request, context)

    async def Diff(self, request: proto.DiffRequest, context: Any) -> Any:
        return await self._in_thread(self.diff, request, context)

    async def Create(self, request: proto.CreateRequest, context: Any) -> Any:
        return await self._in_thread(self.create, request, context)

    async def Read(self, request: proto.ReadRequest, context: Any) -> Any:
        return await self._in_thread(self.read, request, context)

    async def Update(self, request: proto.UpdateRequest, context: Any) -> Any:
        return await self._in_thread(self.update, request, context)

    async def Delete(self, request: proto.DeleteRequest, context: Any) -> empty_pb2.Empty:
        await self._in_thread(self.delete, request, context)
        return empty_pb2.Empty()

    async def Construct(self, request: proto.ConstructRequest, context: Any) -> Any:
        try:
            return await self.construct(request)
        except Exception as error:
            await _abort(context, error, properties.redactor(request.inputs))

    async def Invoke(self, request: proto.InvokeRequest, context: Any) -> Any:
        error = InvalidRequest(f"the stand-in plugin {self.name} does not serve the function {request.tok}")
        await _abort(context, error, str)

    async def Call(self, request: proto.CallRequest, context: Any) -> Any:
        error = InvalidRequest(f"the stand-in plugin {self.name} does not serve the method {request.tok}")
        await _abort(context, error, str)

    async def Parameterize(self, request: proto.ParameterizeRequest, context: Any) -> Any:
        error = InvalidRequest(f"the stand-in plugin {self.name} cannot be parameterized")
        await _abort(context, error, str)

    async def _in_thread(self, handler: Callable[[Any], Any], request: Message, context: Any) -> Any:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._pool, _handle, handler, request)
        except Exception as error:
            await _abort(context, error, properties.redactor(*_structs(request)))


def _handle(handler: Callable[[Any], Any], request: Message) -> Any:
    # Most requests say nothing, so their secrets are looked for only once something is said.
    prepared = functools.cache(lambda: properties.redactor(*_structs(request)))

    def redact(text: str) -> str:
        return prepared()(text)

    token = _redact.set(redact)
    try:
        return handler(request)
    finally:
        _redact.reset(token)


def _structs(message: Message) -> list[struct_pb2.Struct]:
    return [value for _, value in message.ListFields() if isinstance(value, struct_pb2.Struct)]


async def _abort(context: Any, error: Exception, redact: Callable[[str], str]) -> None:
    if isinstance(error, PluginError):
        message = redact(str(error))
    else:
        message = redact(f"{type(error).__name__}: {error}")
    code = grpc.StatusCode.INVALID_ARGUMENT if isinstance(error, InvalidRequest) else grpc.StatusCode.UNKNOWN
    trailers: tuple[tuple[str, bytes], ...] = ()
    if isinstance(error, InitFailed):
        detail = any_pb2.Any()
        detail.Pack(
            proto.ErrorResourceInitFailed(
                id=error.resource_id,
                properties=properties.marshal(error.outputs),
                inputs=None if error.inputs is None else properties.marshal(error.inputs),
                reasons=[message],  # the one text that the engine shows
            )
        )
        status = status_pb2.Status(code=code.value[0], message=message, details=[detail])
        trailers = (("grpc-status-details-bin", status.SerializeToString()),)
    await context.abort(code, message, trailing_metadata=trailers)


def serve(make: Callable[[EngineLog], Plugin]) -> None:
    """Run a plugin until the engine goes away or the process is told to stop.

    The engine starts the process with its own address as the first argument and reads the port, a
    decimal number and a newline, from the standard output.
    """
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("engine", nargs="?")
    known, _ = parser.parse_known_args()
    plugin = make(EngineLog(known.engine))
    plugin.engine_address = known.engine
    asyncio.run(_serve(plugin))
    # Threads may still wait for a server that no longer answers; their work is already cancelled.
    sys.stdout.flush()
    os._exit(0)


async def _serve(plugin: Plugin) -> None:
    server = grpc.aio.server(options=_GRPC_CHANNEL_OPTIONS)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(plugin, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    watch = asyncio.create_task(_watch_parent(attended.parent(), stopped))
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    await stopped.wait()
    watch.cancel()
    plugin.stop()
    await server.stop(_GRACE_SECONDS)


async def _watch_parent(parent: int, stopped: asyncio.Event) -> None:
    # An engine that was killed cannot close its plugins; they would stay for ever.
    while os.getppid() == parent:
        await asyncio.sleep(attended.POLL_SECONDS)
    stopped.set()
