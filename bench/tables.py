"""The results as tables."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table

from bench.results import Cost, Results, Series, ratio

_NAMES = {"listeners": "listeners", "clusters": "clusters", "routes": "routes", "bytes": "configuration, KiB"}


def tables(results: Results) -> Iterator[Table]:
    """One table for each question."""
    yield _workspaces(results)
    yield _pushes(results)
    if any(series.by_workers for series in results.series):
        yield _workers(results)


def _workspaces(results: Results) -> Table:
    counts = [column.workspaces for column in results.series[0].columns]
    table = Table(
        title=f"One worker's sidecar and istiod, by workspaces (each 1 head, {results.workers} workers; "
        f"Istio {results.istio})"
    )
    table.add_column("recipe")
    table.add_column("")
    for count in counts:
        table.add_column(f"{count}", justify="right")
    for series in results.series:
        _costs(table, series.title, [column.cost for column in series.columns])
        _row(table, "istiod idle, MiB", [column.idle_mib for column in series.columns])
        _row(table, _connected(series), [column.istiod_mib for column in series.columns])
        table.add_section()
    return table


def _connected(series: Series) -> str:
    numbers = ", ".join(str(column.sidecars) for column in series.columns)
    return f"with {numbers} sidecars, MiB"


def _pushes(results: Results) -> Table:
    most = results.series[0].columns[-1].workspaces
    table = Table(title=f"One worker more in another of {most} workspaces: pushes to a sidecar")
    for name in ("recipe", "elsewhere", "KiB", "in that workspace"):
        table.add_column(name, justify="left" if name == "recipe" else "right")
    for series in results.series:
        pushes = series.pushes
        sent = pushes.elsewhere_bytes / 1024
        table.add_row(series.title, str(pushes.elsewhere), f"{sent:,.0f}", str(pushes.inside))
    return table


def _workers(results: Results) -> Table:
    shown = [series for series in results.series if series.by_workers]
    table = Table(title="One worker's sidecar, by workers of its own Ray cluster")
    table.add_column("recipe")
    table.add_column("")
    for workers, _ in shown[0].by_workers:
        table.add_column(f"{workers}", justify="right")
    for series in shown:
        _costs(table, series.title, [cost for _, cost in series.by_workers])
        table.add_section()
    return table


def _costs(table: Table, title: str, costs: list[Cost]) -> None:
    for index, (name, words) in enumerate(_NAMES.items()):
        values = [getattr(cost, name) / (1024 if name == "bytes" else 1) for cost in costs]
        _row(table, words, values, title if index == 0 else "")


def _row(table: Table, words: str, values: list[float], title: str = "") -> None:
    first = values[0]
    cells = (
        f"{value:,.0f}" if index == 0 else f"{value:,.0f} ({ratio(first, value)})"
        for index, value in enumerate(values)
    )
    table.add_row(title, words, *cells)
