"""Property paths as the engine writes them: ``spec.hard["requests.cpu"]``, ``containers[0].image``."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

Segment = str | int
_SEGMENT: Final = re.compile(r'\.?(?:\["((?:[^"\\]|\\.)*)"\]|\[(\d+)\]|([^.\[\]]+))')


def split(path: str) -> tuple[Segment, ...]:
    """The segments of a path; what cannot be read is one segment."""
    segments: list[Segment] = []
    position = 0
    while position < len(path):
        found = _SEGMENT.match(path, position)
        if not found:
            return (*segments, path[position:])
        quoted, index, plain = found.groups()
        segments.append(_unquoted(quoted) if quoted is not None else int(index) if index else plain)
        position = found.end()
    return tuple(segments)


def write(segments: tuple[Segment, ...]) -> str:
    """The path of some segments, as the engine writes it."""
    written = ""
    for segment in segments:
        if isinstance(segment, int):
            written += f"[{segment}]"
        elif re.fullmatch(r"[^.\[\]\"\s]+", segment):
            written += f".{segment}" if written else segment
        else:
            written += f"[{json.dumps(segment)}]"
    return written


def value_at(value: Any, segments: tuple[Segment, ...]) -> Any:
    """What lies at a path; None for nothing."""
    for segment in segments:
        if isinstance(value, Mapping):
            value = value.get(segment)
        elif isinstance(value, list) and isinstance(segment, int) and segment < len(value):
            value = value[segment]
        else:
            return None
    return value


def differences(before: Any, after: Any, place: tuple[Segment, ...] = ()) -> Iterator[tuple[Segment, ...]]:
    """The deepest paths below which two values differ; lists of the same length are compared item by item."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in sorted(before.keys() | after.keys()):
            yield from differences(before.get(name), after.get(name), (*place, str(name)))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from differences(old, new, (*place, index))
    elif before != after:
        yield place


def _unquoted(text: str) -> str:
    try:
        return str(json.loads(f'"{text}"'))
    except ValueError:
        return text
