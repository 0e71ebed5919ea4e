"""The engine's events as lines of JSON: what ``--event-log`` and a streaming ``--json`` preview write."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import Any, Final

from pulumi.automation import EngineEvent
from pulumi.automation.events import BaseEvent

# The one name that the engine writes in another way than all others.
_NAMES: Final = {"policy_packs": "PolicyPacks"}


class EventsError(ValueError):
    """A file that holds no events of the engine, with what to do about it; never with its content."""


def read(lines: Iterable[str]) -> Iterator[EngineEvent]:
    """Events out of their lines; of kinds that this SDK does not know, nothing but the number is kept.

    Args:
        lines: JSON, one event a line; empty lines are skipped.

    Raises:
        EventsError: if a line is not an event.
    """
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            content = json.loads(line)
            if not isinstance(content, dict) or "sequence" not in content:
                raise ValueError
            yield EngineEvent.from_json(content)
        except (AttributeError, KeyError, TypeError, ValueError):
            raise EventsError(
                f"line {number} is no event of Pulumi's engine; write them with `./rayfort review preview`, "
                "or with `pulumi preview --json` and PULUMI_ENABLE_STREAMING_JSON_PREVIEW=true"
            ) from None


def write(event: EngineEvent) -> str:
    """An event as the line that the engine wrote, as far as this SDK knows it."""
    return json.dumps(_plain(event), ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, BaseEvent):
        return {_camel(name): _plain(item) for name, item in vars(value).items() if item is not None}
    if isinstance(value, Mapping):
        return {str(_plain(key)): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _camel(name: str) -> str:
    return _NAMES.get(name) or re.sub(r"_(\w)", lambda found: found[1].upper(), name)
