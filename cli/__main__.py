"""Rayfort's command line: which commands there are, and what a failure of any of them looks like."""

import signal
import sys

import typer

from cli import disk, exits
from cli.bench import app as bench
from cli.commands import checkout, sandbox, stacks
from cli.commands.common import Interrupted
from cli.documents import app as documents
from cli.review import app as review

app = typer.Typer(
    name="rayfort",
    help="Secure Ray on Kubernetes. `up` runs the whole platform on the embedded sandbox.",
    epilog=f"Exit codes: {exits.MEANING}.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for commands in (sandbox, stacks, checkout):
    app.add_typer(commands.app)
for name, group in (("bench", bench), ("review", review), ("docs", documents)):
    app.add_typer(group, name=name)


def main() -> None:
    """Run the command line; every expected failure is one message without a traceback."""
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    from infra.problems import SettingsError
    from sandbox.errors import EXPECTED

    try:
        app(prog_name="rayfort")
    except SettingsError as error:
        print(f"rayfort: {error}", file=sys.stderr)
        sys.exit(exits.USAGE)
    except EXPECTED as error:
        print(f"rayfort: {error}", file=sys.stderr)
        sys.exit(exits.FAILED)
    except OSError as error:
        said = disk.told(error)
        if said is None:
            raise
        print(f"rayfort: {said}", file=sys.stderr)
        sys.exit(exits.FAILED)
    except (Interrupted, KeyboardInterrupt):
        print("rayfort: interrupted; run the command again to go on", file=sys.stderr)
        sys.exit(exits.INTERRUPTED)


if __name__ == "__main__":
    main()
