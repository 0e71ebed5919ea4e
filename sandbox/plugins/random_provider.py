"""Stand-in for the `random` plugin: RandomPassword, RandomString, RandomId and RandomBytes.

Every input forces a new resource, as in the official schema. One output is missing: `bcryptHash` of
RandomPassword, because no bcrypt is among the dependencies.
"""

import base64
import binascii
import secrets
import string
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from pulumi.runtime import proto

from sandbox.plugins.properties import UNKNOWN, Secret, has_unknown, marshal, plain, unmarshal
from sandbox.plugins.server import EngineLog, Plugin, PluginError, package_version, serve, urn_type

_SPECIAL: Final = "!@#$%&*()-_=+[]{}<>:?"
_CLASSES: Final[Mapping[str, tuple[str, str]]] = {
    "lower": ("minLower", string.ascii_lowercase),
    "upper": ("minUpper", string.ascii_uppercase),
    "numeric": ("minNumeric", string.digits),
    "special": ("minSpecial", _SPECIAL),
}


class _Kind(NamedTuple):
    inputs: frozenset[str]
    outputs: tuple[str, ...]
    secret: bool
    generate: Callable[[Mapping[str, Any]], tuple[str, dict[str, Any]]]
    adopt: Callable[[str], tuple[str, dict[str, Any]]]


class RandomPlugin(Plugin):
    """Makes random values once and keeps them in the state."""

    def check(self, request: proto.CheckRequest) -> proto.CheckResponse:
        kind = self._kind(request.urn)
        news = unmarshal(request.news)
        failures = [
            proto.CheckFailure(property=key, reason=f"{key} is not a property of {urn_type(request.urn)}")
            for key in sorted(news.keys() - kind.inputs)
        ]
        if not failures and not has_unknown(news):
            try:
                kind.generate(plain(news))
            except _Invalid as error:
                failures.append(proto.CheckFailure(property=error.key, reason=str(error)))
        return proto.CheckResponse(inputs=request.news, failures=failures)

    def diff(self, request: proto.DiffRequest) -> proto.DiffResponse:
        kind = self._kind(request.urn)
        olds, news = plain(unmarshal(request.olds)), plain(unmarshal(request.news))
        detail = {}
        for key in sorted(kind.inputs):
            default = _defaults(news).get(key)
            old, new = olds.get(key, default), news.get(key, default)
            if old == new and not has_unknown(new):
                continue
            change = proto.PropertyDiff.UPDATE_REPLACE
            if old is None:
                change = proto.PropertyDiff.ADD_REPLACE
            elif new is None:
                change = proto.PropertyDiff.DELETE_REPLACE
            detail[key] = proto.PropertyDiff(kind=change)
        changes = proto.DiffResponse.DIFF_SOME if detail else proto.DiffResponse.DIFF_NONE
        return proto.DiffResponse(
            changes=changes, replaces=list(detail), detailedDiff=detail, hasDetailedDiff=True
        )

    def create(self, request: proto.CreateRequest) -> proto.CreateResponse:
        kind = self._kind(request.urn)
        inputs = unmarshal(request.properties)
        state = {**_state_defaults(request.urn, inputs), **inputs}
        if request.preview:
            unknown = Secret(UNKNOWN) if kind.secret else UNKNOWN
            return proto.CreateResponse(properties=marshal(state | dict.fromkeys(kind.outputs, unknown)))
        resource_id, made = kind.generate(plain(inputs))
        return proto.CreateResponse(id=resource_id, properties=marshal(state | _mark(made, kind)))

    def read(self, request: proto.ReadRequest) -> proto.ReadResponse:
        kind = self._kind(request.urn)
        if request.properties.fields:
            return proto.ReadResponse(id=request.id, properties=request.properties, inputs=request.inputs)
        resource_id, made = kind.adopt(request.id)
        inputs = {key: value for key, value in made.items() if key in kind.inputs}
        outputs = {key: value for key, value in made.items() if key in kind.outputs}
        state = {**_state_defaults(request.urn, inputs), **inputs, **_mark(outputs, kind)}
        return proto.ReadResponse(id=resource_id, properties=marshal(state), inputs=marshal(inputs))

    def update(self, request: proto.UpdateRequest) -> proto.UpdateResponse:
        # Every change replaces; what is left is a change of defaults, which keeps the value.
        return proto.UpdateResponse(properties=request.olds)

    def delete(self, request: proto.DeleteRequest) -> None:
        self._kind(request.urn)

    def _kind(self, urn: str) -> _Kind:
        kind = _KINDS.get(urn_type(urn))
        if kind is None:
            raise self._unserved(urn)
        return kind


class _Invalid(PluginError):
    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


def _mark(outputs: Mapping[str, Any], kind: _Kind) -> dict[str, Any]:
    return {key: Secret(value) if kind.secret else value for key, value in outputs.items()}


