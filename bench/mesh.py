"""What the mesh costs one sidecar, and istiod, as a mesh fills with workspaces."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from rayfort.ray.ports import NodeRole

from bench.recipes import Recipe, recipes
from bench.results import Column, Cost, Pushes, Results, Series
from bench.testbed import LIMIT, QUIET, BenchError, Testbed
from infra.reading import parse
from infra.settings import Settings
from sandbox.environment import Environment
from sandbox.node_kind import NodeKind
from sandbox.progress import Progress
from sandbox.stack import values

WORKERS: Final = 3
_GROWN: Final = "bench-grown"  # the namespace of the cluster whose workers are counted
# The platform without anything that runs on it, but for a workspace to which the sandbox gives a password.
_NETRC: Final = {"machine": "git.example.com", "login": "rayfort", "password": "set-by-the-sandbox"}
_OVERRIDES: Final[dict[str, Any]] = {
    "workspaces": [{"name": "team-a", "netrc": [_NETRC]}],
    "kbatch": None,
    "jupyterhub": None,
}


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        workspaces: how many at once, ascending; the last at least 2.
        workers: how many workers of one cluster, ascending; none to leave that out.
        sidecars: how many are connected at most for istiod's memory; None for all.
    """

    workspaces: tuple[int, ...]
    workers: tuple[int, ...] = ()
    sidecars: int | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be measured."""
        for name, counts in (("workspaces", self.workspaces), ("workers", self.workers)):
            ascending = all(one < other for one, other in pairwise(counts))
            if not ascending or min(counts, default=1) < 1:
                raise BenchError(f"--{name}: give ascending numbers from 1 on, such as 1,10,50.")
        if len(self.workspaces) < 2:
            raise BenchError("--workspaces: give at least two numbers, so that there is a growth to see.")


def run(root: Path, state: Path, plan: Plan, progress: Progress) -> Results:
    """Measure on a sandbox that is made for it in `state`, and is gone afterwards."""
    with _sandbox(root, state, progress) as environment:
        settings = parse(values(root, state, None, _OVERRIDES))
        return measure(environment, settings, plan, progress)


def measure(environment: Environment, settings: Settings, plan: Plan, progress: Progress) -> Results:
    """Measure on a sandbox with simulated nodes that is up, and remove what was made for it."""
    with Testbed(environment, settings.mesh.version) as testbed:
        series = [_Measurement(testbed, recipe, plan, progress).series() for recipe in recipes(settings)]
    return Results(settings.mesh.version, os.cpu_count() or 1, WORKERS, tuple(series))


@contextmanager
def _sandbox(root: Path, state: Path, progress: Progress) -> Iterator[Environment]:
    environment = Environment(root, progress, state=state, overrides=_OVERRIDES)
    environment.down(force=True)  # what an interrupted run left behind
    try:
        environment.up(NodeKind.SIMULATED)
        yield environment
    finally:
        environment.down(force=True)


class _Measurement:
    """One recipe, from an istiod that is fresh to a cluster that is empty again."""

    def __init__(self, testbed: Testbed, recipe: Recipe, plan: Plan, progress: Progress) -> None:
        self._testbed = testbed
        self._recipe = recipe
        self._plan = plan
        self._progress = progress
        self._made: dict[str, int] = {}  # workers by namespace

    def series(self) -> Series:
        self._testbed.restart_istiod()
        try:
            columns = tuple(self._column(count) for count in self._plan.workspaces)
            pushes = self._neighbour()
            by_workers = tuple((count, self._grown(count)) for count in self._workers)
        finally:
            with self._progress.step(f"{self._recipe.title}: remove its workspaces"):
                self._testbed.remove(list(self._made))
        recipe = self._recipe
        return Series(recipe.name, recipe.title, recipe.ours, columns, pushes, by_workers)

    @property
    def _workers(self) -> Sequence[int]:
        return self._plan.workers if self._recipe.ours else ()

    def _column(self, count: int) -> Column:
        title = f"{self._recipe.title}: {count} workspace{'s' if count > 1 else ''}"
        with self._progress.step(title) as step:
            self._make({namespace(index): WORKERS for index in range(1, count + 1)}, step.note)
            step.note("one sidecar")
            cost = self._cost(namespace(1))
            idle = self._testbed.istiod_mib()
            pods = self._testbed.pods()[: self._plan.sidecars]
            with self._testbed.crowd(pods, step.note):
                return Column(count, cost, len(pods), idle, self._testbed.istiod_mib())

    def _grown(self, workers: int) -> Cost:
        title = f"{self._recipe.title}: {workers} workers in one workspace"
        with self._progress.step(title) as step:
            self._make({_GROWN: workers}, step.note)
            return self._cost(_GROWN)

    def _cost(self, where: str) -> Cost:
        with self._testbed.sidecar(self._worker(where)) as sidecar:
            return Cost.of(sidecar.snapshot(LIMIT, QUIET))

    def _neighbour(self) -> Pushes:
        """What a sidecar hears of a worker that is added to another workspace."""
        with self._progress.step(f"{self._recipe.title}: a neighbour gets one worker more") as step:
            here, there = namespace(1), namespace(2)
            with (
                self._testbed.sidecar(self._worker(here)) as ours,
                self._testbed.sidecar(self._worker(there)) as theirs,
            ):
                for each in (ours, theirs):
                    each.snapshot(LIMIT, QUIET)
                before, mark = ours.mark(), theirs.mark()
                self._make({there: WORKERS + 1}, step.note)
                deadline = time.monotonic() + LIMIT
                while not theirs.pushes(mark) and time.monotonic() < deadline:
                    time.sleep(0.1)
                # Both hear of a change at the same time: what comes, comes before the other is quiet.
                theirs.snapshot(LIMIT, QUIET)
                ours.snapshot(LIMIT, QUIET)
                if (ours.connections, theirs.connections) != (1, 1):
                    raise BenchError("istiod closed a connection meanwhile. Run the bench again.")
                heard = ours.pushes(before)
                return Pushes(len(heard), sum(each.bytes for each in heard), len(theirs.pushes(mark)))

    def _worker(self, where: str) -> dict[str, Any]:
        return self._testbed.pods(where, NodeRole.WORKER.value)[0]

    def _make(self, wanted: dict[str, int], note: Any) -> None:
        """Bring namespaces to so many workers, and wait for all Pods there are."""
        for name, workers in wanted.items():
            if self._made.get(name) != workers:
                note(f"make {name}")
                self._made[name] = workers
                self._testbed.apply(self._recipe.objects(name, workers))
        self._testbed.wait_running(sum(workers + 1 for workers in self._made.values()), note)


def namespace(index: int) -> str:
    """The namespace of a workspace; all are equally long, since names are a part of what is measured."""
    return f"bench-{index:04}"
