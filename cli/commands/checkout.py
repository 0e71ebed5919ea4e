"""The commands on the checkout itself."""

import subprocess
import sys
from typing import Annotated, Final

import typer

from cli.commands.common import PASS_THROUGH, ROOT, fail, out

app = typer.Typer()


# What runs on a real node waits more than it computes, so what does without one runs beside it.
ALL_TESTS: Final = ("--numprocesses=3", "--dist=loadgroup")


@app.command(context_settings=PASS_THROUGH)
def test(context: typer.Context) -> None:
    """Run all tests; with arguments, which go to pytest, only what they name."""
    arguments = context.args or ALL_TESTS
    done = subprocess.run([sys.executable, "-P", "-m", "pytest", *arguments], cwd=ROOT, check=False)
    raise typer.Exit(done.returncode)


@app.command()
def schema(
    accept_breaks: Annotated[
        bool, typer.Option("--accept-breaks", help="Write the library's although programs may break by it.")
    ] = False,
) -> None:
    """Write two schemas anew: stacks/schema.json, which editors use, and that of the library's components."""
    from cli import library_schema
    from cli.schema import write_schema

    out.print(f"Wrote {write_schema(ROOT).relative_to(ROOT)}.")
    try:
        out.print(f"Wrote {library_schema.write(ROOT, accept_breaks=accept_breaks).relative_to(ROOT)}.")
    except library_schema.ApiBreak as error:
        fail(str(error))
