"""JSON that YAML's readers take: API servers read server-side apply as YAML, and so does helm its values."""

from __future__ import annotations

import json
from typing import Any

import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from sandbox.yaml_text import as_yaml
from tests.unit.hostile.effort import examples

VALUES = st.recursive(
    st.one_of(st.text(st.characters(exclude_categories=["Cs"])), st.booleans(), st.none(), st.integers()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(VALUES)
@example("\N{PILE OF POO}")
@example("\\\N{PILE OF POO}\\ud83d\\\\ud83d\\udca9")
@example("\x00\x1b\x7f\x85\x9a\u2028\ufeff\ufffe")
@examples(60)
def test_it_is_the_same_as_json_and_as_yaml(value: Any) -> None:
    """An emoji in an annotation was refused: `found invalid Unicode character escape code`."""
    text = as_yaml({"value": value})
    assert json.loads(text) == {"value": value}
    assert not any(0xD800 <= ord(character) <= 0xDFFF for character in text)
    assert yaml.safe_load(text) == {"value": value}
