"""What the commands share: the sandbox they work on, how they are interrupted, and how they fail."""

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from rich.console import Console

from cli import exits
from sandbox.node_kind import NodeKind

ROOT = Path(__file__).resolve().parents[2]
out = Console(soft_wrap=True)
T = TypeVar("T")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
PASS_THROUGH = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


class Interrupted(Exception):
    """Ctrl-C, as an exception that typer leaves to `main`."""


def find_environment(*, starts: bool = False, nodes: NodeKind | None = None) -> Any:
    """The sandbox. A command on one that is root's goes on as root.

    Args:
        starts: whether the command starts a sandbox where there is none.
        nodes: the kind of nodes that it starts.
    """
    from cli.messages import progress
    from sandbox import elevate
    from sandbox.environment import STATE_DIRECTORY, Environment
    from sandbox.host import why_not_real

    elsewhere = os.environ.get("RAYFORT_STATE")
    state = Path(elsewhere).absolute() if elsewhere else ROOT / STATE_DIRECTORY
    if (starts or state.exists()) and elevate.needed(state, nodes, lambda: why_not_real(state), os.geteuid()):
        elevate.run_as_root(ROOT / "rayfort", sys.argv[1:])
    return Environment(ROOT, progress(), state=state)


def interruptible(work: Callable[[], T]) -> T:
    """Run `work` so that one Ctrl-C lets Pulumi finish what it is doing and stop by itself.

    The engine is in the same process group and gets the signal as well; leaving it at once would strand
    half-made objects. A second Ctrl-C leaves.
    """
    result: list[T] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            result.append(work())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    interrupted = False
    while thread.is_alive():
        try:
            thread.join(0.2)
        except KeyboardInterrupt:
            if interrupted:
                raise Interrupted from None
            interrupted = True
            print("rayfort: stopping; once more to leave at once", file=sys.stderr)
    if interrupted:
        raise Interrupted
    if failure:
        raise failure[0]
    return result[0]


def fail(message: str, code: int = exits.FAILED) -> NoReturn:
    """End the command with one message."""
    print(f"rayfort: {message}", file=sys.stderr)
    raise typer.Exit(code)


def stack_names() -> list[str]:
    """The stacks of the checkout, for completion."""
    from cli.stacks import names

    return names(ROOT)
