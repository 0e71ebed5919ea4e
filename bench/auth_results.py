"""What token authentication costs, from the rounds of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from rich.table import Table

FIGURES: Final[Mapping[str, str]] = {
    "tasks": "tasks, in batches of 100",
    "calls": "calls of an actor, in batches of 100",
    "round_trips": "calls of an actor, one after the other",
    "requests": "requests to the dashboard's job API",
}
Rates = Mapping[str, float]


@dataclass(frozen=True)
class Round:
    """One round: how many of each figure a second, by a Ray with and one without the token."""

    with_token: Rates
    without: Rates


@dataclass(frozen=True)
class Summary:
    """One figure over all rounds.

    Attributes:
        with_token, without: the median, per second.
        ratio: the median of the rounds' ratios, with to without: 1 is no cost.
        least, most: the least and the greatest of them.
    """

    with_token: float
    without: float
    ratio: float
    least: float
    most: float


@dataclass(frozen=True)
class AuthResults:
    """A whole run.

    Attributes:
        ray: its version.
        cpus: of the machine.
        load: the machine's load average of one minute, before anything was started.
        seconds: for each figure in each round.
        rounds: in their order.
    """

    ray: str
    cpus: int
    load: float
    seconds: float
    rounds: tuple[Round, ...]

    @property
    def summaries(self) -> dict[str, Summary]:
        """Every figure."""
        return {name: summary(name, self.rounds) for name in FIGURES}

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "ray": self.ray,
            "cpus": self.cpus,
            "load": self.load,
            "seconds": self.seconds,
            "rounds": [
                {"with": dict(each.with_token), "without": dict(each.without)} for each in self.rounds
            ],
            "summaries": {name: vars(each) for name, each in self.summaries.items()},
        }


def summary(figure: str, rounds: Sequence[Round]) -> Summary:
    """One figure over all rounds.

    A ratio is made within each round, whose two halves followed each other closely: what else the machine
    does then is in both.
    """
    ratios = [each.with_token[figure] / each.without[figure] for each in rounds]
    return Summary(
        with_token=median(each.with_token[figure] for each in rounds),
        without=median(each.without[figure] for each in rounds),
        ratio=median(ratios),
        least=min(ratios),
        most=max(ratios),
    )


def order(rounds: int) -> Iterator[tuple[bool, bool]]:
    """For each round which of the two is first, True for the one with the token: they take turns."""
    for index in range(rounds):
        first = index % 2 == 0
        yield first, not first


def table(results: AuthResults) -> Table:
    """The results for people."""
    made = Table(
        title=f"A second of Ray {results.ray} with and without its token ({len(results.rounds)} rounds of "
        f"{results.seconds:g} s, {results.cpus} CPUs, load {results.load:.1f} before)"
    )
    made.add_column("")
    for name in ("with", "without", "with / without", "from", "to"):
        made.add_column(name, justify="right")
    for name, words in FIGURES.items():
        each = results.summaries[name]
        made.add_row(
            words,
            f"{each.with_token:,.0f}",
            f"{each.without:,.0f}",
            f"{each.ratio:.2f}",
            f"{each.least:.2f}",
            f"{each.most:.2f}",
        )
    return made
