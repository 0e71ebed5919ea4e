"""What is taken for a credential, and what is not; `broken` and `fine` have more, in their places."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rayfort.policies import credentials


@given(
    user=st.text(st.characters(categories=("L", "N"), max_codepoint=0x17F), max_size=20),
    password=st.text(
        st.characters(exclude_characters="/?#@'\"\\ \t\r\n", max_codepoint=0x7E, min_codepoint=0x21),
        min_size=1,
    ),
    scheme=st.sampled_from(["https", "http", "git+https", "redis", "postgresql", "ssh", "abfss"]),
)
def test_every_login_in_a_url_is_found(user: str, password: str, scheme: str) -> None:
    text = f"pip install {scheme}://{user}:{password}@host.example.com/path && run"
    assert credentials.in_url(text)


@given(st.text())
def test_any_text_can_be_looked_at(text: str) -> None:
    for look in (
        credentials.in_url,
        credentials.in_text,
        credentials.in_command,
        credentials.names_credential,
    ):
        look(text)
    credentials.is_literal(text)


@pytest.mark.parametrize(
    "name", ["PASSWORD", "dbPassword", "AWS_SECRET_ACCESS_KEY", "api-key", "HF_TOKEN", "apiToken"]
)
def test_names_of_credentials(name: str) -> None:
    assert credentials.names_credential(name)


@pytest.mark.parametrize(
    "name", ["RAY_AUTH_TOKEN_PATH", "MAX_TOKENS", "tokenizer", "KEY", "keyboard", "secretName", ""]
)
def test_other_names(name: str) -> None:
    assert not credentials.names_credential(name)
