"""`doctor`: what is missing on this machine, for which stack, and what to do about it."""

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from cli import exits
from cli.checks import Check, State, checkout, cluster, kind, sandbox
from cli.offline import settings_of
from cli.stacks import StackFile, StackFileError, load, names
from infra.cluster_settings import KindClusterSettings
from infra.problems import SettingsError
from sandbox.stack import STACK

_STYLES: Final = {State.OK: "green", State.LATER: "cyan", State.WARN: "yellow", State.MISSING: "bold red"}


@dataclass(frozen=True)
class Section:
    """What belongs together.

    Attributes:
        title: what it is about.
        needed: whether something missing here counts for the exit code.
        checks: in the order in which to read them.
    """

    title: str
    needed: bool
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is missing."""
        return all(check.state is not State.MISSING for check in self.checks)


def doctor(root: Path, stack: str | None, console: Console, *, json_output: bool = False) -> int:
    """Say what is missing, and what to do.

    Args:
        root: the project's directory.
        stack: the stack to look at; None for all, of which only the sandbox has to be fine.
        console: where to print.
        json_output: print JSON.

    Returns:
        0 when everything that is needed is there or can be got; 1 otherwise; 2 where there is no such stack.
    """
    try:
        found = list(sections(root, stack))
    except StackFileError as error:
        print(f"rayfort: {error}", file=sys.stderr)
        return exits.USAGE
    fine = all(section.ok for section in found if section.needed)
    if json_output:
        console.out(_json(found, fine), highlight=False)
    else:
        for line in _lines(found):
            console.print(line, soft_wrap=True)
    return 0 if fine else exits.FAILED


def sections(root: Path, stack: str | None) -> Iterator[Section]:
    """Every section.

    Raises:
        StackFileError: if the stack that was asked for cannot be read.
    """
    chosen = load(root, stack) if stack else None
    yield Section("this checkout", True, tuple(checkout.checks(root)))
    if chosen:
        yield Section(f"stack {chosen.name}", True, tuple(_stack(root, chosen, ask=True)))
        return
    for name in sorted(names(root), key=lambda name: (name != STACK, name)):
        try:
            checks = tuple(_stack(root, load(root, name), ask=False))
        except StackFileError as error:
            checks = (Check("stack file", State.MISSING, str(error)),)
        yield Section(f"stack {name}", name == STACK, checks)


def _stack(root: Path, stack: StackFile, *, ask: bool) -> Iterator[Check]:
    try:
        settings = settings_of(stack)
    except SettingsError as error:
        for problem in error.problems:
            yield Check("settings", State.MISSING, str(problem), f"correct it in {stack.path}")
        return
    yield Check("settings", State.OK, str(stack.path))
    yield from sandbox.checks() if stack.name == STACK else cluster.checks(root, stack, settings, ask=ask)
    if isinstance(settings.cluster, KindClusterSettings):
        yield from kind.checks(settings.cluster)


def _json(found: Iterable[Section], fine: bool) -> str:
    return json.dumps(
        {
            "ok": fine,
            "sections": [
                {
                    "title": section.title,
                    "needed": section.needed,
                    "ok": section.ok,
                    "checks": [asdict(check) for check in section.checks],
                }
                for section in found
            ],
        },
        indent=2,
        ensure_ascii=False,
    )


def _lines(found: Iterable[Section]) -> Iterator[Text]:
    for section in found:
        yield Text(section.title, "bold")
        for check in section.checks:
            remedy = f"; {check.remedy}" if check.remedy else ""
            yield Text.assemble(
                (f"  {check.state:8}", _STYLES[check.state]), f"{check.subject}: {check.text}{remedy}"
            )
