"""A picture as Mermaid's text, which GitHub and many editors draw."""

from collections.abc import Iterator

from cli.graph.shape import Box, Graph


def render(graph: Graph) -> str:
    """The text: an arrow leads from what is made first to what is made after it."""
    return "\n".join(_lines(graph)) + "\n"


def _lines(graph: Graph) -> Iterator[str]:
    names = {box.key: f"n{number}" for number, box in enumerate(graph.boxes)}
    yield "flowchart TB"
    for box in graph.inside(None):
        yield from _box(graph, box, names, "  ")
    for before, behind in graph.order:
        yield f"  {names[before]} --> {names[behind]}"


def _box(graph: Graph, box: Box, names: dict[str, str], indent: str) -> Iterator[str]:
    inside = graph.inside(box.key)
    text = "<br/>".join([f"<b>{_plain(box.title)}</b>" if box.component else _plain(box.title), *box.lines])
    own = f'{names[box.key]}["{text}"]'
    if not inside:
        yield f"{indent}{own}"
        return
    yield f'{indent}subgraph {names[box.key]}f[" "]'
    yield f"{indent}  {own}"
    for each in inside:
        yield from _box(graph, each, names, f"{indent}  ")
    yield f"{indent}end"


def _plain(text: str) -> str:
    """Text with the characters replaced that Mermaid reads."""
    return text.replace("&", "&amp;").replace('"', "#quot;").replace("<", "&lt;").replace(">", "&gt;")
