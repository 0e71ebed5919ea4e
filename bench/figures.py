"""Figures of a run by name, and the one table that shows them beside what is promised."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rich.table import Table

from bench.bars import verdicts
from bench.fit import Spread, ratios


@dataclass
class Figures:
    """What a run measured.

    Attributes:
        values: by name, such as `up/1`; of several measurements the median.
        spread: the least and the most, where there are several.
        units: of each, such as ``s``; ``x`` is a ratio.
    """

    values: dict[str, float] = field(default_factory=dict)
    spread: dict[str, tuple[float, float]] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, samples: Sequence[float], unit: str) -> None:
        """One figure from one or several measurements."""
        self._put(name, Spread.of(samples), unit)

    def compare(self, name: str, ours: Sequence[float], others: Sequence[float], than: str) -> None:
        """Two figures in seconds, and their ratio."""
        self.ratio(name, ours, others)
        self._put(f"{name}: rayfort", Spread.of(ours), "s")
        self._put(f"{name}: {than}", Spread.of(others), "s")

    def ratio(self, name: str, ours: Sequence[float], others: Sequence[float]) -> None:
        """How many times as much ours are, round by round."""
        self._put(name, ratios(ours, others), "x")

    def take(self, other: Figures) -> None:
        """Add all of another run."""
        self.values |= other.values
        self.spread |= other.spread
        self.units |= other.units

    def _put(self, name: str, spread: Spread, unit: str) -> None:
        self.values[name], self.units[name] = spread.middle, unit
        if spread.count > 1:
            self.spread[name] = (spread.least, spread.most)


def table(figures: Figures) -> Table:
    """One line for each figure."""
    made = Table(title="Rayfort's benchmarks")
    for column in ("figure", "median", "least to most", "at most", ""):
        made.add_column(column, justify="left" if column in {"figure", ""} else "right")
    for row in rows(figures):
        made.add_row(*row)
    return made


def rows(figures: Figures) -> Iterator[tuple[str, str, str, str, str]]:
    """The table's cells."""
    bars = {found.bar.figure: found for found in verdicts(figures.values)}
    for name, value in figures.values.items():
        unit, ends, found = figures.units.get(name, ""), figures.spread.get(name), bars.get(name)
        yield (
            name,
            text(value, unit),
            f"{text(ends[0], unit)} to {text(ends[1], unit)}" if ends else "",
            text(found.bar.limit, unit) if found else "",
            ("holds" if found.holds else "missed") if found else "",
        )


def text(value: float, unit: str) -> str:
    """A figure for people, with its unit."""
    digits = f"{value:,.2f}" if value < 10 else f"{value:,.0f}"
    return f"{digits}{unit}" if unit == "x" else f"{digits} {unit}".rstrip()
