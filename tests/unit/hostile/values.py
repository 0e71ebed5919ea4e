"""What no setting expects: values of every kind, and text with every character that a reader trips over."""

from __future__ import annotations

from typing import Any, Final

from hypothesis import strategies as st


def nested(depth: int, kind: type) -> Any:
    """A list in a list, or an object in an object, so many times."""
    made: Any = kind()
    for _ in range(depth):
        made = [made] if kind is list else {"a": made}
    return made


TEXTS: Final = (
    "",
    " ",
    "a" * 64,
    "a" * 254,
    "A" * 100_000,
    "a." * 50_000,
    "a-" * 50_000 + "!",
    "1" * 5_000,
    "0leading",
    "trailing-",
    "with.dot",
    "under_score",
    "\N{PILE OF POO}",
    "ünïcödé",
    "\u0661",  # a digit, and none of ASCII
    "\N{LATIN SMALL LETTER LONG S}",  # lower-cased, it becomes an s
    "İ",  # lower-cased, it becomes two characters
    "line\nbreak",
    "name\n",
    "tab\tand\rreturn",
    "\x00",
    "\x1b[31mred",
    "\x7f\x85\u2028",
    "\u202egnp.exe",
    "\ud800",  # half of a pair, which JSON can say and no file can hold
    "{0} {error} %s $HOME `id`",
    "<existing>",
    "[key]",
    "../../etc/passwd",
    "https://user:secret@host/",
    "yes",
    "null",
    "1e999",
    "-1",
)
OTHERS: Final = (
    None,
    True,
    0,
    -1,
    7,
    2**31,
    2**63,
    10**40,
    0.5,
    1e308,
    float("inf"),
    float("nan"),
    [],
    {},
    [None],
    [[]],
    [{}],
    ["a", "a"],
    {"": ""},
    {"a": None},
    {"a": "b"},
    {"<existing>": "a"},
    {"[key]": "a"},
    {"a.b[0]": "c"},
    {"line\nbreak": "a"},
    {"\ud800": "\ud800"},
    {"secure": "v1:abc"},
    {"kind": []},
    nested(150, list),
    nested(150, dict),
)
HOSTILE: Final = (*OTHERS, *TEXTS)

ANY_TEXT: Final = st.one_of(st.sampled_from(TEXTS), st.text(max_size=80))
ANY: Final = st.recursive(
    st.one_of(st.sampled_from(HOSTILE), st.integers(), st.floats(), st.booleans(), ANY_TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(ANY_TEXT, inner, max_size=4)),
    max_leaves=6,
)
