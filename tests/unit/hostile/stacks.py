"""Stacks that the settings take, made from the models' own schema: every key can be anything that fits it."""

from __future__ import annotations

import json
from typing import Any, Final

from hypothesis import strategies as st

from infra.problems import SettingsError
from infra.reading import parse
from tests.unit.hostile import everything
from tests.unit.hostile.values import TEXTS

# Names as long as they may be, and what is easily forgotten of them.
LABELS: Final = ("a" * 63, "a" * 50, "a-" * 31 + "a", "a", "z9", "x--y", "null", "yes", "on", "e1", "n" * 40)
DNS_NAMES: Final = (
    ".".join(["a" * 63] * 3 + ["b" * 61]),
    "0.1.2.3",
    "1e3",
    "x" * 63,
    "a.b-c.d",
)
NUMBERS: Final = (0, 1, 2, 10, 200, 2**31 - 1)
# What no schema says more of than its type; each is right, and written unlike the others.
FREE: Final[everything.Json] = {
    "SemVer": ("1.6.2", "2.55.1", "1.30.3", "1.31.0-rc.0+build.7"),
    "Cidr": ("0.0.0.0/0", "10.0.0.0/8", "::/0", "fd00::/8", "169.254.169.254/32", "2001:db8::1/128"),
    "Quantity": ("0", "1", "0.5", "500m", "2.5Gi", "999999999999999Ei", "000.100", "64"),
}
# Helm's and Kubernetes' own text: nobody here says more of it than that it is an object.
OPAQUE: Final = frozenset(
    {"affinity", "podSpec", "values", "meshConfig", "baseValues", "istiodValues", "profiles", "jobTemplate"}
)
# What other settings refer to by name; they change together, or not at all.
_TIED: Final = frozenset({"kubeconfig", "kubeconfigPath", "stack", "context", "kind", "platform", "crds"})


def fitting(rule: everything.Json) -> st.SearchStrategy[Any]:
    """Values that fit a rule of the schema, or nearly do."""
    return st.one_of([_fitting(choice) for choice in everything.choices(rule)])


def _fitting(rule: everything.Json) -> st.SearchStrategy[Any]:
    if "const" in rule:
        return st.just(rule["const"])
    if "enum" in rule:
        return st.sampled_from(rule["enum"])
    kinds = rule.get("type", "object")
    kind = kinds[0] if isinstance(kinds, list) else kinds
    if kind == "string":
        return _text(rule)
    if kind in ("integer", "number"):
        return _number(rule)
    if kind == "array":
        return st.lists(fitting(rule.get("items", {"type": "string"})), max_size=3)
    if kind == "object":
        return _mapping(rule)
    return st.booleans() if kind == "boolean" else st.none()


def _text(rule: everything.Json) -> st.SearchStrategy[str]:
    known = st.sampled_from([*LABELS, *DNS_NAMES, *(text for texts in FREE.values() for text in texts)])
    if "pattern" in rule:
        return st.one_of(st.from_regex(rule["pattern"], fullmatch=True), known)
    return st.one_of(known, st.sampled_from(TEXTS), st.text(max_size=60))


def _number(rule: everything.Json) -> st.SearchStrategy[Any]:
    low, high = rule.get("minimum", 0), rule.get("maximum", 2**31 - 1)
    edges = [low, high, *(number for number in NUMBERS if low <= number <= high)]
    return st.one_of(st.sampled_from(edges), st.integers(int(low), int(high)))


def _mapping(rule: everything.Json) -> st.SearchStrategy[Any]:
    patterns = rule.get("patternProperties", {})
    if patterns:
        ((pattern, inner),) = patterns.items()
        return st.dictionaries(st.from_regex(pattern, fullmatch=True), fitting(inner), max_size=3)
    inner = rule.get("additionalProperties")
    if isinstance(inner, dict):
        return st.dictionaries(_text({}), fitting(inner), max_size=3)
    return st.just({})


@st.composite
def stacks(draw: st.DrawFn, keys: int = 40) -> everything.Json:
    """A stack that the settings take: everything, with many keys changed to something else that fits.

    Args:
        draw: hypothesis' choice.
        keys: how many keys are changed at most.
    """
    values = _renamed(draw, everything.stack())
    known = [
        (path, rule)
        for path, rule in everything.keys(values, everything.SCHEMA)
        if not OPAQUE & set(path) and path[-1] not in _TIED and path[-1] != "name"
    ]
    for path, rule in draw(st.lists(st.sampled_from(known), min_size=keys // 2, max_size=keys)):
        other = json.loads(json.dumps(values))
        try:
            everything.put(other, path, draw(fitting(rule)))
            parse(other)
        except (SettingsError, AttributeError, TypeError, LookupError):
            continue  # one that does not fit, or whose place is gone
        values = other
    return values


def _renamed(draw: st.DrawFn, values: everything.Json) -> everything.Json:
    """New names, at their limits or not, wherever the same thing is named."""
    workspace, cluster = values["workspaces"][0], values["workspaces"][0]["clusters"][0]
    exposed = values["gateway"]["expose"][0]
    names = st.one_of(
        st.sampled_from(LABELS), st.from_regex(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)
    )
    workspace["name"] = exposed["workspace"] = draw(names)
    workspace["namespace"] = draw(names)
    cluster["name"] = exposed["cluster"] = draw(names)[:50].rstrip("-")
    cluster["workerGroups"][0]["name"] = draw(names)
    try:
        parse(values)
    except SettingsError:
        return everything.stack()
    return values
