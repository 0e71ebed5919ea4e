"""Reading a kubeconfig without ever following the ambient one."""

from typing import Any

import yaml


class KubeconfigError(ValueError):
    """A kubeconfig that cannot be used, with what to do about it."""


def check(kubeconfig: str, context: str) -> str:
    """``kubeconfig`` with ``context`` as its current context, as YAML.

    Args:
        kubeconfig: the content of a kubeconfig file.
        context: the name of the context to use; it must be in the file.

    Raises:
        KubeconfigError: if the content is not a kubeconfig, or the context, its cluster or its user is
            missing. The content itself is never part of the message.
    """
    try:
        parsed = yaml.safe_load(kubeconfig)
    except (yaml.YAMLError, ValueError, RecursionError):  # ValueError: a date that no calendar has
        # Without the cause, which quotes the content.
        raise KubeconfigError("is not valid YAML; give the content of a kubeconfig file") from None
    if not isinstance(parsed, dict) or not isinstance(parsed.get("contexts"), list):
        raise KubeconfigError("is not a kubeconfig: it has no list of contexts; give the content of one")
    contexts = _by_name(parsed, "contexts")
    if context not in contexts:
        known = ", ".join(sorted(contexts)) or "none"
        raise KubeconfigError(f"has no context {context!r} (it has: {known}); set `context` to one of them")
    for kind, plural in (("cluster", "clusters"), ("user", "users")):
        wanted = _object(contexts[context].get("context")).get(kind)
        if not isinstance(wanted, str) or wanted not in _by_name(parsed, plural):
            raise KubeconfigError(
                f"has a context {context!r} that refers to {kind} {wanted!r}, which is not in it; "
                "write it anew with `kubectl config view --raw --flatten`"
            )
    return yaml.safe_dump({**parsed, "current-context": context}, sort_keys=True)


def _by_name(parsed: dict[str, Any], plural: str) -> dict[str, dict[str, Any]]:
    items = parsed.get(plural)
    entries = [_object(item) for item in items] if isinstance(items, list) else []
    return {entry["name"]: entry for entry in entries if isinstance(entry.get("name"), str)}


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
