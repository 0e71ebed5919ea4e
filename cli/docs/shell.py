"""The shell lines of the documents, and what each takes to be run.

A fenced block in ``sh`` has a comment before it, which readers do not see::

    <!-- shell: sandbox
         ./rayfort bench = long, ten minutes
         ./rayfort down = last -->

The first word is the category of the block's lines; a further line of the comment is about the lines that
begin so. Categories that are not run give their reason after a comma. ``offline[0 1]`` lists the exit codes
that are fine.
"""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# What each category means; those of RUN are run by tests.
CATEGORIES: Final = {
    "offline": "run by `tests/unit`: no network, no tool, no sandbox",
    "sandbox": "run by `tests/sandbox`, on a sandbox with simulated nodes",
    "last": "likewise, after all others, since it ends that sandbox",
    "real": "run by `tests/e2e`, on a sandbox with a real node",
    "suite": "starts tests or a CI job itself, so that a test cannot run it",
    "long": "takes minutes, or a sandbox of its own; what it does has a test of its own",
    "pulumi": "takes Pulumi's own release: its language host or its plugins",
    "docker": "takes docker or podman",
    "cloud": "takes a cloud account or a cluster of yours",
    "yours": "takes something of yours: a name, a file, a login, an editor",
    "network": "takes a package index or another host",
}
RUN: Final = ("offline", "sandbox", "last", "real")
FOLDERS: Final = (
    ".",
    "docs",
    "docs/decisions",
    "docs/reference",
    "components",
    "sandbox/images",
    "sandbox/tools",
)
LANGUAGES: Final = ("sh", "bash", "console", "shell")

_FENCE = re.compile(r"^( *)(```+|~~~+) *([\w+-]*)[^\n]*$")
_MARK = re.compile(r"<!--\s*shell:\s*((?:(?!-->).)*)-->\s*\Z", re.DOTALL)
_ENTRY = re.compile(r"(\w+)(?:\[([\d ]+)\])?(?:, (.+))?")


# Category, reason, and the exit codes that are fine.
Judgement = tuple[str, str, tuple[int, ...]]


class DocumentError(ValueError):
    """A block of a document that cannot be classified, with its place and what to write."""


@dataclass(frozen=True)
class Line:
    """A command of a document.

    Attributes:
        document: the document's path in the repository.
        number: its line there.
        command: what a reader types; it may have several lines.
        category: one of `CATEGORIES`.
        reason: why it is not run; empty where it is.
        exits: the exit codes that are fine.
    """

    document: str
    number: int
    command: str
    category: str
    reason: str
    exits: tuple[int, ...] = (0,)

    @property
    def place(self) -> str:
        """Where it stands, as editors and compilers write it."""
        return f"{self.document}:{self.number}"


@dataclass(frozen=True)
class Fence:
    """A fenced block.

    Attributes:
        language: what the fence says; empty for nothing.
        number: the line of its first line of text.
        text: what is in it, without the indentation of the fence.
        before: the document up to the fence.
    """

    language: str
    number: int
    text: str
    before: str


def documents(root: Path) -> list[Path]:
    """The Markdown files that people read, in alphabetical order.

    Args:
        root: the repository.
    """
    return sorted(path for folder in FOLDERS for path in (root / folder).glob("*.md"))


def classified_lines(root: Path) -> Iterator[Line]:
    """The shell lines of all documents but those with a block that is not classified."""
    for path in documents(root):
        name, text = path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")
        with contextlib.suppress(DocumentError):
            yield from list(lines(name, text))


def fences(text: str) -> Iterator[Fence]:
    """The fenced blocks of a document."""
    rows = text.splitlines()
    number = 0
    while number < len(rows):
        opened = _FENCE.match(rows[number])
        number += 1
        if not opened:
            continue
        first = number
        indent, ticks, language = opened.groups()
        while number < len(rows) and not rows[number].strip().startswith(ticks):
            number += 1
        inside = [row.removeprefix(indent) for row in rows[first:number]]
        yield Fence(language, first + 1, "\n".join(inside), "\n".join(rows[: first - 1]))
        number += 1


def lines(document: str, text: str) -> Iterator[Line]:
    """The shell lines of one document.

    Args:
        document: its name, for messages.
        text: its Markdown.

    Raises:
        DocumentError: if a block has no language, or a shell block no or a wrong category.
    """
    for fence in fences(text):
        if not fence.language:
            raise DocumentError(f"{document}:{fence.number}: a block without a language; write sh or text")
        if fence.language in LANGUAGES:
            rules = _rules(document, fence)
            for number, command in commands(fence.text):
                yield _line(document, fence.number + number, command, rules)


def commands(text: str) -> Iterator[tuple[int, str]]:
    """The commands of a block with the number of their first line, from 0; comments alone are none.

    A command goes on where a line ends with a backslash, within quotes, and to the end of a here-document.
    """
    waiting: list[str] = []
    first = 0
    for number, row in enumerate(text.splitlines()):
        if not waiting and (not row.strip() or row.lstrip().startswith("#")):
            continue
        first = first if waiting else number
        waiting.append(row)
        whole = "\n".join(waiting)
        if not _goes_on(whole):
            yield first, whole
            waiting = []
    if waiting:
        yield first, "\n".join(waiting)


def _goes_on(command: str) -> bool:
    if command.endswith("\\"):
        return True
    if here := re.search(r"<<-?\s*(['\"]?)(\w+)\1", command):
        return command.splitlines()[-1].strip() != here[2]
    return _open_quote(command)


def _open_quote(command: str) -> bool:
    """Whether a quote is open at the end; a comment ends with its line."""
    quote, previous, skip, comment = "", " ", False, False
    for letter in command:
        if comment:
            comment = letter != "\n"
        elif skip:
            skip = False
        elif letter == "\\" and quote != "'":
            skip = True
        elif quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter == "#" and previous.isspace():
            comment = True
        previous = letter
    return bool(quote)


def _rules(document: str, fence: Fence) -> list[tuple[str, Judgement]]:
    """What the comment before a block says: beginnings of lines, the block's own last and empty."""
    place = f"{document}:{fence.number}"
    found = _MARK.search(fence.before)
    if not found:
        raise DocumentError(
            f"{place}: a shell block of no category; put a comment such as <!-- shell: sandbox --> before it"
        )
    first, *others = [row.strip() for row in found[1].strip().splitlines()]
    pairs = [row.rpartition(" = ") for row in others]
    return [(start, _entry(place, entry)) for start, _, entry in [*pairs, ("", "", first)]]


def _entry(place: str, text: str) -> Judgement:
    found = _ENTRY.fullmatch(text.strip())
    if not found or found[1] not in CATEGORIES:
        raise DocumentError(f"{place}: {text.strip()!r} is no category; there are {', '.join(CATEGORIES)}")
    reason = found[3] or ""
    if found[1] not in RUN and not reason:
        raise DocumentError(f"{place}: {found[1]} needs a reason, after a comma")
    return found[1], reason, tuple(int(code) for code in (found[2] or "0").split())


def _line(document: str, number: int, command: str, rules: list[tuple[str, Judgement]]) -> Line:
    judged = next(judgement for start, judgement in rules if command.lstrip().startswith(start))
    return Line(document, number, command, *judged)
