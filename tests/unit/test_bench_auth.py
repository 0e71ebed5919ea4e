"""What the bench of token authentication makes of its figures."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from bench.auth import run
from bench.auth_results import FIGURES, AuthResults, Rates, Round, order, summary, table
from bench.testbed import BenchError
from cli.bench import app
from sandbox.progress import Progress

RATE = st.floats(1, 1e6)


def rates(value: float) -> Rates:
    return dict.fromkeys(FIGURES, value)


def results(*pairs: tuple[float, float]) -> AuthResults:
    rounds = tuple(Round(rates(with_token), rates(without)) for with_token, without in pairs)
    return AuthResults("2.55.1", 2, 0.5, 1.0, rounds)


def test_a_ratio_belongs_to_its_round() -> None:
    """A machine that is twice as fast in the second round must not make authentication look cheap."""
    found = summary("tasks", results((90, 100), (180, 200), (85, 100)).rounds)
    assert (found.ratio, found.least, found.most) == (0.9, 0.85, 0.9)
    assert (found.with_token, found.without) == (90, 100)


@given(st.lists(st.tuples(RATE, RATE), min_size=2, max_size=12))
def test_the_ratio_lies_within_its_spread(pairs: list[tuple[float, float]]) -> None:
    found = summary("calls", results(*pairs).rounds)
    assert found.least <= found.ratio <= found.most


@given(st.lists(RATE, min_size=2, max_size=12))
def test_equals_have_no_cost(values: list[float]) -> None:
    found = summary("requests", results(*((value, value) for value in values)).rounds)
    assert (found.ratio, found.least, found.most) == (1, 1, 1)


def test_they_take_turns_in_being_first() -> None:
    """What the machine does beside it grows and shrinks: the second must not always be the same."""
    assert list(order(4)) == [(True, False), (False, True), (True, False), (False, True)]


def test_the_table_has_every_figure_and_how_it_was_measured() -> None:
    shown = io.StringIO()
    Console(file=shown, width=160).print(table(results((95, 100), (90, 100))))
    for text in (*FIGURES.values(), "2 rounds of 1 s", "2 CPUs", "load 0.5", "0.93", "0.90", "0.95"):
        assert text in shown.getvalue()


def test_the_figures_are_data_as_well() -> None:
    data = json.loads(json.dumps(results((95, 100), (90, 100)).as_json()))
    assert set(data["summaries"]) == set(FIGURES)
    assert data["rounds"][0]["with"]["tasks"] == 95
    assert data["summaries"]["tasks"]["least"] == 0.9


def test_one_round_has_no_spread() -> None:
    with pytest.raises(BenchError, match="give at least 2"):
        run(1, 1.0, Progress(quiet=True))
    assert CliRunner().invoke(app, ["auth", "--rounds", "1"]).exit_code == 2
