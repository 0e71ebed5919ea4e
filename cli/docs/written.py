"""What of the documents is made by a program: each file with its text, as it should be today."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cli.docs import commands, components, settings
from cli.docs.shell import CATEGORIES, classified_lines
from cli.graph import dot, mermaid, of_stack
from cli.graph.shape import Graph

# The pictures of docs/architecture.md: file name, stack, and whether every resource is in it.
PICTURES: Final = (
    ("sandbox", "sandbox", False),
    ("sandbox-resources", "sandbox", True),
    ("gke-prod", "gke-prod", False),
)
BEGIN: Final = "<!-- lines: written by ./rayfort docs write -->"
END: Final = "<!-- end of the lines -->"
COUNTED: Final = "docs/development.md"


def texts(root: Path) -> Iterator[tuple[str, str]]:
    """Path and text of every generated file but the pictures themselves.

    Args:
        root: the repository.
    """
    yield "docs/reference/settings.md", settings.render()
    yield "docs/reference/commands.md", commands.render()
    yield "docs/reference/components.md", components.render(root)
    for name, graph in graphs(root):
        yield f"docs/architecture/{name}.mmd", mermaid.render(graph)
    yield COUNTED, counted(root)


def graphs(root: Path) -> Iterator[tuple[str, Graph]]:
    """The graphs of the pictures by file name."""
    for name, stack, resources in PICTURES:
        yield name, of_stack(root, stack, resources=resources)


def write(root: Path) -> list[Path]:
    """Write what differs from what it should be.

    Args:
        root: the repository.

    Returns:
        The files that were written.
    """
    wanted = dict(texts(root))
    for name, graph in graphs(root):
        path = f"docs/architecture/{name}.svg"
        if not is_picture_of(graph, root / path):
            wanted[path] = dot.svg(graph)
    changed = {
        root / path: text
        for path, text in wanted.items()
        if not (root / path).exists() or (root / path).read_text(encoding="utf-8") != text
    }
    for file, text in changed.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return list(changed)


def is_picture_of(graph: Graph, path: Path) -> bool:
    """Whether a file is the picture of a graph."""
    return path.exists() and dot.fingerprint(graph) in path.read_text(encoding="utf-8")


def counted(root: Path) -> str:
    """The document that counts shell lines, with today's counts.

    Args:
        root: the repository.
    """
    document = (root / COUNTED).read_text(encoding="utf-8")
    counts = Counter(line.category for line in classified_lines(root))
    rows = [
        f"| `{name}` | {counts[name]} | {meaning} |" for name, meaning in CATEGORIES.items() if counts[name]
    ]
    table = "\n".join(["| category | lines | |", "|---|---|---|", *rows, f"| all | {counts.total()} | |"])
    if BEGIN not in document or END not in document:
        raise ValueError(f"{COUNTED} lacks the marks {BEGIN} and {END}")
    between = f"{re.escape(BEGIN)}.*{re.escape(END)}"
    return re.sub(between, lambda _: f"{BEGIN}\n\n{table}\n\n{END}", document, flags=re.DOTALL)
