"""One stack with more and more workspaces: what each operation takes, and how it grows.

Hundreds of workspaces take long on a small machine. Each measurement is kept as soon as it is there, so that
a run which was interrupted goes on, and one can be done in parts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Final

from rich.table import Table

from bench.figures import Figures, text
from bench.fit import exponent
from bench.measure import Taken
from bench.speed import Site

FROM: Final = 10  # workspaces from which on growth is fitted; below, what there is once hides it
# Above so many workspaces the engine would write its state for hours.
CHECKPOINTS: Final = 50
OPERATIONS: Final = {
    "null": "preview, null program",
    "preview": "preview",
    "up": "first `up`",
    "destroy": "destroy",
    "up-once": "first `up`, state written once",
    "unchanged": "`up` without a change",
    "change": "`up`, one workspace changed",
    "destroy-once": "destroy, state written once",
}
_VERBS: Final = {"null": "preview", "unchanged": "up", "change": "up"}
_ONCE: Final = "-once"  # the engine writes its state at the end only
_FIRST: Final = ("null", "preview", "up")  # what begins with an empty cluster


@dataclass(frozen=True)
class Step:
    """One operation with a number of workspaces."""

    count: int
    operation: str

    @property
    def key(self) -> str:
        """Its name."""
        return f"{self.operation}/{self.count}"

    @property
    def once(self) -> bool:
        """Whether the engine writes its state at the end only."""
        return self.operation.endswith(_ONCE)

    @property
    def verb(self) -> str:
        """What the engine is asked for."""
        plain = self.operation.removesuffix(_ONCE)
        return _VERBS.get(plain, plain)


def steps(counts: tuple[int, ...], checkpoints: int = CHECKPOINTS) -> list[Step]:
    """What there is to do, in order: each number of workspaces from an empty cluster to an empty cluster.

    Args:
        counts: of workspaces.
        checkpoints: above so many, `up` and `destroy` are measured with the state written once alone.
    """
    found = [Step(count, operation) for count in counts for operation in OPERATIONS]
    return [step for step in found if step.count <= checkpoints or step.operation not in {"up", "destroy"}]


def scale(site: Site, todo: Iterable[Step], most: int | None = None) -> dict[str, Taken]:
    """Measure what was not measured yet, and return all that was.

    Args:
        site: where; its sandbox stays until `speed.remove`.
        todo: see `steps`.
        most: how many measurements at most; None for all.
    """
    done = read(site)
    left = [step for step in todo if step.key not in done][:most]
    if not left:
        return done
    _forget_half(site, left[0])
    for step in left:
        with site.progress.step(f"{step.count} workspaces: {OPERATIONS[step.operation]}"):
            blanks = site.blanks(step.count) if step.operation == "null" else None
            changed = step.operation == "change"
            done[step.key] = site.ask(
                step.verb, step.count, changed=changed, blanks=blanks, checkpoints=not step.once
            )
        _write(site, done)
    return done


def _forget_half(site: Site, step: Step) -> None:
    """Delete what a first `up` made that was interrupted: what is left of it would not be a first one."""
    plane = site.plane(step.count)
    plane.start()
    if step.operation.removesuffix(_ONCE) in _FIRST and plane.state_bytes:
        with site.progress.step("Remove what an interrupted run made"):
            plane.delete()


def read(site: Site) -> dict[str, Taken]:
    """What was measured so far."""
    file = site.state / "scale.json"
    if not file.exists():
        return {}
    return {key: Taken(**value) for key, value in json.loads(file.read_text()).items()}


def _write(site: Site, done: Mapping[str, Taken]) -> None:
    text = json.dumps({key: asdict(taken) for key, taken in done.items()}, indent=2)
    (site.state / "scale.json").write_text(text + "\n")


def figures(done: Mapping[str, Taken]) -> Figures:
    """The figures that are promised, and those that say how the rest grows."""
    made = Figures()
    for operation in OPERATIONS:
        series = of(done, operation)
        for count, taken in series.items():
            made.add(f"scale/{operation}/{count}", [taken.seconds], "s")
        if growth := _growth({count: taken.seconds for count, taken in series.items()}):
            made.add(f"scale/{operation}/exponent", [growth], "")
    programs = {
        count: max(of(done, each)[count].memory["program"] for each in OPERATIONS if count in of(done, each))
        for count in of(done, "preview")
    }
    for count, peak in programs.items():
        made.add(f"scale/program/{count}", [peak], "MiB")
    return made


def of(done: Mapping[str, Taken], operation: str) -> dict[int, Taken]:
    """One operation by the number of workspaces."""
    found = {
        int(key.rpartition("/")[2]): taken for key, taken in done.items() if key.startswith(f"{operation}/")
    }
    return dict(sorted(found.items()))


def _growth(seconds: Mapping[int, float]) -> float | None:
    large = {count: value for count, value in seconds.items() if count >= FROM}
    return exponent(large) if len(large) > 1 else None


def tables(done: Mapping[str, Taken]) -> Iterator[Table]:
    """A table for each question."""
    yield _table(done, "Seconds", lambda taken: taken.seconds, "s", growth=True)
    yield _table(done, "Peak memory of the program", lambda taken: taken.memory.get("program", 0), "MiB")
    yield _table(done, "Peak memory of the engine", lambda taken: taken.memory.get("engine", 0), "MiB")
    yield _table(done, "Peak memory of the plugin", lambda taken: taken.memory.get("plugin", 0), "MiB")
    yield _table(done, "Requests to the API server, from everybody", lambda taken: taken.requests, "")
    yield _table(done, "State", lambda taken: taken.state_bytes / 1024, "KiB")


def _table(
    done: Mapping[str, Taken],
    title: str,
    figure: Callable[[Taken], float],
    unit: str,
    *,
    growth: bool = False,
) -> Table:
    counts = sorted({int(key.rpartition("/")[2]) for key in done})
    made = Table(title=f"{title}, by workspaces")
    made.add_column("operation")
    for count in counts:
        made.add_column(str(count), justify="right")
    if growth:
        made.add_column(f"exponent from {FROM} on", justify="right")
    for operation, words in OPERATIONS.items():
        series = {count: float(figure(taken)) for count, taken in of(done, operation).items()}
        cells = [text(series[count], unit) if count in series else "" for count in counts]
        fitted = _growth(series) if growth else None
        made.add_row(words, *cells, *([f"{fitted:.2f}" if fitted else ""] if growth else []))
    return made
