"""Finding credentials where none belong, and taking them out at once.

Nothing that was read leaves this module with a credential in it: a text that holds one is replaced by
`MARK`, and the check that looks for credentials looks for that. What a credential looks like,
`rayfort.policies.credentials` says.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import yaml

from rayfort.model import JsonObject
from rayfort.policies.credentials import in_command, in_text, in_url, is_literal, names_credential

MARK: Final = "[secret]"
# Texts of KubeRay that are YAML, and texts anywhere that are command lines.
_YAML: Final = frozenset({"runtimeEnvYAML", "serveConfigV2"})
_COMMANDS: Final = frozenset({"entrypoint", "args", "command"})
_NOISE: Final = frozenset({"managedFields"})


def scrub(item: JsonObject, known: Sequence[str] = ()) -> JsonObject:
    """A Kubernetes object without a credential.

    Args:
        item: the object; of a Secret the keys are left.
        known: secrets of the platform, wherever they may stand.
    """
    if item.get("kind") == "Secret":
        hidden = {"data": dict.fromkeys(item.get("data") or {}, MARK)}
        return dict(
            _scrub({key: value for key, value in item.items() if key != "stringData"} | hidden, known)
        )
    return dict(_scrub(item, known))


def _scrub(value: Any, known: Sequence[str], key: str = "") -> Any:
    if isinstance(value, dict):
        if _is_variable(value):
            return {**value, "value": MARK}
        return {name: _scrub(inner, known, name) for name, inner in value.items() if name not in _NOISE}
    if isinstance(value, list):
        return [_scrub(inner, known, key) for inner in value]
    return clean(value, known, key) if isinstance(value, str) else value


def clean(text: str, known: Sequence[str] = (), key: str = "") -> str:
    """A text without a credential.

    Args:
        text: the text.
        known: secrets of the platform; where one of them stands it alone is taken out.
        key: the field that holds the text.
    """
    for secret in known:
        text = text.replace(secret, MARK)
    if in_url(text) or in_text(text) or (key in _COMMANDS and in_command(text)):
        return MARK
    return MARK if key in _YAML and _names_one(text) else text


def _names_one(text: str) -> bool:
    """Whether YAML has an entry whose name says that it is a credential."""
    try:
        return _entry(yaml.safe_load(text))
    except yaml.YAMLError:
        return False


def _entry(value: Any) -> bool:
    if isinstance(value, dict):
        return any(
            (names_credential(str(name)) and is_literal(item)) or _entry(item) for name, item in value.items()
        )
    return isinstance(value, list) and any(map(_entry, value))


def _is_variable(value: JsonObject) -> bool:
    """Whether this is a variable of a container with a credential written out."""
    name = value.get("name")
    return isinstance(name, str) and names_credential(name) and is_literal(value.get("value"))


def marks(value: Any, path: str = "") -> Iterator[str]:
    """Where a credential was taken out, as paths such as ``spec.containers[0].env[2].value``."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from marks(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from marks(inner, f"{path}[{index}]")
    elif isinstance(value, str) and MARK in value:
        yield path
