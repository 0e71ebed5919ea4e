"""Credentials in what everybody may read who may read the objects: specifications, values, state."""

from collections.abc import Callable, Iterator
from typing import Any, Final

import yaml

from rayfort.policies import credentials
from rayfort.policies.kinds import (
    RAY_GROUP,
    RAY_KINDS,
    is_kind,
    is_release,
    kind_of,
    pods,
    ray_clusters,
    texts,
)
from rayfort.policies.rule import Config, Finding, Level, Resource, ResourceRule, Unproven, Violation
from rayfort.policies.values import UNKNOWN, Node, SecretText, Segment

# Texts of the Ray kinds that are YAML themselves.
_EMBEDDED: Final = frozenset({"runtimeEnvYAML", "serveConfigV2"})
_ENTRYPOINT: Final = "entrypoint"
_ENVIRONMENTS: Final = frozenset({"env_vars", "envVars"})
# Where they are large and hold no credentials, or hold nothing else.
_NOT_READ: Final = frozenset({("", "Secret"), ("yaml", "ConfigGroup"), ("yaml", "ConfigFile")})
_DEFINITIONS: Final = "apiextensions.k8s.io"
_PROVIDER: Final = "pulumi:providers:kubernetes"
_INTO_SECRET: Final = "put it into a Secret"  # noqa: S105 - words
_TO_NETRC: Final = (
    "leave it out, and put it into the workspace's netrc, which Rayfort mounts, or into a Secret"
)


def _uris(resource: Resource, _: Config) -> Iterator[Finding]:
    for node, kind in _found(resource, credentials.in_url):
        yield Violation(node.where, f"holds {kind}; {_TO_NETRC}")
    if is_kind(resource, RAY_GROUP, *RAY_KINDS):
        for node in resource.root.walk():
            if node.unknown and node.path[-1] in (*_EMBEDDED, _ENTRYPOINT):
                yield Unproven(node.where)


def _literals(resource: Resource, _: Config) -> Iterator[Finding]:
    for node, kind in _found(resource, credentials.in_text):
        yield Violation(node.where, f"holds {kind}; {_INTO_SECRET}")
    if not _is_read(resource):
        return
    root = _opened(resource)
    for node in root.walk():
        yield from _variable(node)
        if node.path and node.path[-1] in _ENVIRONMENTS:
            yield from _named(node)
    if is_release(resource):
        for node in root["values"].walk():
            yield from _named(node, in_chart=True)
    if is_kind(resource, "", "ConfigMap"):
        yield from _named(root["data"], in_chart=True)
    yield from _ray_passwords(resource)
    yield from _commands(resource)


def _variable(node: Node) -> Iterator[Finding]:
    """An item of an ``env`` list."""
    if node.unknown and node.path[-1:] == ("env",):
        yield Unproven(node.where)
    if len(node.path) < 2 or node.path[-2] != "env":
        return
    name, value = node["name"], node["value"]
    if not credentials.names_credential(name.text):
        return
    if value.unknown:
        yield Unproven(value.where)
    elif credentials.is_literal(value.value):
        yield Violation(value.where, f"is the value of {name.text}; use valueFrom.secretKeyRef")


def _named(entries: Node, *, in_chart: bool = False) -> Iterator[Finding]:
    """Entries of an object whose names say that they hold a credential."""
    for name, node in entries.fields():
        if credentials.names_credential(name, in_chart=in_chart) and credentials.is_literal(node.value):
            yield Violation(node.where, f"holds a credential by its name; {_INTO_SECRET}")


def _ray_passwords(resource: Resource) -> Iterator[Finding]:
    for cluster in ray_clusters(resource):
        password = cluster.at("gcsFaultToleranceOptions", "redisPassword", "value")
        groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"].items()]
        for node in (password, *(group.at("rayStartParams", "redis-password") for group in groups)):
            if node.unknown:
                yield Unproven(node.where)
            elif credentials.is_literal(node.value):
                yield Violation(node.where, "is Redis' password; use redisPassword.valueFrom.secretKeyRef")


