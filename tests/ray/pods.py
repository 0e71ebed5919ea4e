"""What a kubelet would make of Ray's container: its command, its variables and its files.

Pure functions of a Pod that the operator made, and of the Secrets that it names.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.local_ray import ADDRESS

ALL_ON_LOOPBACK = {"status.podIP": ADDRESS, "status.hostIP": ADDRESS}
_QUOTED_KEY = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]")
_PORT = re.compile(r"--(?P<flag>\S*port)=(?P<number>\d+)")

Secrets = Mapping[str, Mapping[str, bytes]]


@dataclass(frozen=True)
class File:
    """A file of a volume, with the mode that the volume gives it."""

    content: bytes
    mode: int


@dataclass(frozen=True)
class Container:
    """A container, with everything resolved that it refers to.

    Attributes:
        name: the Pod's name.
        command: with its arguments.
        environment: its variables.
        files: what the Pod's Secrets put into it, by absolute path.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    files: Mapping[str, File]


def secrets_of(items: list[dict[str, Any]]) -> dict[str, dict[str, bytes]]:
    """The Secrets of a namespace, decoded, by name."""
    return {
        each["metadata"]["name"]: {
            key: base64.b64decode(value) for key, value in each.get("data", {}).items()
        }
        for each in items
    }


def ray_container(pod: Mapping[str, Any], secrets: Secrets) -> Container:
    """Ray's container: the first, as KubeRay has it."""
    return container(pod, pod["spec"]["containers"][0], secrets)


def container(pod: Mapping[str, Any], which: Mapping[str, Any], secrets: Secrets) -> Container:
    """One container of a Pod."""
    return Container(
        name=pod["metadata"]["name"],
        command=(*which.get("command", ()), *which.get("args", ())),
        environment={each["name"]: _value(each, pod, secrets) for each in which.get("env", ())},
        files=_files(pod, which, secrets),
    )


def _value(variable: Mapping[str, Any], pod: Mapping[str, Any], secrets: Secrets) -> str:
    source = variable.get("valueFrom")
    if not source:
        return str(variable.get("value", ""))
    (kind, reference) = next(iter(source.items()))
    if kind == "secretKeyRef":
        return secrets[reference["name"]][reference["key"]].decode()
    assert kind == "fieldRef", f"{variable['name']} comes from {kind}, which this harness does not resolve"
    path = reference["fieldPath"]
    if path in ALL_ON_LOOPBACK:
        return ALL_ON_LOOPBACK[path]
    if quoted := _QUOTED_KEY.fullmatch(path):
        return str(pod["metadata"].get(quoted[1], {}).get(quoted[2], ""))
    found: Any = pod
    for part in path.split("."):
        found = found[part]
    return str(found)


def _files(pod: Mapping[str, Any], which: Mapping[str, Any], secrets: Secrets) -> dict[str, File]:
    volumes = {each["name"]: each for each in pod["spec"].get("volumes", ())}
    made = {}
    for mount in which.get("volumeMounts", ()):
        secret = volumes[mount["name"]].get("secret")
        if secret:
            mode = secret.get("defaultMode", 0o644)
            for key, content in secrets[secret["secretName"]].items():
                made[f"{mount['mountPath'].rstrip('/')}/{key}"] = File(content, mode)
    return made


def ports(command: str) -> dict[str, int]:
    """The ports that `ray start` is told, by the name of their parameter."""
    return {found["flag"]: int(found["number"]) for found in _PORT.finditer(command)}


def moved(command: str, first: int) -> tuple[str, dict[str, int]]:
    """A start command with ports of its own, since two nodes share the loopback, and what they are.

    Args:
        command: as the operator made it.
        first: of enough free ports in a row.
    """
    told = ports(command)
    workers = told["max-worker-port"] - told["min-worker-port"]
    others = [flag for flag in told if flag not in ("min-worker-port", "max-worker-port")]
    new = {flag: first + index for index, flag in enumerate(others)}
    new["min-worker-port"] = first + len(others)
    new["max-worker-port"] = new["min-worker-port"] + workers
    return _PORT.sub(lambda found: f"--{found['flag']}={new[found['flag']]}", command), new
