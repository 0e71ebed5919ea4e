"""What is promised about speed and size, and which of it a run kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Bar:
    """A promise about one figure.

    Attributes:
        figure: the figure's name in a run.
        limit: what it may be at most.
        words: what the figure is, for people.
        unit: of the figure and the limit.
        kept: whether docs/performance.md says that it holds; only such a bar fails a run.
    """

    figure: str
    limit: float
    words: str
    unit: str = "x"
    kept: bool = True


BARS: Final = (
    Bar("up/1", 1.25, "first `up` against helm and kubectl by hand, 1 workspace"),
    Bar("up/10", 1.0, "first `up` against helm and kubectl by hand, 10 workspaces", kept=False),
    Bar("preview/null", 1.15, "preview against a program that registers as many resources"),
    Bar("preview/null processor", 1.15, "the same in seconds of a processor"),
    Bar("scale/preview/exponent", 1.1, "growth of preview from 10 to 200 workspaces", ""),
    Bar("scale/unchanged/200", 60.0, "`up` of 200 workspaces that changes nothing", "s", kept=False),
    Bar("scale/program/200", 500.0, "memory of the program with 200 workspaces", "MiB"),
    Bar("start/warm", 15.0, "start of a sandbox that was stopped", "s"),
)


@dataclass(frozen=True)
class Verdict:
    """A bar and the figure that a run has for it."""

    bar: Bar
    value: float

    @property
    def holds(self) -> bool:
        """Whether the figure is within the bar."""
        return self.value <= self.bar.limit


def verdicts(figures: Mapping[str, float], bars: Iterable[Bar] = BARS) -> list[Verdict]:
    """The bars for which there is a figure."""
    return [Verdict(bar, figures[bar.figure]) for bar in bars if bar.figure in figures]


def problems(found: Iterable[Verdict]) -> Iterator[str]:
    """What is not as the documents say, each as a sentence."""
    for each in found:
        bar = each.bar
        if bar.kept and not each.holds:
            yield (
                f"{bar.words}: {each.value:.2f} {bar.unit}".rstrip()
                + f", and docs/performance.md says that it is at most {bar.limit:g} {bar.unit}".rstrip()
                + ". Run it again on a machine that does nothing else, then look at what changed since "
                "the last entry of the history."
            )
