"""The JSONPath of `kubectl wait`: keys, indexes, wildcards and comparisons, and no more.

The dependencies hold no JSONPath library, and a condition to wait for needs only this much.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

Selector = Callable[[Any], Iterator[Any]]

_TOKEN: Final = re.compile(
    r"""
    \.\.(?P<deep>[\w-]+)
    | \.(?P<key>(?:\\.|[\w/-])+)
    | \.?\*(?P<all>)
    | \[\s*\*\s*\](?P<every>)
    | \[\s*(?P<index>-?\d+)\s*\]
    | \[\s*(?P<quote>['"])(?P<name>.*?)(?P=quote)\s*\]
    | \[\s*\?\s*\(?\s*@(?P<inner>[^\s=!<>)\]]+)\s*
      (?:(?P<op>==|!=)\s*(?P<value>'[^']*'|"[^"]*"|[^\s)\]]+))?\s*\)?\s*\]
    """,
    re.VERBOSE,
)


class JsonPathError(ValueError):
    """The expression cannot be read; the text says where."""


def parse(expression: str) -> Callable[[Any], list[Any]]:
    """Return a function that gives the values an expression selects.

    Args:
        expression: without braces, e.g. `.status.conditions[?(@.type=="Ready")].status`.

    Raises:
        JsonPathError: the expression is not understood.
    """
    selectors = list(_selectors(expression.strip().removeprefix("$")))

    def select(value: Any) -> list[Any]:
        found = [value]
        for selector in selectors:
            found = [item for one in found for item in selector(one)]
        return found

    return select


def _selectors(text: str) -> Iterator[Selector]:
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise JsonPathError(f"cannot read {text[position:]!r} in the JSONPath {text!r}")
        position = match.end()
        yield _selector(match)


def _selector(match: re.Match[str]) -> Selector:
    if match["key"] is not None:
        return _key(re.sub(r"\\(.)", r"\1", match["key"]))
    if match["name"] is not None:
        return _key(match["name"])
    if match["index"] is not None:
        return _index(int(match["index"]))
    if match["inner"] is not None:
        return _filter(match["inner"], match["op"], match["value"])
    if match["deep"] is not None:
        return _descend(match["deep"])
    return _children


def _key(name: str) -> Selector:
    def select(value: Any) -> Iterator[Any]:
        if isinstance(value, Mapping) and name in value:
            yield value[name]

    return select


def _index(index: int) -> Selector:
    def select(value: Any) -> Iterator[Any]:
        if isinstance(value, list) and -len(value) <= index < len(value):
            yield value[index]

    return select


def _children(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _descend(name: str) -> Selector:
    def select(value: Any) -> Iterator[Any]:
        yield from _key(name)(value)
        for child in _children(value):
            yield from select(child)

    return select


def _filter(inner: str, operator: str | None, literal: str | None) -> Selector:
    selected = parse(inner)
    wanted = None if literal is None else _literal(literal)

    def matches(value: Any) -> bool:
        found = selected(value)
        if operator is None:
            return bool(found)
        equal = bool(found) and found[0] == wanted
        return equal if operator == "==" else not equal

    def select(value: Any) -> Iterator[Any]:
        yield from (child for child in _children(value) if matches(child))

    return select


def _literal(text: str) -> Any:
    if text[0] in "'\"":
        return text[1:-1]
    try:
        return json.loads(text)
    except ValueError:
        raise JsonPathError(f"{text!r} is neither quoted text nor a number, true, false or null") from None
