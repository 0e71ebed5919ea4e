"""What must not be shown: the engine's masks, and whatever Rayfort's policies take for a credential."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from rayfort.policies import credentials, leaks
from rayfort.policies.rule import Resource, Violation
from rayfort.review.paths import Segment, split, value_at

MASK: Final = "[secret]"
_SHORTEST: Final = 4
_ASSIGNED: Final = re.compile(
    r"""(?P<name>[A-Za-z_][\w.-]*)["']?(?:=|\s*:\s*(?=["']))["']?(?P<value>[^\s"',;]+)"""
)
_KINDS: Final = frozenset({"kubernetes:core/v1:Secret", "kubernetes:core/v1:SecretPatch"})
_OPEN: Final = frozenset({"metadata", "apiVersion", "kind", "type", "immutable"})


class Secrets:
    """What of one resource must not be shown.

    Args:
        type_: its type token.
        name: its name.
        states: its inputs and outputs, before and after.
    """

    def __init__(self, type_: str, name: str, states: Iterable[Mapping[str, Any]]) -> None:
        self._type = type_
        self._found: set[tuple[Segment, ...]] = set()
        self.texts: set[str] = set()
        for state in states:
            for place in _leaks(type_, name, state):
                self._found.add(place)
                self.texts |= set(_texts(value_at(state, place)))

    def hide(self, place: tuple[Segment, ...], value: Any) -> bool:
        """Whether a value at a path holds a secret, as a whole or in a part."""
        if self._type in _KINDS and place[:1] and place[0] not in _OPEN:
            return True
        if any(place[: len(found)] == found or found[: len(place)] == place for found in self._found):
            return True
        named = [segment for segment in place if isinstance(segment, str)]
        if any(credentials.names_credential(segment) for segment in named[-1:]) and credentials.is_literal(
            value
        ):
            return True
        return any(MASK in text or is_secret(text) for text in _texts(value))


def is_secret(text: str) -> bool:
    """Whether a text holds a credential by its shape."""
    return bool(credentials.in_text(text) or credentials.in_url(text) or credentials.in_command(text))


def redact(text: str, known: Iterable[str] = ()) -> str:
    """A text for people, such as an error, without what must not be shown.

    Args:
        text: of any length and number of lines.
        known: texts that are secrets.
    """
    for secret in sorted(known, key=len, reverse=True):
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, MASK)
    if credentials.in_text(text) == "a private key":
        return f"{MASK} (a message that holds a private key is not shown)"
    return "\n".join(_line(line) for line in text.split("\n"))


def _line(line: str) -> str:
    line = _ASSIGNED.sub(_assignment, line)
    if is_secret(line):
        line = re.sub(r"\S+", lambda word: MASK if is_secret(word[0]) else word[0], line)
    return f"{MASK} (a line that holds a credential is not shown)" if is_secret(line) else line


def _assignment(found: re.Match[str]) -> str:
    if credentials.names_credential(found["name"]) and credentials.is_literal(found["value"]):
        start = found.start("value") - found.start()
        return found[0][:start] + MASK
    return found[0]


def _leaks(type_: str, name: str, state: Mapping[str, Any]) -> Iterator[tuple[Segment, ...]]:
    resource = Resource(type_, name, dict(state))
    for rule in leaks.RULES:
        for finding in _findings(rule.findings, resource):
            yield split(finding.where)


def _findings(search: Callable[[Resource], Iterable[object]], resource: Resource) -> list[Violation]:
    return [found for found in search(resource) if isinstance(found, Violation)]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield str(key)
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
