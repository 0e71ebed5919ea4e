"""What a picture of a stack shows: boxes, frames around them, and what is made before what."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from cli.highlights import label
from cli.offline import Resource


@dataclass(frozen=True)
class Box:
    """A component, or a resource.

    Attributes:
        key: unique, and the same each time that a stack is drawn.
        title: kind and name.
        lines: what it makes itself, by kind.
        frame: the box whose frame it stands in; None at the top.
        component: whether it is a component.
    """

    key: str
    title: str
    lines: tuple[str, ...]
    frame: str | None
    component: bool


@dataclass(frozen=True)
class Graph:
    """A picture.

    Attributes:
        boxes: a frame's own box comes before those in it.
        order: pairs of keys; the first is made before the second. What follows from others is left out.
    """

    boxes: tuple[Box, ...]
    order: tuple[tuple[str, str], ...]

    def inside(self, frame: str | None) -> list[Box]:
        """The boxes that stand in a frame, or at the top."""
        return [box for box in self.boxes if box.frame == frame]


def by_components(resources: Sequence[Resource]) -> Graph:
    """The components of a plan; each lists the resources that it makes itself."""
    known = {resource.path: resource for resource in resources}
    home = {path: _component(known, path) for path in known}
    own: dict[str, Counter[str]] = {}
    for resource in resources:
        if resource.role != "component":
            kind = f"provider {resource.kind}" if resource.role == "provider" else resource.kind
            own.setdefault(home[resource.path], Counter())[kind] += 1
    boxes = tuple(
        Box(
            key=resource.path,
            title=label(resource),
            lines=tuple(_counted(own.get(resource.path, Counter()))),
            frame=resource.component,
            component=True,
        )
        for resource in resources
        if resource.role == "component"
    )
    return Graph(boxes, _order(resources, home, {box.key for box in boxes}))


def by_resources(resources: Sequence[Resource]) -> Graph:
    """Every resource of a plan, in the frames of their components."""
    boxes = tuple(
        Box(
            key=resource.path,
            title=label(resource),
            lines=(),
            frame=resource.component,
            component=resource.role == "component",
        )
        for resource in resources
    )
    itself = {resource.path: resource.path for resource in resources}
    return Graph(boxes, _order(resources, itself, set(itself)))


def _component(known: Mapping[str, Resource], path: str) -> str:
    """The component that a resource belongs to: itself, or the one that made it."""
    resource = known[path]
    return path if resource.role == "component" or resource.component is None else resource.component


def _counted(kinds: Counter[str]) -> Iterator[str]:
    for kind, count in sorted(kinds.items()):
        yield kind if count == 1 else f"{count} {kind}"


def _before(
    resource: Resource, known: Mapping[str, Resource], home: Mapping[str, str]
) -> Iterator[str | None]:
    """What comes before a resource; its provider where a component at the top makes it, as others follow."""
    yield from resource.depends_on
    if home[resource.path] != resource.path and known[home[resource.path]].component is None:
        yield resource.options.get("provider")


def _order(
    resources: Sequence[Resource], home: Mapping[str, str], shown: set[str]
) -> tuple[tuple[str, str], ...]:
    """What comes before what, between shown boxes of which neither stands in the other."""
    known = {resource.path: resource for resource in resources}
    pairs = {
        (home[before], home[resource.path])
        for resource in resources
        for before in _before(resource, known, home)
        if before is not None and before in home
    }
    apart = {(a, b) for a, b in pairs if a in shown and b in shown and not _related(a, b)}
    return tuple(sorted(_without_detours(apart)))


def _related(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")


def _without_detours(pairs: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """The pairs that do not follow from others; components that wait for each other keep theirs."""
    after: dict[str, set[str]] = {}
    for before, behind in pairs:
        after.setdefault(before, set()).add(behind)

    def reaches(start: str, goal: str) -> bool:
        """Whether there is a way of more than one step."""
        seen = {start}
        waiting = [step for step in after.get(start, ()) if step != goal]
        while waiting:
            here = waiting.pop()
            if here == goal:
                return True
            if here not in seen:
                seen.add(here)
                waiting += after.get(here, ())
        return False

    return {(a, b) for a, b in pairs if not reaches(a, b) or reaches(b, b)}
