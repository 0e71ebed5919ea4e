"""The documents: `./rayfort docs`."""

from pathlib import Path
from typing import Annotated, Final

import typer

ROOT: Final = Path(__file__).resolve().parent.parent

app = typer.Typer(help="Build the site of the documents.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def build(
    directory: Annotated[
        Path | None, typer.Option(help="Where to put it; by default .rayfort/site.", show_default=False)
    ] = None,
) -> None:
    """Build the site; a link or an anchor that leads nowhere is an error."""
    from cli.docs import site  # noqa: PLC0415 - MkDocs, for this command alone

    try:
        print(site.build(ROOT, directory) / "index.html")
    except site.SiteError as error:
        raise SystemExit(f"rayfort: {error}") from None


@app.command()
def serve(
    address: Annotated[str, typer.Option(help="Host and port to listen on.")] = "127.0.0.1:8000",
) -> None:
    """Serve the site and build it anew when a document changes, until Ctrl-C."""
    from cli.docs import site  # noqa: PLC0415 - MkDocs, for this command alone

    site.serve(ROOT, address)


@app.command()
def write() -> None:
    """Write what of the documents is generated: references, pictures, the count of shell lines."""
    from cli.docs import written  # noqa: PLC0415 - the models and the program, for this command alone

    changed = written.write(ROOT)
    for path in changed:
        print(f"Wrote {path.relative_to(ROOT)}.")
    if not changed:
        print("Everything is as it should be.")
