"""Differences between two property trees, as the engine shows and acts on them."""

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import Any, NamedTuple

from pulumi.runtime import proto

from sandbox.plugins import shape
from sandbox.plugins.properties import UNKNOWN
from sandbox.plugins.shape import Path


class Change(Enum):
    """What happens to a property."""

    ADD = "add"
    DELETE = "delete"
    UPDATE = "update"


class Difference(NamedTuple):
    """One property that changes."""

    path: Path
    change: Change
    old: Any = None
    new: Any = None


def differences(old: Any, new: Any, path: Path = ()) -> Iterator[Difference]:
    """Yield what has to change in `old` to make it `new`; unknown values of `new` always change."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in [*old, *(key for key in new if key not in old)]:
            where = (*path, key)
            if key not in new:
                yield Difference(where, Change.DELETE, old=old[key])
            elif key not in old:
                yield Difference(where, Change.ADD, new=new[key])
            else:
                yield from differences(old[key], new[key], where)
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            where = (*path, index)
            if index >= len(new):
                yield Difference(where, Change.DELETE, old=old[index])
            elif index >= len(old):
                yield Difference(where, Change.ADD, new=new[index])
            else:
                yield from differences(old[index], new[index], where)
    elif new is UNKNOWN or not shape.same(old, new):
        yield Difference(path, Change.UPDATE, old, new)


def forces_replacement(difference: Difference, patterns: Iterable[str]) -> bool:
    """Whether a change touches a property that cannot change in place.

    Args:
        difference: the change.
        patterns: paths such as `.spec.selector` or `.spec.containers[*].image`.
    """
    steps = ["*" if isinstance(step, int) else step for step in difference.path]
    for pattern in patterns:
        wanted = pattern.replace("[*]", ".*").strip(".").split(".")
        if steps[: len(wanted)] == wanted:
            return True
        # The change may be of a whole branch that holds the property.
        if wanted[: len(steps)] == steps and any(
            _holds(branch, wanted[len(steps) :]) for branch in (difference.old, difference.new)
        ):
            return True
    return False


def _holds(value: Any, steps: list[str]) -> bool:
    if not steps:
        return True
    if steps[0] == "*":
        return isinstance(value, list) and any(_holds(item, steps[1:]) for item in value)
    return isinstance(value, Mapping) and steps[0] in value and _holds(value[steps[0]], steps[1:])


_KINDS = {
    (Change.ADD, False): proto.PropertyDiff.ADD,
    (Change.ADD, True): proto.PropertyDiff.ADD_REPLACE,
    (Change.DELETE, False): proto.PropertyDiff.DELETE,
    (Change.DELETE, True): proto.PropertyDiff.DELETE_REPLACE,
    (Change.UPDATE, False): proto.PropertyDiff.UPDATE,
    (Change.UPDATE, True): proto.PropertyDiff.UPDATE_REPLACE,
}


def detailed(
    found: Iterable[Difference], patterns: Iterable[str]
) -> tuple[dict[str, proto.PropertyDiff], list[str]]:
    """Return the engine's detailed diff, and the properties that force a replacement."""
    wanted = list(patterns)
    result: dict[str, proto.PropertyDiff] = {}
    replaces: list[str] = []
    for difference in found:
        replace = forces_replacement(difference, wanted)
        key = path_text(difference.path)
        # The old state has no such property once it is deleted, so the engine must look at inputs.
        result[key] = proto.PropertyDiff(
            kind=_KINDS[difference.change, replace], inputDiff=difference.change is Change.DELETE
        )
        if replace:
            replaces.append(key)
    return result, replaces


def path_text(path: Path) -> str:
    """Return a path as the engine writes it, e.g. `metadata.labels["a.b/c"]`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif any(character in step for character in '."[]'):
            quoted = step.replace('"', '\\"')
            text += f'["{quoted}"]'
        else:
            text += f".{step}" if text else step
    return text


def parse_path(text: str) -> tuple[str | int, ...]:
    """Return the steps of a path as the engine writes it; `*` stands for every key or index."""
    steps: list[str | int] = []
    rest = text
    while rest:
        if rest.startswith('["'):
            end = rest.index('"]')
            steps.append(rest[2:end].replace('\\"', '"'))
            rest = rest[end + 2 :]
        elif rest.startswith("["):
            end = rest.index("]")
            inner = rest[1:end]
            steps.append(int(inner) if inner.isdigit() else inner)
            rest = rest[end + 1 :]
        else:
            rest = rest.removeprefix(".")
            end = min((at for at in (rest.find("."), rest.find("[")) if at >= 0), default=len(rest))
            steps.append(rest[:end])
            rest = rest[end:]
    return tuple(steps)


def is_ignored(path: Path, ignored: Iterable[str]) -> bool:
    """Whether a path lies at or under one of the paths that the program ignores."""
    for text in ignored:
        steps = parse_path(text)
        if len(steps) <= len(path) and all(
            wanted in ("*", step) for wanted, step in zip(steps, path, strict=False)
        ):
            return True
    return False
