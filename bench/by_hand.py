"""The platform's objects with helm and kubectl, in the order in which a careful person types it.

Releases come one after the other, since each guide says so and waits for the one before; all objects go into
one `kubectl apply`, which is the fastest that a person can do.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rayfort.labels import WAIT_FOR

from bench.testbed import BenchError
from cli.manifests import RELEASE_TYPE
from sandbox.proxies import direct
from sandbox.yaml_text import as_yaml

_SECRET: Final = "4dabf18193072939515e22adb298388d"  # noqa: S105 - what Pulumi marks a secret in a state with
_LIMIT: Final = "900s"

Json = dict[str, Any]


@dataclass(frozen=True)
class Recipe:
    """What there is to do.

    Attributes:
        namespaces, objects: manifests.
        releases: what Pulumi's resource says about each, in an order in which they can be installed.
        awaited: for kinds that one waits for, the condition by kind.
    """

    namespaces: tuple[Json, ...]
    releases: tuple[Json, ...]
    objects: tuple[Json, ...]
    awaited: Mapping[str, str]


def recipe(resources: Iterable[Mapping[str, Any]]) -> Recipe:
    """What makes the same as a stack, from the resources in its state with their secrets."""
    namespaces: list[Json] = []
    releases: list[Json] = []
    objects: list[Json] = []
    awaited: dict[str, str] = {}
    for each in resources:
        inputs = plain(each.get("inputs", {}))
        if each["type"] == RELEASE_TYPE:
            releases.append(inputs)
        elif {"apiVersion", "kind"} <= inputs.keys():
            (namespaces if inputs["kind"] == "Namespace" else objects).append(inputs)
            condition = inputs["metadata"].get("annotations", {}).get(WAIT_FOR)
            if condition:
                awaited[inputs["kind"]] = condition
    return Recipe(tuple(namespaces), tuple(releases), tuple(objects), awaited)


def plain(value: Any) -> Any:
    """A value of a state without Pulumi's marks on secrets."""
    if isinstance(value, Mapping):
        if _SECRET in value and "plaintext" in value:
            return plain(json.loads(value["plaintext"]))
        return {key: plain(item) for key, item in value.items() if key != "__defaults"}
    return [plain(item) for item in value] if isinstance(value, list) else value


@dataclass(frozen=True)
class Hands:
    """helm and kubectl on a cluster.

    Attributes:
        kubectl, helm: the programs.
        kubeconfig: of the cluster.
        server: its URL, which is reached without a proxy.
    """

    kubectl: Path
    helm: Path
    kubeconfig: Path
    server: str

    def install(self, todo: Recipe) -> None:
        """Make everything, and wait for what Rayfort waits for."""
        self._apply(todo.namespaces)
        for each in todo.releases:
            self._helm(
                "install",
                each["name"],
                each["chart"],
                *(["--skip-crds"] if each.get("skipCrds") else []),
                *("--wait", "--timeout", _LIMIT, "--namespace", each["namespace"], "--values", "-"),
                told=as_yaml(each.get("values") or {}),
            )
        self._apply(todo.objects)
        for kind, condition in todo.awaited.items():
            self._kubectl("wait", kind, "--all", "-A", f"--for={condition}", f"--timeout={_LIMIT}")

    def remove(self, todo: Recipe) -> None:
        """Remove everything again."""
        for kind in todo.awaited:
            self._kubectl("delete", kind, "--all", "-A", "--timeout", _LIMIT)
        self._delete(todo.objects)
        for each in reversed(todo.releases):
            self._helm("uninstall", each["name"], "--namespace", each["namespace"], "--wait")
        self._delete(todo.namespaces)
        self.clear()

    def clear(self) -> None:
        """Delete the definitions that Istio's chart keeps: a second time would be quicker with them."""
        self._kubectl("delete", "customresourcedefinitions", "--all", "--timeout", _LIMIT)

    def _apply(self, objects: Iterable[Json]) -> None:
        self._kubectl("apply", "--server-side", "-f", "-", told=_documents(objects))

    def _delete(self, objects: Iterable[Json]) -> None:
        gone = ("--ignore-not-found", "--timeout", _LIMIT)
        self._kubectl("delete", "-f", "-", *gone, told=_documents(objects))

    def _kubectl(self, *arguments: str, told: str = "") -> None:
        self._run(self.kubectl, *arguments, told=told)

    def _helm(self, *arguments: str, told: str = "") -> None:
        self._run(self.helm, *arguments, told=told)

    def _run(self, program: Path, *arguments: str, told: str) -> None:
        done = subprocess.run(
            [str(program), "--kubeconfig", str(self.kubeconfig), *arguments],
            input=told,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise BenchError(f"{program.name} {arguments[0]} failed by hand:\n{done.stderr.strip()[-2000:]}")

    @property
    def _environment(self) -> dict[str, str]:
        return direct(dict(os.environ), self.server)


def _documents(objects: Iterable[Json]) -> str:
    return "".join(f"---\n{as_yaml(each)}\n" for each in objects)
