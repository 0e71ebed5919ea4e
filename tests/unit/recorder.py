"""Runs a Pulumi program against mocks and keeps every request that it sends to the engine.

The mocks of the SDK show inputs only. What a security review asks for (parents, order, providers, what
is marked secret) stands in the raw requests, so those are kept.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from google.protobuf import json_format  # type: ignore[import-untyped]
from pulumi.runtime import config as pulumi_config
from pulumi.runtime.mocks import MockCallArgs, MockEngine, MockMonitor, MockResourceArgs, Mocks, MockSettings
from pulumi.runtime.proto import resource_pb2
from pulumi.runtime.settings import SETTINGS, configure, set_root_resource
from pulumi.runtime.stack import run_in_stack

SIGNATURE: Final = "4dabf18193072939515e22adb298388d"
SECRET: Final = "1b47061264138c4ac30d75fd1eb44270"
UNKNOWN: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
RANDOM_PASSWORD: Final = "random:index/randomPassword:RandomPassword"
PROVIDER: Final = "pulumi:providers:kubernetes"
SECRET_OBJECT: Final = "kubernetes:core/v1:Secret"
NAMESPACE_OBJECT: Final = "kubernetes:core/v1:Namespace"
RELEASE: Final = "kubernetes:helm.sh/v3:Release"
RAY_CLUSTER: Final = "kubernetes:ray.io/v1:RayCluster"
CRDS: Final = "kubernetes:yaml/v2:ConfigGroup"
GKE_CLUSTER: Final = "gcp:container/cluster:Cluster"
SERVICE_ACCOUNT: Final = "gcp:serviceaccount/account:Account"
SERVICE_IDENTITY: Final = "gcp:projects/serviceIdentity:ServiceIdentity"
KIND_KEY: Final = "a2luZC1rZXktN2YzYTFj"
KIND_CLUSTER: Final = "pulumi-python:dynamic/rayfort:KindCluster"


def is_secret(value: Any) -> bool:
    """Whether a value in a request is wrapped as a secret."""
    return isinstance(value, Mapping) and value.get(SIGNATURE) == SECRET


def plain(value: Any) -> Any:
    """A value of a request as the provider reads it: without the wrappers of secrets."""
    if is_secret(value):
        return plain(value["value"])
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def visible(value: Any) -> Iterator[str]:
    """Every text of a request that is not inside a secret: what a state file and a log would show."""
    if is_secret(value):
        return
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield str(key)
            yield from visible(item)
    elif isinstance(value, list):
        for item in value:
            yield from visible(item)
    elif isinstance(value, str):
        yield value


@dataclass(frozen=True)
class Recorded:
    """One resource, as the program asked the engine for it."""

    urn: str
    request: resource_pb2.RegisterResourceRequest
    raw: Mapping[str, Any]

    @property
    def type(self) -> str:
        return self.request.type

    @property
    def name(self) -> str:
        return self.request.name

    @property
    def inputs(self) -> Any:
        return plain(self.raw)

    @property
    def parent(self) -> str:
        return self.request.parent

    @property
    def custom(self) -> bool:
        return self.request.custom

    @property
    def kubernetes(self) -> bool:
        return self.type.startswith("kubernetes:")

    @property
    def providers(self) -> set[str]:
        """URNs of the providers that were given to it; none means a default one."""
        references = [self.request.provider, *self.request.providers.values()]
        return {reference.rpartition("::")[0] for reference in references if reference}

    @property
    def dependencies(self) -> set[str]:
        return set(self.request.dependencies)

    @property
    def object_name(self) -> str:
        return str(self.inputs["metadata"]["name"])

    @property
    def namespace(self) -> str | None:
        inputs = self.inputs
        stated: str | None = inputs.get("metadata", {}).get("namespace") or inputs.get("namespace")
        return stated

    def texts(self) -> Iterator[str]:
        """Every text of the request that is not inside a secret."""
        yield from visible(self.raw)
        bare = resource_pb2.RegisterResourceRequest()
        bare.CopyFrom(self.request)
        bare.ClearField("object")
        yield from visible(json_format.MessageToDict(bare))

    def hidden(self, *path: str) -> bool:
        """Whether the input at ``path``, or something that holds it, is marked secret or still unknown."""
        value: Any = self.raw
        for key in path:
            if is_secret(value) or value == UNKNOWN:
                return True
            value = value[key]
        return is_secret(value) or value == UNKNOWN


@dataclass
class Run:
    """What a program did."""

    resources: list[Recorded] = field(default_factory=list)
    registered_outputs: dict[str, Any] = field(default_factory=dict)
    logs: list[str] = field(default_factory=list)
    error: BaseException | None = None

    def __getitem__(self, urn: str) -> Recorded:
        return next(resource for resource in self.resources if resource.urn == urn)

    def all(self, type_: str, **inputs: Any) -> list[Recorded]:
        """The resources of a type token, or of a kind such as ``RayCluster``."""
        return [
            item
            for item in self.resources
            if type_ in (item.type, item.type.rpartition(":")[2])
            and all(item.inputs.get(key) == value for key, value in inputs.items())
        ]

    def one(self, type_: str, name: str | None = None) -> Recorded:
        """The only resource of a type whose Kubernetes name, or else whose own name, is ``name``."""
        found = [
            item
            for item in self.all(type_)
            if name is None or item.inputs.get("metadata", {}).get("name", item.name) == name
        ]
        assert len(found) == 1, f"{len(found)} of {type_} {name}: {[item.name for item in self.all(type_)]}"
        return found[0]

    @property
    def outputs(self) -> dict[str, Any]:
        """The stack's outputs."""
        outputs: dict[str, Any] = plain(self.raw_outputs)
        return outputs

    @property
    def raw_outputs(self) -> dict[str, Any]:
        """The stack's outputs, secrets still wrapped."""
        return next(
            (value for urn, value in self.registered_outputs.items() if "pulumi:pulumi:Stack::" in urn), {}
        )

    def before(self, resource: Recorded) -> set[str]:
        """URNs of everything that must exist before ``resource`` is made."""
        seen: set[str] = set()
        todo = set(resource.dependencies)
        by_urn = {item.urn: item for item in self.resources}
        while todo:
            urn = todo.pop()
            if urn not in seen:
                seen.add(urn)
                todo |= by_urn[urn].dependencies if urn in by_urn else set()
        return seen

    def texts(self) -> Iterator[str]:
        """Everything that a reader of requests, outputs and logs would see."""
        for resource in self.resources:
            yield from resource.texts()
        yield from visible(self.registered_outputs)
        yield from self.logs


