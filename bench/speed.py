"""The quick benches: by hand against ours, null program against ours, what needs no cluster, and starts."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from bench import null_program
from bench.by_hand import Hands, recipe
from bench.figures import Figures
from bench.fit import exponent
from bench.measure import Order, Taken, ask
from bench.plane import Plane, workspaces
from bench.testbed import BenchError
from cli import offline, stacks
from cli.recorder import record
from infra.program import provision
from infra.reading import parse
from infra.weakened import weakened
from sandbox.progress import Progress
from sandbox.stack import PROJECT, STACK, written

LIMIT: Final = 3600.0  # seconds for one operation
# The parts of the SDK that every program with objects and releases loads; it loads others when asked for.
_SDK: Final = "import pulumi, pulumi_kubernetes as k; k.core.v1.Secret; k.helm.v3.Release"
_PROGRAM: Final = "import infra.program"
_SIZES: Final = (10, 50)  # workspaces with which the program runs without an engine
_MANY: Final = 200


@dataclass(frozen=True)
class Site:
    """Where a bench works.

    Attributes:
        root: the checkout.
        state: the directory of a sandbox that is made for it.
        progress: where its steps are shown.
    """

    root: Path
    state: Path
    progress: Progress = field(repr=False)

    def plane(self, count: int) -> Plane:
        """The sandbox with settings for so many workspaces."""
        overrides = workspaces(self.root, self.state, count)
        return Plane(self.root, self.progress, state=self.state, overrides=overrides)

    def ask(
        self,
        verb: str,
        count: int,
        *,
        changed: bool = False,
        blanks: Path | None = None,
        checkpoints: bool = True,
    ) -> Taken:
        """Have one operation measured, see `Order`."""
        overrides = workspaces(self.root, self.state, count, changed=changed)
        null = str(blanks) if blanks else None
        order = Order(str(self.root), str(self.state), verb, overrides, null, checkpoints)
        return ask(order, LIMIT)

    def blanks(self, count: int) -> Path:
        """A file with a null program as large as ours with so many workspaces."""
        file = self.state / f"null-{count}.json"
        file.write_text(null_program.written(null_program.blanks(offline.plan(stack(self, count)))))
        return file

    @contextmanager
    def sandbox(self) -> Iterator[None]:
        """A control plane of its own, from nothing to nothing."""
        plane = self.plane(1)
        plane.down(force=True)  # what an interrupted run left behind
        try:
            plane.start()
            yield
        finally:
            plane.down(force=True)


def stack(site: Site, count: int) -> stacks.StackFile:
    """The sandbox's stack file with so many workspaces, as it is read without an engine."""
    config = written(site.root, site.state) | workspaces(site.root, site.state, count)
    file = Path("stacks") / f"Pulumi.{STACK}.yaml"
    return stacks.StackFile(STACK, file, PROJECT, config, frozenset(), passphrase=False)


def up(site: Site, counts: tuple[int, ...], rounds: int) -> Figures:
    """First `up` against helm and kubectl for the same objects, in turn on one control plane."""
    figures = Figures()
    with site.sandbox():
        for count in counts:
            found = []
            for number in range(1, rounds + 1):
                with site.progress.step(f"{count} workspaces, round {number} of {rounds}") as step:
                    found.append(round_of_up(site, count, step.note))
            ours, once, others = (list(each) for each in zip(*found, strict=True))
            figures.compare(f"up/{count}", ours, others, "by hand")
            figures.ratio(f"up/{count}, state written once", once, others)
    return figures


def round_of_up(site: Site, count: int, note: Callable[[str], None]) -> tuple[float, float, float]:
    """Seconds for a first `up`, for one whose state is written once, and for the same by hand.

    Each on a cluster that is empty before and after. What lies between the first two is what the engine takes
    to write its whole state before and after each resource.
    """
    note("rayfort")
    ours = site.ask("up", count).seconds
    plane = site.plane(count)
    todo = recipe(plane.resources())
    note("remove what rayfort made")
    site.ask("destroy", count, checkpoints=False)
    note("rayfort, state written once")
    once = site.ask("up", count, checkpoints=False).seconds
    note("remove what rayfort made")
    site.ask("destroy", count, checkpoints=False)
    hands = Hands(plane.tool("kubectl"), plane.tool("helm"), plane.kubeconfig, plane.endpoints.api_server)
    hands.clear()
    note("by hand")
    started = time.perf_counter()
    hands.install(todo)
    by_hand = time.perf_counter() - started
    note("remove what was made by hand")
    hands.remove(todo)
    return ours, once, by_hand


def preview(site: Site, count: int, rounds: int) -> Figures:
    """Preview of ours against a null program, in turn on one engine and an empty cluster."""
    figures = Figures()
    with site.sandbox(), site.progress.step(f"Preview {count} workspaces and a null program") as step:
        blanks = site.blanks(count)
        ours, others = [], []
        for number in range(1, rounds + 1):
            step.note(f"round {number} of {rounds}")
            # In turn, so that neither is always the first.
            pair = {
                null: site.ask("preview", count, blanks=blanks if null else None) for null in turn(number)
            }
            same_size(pair[False], pair[True])
            ours.append(pair[False])
            others.append(pair[True])
    compare_previews(figures, ours, others)
    return figures