def _commands(resource: Resource) -> Iterator[Finding]:
    job = resource.root["spec"]
    nodes = [job[_ENTRYPOINT], job.at("jobTemplate", _ENTRYPOINT)]
    lines = [(node, node.text) for node in nodes]
    for each in pods(resource):
        for container in each.containers():
            for name in ("command", "args"):
                words = [item.text for item in container[name].items()]
                lines.append((container[name], " ".join(words)))
    for node, text in lines:
        option = credentials.in_command(text)
        if option:
            yield Violation(
                node.where, f"{option} is given a credential, and process lists show it; use a file"
            )


def _is_read(resource: Resource) -> bool:
    kind = kind_of(resource)
    return kind is not None and kind not in _NOT_READ and kind[0] != _DEFINITIONS


def _found(resource: Resource, search: Callable[[str], str | None]) -> Iterator[tuple[Node, str]]:
    """The texts of an object that is no Secret in which a search finds something, each with what it found.

    Embedded YAML is searched as text too, for its comments, and named where nothing inside it was.
    """
    if not _is_read(resource):
        return
    found: dict[tuple[Segment, ...], tuple[Node, str]] = {}
    for node in (*texts(_opened(resource)), *texts(resource.root)):
        kind = search(node.text)
        if kind and not any(path[: len(node.path)] == node.path for path in found):
            found[node.path] = (node, kind)
    yield from found.values()


def _opened(resource: Resource) -> Node:
    """The properties with embedded YAML parsed, where it can be."""
    return Node(_open(resource.properties))


def _open(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _load(item) if key in _EMBEDDED else _open(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_open(item) for item in value]
    return value


def _load(value: Any) -> Any:
    try:
        return yaml.safe_load(value) if isinstance(value, str) else value
    except yaml.YAMLError:
        return value


def _plain_secrets(resource: Resource, _: Config) -> Iterator[Finding]:
    if is_kind(resource, "", "Secret"):
        for place in ("data", "stringData"):
            for _name, node in resource.root[place].fields():
                if node.value is UNKNOWN:
                    yield Unproven(node.where)
                elif node.text and not isinstance(node.value, SecretText):
                    yield Violation(
                        node.where,
                        "is plain text to Pulumi, and its state and log show it; use pulumi.Output.secret or "
                        "an encrypted setting",
                    )
    elif resource.type == _PROVIDER:
        node = resource.root["kubeconfig"]
        if node.value is UNKNOWN:
            yield Unproven(node.where)
        elif node.text and not isinstance(node.value, SecretText) and _logs_in(_parsed(node.text)):
            yield Violation(
                node.where,
                "holds a login and is plain text to Pulumi, whose state shows it; use pulumi.Output.secret",
            )


def _parsed(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return None


def _logs_in(kubeconfig: Any) -> bool:
    """Whether a kubeconfig holds a credential and not only a way to get one."""
    users = (user["user"] for user in Node(kubeconfig)["users"].items())
    return any(user[name].text for user in users for name in ("token", "password", "client-key-data"))


RULES: Final = (
    ResourceRule(
        name="no-credentials-in-uris",
        description="No URI holds a credential.",
        why="URIs end in logs, directory names and dashboards: Ray names its working directories after them.",
        development=Level.MANDATORY,
        check=_uris,
    ),
    ResourceRule(
        name="no-literal-credentials",
        description="No credential stands in a specification, an environment, a command or a chart's values.",
        why="Who may read an object reads it there, which is more people than may read Secrets.",
        development=Level.MANDATORY,
        check=_literals,
    ),
    ResourceRule(
        name="secrets-encrypted-in-state",
        description="Pulumi knows what is secret.",
        why="What is not marked as secret stands in Pulumi's state, previews and log in clear text.",
        development=Level.MANDATORY,
        check=_plain_secrets,
    ),
)
