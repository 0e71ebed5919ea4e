"""The rows themselves: enough, all different, and counted right."""

from __future__ import annotations

import random
import re
from pathlib import Path

from tests.faults.proxy import Moment
from tests.faults.rows import ROWS, chosen
from tests.faults.world import Phase

DOCUMENT = Path(__file__).parents[2] / "docs" / "faults.md"


def test_the_document_counts_the_rows() -> None:
    said = re.search(r"(\d+) faults", DOCUMENT.read_text())
    assert said
    assert int(said[1]) == len(ROWS) >= 60


def test_no_row_is_there_twice() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)


def test_every_command_is_disturbed() -> None:
    for everything in (True, False):
        assert {row.phase for row in chosen(1, everything=everything)} == set(Phase)


def test_the_short_form_breaks_something_else_in_each_command() -> None:
    short = chosen(1, everything=False)
    assert len(short) == len({row.phase for row in short}) == len({row.what.what for row in short})


def test_a_seed_gives_the_same_moments_again() -> None:
    left = [row for row in ROWS if row.moment is None]

    def moments(seed: int) -> list[Moment]:
        return [row.when(random.Random(f"{seed} {row.name}")) for row in left]

    assert moments(5) == moments(5) != moments(6)


def test_a_seed_gives_the_same_order_again() -> None:
    assert chosen(5, everything=True) == chosen(5, everything=True) != chosen(6, everything=True)
    assert sorted(map(id, chosen(5, everything=True))) == sorted(map(id, ROWS))