def compare_previews(figures: Figures, ours: list[Taken], null: list[Taken]) -> None:
    """Seconds, and those of a processor of all processes together, which other programs disturb little."""

    def seconds(side: list[Taken]) -> list[float]:
        return [each.seconds for each in side]

    def used(side: list[Taken]) -> list[float]:
        return [sum(each.cpu.values(), 0.0) for each in side]

    figures.compare("preview/null", seconds(ours), seconds(null), "null program")
    figures.compare("preview/null processor", used(ours), used(null), "null program")


def turn(number: int) -> tuple[bool, bool]:
    """Whether the null program comes first or second in a round, from 1 on."""
    return (True, False) if number % 2 else (False, True)


def same_size(ours: Taken, null: Taken) -> None:
    """Refuse to compare programs that register different numbers of resources."""
    if ours.counts != null.counts:
        raise BenchError(
            f"The null program registers {null.counts} and Rayfort {ours.counts}, so that there is nothing "
            "to compare. See bench/null_program.py."
        )


def start(site: Site, rounds: int) -> Figures:
    """Start of the sandbox from nothing, and of one that was stopped with a platform on it."""
    figures = Figures()
    cold, warm = [], []
    with site.progress.step("Start the sandbox from nothing") as step:
        for number in range(1, rounds + 1):
            step.note(f"round {number} of {rounds}")
            site.plane(1).down(force=True)
            cold.append(site.ask("start", 1).seconds)
    with site.sandbox(), site.progress.step("Start it again with a platform on it") as step:
        step.note("make the platform")
        site.ask("up", 1)
        for number in range(1, rounds + 1):
            step.note(f"round {number} of {rounds}")
            site.ask("stop", 1)
            warm.append(site.ask("start", 1).seconds)
    figures.add("start/cold", cold, "s")
    figures.add("start/warm", warm, "s")
    figures.ratio("start/warm against cold", warm, cold)
    return figures


def program(site: Site, rounds: int) -> Figures:
    """What needs no cluster: imports, settings, and the program against a recorder in the engine's place."""
    figures = Figures()
    with site.progress.step("Imports, settings and program, without an engine") as step:
        step.note("imports")
        pairs = [(_import(site.root, _PROGRAM), _import(site.root, _SDK)) for _ in range(rounds)]
        figures.compare(
            "import/program", [one for one, _ in pairs], [two for _, two in pairs], "Pulumi's SDK"
        )
        for count in (1, _MANY):
            step.note(f"settings of {count} workspaces")
            ours, others = _apart(_settings(site, count) for _ in range(rounds))
            figures.compare(f"settings/{count}", ours, others, "their YAML")
        measured = {}
        for count in _SIZES:
            step.note(f"program with {count} workspaces")
            ours, others = _apart(_recorded(site, count) for _ in range(rounds))
            figures.compare(f"program/{count}", ours, others, "null program")
            measured[count] = figures.values[f"program/{count}: rayfort"]
    figures.add("program/exponent", [exponent(measured)], "")
    return figures


def _import(root: Path, statement: str) -> float:
    """Seconds of a processor that a fresh Python needs for an import."""
    code = f"import time; before = time.process_time(); {statement}; print(time.process_time() - before)"
    command = [sys.executable, "-P", "-c", f"import sys; sys.path.insert(0, {str(root)!r}); {code}"]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _apart(pairs: Iterable[tuple[float, float]]) -> tuple[list[float], list[float]]:
    ours, others = zip(*pairs, strict=True)
    return list(ours), list(others)


def _settings(site: Site, count: int) -> tuple[float, float]:
    """Seconds of a processor to check settings, and to read the YAML that they stand in."""
    values: dict[str, Any] = written(site.root, site.state) | workspaces(site.root, site.state, count)
    text = yaml.safe_dump(json.loads(json.dumps(values)))  # a copy: YAML would refer to what is there twice
    return _processor(lambda: weakened(parse(values))), _processor(lambda: yaml.safe_load(text))


def _recorded(site: Site, count: int) -> tuple[float, float]:
    """Seconds of a processor of the program and of the null program, recorded instead of an engine's work."""
    found = stack(site, count)
    settings, _ = offline.without_credentials(offline.settings_of(found))
    blanks = null_program.blanks(offline.plan(found))
    ours = _processor(lambda: record(lambda: provision(settings, Path()), PROJECT, STACK))
    null = _processor(lambda: record(lambda: null_program.register(blanks, ""), PROJECT, STACK))
    return ours, null


def _processor(work: Callable[[], object]) -> float:
    before = time.process_time()
    work()
    return time.process_time() - before


def remove(site: Site) -> None:
    """Remove the sandbox that a bench made."""
    site.plane(1).down(force=True)
    shutil.rmtree(site.state, ignore_errors=True)
