"""Takes a Pulumi program's registrations where an engine would: nothing is made and nobody is asked."""

import asyncio
import contextvars
import inspect
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

import pulumi
from google.protobuf import json_format
from pulumi.runtime import configure, register_stack_transformation, run_in_stack
from pulumi.runtime.mocks import (
    MockCallArgs,
    MockEngine,
    MockMonitor,
    MockResourceArgs,
    Mocks,
    MockSettings,
)
from pulumi.runtime.proto import callback_pb2, engine_pb2, resource_pb2
from pulumi.runtime.settings import set_root_resource

STACK_TYPE: Final = "pulumi:pulumi:Stack"
STACK_REFERENCE: Final = "pulumi:pulumi:StackReference"
SECRET_TYPE: Final = "kubernetes:core/v1:Secret"  # noqa: S105 - a resource type
_SECRET_DATA: Final = {"data": "data", "string_data": "stringData"}


@dataclass
class Registration:
    """One resource, as the program registers it.

    Attributes:
        urn: its URN.
        request: the request to the engine.
        transforms: the options that transforms give it.
        position: its place in the order in which the program makes its resources.
        secret_data: of a Kubernetes Secret, the names of its entries by field.
    """

    urn: str
    request: Any
    transforms: list[pulumi.ResourceOptions]
    position: int
    secret_data: Mapping[str, list[str]]


@dataclass
class Recording:
    """What a program did.

    Attributes:
        registrations: in the program's order; the stack itself is the first.
        repeated: URNs that were registered more than once.
        outputs: the stack's outputs, in Pulumi's wire format.
        warnings, errors: what the program told the user.
    """

    registrations: list[Registration] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    outputs: Any = None
    warnings: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def record(program: Callable[[], None], project: str, stack: str) -> Recording:
    """Run a program in preview mode, as for a stack that does not exist yet.

    Args:
        program: registers resources and exports outputs.
        project: Pulumi's name of the project.
        stack: the stack's name.
    """
    # A thread of its own: the event loop and Pulumi's context of the caller stay as they are.
    with ThreadPoolExecutor(max_workers=1) as pool:
        run = contextvars.copy_context().run
        return pool.submit(run, asyncio.run, _record(program, project, stack)).result()


async def _record(program: Callable[[], None], project: str, stack: str) -> Recording:
    asyncio.get_running_loop().set_default_executor(_Inline(max_workers=1))
    monitor = _Monitor()
    set_root_resource(None)  # type: ignore[arg-type]  # of whatever ran before in this process
    configure(
        MockSettings(  # type: ignore[no-untyped-call]
            monitor=monitor,
            monitor_features=set(),
            engine=_Engine(monitor.recording),
            project=project,
            stack=stack,
            organization=None,
            root_directory=None,
            dry_run=True,
            # The SDK would start a server, for an engine to call transforms back.
            callbacks=monitor.transforms,
            package_refs={},
            base_providers_by_ref={},
            outputs=set(),
        )
    )

    async def with_order() -> None:
        register_stack_transformation(monitor.made)
        program()
        await asyncio.sleep(0)  # as `infra.program.run`, and for its reason

    await run_in_stack(with_order)
    return await monitor.finish()


