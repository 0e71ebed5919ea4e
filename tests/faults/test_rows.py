"""The rows themselves: enough, all different, and counted right."""

from __future__ import annotations

import re
from pathlib import Path

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


def test_a_seed_gives_the_same_order_again() -> None:
    assert chosen(5, everything=True) == chosen(5, everything=True) != chosen(6, everything=True)
    assert sorted(map(id, chosen(5, everything=True))) == sorted(map(id, ROWS))
