"""The components `kubernetes:yaml/v2:ConfigGroup` and `ConfigFile`: manifests as ordinary resources."""

import asyncio
import re
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from glob import glob
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlparse

import pulumi
import yaml
from pulumi.provider import ConstructResult, Provider
from pulumi.provider.server import ProviderServicer
from pulumi.runtime import proto

from sandbox.plugins import objects
from sandbox.plugins.objects import Kind, Object, kind_of, name_of, namespace_of
from sandbox.plugins.properties import Secret, has_unknown, mark_secrets, plain, unmarshal
from sandbox.plugins.server import EngineLog, InvalidRequest, PluginError

CONFIG_GROUP: Final = "kubernetes:yaml/v2:ConfigGroup"
CONFIG_FILE: Final = "kubernetes:yaml/v2:ConfigFile"
_DEPENDS_ON: Final = "config.kubernetes.io/depends-on"
_GLOB: Final = re.compile(r"(?:^|[^\\])[*?\[]")
_FETCH_SECONDS: Final = 60


async def construct(
    request: proto.ConstructRequest,
    *,
    engine_address: str,
    default_namespace: str,
    is_namespaced: Callable[[Kind], bool],
    version: str,
    messages: EngineLog,
) -> proto.ConstructResponse:
    """Register the component of a request and, under it, one resource for each object.

    Args:
        request: what the engine asks for.
        engine_address: of the engine, for messages.
        default_namespace: for namespaced objects that name none.
        is_namespaced: says whether objects of a kind live in a namespace.
        version: of the plugin that the resources are for.
        messages: for messages to the user.
    """
    if request.type not in (CONFIG_GROUP, CONFIG_FILE):
        raise InvalidRequest(
            f"the stand-in kubernetes plugin has no component {request.type}; "
            f"put the official pulumi-resource-kubernetes on PATH to use it"
        )
    inputs = unmarshal(request.inputs)
    found: list[Object] = []
    if has_unknown(inputs):
        text = f"{request.type} {request.name}: an input is not known yet, so its objects are not shown"
        messages.warning("", text)
    else:
        objs = await asyncio.to_thread(_objects, inputs, globs=request.type == CONFIG_GROUP)
        found = await asyncio.to_thread(with_namespaces, objs, default_namespace, is_namespaced)
    prefix = plain(inputs.get("resourcePrefix"))
    components = _Components(
        found,
        prefix=request.name if prefix is None else prefix,
        skip_await=bool(plain(inputs.get("skipAwait"))),
        version=version,
    )
    # The SDK's own handling of a request; it serves one provider, so each request gets its own.
    servicer = ProviderServicer(components, [], engine_address)
    response: proto.ConstructResponse = await servicer._construct(request, None)
    return response


def _objects(inputs: Mapping[str, Any], *, globs: bool) -> list[Object]:
    files = plain(inputs.get("files") if globs else inputs.get("file")) or []
    found = read_files([files] if isinstance(files, str) else files, globs=globs)
    found += parse(plain(inputs.get("yaml")) or "", "the input yaml")
    given = inputs.get("objs") or []
    if isinstance(given, Secret):
        given = [Secret(obj) for obj in given.value]
    return expand([*found, *given])


class _Components(Provider):
    """The SDK's face of the two components, for one request."""

    def __init__(self, found: list[Object], *, prefix: str, skip_await: bool, version: str) -> None:
        super().__init__(version)
        self._found = found
        self._prefix = prefix
        self._skip_await = skip_await
        self._version = version

    def construct(
        self, name: str, resource_type: str, inputs: Any, options: pulumi.ResourceOptions | None = None
    ) -> ConstructResult:
        group = pulumi.ComponentResource(resource_type, name, None, options)
        made: dict[int, pulumi.Resource] = {}
        for index, dependencies in ordered(self._found):
            made[index] = self._child(group, self._found[index], [made[other] for other in dependencies])
        resources = list(made.values())
        group.register_outputs({"resources": resources})
        return ConstructResult(urn=group.urn, state={"resources": resources})

    def _child(
        self, group: pulumi.Resource, obj: Object, dependencies: list[pulumi.Resource]
    ) -> pulumi.Resource:
        if self._skip_await:
            annotations = obj["metadata"].get("annotations") or {}
            obj["metadata"]["annotations"] = {**annotations, objects.SKIP_AWAIT: "true"}
        mark_secrets(obj, {})
        return pulumi.CustomResource(
            objects.token_of_kind(kind_of(obj)),
            resource_name(self._prefix, obj),
            _outputs(obj),
            pulumi.ResourceOptions(parent=group, depends_on=dependencies, version=self._version),
        )


