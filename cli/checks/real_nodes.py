"""Which kind of node `up` will choose on this machine, and what a real one lacks."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cli.checks import Check, State
from sandbox import host, node_kind
from sandbox.environment import STATE_DIRECTORY
from sandbox.node_kind import NodeKind

REAL: Final = "`up` chooses real nodes, on which Ray computes"
SIMULATED: Final = "`up` chooses simulated nodes, on which no container runs; Ray computes nothing there"
KEPT: Final = "this sandbox has {} nodes, as when it was made"
ANEW: Final = "run `./rayfort down` first for another kind"
_ROOT: Final = Path(__file__).resolve().parents[2]


def kind() -> NodeKind:
    """The kind that `up` will choose, or has chosen."""
    state = _state()
    return node_kind.read(state) or (NodeKind.SIMULATED if host.obstacles(state) else NodeKind.REAL)


def checks() -> Iterator[Check]:
    """The choice, then everything that stands in the way of a real node; nothing of it is missing, since the
    sandbox works without."""
    state = _state()
    kept = node_kind.read(state)
    # A real node that is there already has its memory and disk.
    found = host.obstacles(state, room=kept is not NodeKind.REAL)
    if kept:
        yield Check("nodes", State.OK, KEPT.format(kept), ANEW)
    else:
        yield Check("nodes", State.WARN if found else State.OK, SIMULATED if found else REAL)
    for obstacle in found:
        yield Check(f"real nodes, {obstacle.subject}", State.WARN, obstacle.problem, obstacle.remedy)


def _state() -> Path:
    return Path(os.environ.get("RAYFORT_STATE") or _ROOT / STATE_DIRECTORY)
