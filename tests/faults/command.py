"""One command of `./rayfort`, as a process of its own, on a stack of the fault suite.

    python -m tests.faults.command ORDER up|preview|down [OPTION]...

It is the command line itself with its messages and exit codes. `ORDER` is JSON: `overrides` is laid over the
stack file, `program` names what the stack is. `down` deletes the stack's objects and leaves the control
plane, which all faults share.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import sandbox.environment
from cli import __main__ as command_line
from cli.commands import sandbox as commands
from cli.messages import progress
from infra import program
from sandbox.environment import Environment
from sandbox.stack import SandboxStack
from tests.faults import small

ROOT = Path(__file__).resolve().parents[2]


class SharedPlane(Environment):
    """A sandbox whose control plane outlives `down`."""

    def down(self, *, force: bool = False) -> bool:
        """Delete the platform, and nothing else."""
        with self._ready() as (stack, _):
            if not stack.exists:
                return False
            self._pulumi("Delete the platform", stack.destroy)
            return True


class WithoutPolicies(SandboxStack):
    """The small stack: what holds for every stack is not asked anew after every fault."""

    @property
    def _policies(self) -> list[str]:
        return []


class WithoutWorkspaces(SandboxStack):
    """A stack with no workspace, hence without its secret settings."""

    def _secrets(self) -> dict[str, str]:
        return {}


def run(order: dict[str, Any], arguments: list[str]) -> None:
    """Run one command; ends the process."""
    overrides = order["overrides"]
    if order["program"] == "small":
        program.main = small.main
        sandbox.environment.SandboxStack = WithoutPolicies  # type: ignore[misc]
    elif order["program"] == "base":
        sandbox.environment.SandboxStack = WithoutWorkspaces  # type: ignore[misc]
    state = Path(os.environ["RAYFORT_STATE"])
    commands.find_environment = lambda **_: SharedPlane(ROOT, progress(), state=state, overrides=overrides)
    sys.argv = ["rayfort", *arguments]
    command_line.main()


if __name__ == "__main__":
    run(json.loads(sys.argv[1]), sys.argv[2:])
