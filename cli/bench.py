"""Measurements: `./rayfort bench`."""

import json
import os
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

ROOT: Final = Path(__file__).resolve().parent.parent
STATE: Final = ROOT / ".rayfort" / "bench"
EXIT_FAILED: Final = 1

app = typer.Typer(help="Measure, on what is made for it.", no_args_is_help=True, rich_markup_mode=None)


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise typer.BadParameter(f"{text} is not a list of numbers such as 1,10,50") from None


@app.callback()
def _bench() -> None:
    """Measure, on what is made for it."""


@app.command()
def auth(
    rounds: Annotated[int, typer.Option(min=2, help="How often each of the two is measured.")] = 10,
    seconds: Annotated[float, typer.Option(min=0.1, help="For each figure in each round.")] = 1.0,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the figures into this file.")
    ] = None,
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
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the figures into this file.")
    ] = None,
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

    elsewhere = os.environ.get("RAYFORT_STATE")
    state = Path(f"{Path(elsewhere).absolute()}-bench") if elsewhere else STATE
    plan = Plan(_numbers(workspaces), _numbers(workers), sidecars)
    results = run(ROOT, state, plan, progress())
    if json_file is not None:
        json_file.write_text(json.dumps(results.as_json(), indent=2) + "\n")
    console = Console()
    for table in tables(results):
        console.print(table)
    wrong = list(problems(results))
    for problem in wrong:
        typer.echo(f"rayfort: {problem}", err=True)
    if wrong:
        raise typer.Exit(EXIT_FAILED)
