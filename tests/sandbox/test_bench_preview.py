"""That the parts of the benchmarks work on the real engine: the smallest run of the smallest of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import speed
from bench.speed import Site
from bench.usage import PROGRAM
from sandbox.progress import Progress

pytestmark = pytest.mark.sandbox

ROOT = Path(__file__).resolve().parents[2]


def test_the_null_program_is_as_large_as_ours_and_both_are_measured(tmp_path: Path) -> None:
    site = Site(ROOT, tmp_path / "a check out" / "bench", Progress())
    with site.sandbox():
        ours, null = site.ask("preview", 1), site.ask("preview", 1, blanks=site.blanks(1))
        speed.same_size(ours, null)
        assert ours.counts["create"] > 40
        for taken in (ours, null):
            assert taken.seconds > 0
            assert taken.requests > 0
            assert taken.memory.keys() >= {PROGRAM, "engine", "plugin", "policies"}
            assert all(taken.cpu[part] > 0 for part in (PROGRAM, "engine", "plugin"))
    assert not site.state.exists()
