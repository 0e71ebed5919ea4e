"""What a stack would create, found by running the real program against a recorder instead of an engine.

Nothing is asked of a cluster, a provider or a network: what only a cluster can say is unknown. Secrets are
masked here, before anything else sees them.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from google.protobuf import json_format
from pydantic import SecretStr

from cli.recorder import SECRET_TYPE, STACK_TYPE, Recording, Registration, record
from cli.stacks import MASK, StackFile
from cli.wire import UNKNOWN, Reader, join
from infra.cluster_settings import ExistingClusterSettings
from infra.problems import Problem, SettingsError
from infra.program import provision
from infra.reading import decode, parse
from infra.settings import Settings
from infra.weakened import weakened

PROVIDER_PREFIX: Final = "pulumi:providers:"

Json = dict[str, Any]


@dataclass(frozen=True)
class Resource:
    """A resource that the program registers.

    Attributes:
        path: where it stands in the tree, such as ``RayWorkspace:team-a/Namespace:team-a``; unique, and
            the same on every machine.
        type: Pulumi's type token.
        name: its name in Pulumi.
        role: ``component``, ``provider`` or ``resource``.
        component: the path of the component that made it; None at the top.
        inputs: what the program says about it, as plain data with sorted keys; masked.
        secret_keys: where in ``inputs`` a secret was masked.
        unknown_keys: where in ``inputs`` a value is not known before `up`.
        depends_on: paths of the resources that come before it, without those that come before these.
        options: what the program asks of the engine, such as ``retainOnDelete``.
    """

    path: str
    type: str
    name: str
    role: str
    component: str | None
    inputs: Json
    secret_keys: tuple[str, ...]
    unknown_keys: tuple[str, ...]
    depends_on: tuple[str, ...]
    options: Json

    @property
    def kind(self) -> str:
        """The last part of the type: a Kubernetes kind or a component's class."""
        return self.type.rpartition(":")[2]


@dataclass(frozen=True)
class Plan:
    """What a stack would create.

    Attributes:
        stack: the stack's name.
        resources: in the order in which the program makes them; a parent comes before its children.
        outputs: the stack's outputs, masked.
        weakened: the defaults that the stack switched off.
        notes: what a reader of the plan should know.
        problems: what would make `up` fail although every setting is fine by itself.
    """

    stack: str
    resources: tuple[Resource, ...]
    outputs: Json
    weakened: tuple[str, ...]
    notes: tuple[str, ...]
    problems: tuple[str, ...]


def settings_of(stack: StackFile) -> Settings:
    """The stack's settings, with masks where its file is encrypted.

    Raises:
        SettingsError: with every mistake.
    """
    whole = sorted(stack.secrets & stack.program_config.keys())
    if whole:
        text = "is encrypted as a whole and cannot be read here; encrypt only the secret values in it, with "
        raise SettingsError([Problem(key, f"{text}`pulumi config set --secret --path`") for key in whole])
    try:
        return parse(decode(stack.program_config))
    except SettingsError as error:
        raise SettingsError([_with_hint(problem, stack.secrets) for problem in error.problems]) from None


def plan(stack: StackFile) -> Plan:
    """Run the program for a stack, offline.

    The same stack file gives the same plan on every machine: paths in it stay relative, and no kubeconfig
    is read.

    Raises:
        SettingsError: if the stack's settings are not valid.
    """
    settings = settings_of(stack)
    offline, notes = without_credentials(settings)

    def program() -> None:
        provision(offline, Path())

    recording = record(program, stack.namespace, stack.name)
    resources = tuple(_resources(recording))
    return Plan(
        stack=stack.name,
        resources=resources,
        outputs=Reader().object(recording.outputs),
        weakened=tuple(weakened(settings)),
        notes=(*_about_encryption(stack), *notes, *recording.warnings),
        problems=(*recording.errors, *_repeated(recording), *_duplicates(resources)),
    )


def _with_hint(problem: Problem, secrets: Iterable[str]) -> Problem:
    if any(key.startswith(problem.key) for key in secrets):
        return Problem(problem.key, f"{problem.text} (it holds encrypted values, which are not read here)")
    return problem


def _about_encryption(stack: StackFile) -> Iterator[str]:
    count = len(stack.secrets)
    if count:
        values = "1 encrypted value is" if count == 1 else f"{count} encrypted values are"
        yield f"{values} not decrypted and shown as {MASK}"


def without_credentials(settings: Settings) -> tuple[Settings, list[str]]:
    """The settings with a kubeconfig that leads nowhere, unless the stack file holds a readable one."""
    cluster = settings.cluster
    if not isinstance(cluster, ExistingClusterSettings):
        return settings, []  # its kubeconfig is known after `up` only
    if cluster.stack:
        return settings, [f"the kubeconfig is an output of stack {cluster.stack}, which is not asked"]
    if cluster.kubeconfig and cluster.kubeconfig.get_secret_value() != MASK:
        return settings, []
    source = cluster.kubeconfig_path or "the encrypted one"
    stand_in = {
        "apiVersion": "v1",
        "kind": "Config",
        "contexts": [{"name": cluster.context, "context": {"cluster": "offline", "user": "offline"}}],
        "clusters": [{"name": "offline", "cluster": {"server": "https://offline.invalid"}}],
        "users": [{"name": "offline", "user": {}}],
    }
    update = {"kubeconfig": SecretStr(json.dumps(stand_in)), "kubeconfig_path": None}
    note = f"the kubeconfig ({source}) is not read; `doctor` checks it"
    return settings.model_copy(update={"cluster": cluster.model_copy(update=update)}), [note]


