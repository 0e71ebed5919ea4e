"""What JSON can say and nothing between here and the cluster can carry: found before models are made.

Resources travel to Pulumi's engine as protobuf: text is UTF-8, every number is a double, and messages nest no
deeper than a limit.
"""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from infra.problems import Key, Problem, key_of

# Objects of protobuf's Python library hold one another 32 deep; what Rayfort puts around a value is less.
MAX_DEPTH: Final = 28
# As much as a Secret, the largest of the objects that text goes into.
MAX_TEXT: Final = 2**20
_NO_FILE_HOLDS: Final = re.compile("[\x00\ud800-\udfff]")
EXACT: Final = 2**53  # the whole numbers up to which a double is exact


def not_carried(values: Mapping[str, Any]) -> Iterator[Problem]:
    """What cannot be carried, each with its key.

    Args:
        values: the values under ``rayfort:``, as plain data.
    """
    # Without recursion: what is nested too deeply is among what is looked for.
    todo: list[tuple[Key, Any]] = [((), values)]
    while todo:
        key, value = todo.pop()
        if len(key) > MAX_DEPTH:
            yield Problem(key_of(key), f"is nested more than {MAX_DEPTH} deep; make it flatter")
        elif isinstance(value, Mapping):
            for name in value:
                if text := _text(str(name)):
                    yield Problem(key_of(key), f"has a name that {text}")
            todo.extend(((*key, str(name)), item) for name, item in reversed(list(value.items())))
        elif isinstance(value, list | tuple):
            todo.extend(((*key, index), item) for index, item in reversed(list(enumerate(value))))
        elif text := _scalar(value):
            yield Problem(key_of(key), text)


def _scalar(value: Any) -> str | None:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float) and not math.isfinite(value):
        return "is not a number that JSON has; write one"
    if isinstance(value, int) and abs(value) > EXACT:
        return f"is larger than {EXACT}, above which Pulumi rounds numbers; put it into quotes, or lower it"
    return None


def _text(value: str) -> str | None:
    if _NO_FILE_HOLDS.search(value):
        return "has a character that no file can hold (NUL, or half of a surrogate pair); remove it"
    if len(value) > MAX_TEXT:
        return f"is {len(value)} characters long, and no object holds more than {MAX_TEXT}; shorten it"
    return None