def _outputs(value: Any) -> Any:
    """The value with secrets as the SDK marks them."""
    if isinstance(value, Secret):
        return pulumi.Output.secret(plain(value.value))
    if isinstance(value, Mapping):
        return {key: _outputs(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_outputs(item) for item in value]
    return value


def resource_name(prefix: str, obj: Mapping[str, Any]) -> str:
    """Return the name under which an object of a group is registered, e.g. `group:namespace/name`."""
    place = objects.resource_id(namespace_of(obj), name_of(obj))
    return f"{prefix}:{place}" if prefix else place


def read_files(files: Iterable[str], *, globs: bool) -> list[Object]:
    """Return the objects in files.

    Args:
        files: paths, or URLs with a scheme.
        globs: whether a path may be a pattern; the files that match are taken in the order of names.
    """
    found: list[Object] = []
    for file in files:
        scheme = urlparse(file).scheme
        if scheme:
            found += parse(_fetch(file, scheme), file)
            continue
        # Path.glob takes no absolute pattern.
        paths = sorted(glob(file)) if globs and _GLOB.search(file) else [file]  # noqa: PTH207
        for path in paths:
            try:
                text = Path(path).read_text(encoding="utf-8")
            except OSError as error:
                raise PluginError(f"cannot read the manifest {path}: {error.strerror}") from None
            found += parse(text, path)
    return found


def _fetch(url: str, scheme: str) -> str:
    if scheme not in ("http", "https"):
        raise PluginError(f"cannot fetch the manifest {url}: only http and https are supported")
    try:
        with urllib.request.urlopen(url, timeout=_FETCH_SECONDS) as answer:  # noqa: S310 - checked above
            return str(answer.read().decode("utf-8"))
    except OSError as error:
        raise PluginError(f"cannot fetch the manifest {url}: {error}") from None


def parse(text: str, source: str) -> list[Object]:
    """Return the objects in YAML or JSON text; `source` is how an error names it."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        documents = [document for document in yaml.load_all(text, Loader=loader) if document]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        raise PluginError(f"{source} is not valid YAML{where}") from None
    for document in documents:
        if not isinstance(document, dict):
            raise PluginError(f"{source} holds something that is no Kubernetes object")
    return documents


def expand(found: Iterable[Object]) -> list[Object]:
    """Return the objects with those in lists in place of the lists.

    Raises:
        PluginError: something lacks a kind, an API version or a name.
    """
    result: list[Object] = []
    for given in found:
        obj = _opened(given)
        if str(obj.get("kind", "")).endswith("List") and isinstance(obj.get("items"), list):
            result += expand(obj["items"])
            continue
        kind = kind_of(obj)
        if not kind.api_version or not kind.kind:
            raise PluginError("Kubernetes resources require a kind and an apiVersion")
        if not name_of(obj):
            raise PluginError(f"Kubernetes resources require a metadata.name; one {kind} has none")
        obj["apiVersion"] = kind.api_version
        result.append(obj)
    return result


def _opened(given: Any) -> Object:
    """An object whose own fields can be read; what was secret as a whole is secret in each field."""
    if not isinstance(given, Secret):
        return dict(given)
    return {
        key: value if key in ("apiVersion", "kind", "metadata") else Secret(value)
        for key, value in given.value.items()
    }


def with_namespaces(found: list[Object], default: str, is_namespaced: Callable[[Kind], bool]) -> list[Object]:
    """Give namespaced objects without a namespace the default one.

    The scope of a custom resource whose definition is among the objects comes from there.
    """
    crds = filter(objects.is_crd, found)
    scopes = dict(defined for crd in crds if (defined := objects.defined_scope(crd)))
    for obj in found:
        kind = kind_of(obj)
        if namespace_of(obj):
            continue
        scope = scopes.get((kind.group, kind.kind))
        if scope == "Namespaced" or (scope is None and is_namespaced(kind)):
            obj["metadata"]["namespace"] = default
    return found


def ordered(found: list[Object]) -> list[tuple[int, list[int]]]:
    """Return the order in which objects can be created: for each its index and those it needs first.

    An object needs its namespace, a custom resource its definition, and what the annotation
    `config.kubernetes.io/depends-on` names, where these are among the objects.
    """
    by_reference = {_reference(obj): index for index, obj in enumerate(found)}
    crds = {
        defined[0]: index
        for index, obj in enumerate(found)
        if objects.is_crd(obj) and (defined := objects.defined_scope(obj))
    }
    needs: dict[int, list[int]] = {}
    for index, obj in enumerate(found):
        kind = kind_of(obj)
        candidates = [
            crds.get((kind.group, kind.kind)),
            by_reference.get(("", "Namespace", "", namespace_of(obj))),
            *(by_reference.get(reference) for reference in _stated(obj)),
        ]
        needs[index] = sorted({other for other in candidates if other is not None and other != index})
    try:
        sequence = list(TopologicalSorter(needs).static_order())
    except CycleError as error:
        names = ", ".join(objects.title(found[index]) for index in error.args[1])
        raise PluginError(f"these objects depend on each other in a circle: {names}") from None
    return [(index, needs[index]) for index in sequence]


def _reference(obj: Mapping[str, Any]) -> tuple[str, str, str, str]:
    kind = kind_of(obj)
    return kind.group, kind.kind, namespace_of(obj), name_of(obj)


def _stated(obj: Mapping[str, Any]) -> Iterable[tuple[str, str, str, str]]:
    for text in objects.annotation(obj, _DEPENDS_ON).split(","):
        parts = text.strip().split("/")
        if len(parts) == 3:
            yield parts[0], parts[1], "", parts[2]
        elif len(parts) == 5 and parts[1] == "namespaces":
            yield parts[0], parts[3], parts[2], parts[4]
        elif text.strip():
            raise PluginError(f"{objects.title(obj)}: cannot read {_DEPENDS_ON}: {text.strip()!r}")
