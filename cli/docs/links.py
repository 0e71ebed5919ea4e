"""Links between documents: from paths in the repository, as GitHub reads them, to pages of the site."""

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

_LINK = re.compile(r"(?P<picture>!?)\[(?P<text>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<target>[^()\s]+)\)")
_FENCED = re.compile(r"^ *(```+|~~~+).*?^ *\1 *$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Link:
    """A link of a document.

    Attributes:
        target: the path that it names, without the anchor; empty for the document itself.
        anchor: what stands after the ``#``.
    """

    target: str
    anchor: str


def links(text: str) -> Iterator[Link]:
    """The links of a document to others of the repository, and into itself."""
    for part in _prose(text):
        for found in _LINK.finditer(part):
            if not _elsewhere(found["target"]):
                target, _, anchor = found["target"].partition("#")
                yield Link(target, anchor)


def for_site(text: str, document: str, pages: Mapping[str, str], source: str | None) -> str:
    """A document's text with links that lead to where the site has their targets.

    Args:
        text: Markdown.
        document: its path in the repository.
        pages: the path in the site of everything that the site has, by path in the repository.
        source: the address of the repository's files, where others are; None to leave their names alone.
    """
    here = pages[document]

    def moved(found: re.Match[str]) -> str:
        target, hash_sign, anchor = found["target"].partition("#")
        if _elsewhere(found["target"]) or not target:
            return found[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(document), target))
        if path in pages:
            to = posixpath.relpath(pages[path], posixpath.dirname(here) or ".")
            return f"{found['picture']}[{found['text']}]({to}{hash_sign}{anchor})"
        if source:
            return f"[{found['text']}]({source.rstrip('/')}/{path}{hash_sign}{anchor})"
        return found["text"]

    return "".join(_outside_fences(text, lambda part: _LINK.sub(moved, part)))


def anchors(text: str) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    found: dict[str, int] = {}
    made: set[str] = set()
    for part in _prose(text):
        for heading in re.findall(r"^#{1,6} +(.+?) *#*$", part, re.MULTILINE):
            slug = slugify(heading)
            count = found.get(slug, 0)
            found[slug] = count + 1
            made.add(f"{slug}-{count}" if count else slug)
        made |= set(re.findall(r'<a (?:id|name)="([^"]+)"', part))
    return made


def slugify(heading: str) -> str:
    """The anchor of a heading, as GitHub makes it."""
    text = _LINK.sub(lambda found: found["text"], heading)
    return re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")


def _elsewhere(target: str) -> bool:
    return bool(re.match(r"[a-z][a-z0-9+.-]*:", target))


def _prose(text: str) -> Iterator[str]:
    position = 0
    for fence in _FENCED.finditer(text):
        yield text[position : fence.start()]
        position = fence.end()
    yield text[position:]


def _outside_fences(text: str, change: Callable[[str], str]) -> Iterator[str]:
    position = 0
    for fence in _FENCED.finditer(text):
        yield change(text[position : fence.start()])
        yield fence[0]
        position = fence.end()
    yield change(text[position:])
