"""Comparing what a program asks for with what an API server holds.

The server fills in defaults, drops empty values and rewrites quantities. Two functions take that out
of the comparison: `prune` leaves of the live object only what the program manages, and the pair
`rewrites` and `rewritten` remembers what the server made of each input when it was applied, so that
the same input is no difference later. No knowledge of single kinds is needed for either.
"""

import copy
from collections.abc import Iterator, Mapping
from typing import Any, Final

Path = tuple[str | int, ...]

_MISSING: Final = object()


def same(left: Any, right: Any) -> bool:
    """Whether two leaves are the same to the server: numbers by value, the rest by type and value."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, int | float) and isinstance(right, int | float):
        return left == right
    return type(left) is type(right) and bool(left == right)


def prune(live: Any, managed: Any, atomic: frozenset[Path] = frozenset(), path: Path = ()) -> Any:
    """Return the parts of a live value that a program manages.

    Args:
        live: the value that the server holds.
        managed: the value that the program gave; its keys and items say what is managed.
        atomic: paths of lists that have a single owner. Items that someone added to such a list are
            kept, because they change what the program asked for; items added to other lists belong
            to whoever added them and are left out.
        path: where in the object the values are.
    """
    if isinstance(live, Mapping) and isinstance(managed, Mapping):
        return {
            key: prune(value, managed[key], atomic, (*path, key))
            for key, value in live.items()
            if key in managed
        }
    if isinstance(live, list) and isinstance(managed, list):
        kept = [
            prune(one, other, atomic, (*path, index))
            for index, (one, other) in enumerate(zip(live, managed, strict=False))
        ]
        return kept + copy.deepcopy(live[len(managed) :]) if path in atomic else kept
    return copy.deepcopy(live)


def atomic_lists(obj: Mapping[str, Any]) -> frozenset[Path]:
    """Return the paths of lists that the server's field ownership treats as one value."""
    metadata = obj.get("metadata")
    entries = metadata.get("managedFields") if isinstance(metadata, Mapping) else None
    found: set[Path] = set()
    for entry in entries or []:
        found.update(_leaves(entry.get("fieldsV1") or {}, ()))
    return frozenset(path for path in found if isinstance(_at(obj, path), list))


def _leaves(fields: Mapping[str, Any], path: Path) -> Iterator[Path]:
    children = {key: value for key, value in fields.items() if key != "."}
    if not children and path and fields == {}:
        yield path
    for key, value in children.items():
        if key.startswith("f:"):
            yield from _leaves(value, (*path, key[2:]))


def rewrites(given: Mapping[str, Any], stored: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what the server made of the inputs, where that differs from them.

    Args:
        given: the inputs.
        stored: the object as the server answered when they were applied.

    Returns:
        Entries with `path`, `from` (the input) and `to` (what is stored instead); without `to` the
        server dropped the field.
    """
    return list(_rewrites(given, prune(stored, given, atomic_lists(stored)), ()))


def _rewrites(given: Any, stored: Any, path: Path) -> Iterator[dict[str, Any]]:
    if isinstance(given, Mapping) and isinstance(stored, Mapping):
        for key, value in given.items():
            yield from _rewrites(value, stored.get(key, _MISSING), (*path, key))
    elif isinstance(given, list) and isinstance(stored, list) and len(given) == len(stored):
        for index, value in enumerate(given):
            yield from _rewrites(value, stored[index], (*path, index))
    elif stored is _MISSING:
        yield {"path": list(path), "from": copy.deepcopy(given)}
    elif not equal(given, stored):
        yield {"path": list(path), "from": copy.deepcopy(given), "to": copy.deepcopy(stored)}


def rewritten(given: Mapping[str, Any], known: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the inputs as the server is known to store them; inputs that changed stay as given."""
    result = copy.deepcopy(dict(given))
    for entry in known:
        path: Path = tuple(entry["path"])
        holder: Any = _at(result, path[:-1])
        if not equal(_at(result, path), entry["from"]):
            continue
        if "to" in entry:
            holder[path[-1]] = copy.deepcopy(entry["to"])
        elif isinstance(holder, dict):
            del holder[path[-1]]
    return result


def equal(left: Any, right: Any) -> bool:
    """Whether two values are the same to the server at every depth."""
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(equal(value, right[key]) for key, value in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(equal, left, right))
    return same(left, right)


def _at(value: Any, path: Path) -> Any:
    for step in path:
        if not _has_step(value, step):
            return _MISSING
        value = value[step]
    return value


def _has_step(value: Any, step: str | int) -> bool:
    if isinstance(value, list):
        return isinstance(step, int) and 0 <= step < len(value)
    return isinstance(value, Mapping) and step in value


def value_at(value: Any, path: Path, default: Any = None) -> Any:
    """Return the value at a path, or the default."""
    found = _at(value, path)
    return default if found is _MISSING else found


def has(value: Any, path: Path) -> bool:
    """Whether there is a value, maybe null, at a path."""
    return _at(value, path) is not _MISSING


def remove(value: Any, path: Path) -> None:
    """Remove the key at a path in place, if it is there and in a mapping."""
    holder = _at(value, path[:-1])
    if isinstance(holder, dict):
        holder.pop(path[-1], None)


def put(value: Any, path: Path, new: Any) -> None:
    """Set the value at a path in place, if the path up to the last step exists."""
    holder: Any = _at(value, path[:-1])
    if _has_step(holder, path[-1]) or isinstance(holder, dict):
        holder[path[-1]] = new
