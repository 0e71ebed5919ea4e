"""A sandbox with simulated nodes for measurements, and settings for many workspaces."""

from __future__ import annotations

import copy
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, cast

from rayfort.model import merge

from sandbox import engine, node_kind
from sandbox.changes import Changes
from sandbox.endpoints import Endpoints
from sandbox.environment import Environment
from sandbox.node_kind import NodeKind
from sandbox.progress import Progress
from sandbox.stack import SandboxStack, written

Program = Callable[[], Awaitable[None]]
# What is measured is the mesh, the operator and the workspaces: the hub is the same for any number of them.
_WITHOUT: Final = {"kbatch": None, "jupyterhub": None}
# A hundredth of what the sandbox's own workspace asks for, so that simulated nodes have room for hundreds.
_SMALL: Final = {"resources": {"cpu": "10m", "memory": "2Gi"}}


def workspaces(root: Path, state: Path, count: int, *, changed: bool = False) -> dict[str, Any]:
    """Settings for so many workspaces, each with the sandbox's own Ray cluster, laid over its stack file.

    Args:
        root: the checkout.
        state: the sandbox's directory.
        count: how many.
        changed: give the last one another limit of its quota, so that there is one thing to change.
    """
    [first, *_] = written(root, state)["workspaces"]
    team = {**first, "quota": {"requests.cpu": "64"}}
    [cluster] = copy.deepcopy(first["clusters"])
    cluster["head"] = merge(cluster["head"], _SMALL)
    cluster["workerGroups"] = [merge(group, _SMALL) for group in cluster["workerGroups"]]
    made = [{**team, "name": f"team-{index:04}", "clusters": [cluster]} for index in range(1, count + 1)]
    if changed:
        made[-1] = {**made[-1], "quota": {"requests.cpu": "32"}}
    return {**_WITHOUT, "workspaces": made}


_WITHOUT_CHECKPOINTS: Final = {"PULUMI_EXPERIMENTAL": "true", "PULUMI_SKIP_CHECKPOINTS": "true"}


class Plane(Environment):
    """A sandbox for measurements.

    Args:
        root: the checkout.
        progress: where long work is shown.
        state: the sandbox's directory.
        overrides: laid over the stack file's values.
        program: run in the place of the platform's.
        checkpoints: whether the engine writes its whole state before and after each resource, as always; else
            at the end only.
    """

    def __init__(
        self,
        root: Path,
        progress: Progress,
        *,
        state: Path,
        overrides: Mapping[str, Any],
        program: Program | None = None,
        checkpoints: bool = True,
    ) -> None:
        super().__init__(root, progress, state=state, overrides=overrides)
        self._program = program
        self._checkpoints = checkpoints

    def start(self) -> None:
        """Start the control plane and have the engine ready, and ask it for nothing."""
        node_kind.choose(self.state, NodeKind.SIMULATED, lambda: None)
        with self._ready():
            pass

    def provision(self) -> Changes:
        """What `up` does on a sandbox that runs."""
        with self._ready() as (stack, _):
            return self._pulumi("Provision the platform", stack.up)

    def delete(self) -> None:
        """Delete what Pulumi made, and keep the control plane."""
        with self._ready() as (stack, _):
            self._pulumi("Delete the platform", stack.destroy)

    def resources(self) -> list[dict[str, Any]]:
        """What the stack's state says about each resource, with secrets, in an order of creation."""
        with self._ready() as (stack, _):
            return cast("_Stack", stack).resources()

    @property
    def state_bytes(self) -> int:
        """The size of the stack's state; 0 where there is none."""
        files = (self.state / "engine" / "backend" / ".pulumi" / "stacks").rglob("*.json")
        return sum(file.stat().st_size for file in files)

    def _stack(self, tools: Mapping[str, Path], endpoints: Endpoints) -> tuple[SandboxStack, tuple[str, ...]]:
        made = engine.prepare(self.state, self.root, tools, endpoints.api_server, self.progress)
        if not self._checkpoints:
            made = replace(made, environment={**made.environment, **_WITHOUT_CHECKPOINTS})
        stack = _Stack(self.root, self.state, made, endpoints, self._overrides)
        stack.other = self._program
        return stack, made.stand_ins


class _Stack(SandboxStack):
    other: Program | None = None

    async def _program(self) -> None:
        if self.other is None:
            await super()._program()
        else:
            await self.other()

    def resources(self) -> list[dict[str, Any]]:
        """What the state says about each resource, with secrets."""
        shown = ("stack", "export", "--show-secrets")
        exported = self._pulumi(self._engine.home / "project", "the state cannot be read", *shown)
        found: list[dict[str, Any]] = json.loads(exported)["deployment"]["resources"]
        return found
