"""Measurements: `./rayfort bench`."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console

from cli import exits

if TYPE_CHECKING:
    from bench.figures import Figures
    from bench.speed import Site

ROOT: Final = Path(__file__).resolve().parent.parent
STATE: Final = ROOT / ".rayfort" / "bench"

app = typer.Typer(help="Measure, on what is made for it.", no_args_is_help=True, rich_markup_mode=None)


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise typer.BadParameter(f"{text} is not a list of numbers such as 1,10,50") from None


def _state() -> Path:
    """The directory of the sandbox that a bench makes."""
    elsewhere = os.environ.get("RAYFORT_STATE")
    return Path(f"{Path(elsewhere).absolute()}-bench") if elsewhere else STATE


Rounds = Annotated[int, typer.Option(min=1, help="How often each is measured.")]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write the figures into this file.")]


@app.callback()
def _bench() -> None:
    """Measure, on what is made for it."""


@app.command()
def auth(
    rounds: Annotated[int, typer.Option(min=2, help="How often each of the two is measured.")] = 10,
    seconds: Annotated[float, typer.Option(min=0.1, help="For each figure in each round.")] = 1.0,
    json_file: JsonFile = None,
) -> None:
    """What Ray's token authentication costs.

    Two real Rays of one node and one CPU each, on this machine's loopback: one asks for a token, the other
    for nothing. They are asked in turn, and each round gives a ratio. No sandbox and no root are needed; the
    first run installs Ray beside the tools.

    The figures are those of this machine; read the ratios.
    """
    from bench.auth import run
    from bench.auth_results import table
    from cli.messages import progress

    results = run(rounds, seconds, progress())
    if json_file is not None:
        json_file.write_text(json.dumps(results.as_json(), indent=2) + "\n")
    Console().print(table(results))


@app.command()
def mesh(
    workspaces: Annotated[
        str, typer.Option(help="How many workspaces at once, ascending; each has one Ray cluster of 4 Pods.")
    ] = "1,10,50,100",
    workers: Annotated[
        str, typer.Option(help="How many workers in one Ray cluster, ascending; empty to leave that out.")
    ] = "2,10,50",
    sidecars: Annotated[
        int | None,
        typer.Option(min=1, help="Connect at most so many sidecars for istiod's memory; by default all."),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """What the mesh costs one sidecar, and istiod, as the mesh fills with workspaces.

    Seed 002 as written and Rayfort in both modes, one after the other, on a control plane with simulated
    nodes: API server, KubeRay operator, istiod and its injection are real; sidecars are played, each with
    the identity of a Pod that the operator made. The sandbox is made for the run and gone afterwards.

    Exit code 1 if a sidecar of Rayfort's grows by more than 1.05x from the least to the most workspaces, or
    hears of another workspace's change; also if the seed's does neither, which would make the bench blind.
    """
    from bench.mesh import Plan, run
    from bench.results import problems
    from bench.tables import tables
    from cli.messages import progress

    plan = Plan(_numbers(workspaces), _numbers(workers), sidecars)
    results = run(ROOT, _state(), plan, progress())
    if json_file is not None:
        json_file.write_text(json.dumps(results.as_json(), indent=2) + "\n")
    console = Console()
    for table in tables(results):
        console.print(table)
    wrong = list(problems(results))
    for problem in wrong:
        typer.echo(f"rayfort: {problem}", err=True)
    if wrong:
        raise typer.Exit(exits.FAILED)


@app.command()
def up(
    workspaces: Annotated[
        str, typer.Option(help="How many workspaces, one number after the other.")
    ] = "1,10",
    rounds: Rounds = 3,
    json_file: JsonFile = None,
) -> None:
    """A first `up` against the same objects by hand with helm and kubectl.

    Both in turn, on one control plane with simulated nodes that is made for the run and gone afterwards. By
    hand the releases come one after the other and all objects in one `kubectl apply`. Read the ratios.

    Exit code 1 if a ratio is above what docs/performance.md says.
    """
    from bench import speed

    counts = _numbers(workspaces)
    _run(lambda site: speed.up(site, counts, rounds), json_file)


@app.command()
def preview(
    workspaces: Annotated[int, typer.Option(min=1, help="How many workspaces.")] = 10,
    rounds: Rounds = 5,
    json_file: JsonFile = None,
) -> None:
    """Preview against a program that says nothing and registers as many resources.

    Both on the same engine, plugins and policies, in turn, with nothing there yet. The null program's preview
    is what Pulumi itself takes. Exit code 1 if the ratio is above what docs/performance.md says.
    """
    from bench import speed

    _run(lambda site: speed.preview(site, workspaces, rounds), json_file)


@app.command()
def program(rounds: Rounds = 5, json_file: JsonFile = None) -> None:
    """Imports, settings, and the program with a recorder in the engine's place; no sandbox is needed.

    The figures are seconds of a processor, so that other programs on the machine disturb them little.
    """
    from bench import speed

    _run(lambda site: speed.program(site, rounds), json_file)


@app.command()
def start(rounds: Rounds = 3, json_file: JsonFile = None) -> None:
    """Start of the sandbox: from nothing with its tools there, and stopped with a platform on it.

    Exit code 1 if a figure is above what docs/performance.md says.
    """
    from bench import speed

    _run(lambda site: speed.start(site, rounds), json_file)


@app.command()
def scale(
    workspaces: Annotated[str, typer.Option(help="How many workspaces, ascending.")] = "1,10,50,200",
    steps: Annotated[
        int | None, typer.Option(min=1, help="Do so many measurements at most; the next run goes on.")
    ] = None,
    checkpoints: Annotated[
        int,
        typer.Option(
            "--checkpoints-up-to",
            min=0,
            help="Above so many workspaces, leave out `up` and destroy as they are, with the whole state "
            "written at every resource.",
        ),
    ] = 50,
    json_file: JsonFile = None,
) -> None:
    """One stack with more and more workspaces: time, memory, requests, state, and how they grow.

    First `up` and destroy are measured twice: as they are, and with the state written once, at the end. What
    lies between is what the engine takes to write its state, which grows with the square of the resources.

    Each measurement is kept when it is done, and a run that was interrupted goes on with the next one. Once
    all are there, the sandbox goes. By default that takes more than an hour on two processors.

    Exit code 1 if a figure is above what docs/performance.md says.
    """
    from bench import scale as many
    from bench import speed
    from bench.speed import Site
    from cli.messages import progress

    counts, site = _numbers(workspaces), Site(ROOT, Path(f"{_state()}-scale"), progress())
    todo = many.steps(counts, checkpoints)
    done = many.scale(site, todo, steps)
    console = Console()
    for each in many.tables(done):
        console.print(each)
    if any(step.key not in done for step in todo):
        return
    speed.remove(site)
    _show(many.figures(done), json_file)


@app.command("all")
def everything(
    rounds: Rounds = 3,
    keep: Annotated[
        bool, typer.Option("--keep", help="Add the figures to the history, bench/history.")
    ] = False,
    json_file: JsonFile = None,
) -> None:
    """Every quick benchmark as one table, compared with the last run on a machine of this class.

    That is `program`, `start`, `preview` and `up`; not `scale`, `mesh` and `auth`. Exit code 1 if a figure is
    above what docs/performance.md says.
    """
    from bench import history, speed

    load = os.getloadavg()[0]

    def run(site: "Site") -> "Figures":
        figures = speed.program(site, rounds)
        figures.take(speed.start(site, rounds))
        figures.take(speed.preview(site, 10, rounds))
        figures.take(speed.up(site, (1, 10), rounds))
        return figures

    def compare(figures: "Figures") -> None:
        entry = history.Entry.now(figures.values, figures.spread, load)
        directory = ROOT / history.DIRECTORY
        before = history.last_like(entry, history.entries(directory))
        for line in history.regressions(entry, before) if before else ():
            typer.echo(f"rayfort: {line}", err=True)
        if keep:
            file = history.keep(entry, directory)
            typer.echo(f"Wrote {file.relative_to(ROOT)}.")

    _run(run, json_file, compare)


def _run(
    measure: "Callable[[Site], Figures]",
    json_file: Path | None,
    then: "Callable[[Figures], None]" = lambda _: None,
) -> None:
    from bench.speed import Site
    from cli.messages import progress

    figures = measure(Site(ROOT, _state(), progress()))
    _show(figures, json_file, then)


def _show(
    figures: "Figures", json_file: Path | None, then: "Callable[[Figures], None]" = lambda _: None
) -> None:
    """Print the table, keep the figures, and fail where a promise was not kept."""
    from bench.bars import problems, verdicts
    from bench.figures import table

    if json_file is not None:
        text = json.dumps({"figures": figures.values, "spread": figures.spread}, indent=2)
        json_file.write_text(text + "\n")
    Console().print(table(figures))
    then(figures)
    wrong = list(problems(verdicts(figures.values)))
    for problem in wrong:
        typer.echo(f"rayfort: {problem}", err=True)
    if wrong:
        raise typer.Exit(exits.FAILED)
