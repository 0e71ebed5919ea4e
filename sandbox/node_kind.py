"""Which kind of nodes a sandbox has: asked for, chosen by what the machine can do, and then kept."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from sandbox.processes import SandboxError, write_private


class NodeKind(StrEnum):
    """`real`: a kubelet runs containers. `simulated`: kwok plays the kubelets."""

    REAL = "real"
    SIMULATED = "simulated"


@dataclass(frozen=True)
class Choice:
    """The kind, and why it is the simulated one where nobody asked for that."""

    kind: NodeKind
    why_simulated: str | None = None


def read(state: Path) -> NodeKind | None:
    """The kind of the sandbox in `state`; None if it never ran."""
    try:
        return NodeKind(_file(state).read_text().strip())
    except (OSError, ValueError):
        return None


def choose(state: Path, asked: NodeKind | None, obstacle: Callable[[], str | None]) -> Choice:
    """The kind to start, which is kept until the sandbox is removed.

    Args:
        state: the sandbox's directory.
        asked: what the user wants; None for the best that the machine can do.
        obstacle: tells why the machine cannot run a real node, if it cannot.

    Raises:
        SandboxError: if the sandbox has the other kind, or the machine cannot run what was asked for.
    """
    there = read(state)
    if there and asked not in (None, there):
        raise SandboxError(
            f"This sandbox has {there} nodes. Remove it with `./rayfort down`, then run "
            f"`./rayfort up --nodes {asked}`."
        )
    if there is NodeKind.SIMULATED or asked is NodeKind.SIMULATED:
        choice = Choice(NodeKind.SIMULATED, None if asked else obstacle())
    else:
        reason = obstacle()
        if reason and NodeKind.REAL in (asked, there):
            raise SandboxError(
                f"Real nodes cannot run here: {reason} `./rayfort doctor` shows all that is missing; "
                "`./rayfort up --nodes simulated` does without."
            )
        choice = Choice(NodeKind.SIMULATED if reason else NodeKind.REAL, reason)
    write_private(_file(state), f"{choice.kind}\n")
    return choice


def _file(state: Path) -> Path:
    return state / "nodes"
