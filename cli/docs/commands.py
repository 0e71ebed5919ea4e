"""The reference of the command line: what each command says of itself."""

import inspect
from collections.abc import Iterator
from typing import Final

import typer
from typer.models import CommandInfo
from typer.testing import CliRunner

from cli import exits
from cli.__main__ import app

WIDTH: Final = 100
INTRODUCTION: Final = f"""# Commands

<!-- Made by `./rayfort docs write` from the commands in cli; change those. -->

`./rayfort` needs Python 3.11 or newer and git; it makes an environment of its own in `.rayfort/venv` of the
checkout. What environment variables change is in [Working on Rayfort](../development.md). Exit codes of all
commands: {exits.MEANING}.
"""


def render() -> str:
    """The reference, as Markdown."""
    return "\n".join(_lines()).rstrip() + "\n"


def _lines() -> Iterator[str]:
    yield INTRODUCTION
    found = dict(commands(app))
    yield "| command | does |"
    yield "|---|---|"
    for name, command in found.items():
        yield f"| [`{name}`](#rayfort-{name.replace(' ', '-')}) | {_first(command)} |"
    yield ""
    for name, command in found.items():
        yield f"## rayfort {name}\n"
        yield "```text"
        yield _help(name, command)
        yield "```\n"


def commands(group: typer.Typer, prefix: str = "") -> Iterator[tuple[str, CommandInfo]]:
    """Every command by its name, such as ``bench mesh``."""
    for command in group.registered_commands:
        name = command.name or str(getattr(command.callback, "__name__", "")).replace("_", "-")
        yield f"{prefix}{name}", command
    for below in group.registered_groups:
        if below.typer_instance is not None:
            # Without a name its commands stand among those above it.
            own = f"{below.name} " if isinstance(below.name, str) else ""
            yield from commands(below.typer_instance, prefix + own)


def _first(command: CommandInfo) -> str:
    return (command.help or inspect.getdoc(command.callback) or "").partition("\n")[0]


def _help(name: str, command: CommandInfo) -> str:
    if (command.context_settings or {}).get("help_option_names") == []:  # the program below has its own
        return f"Usage: rayfort {name} ARGUMENTS...\n\n  {_first(command)}"
    shown = CliRunner(env={"COLUMNS": str(WIDTH), "TERMINAL_WIDTH": str(WIDTH)}).invoke(
        app, [*name.split(), "--help"], prog_name="rayfort", color=False
    )
    return "\n".join(line.rstrip() for line in shown.output.strip().splitlines())
