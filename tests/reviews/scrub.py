"""Recorded events without what belongs to one machine or one run, to be kept in the repository."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from pulumi.runtime import rpc

# The mark of a value that is not known yet looks like any other.
_UUID: Final = re.compile(rf"\b(?!{rpc.UNKNOWN})[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}\b")
_LOOPBACK: Final = re.compile(r"\b(127\.0\.0\.1|localhost):\d+")
_PORT: Final = re.compile(r"\bport=\d+")
_ADDRESS: Final = re.compile(r"\b0x[0-9a-f]{6,}\b")
_TIME: Final = re.compile(r"\b20\d\d-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)?")
# What the API server fills in, other each time: none of it is read.
_LEFT_OUT: Final = frozenset(
    {"managedFields", "resourceVersion", "creationTimestamp", "uid", "checksum", "preludeEvent"}
)
# Steps that change nothing: their states, most of a recording's size, say nothing about the change.
_QUIET: Final = frozenset({"same", "refresh"})
STACK_TYPE: Final = "pulumi:pulumi:Stack"


def scrub(lines: Iterable[str], paths: Mapping[str, str]) -> Iterator[str]:
    """The lines of a recording, ready to be kept.

    Args:
        lines: events as JSON, one a line.
        paths: what stands for each path of this machine; the longest wins.
    """
    ordered = sorted(paths.items(), key=lambda item: -len(item[0]))
    told = (event for event in map(json.loads, lines) if not _is_noise(event))
    for number, event in enumerate(told):
        event |= {"timestamp": 0, "sequence": number}
        if "preludeEvent" in event:
            event["preludeEvent"] = {"config": {}}
        yield json.dumps(_clean(_slim(event), ordered), separators=(",", ":"), sort_keys=True)


def _is_noise(event: dict[str, Any]) -> bool:
    """What the SDK logs for its own makers, and kinds of events that it does not know."""
    return (
        not event.keys() - {"sequence", "timestamp"}
        or event.get("diagnosticEvent", {}).get("severity") == "debug"
    )


def _slim(event: dict[str, Any]) -> dict[str, Any]:
    for kind in ("resourcePreEvent", "resOutputsEvent"):
        step = event.get(kind, {}).get("metadata")
        if step and step["op"] in _QUIET and step["type"] != STACK_TYPE:
            for state in ("old", "new"):
                if step.get(state):
                    step[state] = {**step[state], "inputs": {}, "outputs": {}}
        elif step and step["op"] == "create" and step.get("new"):
            step["new"] = {**step["new"], "outputs": {}}  # in a preview the inputs once more
    return event


def _clean(value: Any, paths: list[tuple[str, str]]) -> Any:
    if isinstance(value, dict):
        return {
            _text(name, paths): _clean(item, paths)
            for name, item in value.items()
            if name not in _LEFT_OUT or name == "preludeEvent"
        }
    if isinstance(value, list):
        return [_clean(item, paths) for item in value]
    return _text(value, paths) if isinstance(value, str) else value


def _text(text: str, paths: list[tuple[str, str]]) -> str:
    for path, name in paths:
        text = text.replace(path, name)
    text = _UUID.sub("00000000-0000-0000-0000-000000000000", text)
    text = _LOOPBACK.sub(r"\1:1", text)
    text = _PORT.sub("port=1", text)
    text = _ADDRESS.sub("0x0", text)
    return _TIME.sub("2026-01-01T00:00:00Z", text)
