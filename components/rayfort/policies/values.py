"""Reading a resource's properties, where a value may be missing, not known yet, or secret."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

Segment = str | int
_PLAIN_SEGMENT: Final = re.compile(r"[A-Za-z0-9_./-]{1,100}")


class Unknown:
    """A value that only an update will know."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = Unknown()
UNKNOWN_SECRET: Final = Unknown()
"""One that is marked as secret already."""


class SecretText(str):
    """Text that the program marked as secret: encrypted in Pulumi's state, masked in its log."""

    __slots__ = ()


@dataclass(frozen=True)
class Node:
    """A value with the path that leads to it.

    What is missing is a node as well, with the value None, and so is whatever lies below an unknown value,
    with the value `UNKNOWN`: a rule reads on without asking at each step.
    """

    value: Any
    path: tuple[Segment, ...] = ()

    def __getitem__(self, key: str) -> "Node":
        """The value under a key."""
        value = self.value
        if not isinstance(value, Unknown):
            value = value.get(key) if isinstance(value, Mapping) else None
        return Node(value, (*self.path, key))

    def at(self, *keys: str) -> "Node":
        """The value under a key of a key, and so on."""
        node = self
        for key in keys:
            node = node[key]
        return node

    def items(self) -> "Iterator[Node]":
        """The items of a list; of an unknown list one unknown item, since there may be some."""
        if isinstance(self.value, Unknown):
            yield Node(self.value, (*self.path, "*"))
        elif isinstance(self.value, list | tuple):
            for index, item in enumerate(self.value):
                yield Node(item, (*self.path, index))

    def fields(self) -> "Iterator[tuple[str, Node]]":
        """The entries of an object; of an unknown one a single unknown entry, since there may be some."""
        if isinstance(self.value, Unknown):
            yield "*", Node(self.value, (*self.path, "*"))
        elif isinstance(self.value, Mapping):
            for key, item in self.value.items():
                yield str(key), Node(item, (*self.path, str(key)))

    def walk(self) -> "Iterator[Node]":
        """This node and everything below it."""
        yield self
        for child in self.items() if isinstance(self.value, list | tuple) else ():
            yield from child.walk()
        for _, child in self.fields() if isinstance(self.value, Mapping) else ():
            yield from child.walk()

    @property
    def unknown(self) -> bool:
        """Whether the value is not known yet."""
        return isinstance(self.value, Unknown)

    @property
    def missing(self) -> bool:
        """Whether there is no such value."""
        return self.value is None

    @property
    def text(self) -> str:
        """The value if it is text, else nothing."""
        return self.value if isinstance(self.value, str) else ""

    @property
    def where(self) -> str:
        """The path, such as ``spec.servers[0].tls``; a key that is no plain name is hidden."""
        written = ""
        for segment in self.path:
            if isinstance(segment, int):
                written += f"[{segment}]"
                continue
            shown = segment if segment == "*" or _PLAIN_SEGMENT.fullmatch(segment) else "<hidden>"
            written += f".{shown}" if written else shown
        return written


def true(node: Node) -> bool:
    """Whether a switch is on; providers take text as well."""
    return node.value is True or str(node.value).lower() == "true"


def false(node: Node) -> bool:
    """Whether a switch is off, and not merely left out."""
    return node.value is False or str(node.value).lower() == "false"
