"""What a kubelet would make of a container: its command, its variables and its files.

Reads a Pod's template and what it names with the rights of an administrator, as the kubelet does.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.e2e.sandbox import Sandbox

_NAMED = re.compile(r"\$\(([A-Za-z_][A-Za-z0-9_]*)\)")


@dataclass(frozen=True)
class Container:
    """A container, with everything resolved that it refers to.

    Attributes:
        command: with its arguments; empty where the image says it.
        environment: its variables.
        files: what ConfigMaps and Secrets put into it, by absolute path.
        directories: where its volumes are, by absolute path.
    """

    command: tuple[str, ...]
    environment: Mapping[str, str]
    files: Mapping[str, bytes]
    directories: tuple[str, ...]


class Resolver:
    """Looks up what the Pods of a namespace refer to."""

    def __init__(self, sandbox: Sandbox, namespace: str) -> None:
        self._sandbox, self._namespace = sandbox, namespace

    def container(self, pod: Mapping[str, Any], index: int = 0) -> Container:
        """A container of a Pod, or of a Pod's template."""
        which = pod["spec"]["containers"][index]
        environment = dict(self._variables(which))
        command = [
            _NAMED.sub(lambda found: environment.get(found[1], found[0]), part)
            for part in (*which.get("command", ()), *which.get("args", ()))
        ]
        mounts = [(each["mountPath"].rstrip("/"), each) for each in which.get("volumeMounts", ())]
        volumes = {each["name"]: each for each in pod["spec"].get("volumes", ())}
        files = {
            path: content
            for place, mount in mounts
            for path, content in self._files(place, mount, volumes[mount["name"]])
        }
        return Container(tuple(command), environment, files, tuple(place for place, _ in mounts))

    def _variables(self, which: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        for source in which.get("envFrom", ()):
            kind, reference = next((kind, ref) for kind, ref in source.items() if kind != "prefix")
            data = self._data("secret" if kind == "secretRef" else "configmap", reference["name"])
            for key, value in data.items():
                yield source.get("prefix", "") + key, value.decode()
        for variable in which.get("env", ()):
            if "valueFrom" not in variable:
                yield variable["name"], variable.get("value", "")
                continue
            ((kind, reference),) = variable["valueFrom"].items()
            assert kind in ("secretKeyRef", "configMapKeyRef"), f"{variable['name']} comes from {kind}"
            optional = reference.get("optional", False)
            kind = "secret" if kind == "secretKeyRef" else "configmap"
            data = self._data(kind, reference["name"], optional=optional)
            if reference["key"] in data or not optional:
                yield variable["name"], data[reference["key"]].decode()

    def _files(
        self, place: str, mount: Mapping[str, Any], volume: Mapping[str, Any]
    ) -> Iterator[tuple[str, bytes]]:
        """The files of a volume, by path; none of one that starts empty."""
        if "secret" in volume:
            data = self._data("secret", volume["secret"]["secretName"])
        elif "configMap" in volume:
            data = self._data("configmap", volume["configMap"]["name"])
        else:
            assert "emptyDir" in volume, f"{volume['name']} is a volume that this does not resolve"
            return
        if "subPath" in mount:
            yield place, data[mount["subPath"]]
            return
        for key, content in data.items():
            yield f"{place}/{key}", content

    def _data(self, kind: str, name: str, *, optional: bool = False) -> dict[str, bytes]:
        there = self._sandbox.get(f"{kind}s", namespace=self._namespace)["items"]
        found = next((each for each in there if each["metadata"]["name"] == name), None)
        if found is None:
            assert optional, f"{kind} {name} is not there"
            return {}
        if kind == "secret":
            return {key: base64.b64decode(value) for key, value in found.get("data", {}).items()}
        return {key: value.encode() for key, value in found.get("data", {}).items()}
