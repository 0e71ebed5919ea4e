"""Runs of the benchmarks, one file each, so that a regression shows.

An entry holds figures, versions and the class of the machine. Nothing in it says where it was measured.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from rayfort import versions

from bench.testbed import BenchError
from sandbox.tools.catalog import CATALOG, KUBERNETES, PULUMI

DIRECTORY: Final = Path("bench") / "history"
WORSE: Final = 1.25  # a figure that grew by more is named; less is within what runs of one day differ
_GIB: Final = 1024**3


@dataclass(frozen=True)
class Machine:
    """The class of a machine: runs on different ones are not compared."""

    cpus: int
    memory_gib: int
    system: str
    python: str

    @classmethod
    def here(cls) -> Machine:
        """This machine."""
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        python = ".".join(platform.python_version_tuple()[:2])
        return cls(
            os.cpu_count() or 1, round(memory / _GIB), f"{platform.system()} {platform.machine()}", python
        )


@dataclass(frozen=True)
class Entry:
    """One run.

    Attributes:
        when: in UTC, to the second.
        machine: where.
        load: processes for each processor when it began; above 1, others were at work.
        versions: of what was measured.
        figures: by name, such as `up/1`; ratios where the name has a bar in `x`, else seconds or MiB.
        spread: the least and the most of a figure that was measured several times.
    """

    when: str
    machine: Machine
    load: float
    versions: Mapping[str, str]
    figures: Mapping[str, float]
    spread: Mapping[str, tuple[float, float]]

    @classmethod
    def now(
        cls, figures: Mapping[str, float], spread: Mapping[str, tuple[float, float]], load: float
    ) -> Entry:
        """An entry of this moment and machine.

        Args:
            figures, spread: see above.
            load: of the machine before the run, as `os.getloadavg` says.
        """
        machine = Machine.here()
        when = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(when, machine, round(load / machine.cpus, 2), _versions(), figures, spread)

    def as_json(self) -> str:
        """The text of its file."""
        rounded = {name: _rounded(value) for name, value in sorted(self.figures.items())}
        ends = {name: [_rounded(end) for end in pair] for name, pair in sorted(self.spread.items())}
        return json.dumps({**asdict(self), "figures": rounded, "spread": ends}, indent=2) + "\n"

    @classmethod
    def read(cls, file: Path) -> Entry:
        """The entry in a file.

        Raises:
            BenchError: if it is none.
        """
        try:
            found: dict[str, Any] = json.loads(file.read_text())
            spread = {name: (low, high) for name, (low, high) in found["spread"].items()}
            return cls(**{**found, "machine": Machine(**found["machine"]), "spread": spread})
        except (ValueError, KeyError, TypeError) as error:
            raise BenchError(f"{file.name} is no entry of the history ({error}); remove it.") from None


def _versions() -> dict[str, str]:
    return {
        "pulumi": CATALOG.pin(PULUMI).version,
        "pulumi's sdk": version("pulumi"),
        "kubernetes": CATALOG.pin(KUBERNETES).version,
        "kuberay": versions.KUBERAY,
        "ray": versions.RAY,
    }


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def entries(directory: Path) -> list[Entry]:
    """All entries, the oldest first; none where there is no directory."""
    return [Entry.read(file) for file in sorted(directory.glob("*.json"))]


def last_like(entry: Entry, before: list[Entry]) -> Entry | None:
    """The newest earlier run on a machine of the same class; None for none."""
    return next((each for each in reversed(before) if each.machine == entry.machine), None)


def keep(entry: Entry, directory: Path) -> Path:
    """Write an entry into a file of its own, named after its moment."""
    directory.mkdir(parents=True, exist_ok=True)
    name = entry.when.replace(":", "").replace("+0000", "Z")
    file = directory / f"{name}.json"
    file.write_text(entry.as_json())
    return file


def regressions(entry: Entry, before: Entry) -> Iterator[str]:
    """Figures that are clearly worse than in an earlier run, each as a sentence."""
    for name, value in entry.figures.items():
        old = before.figures.get(name)
        if old and value > old * WORSE:
            yield f"{name} was {old:.4g} on {before.when[:10]} and is {value:.4g} ({value / old:.2f}x)."
