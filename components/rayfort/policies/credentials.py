"""Credentials where they do not belong: what text holds one, and what a name says about its value."""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, urlsplit

_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>\\`|]+")
_AUTHORITY: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://(?P<userinfo>[^\s/?#'\"]*)@")
# In these the part before the @ is a container of a storage account.
_NO_USERS: Final = frozenset({"abfs", "abfss", "wasb", "wasbs"})
_QUERY_NAMES: Final = frozenset(
    {
        "access_token",
        "api_key",
        "apikey",
        "auth_token",
        "client_secret",
        "password",
        "private_token",
        "sig",
        "token",
        "x-amz-security-token",
        "x-amz-signature",
        "x-goog-signature",
    }
)
# Shapes that nothing but a credential has; the sources are the issuers' own descriptions for secret scanning.
_SHAPES: Final[Mapping[str, re.Pattern[str]]] = {
    "a GitHub token": re.compile(r"\b(gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,})"),
    "a GitLab token": re.compile(r"\bgl(pat|dt|rt|ptt|soat)-[A-Za-z0-9_-]{20,}"),
    "a Slack token": re.compile(r"\bxox[abeprs]-[A-Za-z0-9-]{10,}"),
    "a Hugging Face token": re.compile(r"\bhf_[A-Za-z0-9]{30,}"),
    "a Google API key": re.compile(r"\bAIza[A-Za-z0-9_-]{35}"),
    "an AWS access key": re.compile(r"\b(AKIA|ASIA)[A-Z0-9]{16}\b"),
    "a signed token (JWT)": re.compile(r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "an Authorization header": re.compile(
        r"(?i)\bauthorization['\"]?\s*[:=]\s*['\"]?(bearer|basic|token)\s+[A-Za-z0-9+/._~=-]{8,}"
    ),
}
_OPTION: Final = re.compile(
    r"(?:^|\s)--?(?P<name>[A-Za-z][A-Za-z-]*)(?:=|\s+)(?P<value>[^\s'\"]+|\"[^\"]+\"|'[^']+')"
)
_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_LAST_WORDS: Final = frozenset(
    {"apikey", "credential", "credentials", "passwd", "password", "passphrase", "pwd", "secret", "token"}
)
_KEYS: Final = frozenset({"access", "account", "api", "encryption", "private", "secret", "signing"})
_OWN_SECRETS: Final = frozenset({"app", "client", "cookie", "shared", "webhook"})
# What a value begins with that only points to a credential: a variable, or a chart's reference to a Secret.
_REFERENCES: Final = ("$", "{{", "secret:", "secretKeyRef")
_PATH: Final = re.compile(r"(/[A-Za-z0-9_.-]+){2,}/?")
_NO_VALUES: Final = frozenset({"", "0", "1", "true", "false", "none", "null", "~"})


def in_url(text: str) -> str | None:
    """What credential a URL in a text holds, in words; None for none.

    A user's name alone is one in ``http`` and ``https`` (tokens are given so), and none elsewhere
    (``ssh://git@host``). A variable in its place counts too: it ends in the URL, and URLs end in logs.
    """
    for found in _AUTHORITY.finditer(text):
        scheme = found[0].partition("://")[0].lower().rpartition("+")[2]
        user, colon, password = found["userinfo"].partition(":")
        if scheme in _NO_USERS and not colon:
            continue
        if password or (user and scheme in {"http", "https"}):
            return "a login in a URL"
    for found in _URL.finditer(text):
        if _in_query(found[0]):
            return "a credential in a URL's query"
    return None


def _in_query(url: str) -> bool:
    try:
        query = urlsplit(url).query
    except ValueError:
        return False
    return any(name.lower() in _QUERY_NAMES and value for name, value in parse_qsl(query))


def in_text(text: str) -> str | None:
    """What credential a text holds by its shape, in words; None for none."""
    return next((name for name, shape in _SHAPES.items() if shape.search(text)), None)


def in_command(text: str) -> str | None:
    """The option of a command line that is given a credential (``--redis-password``); None for none."""
    for found in _OPTION.finditer(text):
        if names_credential(found["name"]) and is_literal(found["value"].strip("'\"")):
            return f"--{found['name']}"
    return None


def names_credential(name: str, *, in_chart: bool = False) -> bool:
    """Whether a variable, key or option of this name holds a credential.

    ``HF_TOKEN``, ``dbPassword``, ``AWS_SECRET_ACCESS_KEY`` do; what says where one lies
    (``RAY_AUTH_TOKEN_PATH``, ``secretName``), how many
    (``MAX_TOKENS``) or of which kind (``token_type``) does not.

    Args:
        name: the name.
        in_chart: whether it stands in a chart's values, where ``existingSecret`` is the name of a Secret.
    """
    words = [word.lower() for word in _WORDS.findall(name)]
    if not words:
        return False
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    if last == "secret" and in_chart:
        return before in _OWN_SECRETS
    return last in _LAST_WORDS or (last == "key" and before in _KEYS)


def is_literal(value: object) -> bool:
    """Whether a value stands for itself: no switch, no file's path, no reference to another value."""
    if not isinstance(value, str):
        return False
    text = value.strip()
    return not (text.lower() in _NO_VALUES or text.startswith(_REFERENCES) or _PATH.fullmatch(text))
