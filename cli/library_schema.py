"""The schema of the library's components: written anew, and held against what programs were written for."""

import json
import tomllib
from collections.abc import Iterator, Mapping, Set
from pathlib import Path
from typing import Any, Final

from rayfort.host import schema

Json = Mapping[str, Any]
# What a property may say otherwise without any program noticing.
_TOLD: Final = frozenset({"description", "secret"})


class ApiBreak(Exception):
    """The library no longer has what programs may use; the text says what, and how to accept that."""


def write(root: Path, *, accept_breaks: bool = False) -> Path:
    """Write the schema into the library.

    Args:
        root: the project's directory.
        accept_breaks: write it although programs that fit the schema so far may not fit it any more.

    Returns:
        The file.

    Raises:
        ApiBreak: if a program may break by it and that is not accepted.
    """
    path = root / "components" / "rayfort" / "host" / schema.FILE.name
    text = render(root)
    found = (
        list(breaks(json.loads(path.read_text(encoding="utf-8")), json.loads(text))) if path.exists() else []
    )
    if found and not accept_breaks:
        lines = "".join(f"  {each}\n" for each in found)
        raise ApiBreak(
            f"programs that use the library would break; {path.name} was not written.\n{lines}"
            "  what to do: take it back; or, if it is meant, raise the version in components/pyproject.toml "
            "as docs/library.md says, and run `./rayfort schema --accept-breaks`"
        )
    path.write_text(text, encoding="utf-8")
    return path


def render(root: Path) -> str:
    """The schema's text as the library is now."""
    project = tomllib.loads((root / "components" / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return schema.render(project["version"])


def breaks(old: Json, new: Json) -> Iterator[str]:
    """What a program that fits the old schema may miss in the new one.

    What is added is no break: a component, an output, an input that is not required, a choice.
    """
    for token, resource in old["resources"].items():
        now = new["resources"].get(token)
        if now is None:
            yield f"{token} is gone"
            continue
        yield from _inputs(token, resource, now, "inputProperties", "requiredInputs")
        yield from _outputs(token, resource, now)
    read = _read_by_programs(old)
    for token, kind in old["types"].items():
        now = new["types"].get(token)
        if now is None:
            yield f"{token} is gone"
        elif "enum" in kind or "enum" in now:
            yield from _choices(token, kind, now)
        else:
            yield from _inputs(token, kind, now, "properties", "required")
            if token in read:
                yield from _lost(token, kind, now)


def _inputs(token: str, old: Json, new: Json, properties: str, required: str) -> Iterator[str]:
    yield from _properties(token, old.get(properties, {}), new.get(properties, {}))
    for name in sorted(set(new.get(required, ())) - set(old.get(required, ()))):
        if name in old.get(properties, {}):
            yield f"{token}.{name} is required"
        else:
            yield f"{token}.{name} is new and required"


def _outputs(token: str, old: Json, new: Json) -> Iterator[str]:
    yield from _properties(token, old.get("properties", {}), new.get("properties", {}))
    yield from _lost(token, old, new)


def _lost(token: str, old: Json, new: Json) -> Iterator[str]:
    for name in sorted(set(old.get("required", ())) - set(new.get("required", ()))):
        if name in new.get("properties", {}):
            yield f"{token}.{name} is no longer always there"


def _properties(token: str, old: Json, new: Json) -> Iterator[str]:
    for name, value in old.items():
        if name not in new:
            yield f"{token}.{name} is gone"
        elif _kind(value) != _kind(new[name]):
            yield f"{token}.{name} is {_kind(new[name])} and was {_kind(value)}"


def _choices(token: str, old: Json, new: Json) -> Iterator[str]:
    there = {each["value"]: each["name"] for each in new.get("enum", ())}
    for each in old.get("enum", ()):
        if each["value"] not in there:
            yield f"{token}: {each['value']} is no choice any more"
        elif each["name"] != there[each["value"]]:
            yield f"{token}: {each['value']} is called {there[each['value']]} and was {each['name']}"
    if ("enum" in old) != ("enum" in new):
        yield f"{token} is of another kind"


def _kind(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _kind(each) for key, each in value.items() if key not in _TOLD}
    return value


def _read_by_programs(package: Json) -> Set[str]:
    """The types that outputs are made of."""
    todo = [resource.get("properties", {}) for resource in package["resources"].values()]
    found: set[str] = set()
    while todo:
        for token in _references(todo.pop()):
            if token not in found:
                found.add(token)
                todo.append(package["types"].get(token, {}).get("properties", {}))
    return found


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        if isinstance(reference := value.get("$ref"), str):
            yield reference.rpartition("/")[2]
        for each in value.values():
            yield from _references(each)
