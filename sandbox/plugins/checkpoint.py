"""The state that the engine keeps of an object, in the form of the official plugin.

Beside the live object it holds, under names that start with two underscores, what only the plugin
needs: the inputs, the API version and field manager of the first creation, and what the server made of
inputs (`shape.rewrites`).
"""

import secrets
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from sandbox.plugins import objects
from sandbox.plugins.objects import Object
from sandbox.plugins.properties import Secret, has_secret, mark_secrets, plain

_INPUTS: Final = "__inputs"
_INITIAL_API_VERSION: Final = "__initialApiVersion"
_FIELD_MANAGER: Final = "__fieldManager"
_REWRITES: Final = "__rewrites"


class Checkpoint(NamedTuple):
    """What a state says, without marks and with keys as the server spells them."""

    inputs: Object
    live: Object
    initial_api_version: str
    field_manager: str
    rewrites: list[dict[str, Any]]


def read(state: Mapping[str, Any]) -> Checkpoint:
    """Return the parts of a state; empty ones for what is not there."""
    content = objects.to_server(plain(state))
    return Checkpoint(
        inputs=content.pop(_INPUTS, None) or {},
        initial_api_version=content.pop(_INITIAL_API_VERSION, "") or "",
        field_manager=content.pop(_FIELD_MANAGER, "") or "",
        rewrites=content.pop(_REWRITES, None) or [],
        live=content,
    )


class Origin(NamedTuple):
    """How an object came to be.

    Attributes:
        initial_api_version: the API version that it was created with.
        field_manager: the owner of its fields.
        rewrites: what the server made of the inputs.
    """

    initial_api_version: str
    field_manager: str
    rewrites: list[dict[str, Any]]


def write(
    live: Mapping[str, Any], inputs: Mapping[str, Any], marked: Mapping[str, Any], origin: Origin
) -> dict[str, Any]:
    """Return the state of an object.

    Args:
        live: the object as the server holds it.
        inputs: the inputs that it was made from, without marks.
        marked: the same inputs with marks, which say what is secret.
        origin: how it came to be.
    """
    state: dict[str, Any] = objects.from_server(live)
    marks = objects.from_server(marked)
    mark_secrets(state, marks)
    text = marked.get("stringData")
    if text is not None and "data" in state and not isinstance(state["data"], Secret):
        state["data"] = Secret(state["data"])
    kept: dict[str, Any] = objects.from_server(inputs)
    mark_secrets(kept, marks)
    state[_INPUTS] = kept
    state[_INITIAL_API_VERSION] = origin.initial_api_version
    state[_FIELD_MANAGER] = origin.field_manager
    if origin.rewrites:
        confidential = objects.is_secret(live) or has_secret(marked)
        state[_REWRITES] = Secret(origin.rewrites) if confidential else origin.rewrites
    return state


def field_manager(inputs: Mapping[str, Any], known: str) -> str:
    """Return who owns the fields: what an annotation says, else who owned them so far, else a new name."""
    chosen = objects.annotation(inputs, objects.PATCH_FIELD_MANAGER)
    return chosen or known or f"pulumi-kubernetes-{secrets.token_hex(4)}"
