"""`graph`: a picture of what a stack would create, from the resources that the program registers."""

import sys
from pathlib import Path
from typing import Final

from cli import exits
from cli.graph import dot, mermaid
from cli.graph.shape import Graph, by_components, by_resources
from cli.offline import plan
from cli.stacks import StackFileError, load
from infra.problems import SettingsError

STANDARD_OUTPUT: Final = "-"


def of_stack(root: Path, stack: str, *, resources: bool) -> Graph:
    """The graph of a stack, drawn offline.

    Args:
        root: the project's directory.
        stack: the stack's name.
        resources: every resource instead of components alone.

    Raises:
        StackFileError: if there is no such stack.
        SettingsError: if its settings are not valid.
    """
    made = plan(load(root, stack))
    return by_resources(made.resources) if resources else by_components(made.resources)


def graph(root: Path, stack: str, *, resources: bool, svg: str | None) -> int:
    """Print a stack's graph as Mermaid, or write it as SVG.

    Args:
        root: the project's directory.
        stack: the stack's name.
        resources: every resource instead of components alone.
        svg: the file to write; ``-`` is standard output. None for Mermaid on standard output.

    Returns:
        0; 1 where the file cannot be written; 2 where the stack or its settings are wrong.
    """
    try:
        drawn = of_stack(root, stack, resources=resources)
    except (StackFileError, SettingsError) as error:
        print(f"rayfort: {error}", file=sys.stderr)
        return exits.USAGE
    if svg is None:
        print(mermaid.render(drawn), end="")
    elif svg == STANDARD_OUTPUT:
        print(dot.svg(drawn), end="")
    else:
        try:
            Path(svg).write_text(dot.svg(drawn), encoding="utf-8")
        except OSError as error:
            print(f"rayfort: {svg}: {error.strerror}; name another file", file=sys.stderr)
            return exits.FAILED
    return 0
