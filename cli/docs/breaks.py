"""Where code in a table may go on in the next line: at its joints.

By itself a browser breaks a long name anywhere or nowhere, so that it is hard to read or leaves the other
columns no room.
"""

import re
from typing import Final

_LONG: Final = 16  # characters of a word that stays whole
_FIRST: Final = 40  # of one in the first column, which a reader looks names up in
_LONGEST: Final = 20  # of a part that has no joint, such as a digest
_CELL: Final = re.compile(r"(<tr[^>]*>\s*)?<td[^>]*>.*?</td>", re.DOTALL)
_CODE: Final = re.compile(r"<code>([^<]*)</code>")
# A character as HTML writes it, which may be an entity.
_CHARACTER: Final = re.compile(r"&[#\w]+;|.", re.DOTALL)
_JOINT: Final = re.compile(r"(?<=[./_:,=@-])(?=[\w\"{\[])|(?<=[a-z0-9])(?=[A-Z])")
BREAK: Final = "<wbr>"
MARK: Final = "breaks"


def with_breaks(html: str) -> str:
    """A page's HTML, with places to break in the long words of tables' code.

    Args:
        html: the content of a page. Code that gets a place to break has the class `MARK`.
    """
    return _CELL.sub(_cell, html)


def _cell(found: re.Match[str]) -> str:
    whole = _FIRST if found[1] else _LONG
    return _CODE.sub(lambda code: _code(code, whole), found[0])


def _code(found: re.Match[str], whole: int) -> str:
    text = " ".join(_word(word, whole) for word in found[1].split(" "))
    return f'<code class="{MARK}">{text}</code>' if BREAK in text else found[0]


def _word(word: str, whole: int) -> str:
    if len(_CHARACTER.findall(word)) <= whole:
        return word
    return BREAK.join(part for joined in _JOINT.split(word) for part in _parts(joined))


def _parts(text: str) -> list[str]:
    letters = _CHARACTER.findall(text)
    return ["".join(letters[start : start + _LONGEST]) for start in range(0, len(letters), _LONGEST)]
