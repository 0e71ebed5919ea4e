"""What an object may hold: the keys and types of Kubernetes' own API, as Pulumi's classes know them.

The API server refuses another type, and drops a key that it does not know without a word.
"""

from __future__ import annotations

import difflib
import importlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, get_args, get_origin

from rayfort.model import JsonObject
from rayfort.problems import Key, key_of

_LONGEST_LIST: Final = 3  # of mistakes in one message
# Text to Kubernetes' schema; the API server takes numbers there too, and users write them.
_QUANTITIES: Final = frozenset({"limits", "requests", "overhead", "capacity", "sizeLimit", "divisor"})
_QUANTITY: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+|[KMGTPE]i|[numkMGTPE])?")
# Lists whose entries are known by their names, each of which must be a DNS label.
_NAMED: Final = frozenset({"volumes", "initContainers"})
_WORDS: Final = {bool: "true or false", int: "a whole number", str: "text in quotes"}
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def check(value: JsonObject, kind: str) -> JsonObject:
    """Refuse what the API server refuses, or drops, of an object.

    Args:
        value: the object.
        kind: what it is to Kubernetes, such as ``core.v1.PodSpec`` or ``core.v1.Affinity``.

    Returns:
        The object.

    Raises:
        ValueError: with the first mistakes, each with its key.
    """
    found = list(mistakes(value, kind))
    if found:
        more = f" (and {len(found) - _LONGEST_LIST} more)" if len(found) > _LONGEST_LIST else ""
        raise ValueError("; ".join(found[:_LONGEST_LIST]) + more)
    return value


def mistakes(value: Any, kind: str, key: Key = ()) -> Iterator[str]:
    """What the API server refuses, or drops, of an object; each with its key.

    Args:
        value: the object.
        kind: what it is to Kubernetes, such as ``batch.v1.JobSpec``.
        key: where it stands.
    """
    if not value:
        return
    package, _, name = kind.rpartition(".")
    # Only here: importing all of Kubernetes' classes takes a second.
    model = getattr(importlib.import_module(f"pulumi_kubernetes.{package}"), f"{name}Args")
    yield from (f"{key_of(place)} {text}" for place, text in _object(value, model, key))


def _object(value: Any, model: type, key: Key) -> Iterator[tuple[Key, str]]:
    from pulumi._types import input_type_types  # noqa: PLC0415 - what Pulumi's own classes are read by

    if not isinstance(value, Mapping):
        yield key, "must be an object with keys"
        return
    fields = input_type_types(model)
    for name, item in value.items():
        if name in fields:
            yield from _value(item, fields[name], (*key, name))
        else:
            close = difflib.get_close_matches(str(name)[:80], fields, n=1)
            hint = f"; did you mean {close[0]}?" if close else "; remove it"
            yield (*key, str(name)), f"is no key that Kubernetes knows there{hint}"


def _value(value: Any, kind: Any, key: Key) -> Iterator[tuple[Key, str]]:
    if value is None:  # which a RayCluster's definition takes for a value of another type
        yield key, "is empty; set it or leave the key out"
        return
    if not _is_plain(value):
        return
    arguments = get_args(kind)
    if get_origin(kind) is not None and issubclass(_origin(kind), Mapping):
        yield from _mapping(value, arguments[1], key)
    elif get_origin(kind) is not None and issubclass(_origin(kind), Sequence):
        yield from _list(value, arguments[0], key)
    elif arguments:  # a value, or one that is known later
        yield from _scalar(value, arguments, key)
    elif _is_model(kind):
        yield from _object(value, kind, key)
    else:
        yield from _scalar(value, (kind,), key)


def _mapping(value: Any, kind: Any, key: Key) -> Iterator[tuple[Key, str]]:
    if not isinstance(value, Mapping):
        yield key, "must be an object with keys"
        return
    for name, item in value.items():
        yield from _value(item, kind, (*key, str(name)))


def _list(value: Any, kind: Any, key: Key) -> Iterator[tuple[Key, str]]:
    if not isinstance(value, list | tuple):
        yield key, "must be a list"
        return
    model = next((each for each in get_args(kind) if _is_model(each)), None)
    names: set[Any] = set()
    for index, item in enumerate(value):
        place = (*key, index)
        if model is None:
            yield from _value(item, kind, place)
            continue
        yield from _object(item, model, place)
        if key[-1] in _NAMED and isinstance(item, Mapping):
            yield from _name(item.get("name"), names, place)


def _name(name: Any, taken: set[Any], key: Key) -> Iterator[tuple[Key, str]]:
    if not isinstance(name, str):
        if name is None:
            yield (*key, "name"), "is required; set it"
    elif not _NAME.fullmatch(name):
        yield (*key, "name"), "must be at most 63 lower-case letters, digits and '-'"
    elif name in taken:
        yield (*key, "name"), "is there twice; take another one"
    else:
        taken.add(name)


def _scalar(value: Any, kinds: Sequence[Any], key: Key) -> Iterator[tuple[Key, str]]:
    if any(part in _QUANTITIES for part in key[-2:]):
        if isinstance(value, bool) or not _QUANTITY.fullmatch(str(value)):
            yield key, "is not a quantity; write for example 500m or 2Gi"
        return
    wanted = [kind for kind in _WORDS if kind in kinds]
    # To Python true is a number.
    if wanted and not any(
        isinstance(value, kind) and (kind is bool) == isinstance(value, bool) for kind in wanted
    ):
        yield key, f"must be {' or '.join(_WORDS[kind] for kind in wanted)}"


def _is_plain(value: Any) -> bool:
    """Whether it is known now; programs may also give what Pulumi knows later."""
    return isinstance(value, str | int | float | list | tuple | Mapping)


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and kind.__name__.endswith("Args")


def _origin(kind: Any) -> type:
    origin = get_origin(kind)
    return origin if isinstance(origin, type) else object
