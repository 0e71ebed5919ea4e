"""What Pulumi hands to a policy, as the rules read it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pulumi_policy import policy
from pulumi_policy.deserialize import SPECIAL_SECRET_SIG, SPECIAL_SIG_KEY, deserialize_properties
from pulumi_policy.proxy import UnknownValueError

from rayfort.policies.values import UNKNOWN, UNKNOWN_SECRET, SecretText

_TARGET: Final = "__target"
_HOOK: Final = "deserialize_properties"


def keep_secrets_apart() -> None:
    """Let policies see which text is secret.

    Pulumi tells its policy packs, but `pulumi_policy` drops that on the way to a validation: a secret arrives
    there as plain text. With this its text arrives as `SecretText`. Nothing else changes.

    Raises:
        RuntimeError: if this `pulumi_policy` reads properties in another way.
    """
    if getattr(policy, _HOOK, None) not in (deserialize_properties, _deserialize):
        raise RuntimeError(
            "this version of pulumi-policy reads properties in a way that rayfort.policies does not know, so "
            "that secrets could not be told from plain text; use one that components/pyproject.toml allows"
        )
    setattr(policy, _HOOK, _deserialize)


def _deserialize(props: dict[str, Any], proxy_secrets: bool = False) -> Any:
    return deserialize_properties(props if proxy_secrets else _marked(props), proxy_secrets)


def _marked(value: Any, *, secret: bool = False) -> Any:
    if isinstance(value, dict):
        if value.get(SPECIAL_SIG_KEY) == SPECIAL_SECRET_SIG:
            return _marked(value.get("value"), secret=True)
        return {key: _marked(item, secret=secret and key != SPECIAL_SIG_KEY) for key, item in value.items()}
    if isinstance(value, list):
        return [_marked(item, secret=secret) for item in value]
    return SecretText(value) if secret and isinstance(value, str) else value


def properties(proxy: Any) -> Any:
    """A resource's properties as plain data, unknown values as `UNKNOWN` or `UNKNOWN_SECRET`."""
    if isinstance(proxy, Mapping):
        return {key: _item(proxy, key) for key in proxy}
    if isinstance(proxy, Sequence) and not isinstance(proxy, str | bytes):
        return [_item(proxy, index) for index in range(len(proxy))]
    if isinstance(proxy, float) and proxy.is_integer():
        return int(proxy)
    return proxy


def _item(proxy: Any, key: Any) -> Any:
    try:
        return properties(proxy[key])
    except UnknownValueError as error:
        return UNKNOWN_SECRET if isinstance(error.unknown_type_sentinel, SecretText) else UNKNOWN


def changeable(proxy: Any) -> Any:
    """What a remediation is given, as data to change; secrets and unknown values stay as they are."""
    value = proxy
    # Read past the proxies, which would unwrap secrets and lose that they are.
    if isinstance(proxy, Mapping | Sequence) and not isinstance(proxy, str | bytes | dict | list):
        value = proxy[_TARGET]  # type: ignore[call-overload]
    if isinstance(value, Mapping):
        return {key: changeable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [changeable(item) for item in value]
    return value
