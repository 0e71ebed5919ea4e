"""What a series of figures says: how it grows, what is in its middle, how far it spreads."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """Several measurements of one figure.

    Attributes:
        middle: the median.
        least, most: the ends.
        count: how many there are.
    """

    middle: float
    least: float
    most: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """The spread of at least one value."""
        return cls(statistics.median(values), min(values), max(values), len(values))


def ratios(ours: Sequence[float], others: Sequence[float]) -> Spread:
    """How many times as much ours are, round by round: what slows one round down slows both."""
    return Spread.of([one / other for one, other in zip(ours, others, strict=True)])


def exponent(figures: Mapping[int, float]) -> float:
    """The power of the size by which a figure grows: 1 is linear.

    The slope of the straight line that lies nearest, by least squares, with both axes logarithmic.

    Args:
        figures: by size, at least two; all of them positive.

    Raises:
        ValueError: if there are fewer than two sizes, or a figure without a logarithm.
    """
    if len(figures) < 2 or min(*figures, *figures.values()) <= 0:
        raise ValueError("a growth takes positive figures of at least two sizes")
    points = [(math.log(size), math.log(value)) for size, value in figures.items()]
    return statistics.linear_regression([x for x, _ in points], [y for _, y in points]).slope
