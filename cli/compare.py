"""What differs between two plans."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cli.offline import Plan
from cli.wire import join


@dataclass(frozen=True)
class Difference:
    """What differs, by the paths of the resources.

    Attributes:
        created: only in the second plan, in its order.
        deleted: only in the first plan, in its order.
        changed: in both, with the keys of the inputs that differ.
    """

    created: tuple[str, ...]
    deleted: tuple[str, ...]
    changed: Mapping[str, tuple[str, ...]]


def diff(before: Plan, after: Plan) -> Difference:
    """What differs between two plans. A changed secret is not seen: both plans mask it."""
    old = {resource.path: resource for resource in before.resources}
    new = {resource.path: resource for resource in after.resources}
    changed = {
        path: tuple(_changed(old[path].inputs, resource.inputs, ""))
        for path, resource in new.items()
        if path in old and old[path].inputs != resource.inputs
    }
    return Difference(
        created=tuple(path for path in new if path not in old),
        deleted=tuple(path for path in old if path not in new),
        changed=changed,
    )


def _changed(before: Any, after: Any, key: str) -> Iterator[str]:
    """The deepest keys below which everything differs; a list counts as one value."""
    if not isinstance(before, dict) or not isinstance(after, dict):
        yield key
        return
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            yield from _changed(before.get(name), after.get(name), join(key, name))