class _Provider(Mocks):
    """Answers as providers do; in a preview what they compute stays unknown."""

    def __init__(self, *, preview: bool) -> None:
        self._preview = preview

    def call(self, args: MockCallArgs) -> tuple[dict[str, Any], None]:
        raise AssertionError(f"the library asks no provider for data, but called {args.token}")

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        if self._preview:
            return "", dict(args.inputs)
        return f"{args.name}-id", {**args.inputs, **computed(args.typ, args.name, args.inputs)}


def computed(type_: str, name: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """What a provider adds to the inputs once it has made the resource."""
    if type_ == RANDOM_PASSWORD:
        return {"result": password(name, inputs.get("keepers"), int(inputs["length"]))}
    if type_ == KIND_CLUSTER:
        return {"kubeconfig": kind_kubeconfig(inputs["clusterName"]), "identifier": f"{name}-0a1b2c"}
    if type_ == GKE_CLUSTER:
        endpoints = inputs["controlPlaneEndpointsConfig"]
        named = {**endpoints["dnsEndpointConfig"], "endpoint": f"gke-{inputs['name']}.example.gke.goog"}
        return {
            "endpoint": "172.16.0.2",
            "controlPlaneEndpointsConfig": {**endpoints, "dnsEndpointConfig": named},
            "masterAuth": {**inputs["masterAuth"], "clusterCaCertificate": "Q0E="},
        }
    if type_ == SERVICE_ACCOUNT:
        email = f"{inputs['accountId']}@{inputs['project']}.iam.gserviceaccount.com"
        return {"email": email, "member": f"serviceAccount:{email}"}
    if type_ == SERVICE_IDENTITY:
        return {"member": "serviceAccount:service-1@container-engine-robot.iam.gserviceaccount.com"}
    if type_ == RELEASE:
        return {"status": {"name": inputs["name"], "namespace": inputs["namespace"], "status": "deployed"}}
    return {}


def kind_kubeconfig(cluster: str) -> str:
    """A kubeconfig as ``kind`` prints it, with a key that must not be seen anywhere."""
    context = f"kind-{cluster}"
    user = {"client-certificate-data": "Y2VydA==", "client-key-data": KIND_KEY}
    return json.dumps(
        {
            "clusters": [
                {
                    "name": context,
                    "cluster": {"server": "https://127.0.0.1:6443", "certificate-authority-data": "Y2E="},
                }
            ],
            "contexts": [{"name": context, "context": {"cluster": context, "user": context}}],
            "users": [{"name": context, "user": user}],
        }
    )


def password(name: str, keepers: Mapping[str, str] | None, length: int) -> str:
    """The mock's random password: like a provider's, it changes with the keepers and only with them."""
    seed = json.dumps([name, keepers], sort_keys=True)
    return hashlib.sha512(seed.encode()).hexdigest()[:length]


class _Recorder(MockMonitor):
    def __init__(self, mocks: Mocks, run: Run) -> None:
        super().__init__(mocks)
        self._run = run

    def RegisterResource(self, request: Any) -> Any:
        response = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        if request.type != "pulumi:pulumi:Stack":
            kept = resource_pb2.RegisterResourceRequest()
            kept.CopyFrom(request)
            raw = json_format.MessageToDict(request.object)
            self._run.resources.append(Recorded(response.urn, kept, raw))
        return response

    def RegisterResourceOutputs(self, request: Any) -> Any:
        self._run.registered_outputs[request.urn] = json_format.MessageToDict(request.outputs)
        return super().RegisterResourceOutputs(request)  # type: ignore[no-untyped-call]


def record(
    program: Callable[[], object],
    *,
    preview: bool = False,
    config: Mapping[str, str] | None = None,
    catch: bool = False,
) -> Run:
    """Run ``program`` as a stack's program, fresh, and give what it registered.

    Args:
        program: what would stand in ``__main__.py``.
        preview: whether what providers compute is unknown, as in ``pulumi preview``.
        config: the stack's configuration as Pulumi hands it over.
        catch: keep the program's error in `Run.error` instead of raising it.
    """
    run = Run()

    def inside() -> None:
        monitor = _Recorder(_Provider(preview=preview), run)
        logger = logging.Logger("program")
        logger.addHandler(_Keep(run.logs))
        mocks = MockSettings(  # type: ignore[no-untyped-call]
            monitor=monitor,
            monitor_features=set(monitor.GetDeploymentInfo(None).supportedFeatures),  # type: ignore[no-untyped-call]
            engine=MockEngine(logger),
            project="rayfort",
            stack="test",
            dry_run=preview,
            organization=None,
            callbacks=None,
        )
        configure(mocks)
        set_root_resource(None)  # type: ignore[arg-type]
        SETTINGS.outputs.clear()  # what a run that failed left behind
        pulumi_config.set_all_config(dict(config or {}))
        asyncio.run(run_in_stack(lambda: _ignore(program())))

    try:
        # In a context of its own: Pulumi keeps its settings, configuration and stack in context variables.
        contextvars.copy_context().run(inside)
    except BaseException as error:
        if not catch:
            raise
        run.error = error
    if run.error and run.resources:
        # Futures that nobody asked for their error report it when they are collected: here, and not in
        # the middle of another test (where Python 3.11 may be compiling, which breaks by it).
        gc.collect()
    return run


def _ignore(_: object) -> None:
    return None


class _Keep(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, entry: logging.LogRecord) -> None:
        self._lines.append(entry.getMessage())
