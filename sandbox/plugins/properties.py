"""Property values as the engine sends them, and as Python values.

Plain values are `None`, `bool`, `int`, `float`, `str`, `list` and `dict`. Three marks may stand
anywhere among them: `Secret` around a value, `UNKNOWN` for a value that is known only after the
update, and `Special` for assets, archives and resource references, which pass through untouched.
"""

import base64
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from google.protobuf import struct_pb2
from pulumi.runtime import rpc

_SIGNATURE: Final[str] = rpc._special_sig_key
_SECRET: Final[str] = rpc._special_secret_sig
_OUTPUT: Final[str] = rpc._special_output_value_sig

# The engine spells "unknown" differently for each element type (Go SDK, resource/plugin/rpc.go);
# the Python SDK only knows the first one.
_UNKNOWN_SPELLINGS: Final[frozenset[str]] = frozenset(
    {
        rpc.UNKNOWN,
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
        "030794c1-ac77-496b-92df-f27374a8bd58",
        "e48ece36-62e2-4504-bad9-02848725956a",
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
    }
)


class _Unknown:
    """The type of `UNKNOWN`."""

    def __repr__(self) -> str:
        return "UNKNOWN"

    def __deepcopy__(self, memo: object) -> "_Unknown":
        return self


UNKNOWN: Final = _Unknown()


@dataclass(frozen=True)
class Secret:
    """A value that the engine must encrypt and never display."""

    value: Any = field(repr=False)


@dataclass(frozen=True)
class Special:
    """An asset, archive or resource reference, as the engine spells it."""

    fields: Mapping[str, Any]


def unmarshal(struct: struct_pb2.Struct) -> dict[str, Any]:
    """Return the properties of a request as Python values with marks."""
    return {key: _from_value(value) for key, value in struct.fields.items()}


def marshal(properties: Mapping[str, Any]) -> struct_pb2.Struct:
    """Return Python values with marks as the engine reads them. Raises TypeError for other types."""
    struct = struct_pb2.Struct()
    _fill_fields(struct, properties)
    return struct


def _from_value(value: struct_pb2.Value) -> Any:
    match value.WhichOneof("kind"):
        case "bool_value":
            return value.bool_value
        case "number_value":
            number = value.number_value
            # Kubernetes reads "1.0" as a float and refuses it where an integer belongs.
            return int(number) if number.is_integer() else number
        case "string_value":
            return UNKNOWN if value.string_value in _UNKNOWN_SPELLINGS else value.string_value
        case "list_value":
            return [_from_value(item) for item in value.list_value.values]
        case "struct_value":
            return _from_struct(value.struct_value)
        case _:
            return None


def _from_struct(struct: struct_pb2.Struct) -> Any:
    fields = unmarshal(struct)
    signature = fields.get(_SIGNATURE)
    if signature is None:
        return fields
    if signature == _SECRET:
        return Secret(fields.get("value"))
    if signature == _OUTPUT:
        value = fields.get("value", UNKNOWN)
        return Secret(value) if fields.get("secret") else value
    return Special(fields)


def _fill_fields(struct: struct_pb2.Struct, properties: Mapping[str, Any]) -> None:
    # In place: a message that is put into another is copied, once for each level of a CRD's twenty.
    for key, value in properties.items():
        _fill(struct.fields[key], value)


def _fill(target: struct_pb2.Value, value: Any) -> None:
    if value is None:
        target.null_value = struct_pb2.NULL_VALUE
    elif value is UNKNOWN:
        target.string_value = rpc.UNKNOWN
    elif isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int | float):
        target.number_value = value
    elif isinstance(value, str):
        target.string_value = value
    elif isinstance(value, Secret):
        _fill(target, {_SIGNATURE: _SECRET, "value": value.value})
    elif isinstance(value, Special):
        _fill(target, value.fields)
    elif isinstance(value, Mapping):
        target.struct_value.SetInParent()  # an empty object is an object
        _fill_fields(target.struct_value, value)
    elif isinstance(value, list | tuple):
        target.list_value.SetInParent()
        for item in value:
            _fill(target.list_value.values.add(), item)
    else:
        raise TypeError(f"a property cannot hold a {type(value).__name__}")


def plain(value: Any) -> Any:
    """Return a deep copy without `Secret` marks; `UNKNOWN` and `Special` stay."""
    if isinstance(value, Secret):
        return plain(value.value)
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def has_unknown(value: Any) -> bool:
    """Whether any part of the value is known only after the update."""
    return any(item is UNKNOWN for item in _walk(value))


def has_secret(value: Any) -> bool:
    """Whether any part of the value is marked secret."""
    return any(isinstance(item, Secret) for item in _walk(value))


def _walk(value: Any) -> Iterator[Any]:
    yield value
    if isinstance(value, Secret):
        yield from _walk(value.value)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _walk(item)
    elif isinstance(value, list):
        for item in value:
            yield from _walk(item)


def mark_secrets(outputs: dict[str, Any], inputs: Mapping[str, Any]) -> None:
    """Mark in place what is secret in `outputs` because it is secret in `inputs`.

    Mappings are compared key by key so that one secret does not hide its neighbours; a list with any
    secret in it becomes secret as a whole, because the server may reorder its items. The data of a
    Kubernetes Secret is always secret.
    """
    if outputs.get("kind") == "Secret":
        for key in ("data", "stringData"):
            if key in outputs and not isinstance(outputs[key], Secret):
                outputs[key] = Secret(outputs[key])
    for key, given in inputs.items():
        if key not in outputs or isinstance(outputs[key], Secret):
            continue
        if isinstance(outputs[key], dict) and isinstance(given, Mapping):
            mark_secrets(outputs[key], given)
        elif has_secret(given):
            outputs[key] = Secret(outputs[key])


_SHORTEST_REDACTED: Final = 4


def redactor(*structs: struct_pb2.Struct) -> Callable[[str], str]:
    """Return a function that hides every secret string of the given properties in a text.

    Values shorter than four characters are left: hiding them would garble the text without hiding
    anything. The base64 form, in which the API server handles a Secret's data, is hidden too.
    """
    hidden: set[str] = set()
    for struct in structs:
        # What the plugin keeps for itself repeats secrets that are marked elsewhere, among names that
        # a message needs.
        given = {key: value for key, value in unmarshal(struct).items() if not key.startswith("__")}
        for item in _walk(given):
            if isinstance(item, Secret):
                hidden.update(leaf for leaf in _walk(item.value) if isinstance(leaf, str))
    hidden |= {base64.b64encode(text.encode()).decode() for text in hidden}
    ordered = sorted((text for text in hidden if len(text) >= _SHORTEST_REDACTED), key=len, reverse=True)

    def redact(text: str) -> str:
        for secret in ordered:
            text = text.replace(secret, "[secret]")
        return text

    return redact
