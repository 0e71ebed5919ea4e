"""The bench of the mesh, run as a person runs it, on as few workspaces as show a growth."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bench.results import FLAT

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(1800)]

ROOT = Path(__file__).resolve().parents[2]
COUNTS = [1, 3]
WORKERS = [2, 5]


@dataclass(frozen=True)
class Run:
    """A run that has ended."""

    code: int
    output: str
    figures: dict[str, Any]
    state: Path

    def series(self, recipe: str) -> dict[str, Any]:
        return next(each for each in self.figures["series"] if each["recipe"] == recipe)

    def ratio(self, recipe: str, figure: str) -> float:
        first, *_, last = (column["cost"][figure] for column in self.series(recipe)["columns"])
        return float(last / first)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One run of the command."""
    place = tmp_path_factory.mktemp("a bench")
    figures = place / "figures.json"
    done = subprocess.run(
        [
            *(str(ROOT / "rayfort"), "bench", "mesh", "--json", str(figures)),
            *("--workspaces", ",".join(map(str, COUNTS)), "--workers", ",".join(map(str, WORKERS))),
        ],
        env={**os.environ, "RAYFORT_STATE": str(place / "sandbox")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert figures.exists(), done.stdout
    return Run(done.returncode, done.stdout, json.loads(figures.read_text()), place / "sandbox-bench")


def test_a_sidecar_of_ours_stays_as_it_is(run: Run) -> None:
    assert run.code == 0, run.output
    assert run.figures["problems"] == []
    for recipe in ("l4", "l7"):
        assert all(
            run.ratio(recipe, figure) <= FLAT for figure in ("listeners", "clusters", "routes", "bytes")
        )


def test_one_of_the_seed_grows_with_its_neighbours(run: Run) -> None:
    """The control: the same run, the same istiod and the same measure."""
    assert run.ratio("seed", "listeners") > FLAT
    assert run.ratio("seed", "bytes") > 1.2


def test_a_neighbours_change_is_told_to_whom_it_concerns(run: Run) -> None:
    for recipe in ("seed", "l4", "l7"):
        assert run.series(recipe)["pushes"]["inside"] > 0
    assert run.series("seed")["pushes"]["elsewhere"] > 0
    assert [run.series(recipe)["pushes"]["elsewhere"] for recipe in ("l4", "l7")] == [0, 0]


def test_only_l4_grows_with_the_workers_of_its_own_cluster(run: Run) -> None:
    listeners = {
        recipe: [cost["listeners"] for _, cost in run.series(recipe)["by_workers"]] for recipe in ("l4", "l7")
    }
    assert listeners["l4"][1] > listeners["l4"][0]
    assert listeners["l7"][1] == listeners["l7"][0]


def test_every_sidecar_was_connected_while_istiod_was_looked_at(run: Run) -> None:
    for series in run.figures["series"]:
        assert [column["workspaces"] for column in series["columns"]] == COUNTS
        assert [column["sidecars"] for column in series["columns"]] == [count * 4 for count in COUNTS]
        assert all(column["istiod_mib"] > 0 for column in series["columns"])


def test_nothing_stays(run: Run) -> None:
    assert not run.state.exists()
