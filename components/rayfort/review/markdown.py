"""Text of unknown origin as a part of GitHub's Markdown: it is shown, and can be nothing else.

Names, messages and values come from the code under review. Inside these marks GitHub renders no markup, makes
no link, and notifies nobody whom an ``@name`` would.
"""

import html
import re
import unicodedata
from typing import Final

NAME: Final = 200
_INVISIBLE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})


def code(text: str, limit: int = NAME) -> str:
    """A text as a code span, on one line.

    Args:
        text: of any content; characters that cannot be seen, or that turn the direction, are named.
        limit: how many characters of it are shown.
    """
    shown = _visible(_cut(" ".join(text.split()), limit))
    if not shown.strip():
        return "*(empty)*"
    longest = max((len(run) for run in re.findall(r"`+", shown)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if shown[0] == "`" or shown[-1] == "`" else ""
    # A table's cells end at a bar, even inside code.
    return f"{fence}{pad}{shown}{pad}{fence}".replace("|", "¦")


def html_code(text: str, limit: int = NAME) -> str:
    """A text as an HTML element, for where GitHub reads no Markdown, such as a summary."""
    return f"<code>{html.escape(_visible(_cut(' '.join(text.split()), limit)))}</code>"


def block(text: str) -> list[str]:
    """A text of several lines as a code block, as lines."""
    lines = [_visible(line) for line in text.replace("\r", "").split("\n")]
    longest = max((len(run) for line in lines for run in re.findall(r"`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}text", *lines, fence]


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _visible(text: str) -> str:
    return "".join(
        f"\\u{ord(letter):04x}" if unicodedata.category(letter) in _INVISIBLE else letter
        for letter in text.replace("\t", "    ")
    )