def _resources(recording: Recording) -> Iterator[Resource]:
    paths = _paths(recording.registrations)
    before = _Order(recording.registrations)
    for made in recording.registrations:
        if made.request.type != STACK_TYPE:
            yield _resource(made, paths, before)


def _resource(made: Registration, paths: Mapping[str, str], before: "_Order") -> Resource:
    request = made.request
    reader = Reader(paths, keep_keys=request.type == SECRET_TYPE)
    inputs = reader.object(request.object)
    for name, keys in made.secret_data.items():
        if inputs.get(name) == MASK and keys:
            inputs[name] = dict.fromkeys(keys, MASK)
            reader.secrets.remove(name)
            reader.secrets += [join(name, key) for key in keys]
    return Resource(
        path=paths[made.urn],
        type=request.type,
        name=request.name,
        role=_role(request),
        component=paths.get(request.parent) or None,
        inputs=inputs,
        secret_keys=tuple(sorted(reader.secrets)),
        unknown_keys=tuple(sorted(reader.unknowns)),
        depends_on=tuple(sorted(paths[urn] for urn in before.direct(made.urn))),
        options=_options(made, paths),
    )


def _options(made: Registration, paths: Mapping[str, str]) -> Json:
    """What the program asks of the engine; only what it sets."""
    request = made.request
    timeouts = json_format.MessageToDict(request.customTimeouts)
    options: Json = {
        "provider": paths.get(request.provider.rpartition("::")[0]),
        "protect": request.protect or any(opts.protect for opts in made.transforms),
        "retainOnDelete": request.retainOnDelete or any(opts.retain_on_delete for opts in made.transforms),
        "ignoreChanges": list(request.ignoreChanges),
        "replaceOnChanges": list(request.replaceOnChanges),
        "deleteBeforeReplace": request.deleteBeforeReplace,
        "deletedWith": paths.get(request.deletedWith),
        "customTimeouts": dict(sorted(timeouts.items())),
    }
    return {name: value for name, value in sorted(options.items()) if value}


def _role(request: Any) -> str:
    if not request.custom:
        return "component"
    return "provider" if request.type.startswith(PROVIDER_PREFIX) else "resource"


def _paths(registrations: Iterable[Registration]) -> dict[str, str]:
    """A path for every URN: the kinds and names from the top of the tree down, each path once."""
    paths: dict[str, str] = {}
    taken: set[str] = set()
    for made in registrations:
        request = made.request
        if request.type == STACK_TYPE:
            paths[made.urn] = ""
            continue
        parent = paths[request.parent]
        above = f"{parent}/" if parent else ""
        path = f"{above}{request.type.rpartition(':')[2]}:{request.name}"
        if path in taken:  # the same kind in two API groups
            path = f"{above}{request.type}:{request.name}"
        taken.add(path)
        paths[made.urn] = path
    return paths


class _Order:
    """What comes before what, as sets of positions packed into integers."""

    def __init__(self, registrations: Iterable[Registration]) -> None:
        self._urns = [made.urn for made in registrations]
        self._number = {urn: number for number, urn in enumerate(self._urns)}
        self._direct: dict[str, set[str]] = {}
        self._before: dict[str, int] = {}
        for made in registrations:
            self._direct[made.urn] = {
                urn for urn in made.request.dependencies if urn in self._number and urn != made.urn
            }
            self._before[made.urn] = 0
            for urn in self._direct[made.urn]:
                self._before[made.urn] |= self._before.get(urn, 0) | 1 << self._number[urn]

    def direct(self, urn: str) -> list[str]:
        """What must come before, without what comes before that anyway."""
        indirect = 0
        for other in self._direct[urn]:
            indirect |= self._before[other]
        return [other for other in self._direct[urn] if not indirect >> self._number[other] & 1]


def _repeated(recording: Recording) -> list[str]:
    return [
        f"{urn.rpartition('::')[2]} ({urn.split('::')[2]}) is registered twice" for urn in recording.repeated
    ]


def _duplicates(resources: Iterable[Resource]) -> list[str]:
    """Objects that two resources describe: the second one would fail, or both would fight."""
    objects = Counter(found for resource in resources if (found := identity(resource)))
    return [
        f"{' '.join(part for part in found if part)} is described {count} times"
        for found, count in objects.items()
        if count > 1
    ]


def identity(resource: Resource) -> tuple[str, str, str, str] | None:
    """API group, kind, namespace and name of a Kubernetes object; None for anything else, or unknown."""
    inputs = resource.inputs
    metadata = inputs.get("metadata")
    if not {"apiVersion", "kind"} <= inputs.keys() or not isinstance(metadata, dict):
        return None
    name = metadata.get("name")
    if not name or name == UNKNOWN:
        return None
    return inputs["apiVersion"].rpartition("/")[0], inputs["kind"], metadata.get("namespace", ""), name
