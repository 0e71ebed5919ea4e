"""Names, values and messages come from the code under review: whatever they are, they only show."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rayfort.review.comment import MARKER, comment
from rayfort.review.markdown import block, code, html_code
from rayfort.review.model import Change, Effect, Property, Review, Source, Violation, Weakened

from cli.review_text import lines

HOSTILE = (
    "@everyone",
    "`@org/team`",
    "``` @a ```",
    "a\n```\n@everyone\n\n# x",
    "<script>alert(1)</script>",
    "</details></details>",
    "<!-- rayfort-review: changes -->",
    "--> <img src=x onerror=alert(1)>",
    "[click](https://evil.example)",
    "![i](https://evil.example/pixel.png)",
    "https://evil.example",
    "www.evil.example",
    "a\n\n# Approved\n\n@everyone",
    "a\r\n| b | c |",
    "| a | b |",
    "\\`",
    "`",
    "``",
    "~~~",
    "\u202egnp.exe",
    "\u2028@everyone",
    "\x1b[2J",
    "#1 org/repo#2 GH-3",
    "&lt;b&gt; &#64;everyone",
    "    indented",
    "> [!CAUTION]",
    "$\\unicode{x40}$",
    ":tada:",
    "",
    " ",
)
TEXT = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(max_size=60),
    st.lists(st.sampled_from(HOSTILE), min_size=2, max_size=3).map("".join),
    st.text(alphabet="`|<>&@#[]()!*_~\\\n\r -", max_size=30),
)
GITHUB = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


class Reader(HTMLParser):
    """What a browser would make of a comment: its elements, and the text outside of code."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.open: list[str] = []
        self.outside = ""
        self.comments: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += attrs
        if tag not in {"br", "hr"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, (tag, self.open)
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if "code" not in self.open:
            self.outside += data

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(GITHUB.render(text))
    reader.close()
    assert reader.open == [], "an element is left open"
    return reader


def review_of(*texts: str) -> Review:
    name, component, path, value, rule, message, weakened, error = texts
    properties = (Property(path=path, before=value, after=message, replaces=True),)
    changes = tuple(
        Change(effect=effect, name=name, component=component, properties=properties, drift="was changed")
        for effect in Effect
    )
    violations = tuple(
        Violation(rule=rule, mandatory=mandatory, resource=name, message=message)
        for mandatory in (True, False)
    )
    return Review(
        stack=component,
        source=Source.OFFLINE,
        changes=changes,
        weakened=Weakened(added=(weakened,), removed=(f"{path}: {message}",), stays=(error,)),
        violations=violations,
        errors=(error, message),
        warnings=(weakened,),
        failed=True,
    )


def words_outside(reader: Reader) -> set[str]:
    return set(re.findall(r"\w+", reader.outside))


# Our own words and elements, with and without what may be left out.
OURS = [
    read(comment([review_of(*texts)])) for texts in (["x1x"] * 8, [""] * 8, ["x1x", ""] * 4, ["", "x1x"] * 4)
]
OUR_WORDS = set().union(*map(words_outside, OURS)) | {"more", "properties"}
OUR_ELEMENTS = {element for reader in OURS for element in reader.elements}
OUR_SIGNS = set("".join(reader.outside for reader in OURS))


@settings(max_examples=60, deadline=None)
@given(st.tuples(*[TEXT] * 8))
@example(("a`", "`b", "``", "`", "x", "y", "z", "w"))
def test_no_text_becomes_markup_link_or_mention(texts: tuple[str, ...]) -> None:
    reader = read(comment([review_of(*texts)]))
    assert set(reader.elements) <= OUR_ELEMENTS
    assert reader.comments == [MARKER.removeprefix("<!--").removesuffix("-->")]
    assert all(name in {"class", "style"} for name, _ in reader.attributes), reader.attributes
    assert words_outside(reader) <= OUR_WORDS
    assert set(reader.outside) <= OUR_SIGNS


@pytest.mark.parametrize("text", HOSTILE)
def test_each_known_trick_alone(text: str) -> None:
    reader = read(comment([review_of(*[text] * 8)]))
    assert "@" not in reader.outside
    assert "evil" not in reader.outside
    assert not {"a", "img", "script", "h1"} & set(reader.elements)


@settings(deadline=None)
@given(TEXT)
def test_a_name_is_readable_all_the_same(text: str) -> None:
    """What can be seen is shown as it is, but for blanks and bars, which end cells."""
    shown = code(text, limit=1000)
    assert "\n" not in shown
    visible = "".join(letter for letter in text if letter.isalnum() and letter.isascii())
    inside = "".join(re.findall(r"<code>(.*?)</code>", GITHUB.render(f"x {shown} x"), re.DOTALL))
    kept = iter(html.unescape(inside))
    assert all(letter in kept for letter in visible)


@given(TEXT)
def test_a_summary_takes_no_markup(text: str) -> None:
    assert re.fullmatch(r"<code>[^<>]*</code>", html_code(text))


@given(TEXT)
def test_a_code_block_ends_where_it_should(text: str) -> None:
    tokens = GITHUB.parse("\n".join([*block(text), "", "after"]))
    assert [token.type for token in tokens] == ["fence", "paragraph_open", "inline", "paragraph_close"]
    assert tokens[2].content == "after"


@settings(deadline=None)
@given(st.tuples(*[TEXT] * 8))
def test_a_terminal_is_not_moved_either(texts: tuple[str, ...]) -> None:
    shown = "".join(line.plain for line in lines(review_of(*texts)))
    assert all(letter.isprintable() or letter == "\n" for letter in shown)
    assert "\x1b" not in shown