def _defaults(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Defaults of the character classes; `number` is the old name of `numeric`."""
    numeric = inputs.get("numeric", inputs.get("number", True))
    switches = {"lower": True, "upper": True, "special": True, "numeric": numeric, "number": numeric}
    return switches | dict.fromkeys(("minLower", "minUpper", "minNumeric", "minSpecial"), 0)


def _state_defaults(urn: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
    return _defaults(inputs) if urn_type(urn) in _TEXT_KINDS else {}


def _positive(inputs: Mapping[str, Any], key: str) -> int:
    value = inputs.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise _Invalid(key, f"{key} must be a whole number of at least 1, not {value!r}")
    return value


def _text(inputs: Mapping[str, Any]) -> str:
    length = _positive(inputs, "length")
    settings = _defaults(inputs) | dict(inputs)
    alphabet, required = "", []
    for name, (minimum, characters) in _CLASSES.items():
        chosen = settings.get("overrideSpecial") or characters if name == "special" else characters
        if settings[name]:
            alphabet += chosen
        required += [secrets.choice(chosen) for _ in range(settings[minimum])]
    if len(required) > length:
        raise _Invalid("length", f"length {length} is less than the sum of the minima, {len(required)}")
    if not alphabet and len(required) < length:
        raise _Invalid("lower", "no class of characters is left: set one of lower, upper, numeric, special")
    text = required + [secrets.choice(alphabet) for _ in range(length - len(required))]
    secrets.SystemRandom().shuffle(text)
    return "".join(text)


def _password(inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    # The id is shown in plain text, so it must not be the value.
    return "none", {"result": _text(inputs)}


def _string(inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    text = _text(inputs)
    return text, {"result": text}


def _id_outputs(data: bytes, prefix: str) -> tuple[str, dict[str, Any]]:
    url = base64.urlsafe_b64encode(data).decode().rstrip("=")
    return url, {
        "b64Std": prefix + base64.b64encode(data).decode(),
        "b64Url": prefix + url,
        "dec": prefix + str(int.from_bytes(data)),
        "hex": prefix + data.hex(),
    }


def _identifier(inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    return _id_outputs(secrets.token_bytes(_positive(inputs, "byteLength")), inputs.get("prefix") or "")


def _bytes(inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    return "none", _bytes_outputs(secrets.token_bytes(_positive(inputs, "length")))


def _bytes_outputs(data: bytes) -> dict[str, Any]:
    return {"base64": base64.b64encode(data).decode(), "hex": data.hex()}


def _adopt_password(given: str) -> tuple[str, dict[str, Any]]:
    return "none", {"result": given, "length": len(given)}


def _adopt_string(given: str) -> tuple[str, dict[str, Any]]:
    return given, {"result": given, "length": len(given)}


def _adopt_identifier(given: str) -> tuple[str, dict[str, Any]]:
    prefix, _, encoded = given.rpartition(",")
    data = _decoded(encoded, urlsafe=True)
    resource_id, outputs = _id_outputs(data, prefix)
    return resource_id, outputs | {"byteLength": len(data)} | ({"prefix": prefix} if prefix else {})


def _adopt_bytes(given: str) -> tuple[str, dict[str, Any]]:
    data = _decoded(given, urlsafe=False)
    return "none", _bytes_outputs(data) | {"length": len(data)}


def _decoded(encoded: str, *, urlsafe: bool) -> bytes:
    padded = encoded + "=" * (-len(encoded) % 4)
    try:
        return base64.b64decode(padded, altchars=b"-_" if urlsafe else None, validate=True)
    except (binascii.Error, ValueError):
        raise PluginError("the id to import is not base64; give the value that is to be kept") from None


_TEXT_INPUTS: Final = frozenset(
    {"keepers", "length", "overrideSpecial", "number", *_CLASSES, *(low for low, _ in _CLASSES.values())}
)
_KINDS: Final[Mapping[str, _Kind]] = {
    "random:index/randomPassword:RandomPassword": _Kind(
        _TEXT_INPUTS, ("result",), True, _password, _adopt_password
    ),
    "random:index/randomString:RandomString": _Kind(_TEXT_INPUTS, ("result",), False, _string, _adopt_string),
    "random:index/randomId:RandomId": _Kind(
        frozenset({"byteLength", "keepers", "prefix"}),
        ("b64Std", "b64Url", "dec", "hex"),
        False,
        _identifier,
        _adopt_identifier,
    ),
    "random:index/randomBytes:RandomBytes": _Kind(
        frozenset({"keepers", "length"}), ("base64", "hex"), True, _bytes, _adopt_bytes
    ),
}
_TEXT_KINDS: Final = frozenset(token for token, kind in _KINDS.items() if kind.inputs is _TEXT_INPUTS)


def make(log: EngineLog) -> RandomPlugin:
    """Return the plugin as `server.serve` wants it."""
    return RandomPlugin("random", package_version("pulumi-random"), log)


if __name__ == "__main__":
    serve(make)