class _Inline(ThreadPoolExecutor):
    """Runs what is submitted at once, so that registrations come in one order, run after run."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(function(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class _NoProvider(Mocks):
    """Refuses what only a provider could answer."""

    def call(self, args: MockCallArgs) -> Any:
        raise RuntimeError(
            f"the program asks a provider for {args.token}, which an offline plan does not have"
        )

    def new_resource(self, args: MockResourceArgs) -> Any:
        if args.typ == STACK_REFERENCE:
            return args.resource_id, {"name": args.name}  # without outputs, which are unknown then
        raise RuntimeError(f"the program reads {args.typ} {args.name} from the cluster; a plan is offline")


class _Transforms:
    """Keeps the program's transforms where an engine would call them back."""

    def __init__(self) -> None:
        self._known: dict[str, Callable[[pulumi.ResourceTransformArgs], Any]] = {}

    def register_transform(
        self, transform: Callable[[pulumi.ResourceTransformArgs], Any]
    ) -> callback_pb2.Callback:
        token = str(len(self._known))
        self._known[token] = transform
        return callback_pb2.Callback(token=token)

    def options(self, request: Any, tokens: Iterable[str]) -> list[pulumi.ResourceOptions]:
        """The options that these transforms give to a resource."""
        return [self._call(self._known[token], request) for token in tokens]

    def _call(
        self, transform: Callable[[pulumi.ResourceTransformArgs], Any], request: Any
    ) -> pulumi.ResourceOptions:
        props = json_format.MessageToDict(request.object)
        result = transform(
            pulumi.ResourceTransformArgs(
                custom=request.custom,
                type_=request.type,
                name=request.name,
                props=props,
                opts=pulumi.ResourceOptions(),
            )
        )
        if result is None:
            return pulumi.ResourceOptions()
        if inspect.isawaitable(result) or result.props is not props:
            raise RuntimeError(
                f"a transform of {request.name} changes its inputs, which an offline plan cannot follow"
            )
        opts: pulumi.ResourceOptions = result.opts
        return opts


class _Engine(MockEngine):
    """Keeps what the program tells the user."""

    def __init__(self, recording: Recording) -> None:
        super().__init__(None)
        self._recording = recording

    def Log(self, request: Any) -> None:
        if request.severity == engine_pb2.WARNING:
            self._recording.warnings.append(request.message)
        elif request.severity == engine_pb2.ERROR:
            self._recording.errors.append(request.message)


class _Monitor(MockMonitor):
    """Answers registrations as an engine does in a preview: everything that is not an input is unknown."""

    def __init__(self) -> None:
        super().__init__(_NoProvider())
        self.recording = Recording()
        self.transforms = _Transforms()
        self._tokens: dict[str, list[str]] = {}
        self._made: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
        self._count = 0
        self._secret_data: dict[int, dict[str, Any]] = {}

    def made(self, args: pulumi.ResourceTransformationArgs) -> None:
        """Notes that the program constructs a resource; registrations come later, in another order."""
        self._made[args.type_, args.name].append(self._count)
        if args.type_ == SECRET_TYPE:
            given = {key: args.props.get(name) for name, key in _SECRET_DATA.items()}
            self._secret_data[self._count] = {key: value for key, value in given.items() if value is not None}
        self._count += 1

    def RegisterResource(self, request: Any) -> Any:
        urn = self.make_urn(request.parent, request.type, request.name)
        waiting = self._made[request.type, request.name]
        own = [callback.token for callback in request.transforms]
        if urn in self._tokens:
            self.recording.repeated.append(urn)
        else:
            # An engine applies a resource's transforms to its children as well.
            self._tokens[urn] = [*own, *self._tokens.get(request.parent, ())]
            self.recording.registrations.append(
                Registration(
                    urn=urn,
                    request=request,
                    transforms=self.transforms.options(request, self._tokens[urn]),
                    position=waiting.pop(0) if waiting else -1,
                    secret_data={},
                )
            )
        return resource_pb2.RegisterResourceResponse(urn=urn, object=request.object)

    def RegisterResourceOutputs(self, request: Any) -> Any:
        if f"::{STACK_TYPE}::" in request.urn:
            self.recording.outputs = request.outputs
        return super().RegisterResourceOutputs(request)  # type: ignore[no-untyped-call]

    async def finish(self) -> Recording:
        """The recording, in the program's order."""
        self.recording.registrations.sort(key=lambda made: made.position)
        for made in self.recording.registrations:
            data = self._secret_data.get(made.position, {})
            made.secret_data = {name: await _keys(value) for name, value in data.items()}
        return self.recording


async def _keys(value: Any) -> list[str]:
    """The keys of a Secret's data, which the wire format drops as soon as one of the values is unknown."""
    content = await pulumi.Output.from_input(value).future(with_unknowns=True)
    return sorted(content) if isinstance(content, Mapping) else []
