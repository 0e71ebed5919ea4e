"""What a stack's pack configuration lets pass: lists of ``namespace/name``, where * stands for anything."""

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Any, Final

from rayfort.policies.kinds import named_by, namespaced_name
from rayfort.policies.rule import Config, Finding, Resource, Unproven, Violation

ALLOWED: Final = "allowed"


def setting(description: str) -> dict[str, Any]:
    """The JSON schema of such a list."""
    return {
        "type": "array",
        "items": {"type": "string"},
        "description": f"{description}; * stands for anything.",
    }


def unless_listed(resource: Resource, patterns: Iterable[str], found: Iterable[Finding]) -> Iterator[Finding]:
    """What was found in a resource that is not listed.

    Args:
        resource: the resource.
        patterns: the list.
        found: what was found in it; unproven as long as it is not known whether the resource is listed.
    """
    patterns = tuple(patterns)
    metadata = named_by(resource)
    unknown = next((node for node in (metadata["name"], metadata["namespace"]) if node.unknown), None)
    if not unknown and any(fnmatchcase(namespaced_name(resource), pattern) for pattern in patterns):
        return
    for each in found:
        yield Unproven(unknown.where) if unknown and patterns and isinstance(each, Violation) else each


def allowed(config: Config) -> tuple[str, ...]:
    """The list of a rule whose setting is `ALLOWED`."""
    return tuple(config.get(ALLOWED, ()))
