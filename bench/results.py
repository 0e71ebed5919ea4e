"""What a run of the mesh's bench found, and whether it is as promised."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

from sandbox.xds.state import Snapshot

FLAT: Final = 1.05  # how much a sidecar of ours may grow from the least to the most workspaces
FIGURES: Final = ("listeners", "clusters", "routes", "bytes")


@dataclass(frozen=True)
class Cost:
    """What one sidecar was told: how many of each, and the bytes of all of it."""

    listeners: int
    clusters: int
    routes: int
    bytes: int

    @classmethod
    def of(cls, snapshot: Snapshot) -> Cost:
        """The cost of a configuration."""
        return cls(
            listeners=len(snapshot.listeners),
            clusters=len(snapshot.clusters),
            routes=len(snapshot.routes),
            bytes=snapshot.wire_bytes,
        )


@dataclass(frozen=True)
class Column:
    """The mesh with a number of workspaces.

    Attributes:
        workspaces: how many.
        cost: of one worker's sidecar.
        sidecars: how many were connected for `istiod_mib`.
        idle_mib: istiod's resident memory without sidecars, in MiB.
        istiod_mib: with them.
    """

    workspaces: int
    cost: Cost
    sidecars: int
    idle_mib: float
    istiod_mib: float


@dataclass(frozen=True)
class Pushes:
    """What a worker that was added to one workspace made istiod send.

    Attributes:
        elsewhere: how many responses a sidecar of another workspace got.
        elsewhere_bytes: their size.
        inside: how many a sidecar of the changed workspace got, so that istiod did tell of the change.
    """

    elsewhere: int
    elsewhere_bytes: int
    inside: int


@dataclass(frozen=True)
class Series:
    """One recipe.

    Attributes:
        recipe, title, ours: see `bench.recipes.Recipe`.
        columns: by the number of workspaces, the least first.
        pushes: what a neighbour's change caused.
        by_workers: the cost of one worker's sidecar by the number of workers in its cluster.
    """

    recipe: str
    title: str
    ours: bool
    columns: tuple[Column, ...]
    pushes: Pushes
    by_workers: tuple[tuple[int, Cost], ...] = ()


@dataclass(frozen=True)
class Results:
    """A whole run.

    Attributes:
        istio: istiod's version.
        cpus: of the machine.
        workers: of each Ray cluster, beside its head.
        series: one for each recipe.
    """

    istio: str
    cpus: int
    workers: int
    series: tuple[Series, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain data, with what is wrong in `problems`."""
        return {**asdict(self), "problems": list(problems(self))}


def problems(results: Results) -> Iterator[str]:
    """What is not as promised, each as a sentence."""
    for series in results.series:
        yield from _ours(series) if series.ours else _control(series)


def _ours(series: Series) -> Iterator[str]:
    first, last = series.columns[0], series.columns[-1]
    for name in FIGURES:
        before, after = getattr(first.cost, name), getattr(last.cost, name)
        if after > before * FLAT:
            yield (
                f"{series.title}: {name} of one sidecar grew from {before} to {after} "
                f"({ratio(before, after)}) from {first.workspaces} to {last.workspaces} workspaces; at most "
                f"{FLAT}x is allowed. See what its Sidecar object lets in."
            )
    if series.pushes.elsewhere:
        yield (
            f"{series.title}: a worker that was added to another workspace caused {series.pushes.elsewhere} "
            "pushes to a sidecar that does not know it; none is allowed. See what its Sidecar object lets in."
        )
    if not series.pushes.inside:
        yield f"{series.title}: istiod told nobody of the added worker, so that no push says nothing."


def _control(series: Series) -> Iterator[str]:
    first, last = series.columns[0], series.columns[-1]
    if last.cost.bytes <= first.cost.bytes * FLAT:
        yield f"{series.title}: one sidecar did not grow either, so that the bench shows no difference."
    if not series.pushes.elsewhere:
        yield f"{series.title}: a neighbour's change caused no push either, so that none says nothing."


def ratio(before: float, after: float) -> str:
    """How many times as much, for people."""
    return f"{after / before:.2f}x" if before else "-"
