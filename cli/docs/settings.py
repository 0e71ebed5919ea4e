"""The reference of the settings, made from the models: every key with type, default, meaning and example."""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, get_args

import yaml
from pydantic import BaseModel

from cli.schema import ENCRYPTED, stack_schema
from infra.problems import NAMESPACE
from infra.settings import Settings

EXAMPLES: Final = Path(__file__).with_name("examples.yaml")
INTRODUCTION: Final = f"""# Settings

<!-- Made by `./rayfort docs write` from infra/settings.py and the models that it names; change those. -->

Everything that a stack file may say under `{NAMESPACE}:`. Keys that are not listed are mistakes, and all
mistakes are told at once, before anything is touched. Editors check stack files with `stacks/schema.json`,
which is made from the same models. [Environments](../environments.md) has whole files to copy.

An example is a value that the key takes, not the one to take. A *secret* may be encrypted, with
`pulumi config set --secret --path`. *required* stands where there is no default.
"""

Json = dict[str, Any]


class ExampleError(ValueError):
    """A key without an example, with where to write one."""


def render() -> str:
    """The reference, as Markdown."""
    return "\n".join(_lines()).rstrip() + "\n"


def _lines() -> Iterator[str]:
    schema = stack_schema()
    definitions: Json = schema["$defs"]
    config = schema["properties"]["config"]
    yield INTRODUCTION
    yield from _table("Settings", config, definitions)
    shown: set[str] = set()
    for key, rule in config["properties"].items():
        named = [name for name in _references(rule) if _is_object(definitions[name])]
        if not named:
            continue
        yield f"## `{key}`\n"
        waiting = list(named)
        while waiting:
            name = waiting.pop(0)
            if name in shown:
                continue
            shown.add(name)
            definition = definitions[name]
            yield f"### {name}\n"
            yield f"{definition['description']}\n"
            yield from _table(name, definition, definitions)
            below = [found for value in definition["properties"].values() for found in _references(value)]
            waiting = [found for found in dict.fromkeys(below) if _is_object(definitions[found])] + waiting


def _table(model: str, definition: Json, definitions: Json) -> Iterator[str]:
    required = definition.get("required", [])
    yield "| key | type | default | meaning | example |"
    yield "|---|---|---|---|---|"
    for key, rule in definition["properties"].items():
        cells = (
            f"`{key}`",
            _type(rule, definitions),
            "*required*" if key in required else _default(model, key, rule),
            rule.get("description", ""),
            _example(model, key, rule, definitions),
        )
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
    yield ""


def _is_object(definition: Json) -> bool:
    return "properties" in definition


def _references(rule: Any) -> list[str]:
    """The models that a rule names, in its order, the first choice of several first."""
    if isinstance(rule, list):
        return [name for item in rule for name in _references(item)]
    if not isinstance(rule, dict):
        return []
    if "if" in rule:
        return _references([rule["else"], rule["then"]])
    own = [str(rule["$ref"]).rpartition("/")[2]] if "$ref" in rule else []
    return own + [name for key, value in rule.items() if key != "$ref" for name in _references(value)]


def _type(rule: Json, definitions: Json) -> str:
    if "if" in rule:
        return " or ".join(_link(name) for name in _references(rule))
    if "$ref" in rule:
        name = rule["$ref"].rpartition("/")[2]
        return _link(name) if _is_object(definitions[name]) else _type(definitions[name], definitions)
    if "anyOf" in rule:
        choices = [choice for choice in rule["anyOf"] if choice not in (ENCRYPTED, {"type": "null"})]
        texts = dict.fromkeys(_type(choice, definitions) for choice in choices)
        return " or ".join(texts) + " (*secret*)" * (ENCRYPTED in rule["anyOf"])
    if values := rule.get("enum", [rule["const"]] if "const" in rule else []):
        return ", ".join(f"`{value}`" for value in values)
    return _plain_type(rule, definitions)


def _plain_type(rule: Json, definitions: Json) -> str:
    named = rule.get("type", "anything")
    if named == "array":
        return f"list of {_type(rule.get('items', {}), definitions)}"
    if named == "object":
        by_pattern = list(rule.get("patternProperties", {}).values())
        values = rule.get("additionalProperties") or (by_pattern[0] if by_pattern else None)
        return f"mapping to {_type(values, definitions)}" if isinstance(values, dict) else "mapping"
    return (" or ".join(named) if isinstance(named, list) else str(named)) + _bounds(rule)


def _bounds(rule: Json) -> str:
    low, high = rule.get("minimum", rule.get("exclusiveMinimum")), rule.get("maximum")
    if low is None and high is None:
        return ""
    return f" ({low if low is not None else '…'} to {high if high is not None else '…'})"


def _link(name: str) -> str:
    return f"[{name}](#{name.lower()})"


def _default(model: str, key: str, rule: Json) -> str:
    if "default" not in rule:
        return "its own" if _references(rule) else "see there"
    value = rule["default"]
    return "-" if value is None else _code(value)


def _example(model: str, key: str, rule: Json, definitions: Json) -> str:
    try:
        value = example(model, key, rule, definitions)
    except ExampleError:
        return "-"  # a test asks for one
    return "see there" if value is None else _code(value)


def example(model: str, key: str, rule: Json, definitions: Json) -> Any:
    """A value that a key takes; None where the value is another model's, which has examples of its own.

    Raises:
        ExampleError: if there is none.
    """
    if key in written().get(model, {}):
        return written()[model][key]
    if any(_is_object(definitions[name]) for name in _references(rule)):
        return None
    default = rule.get("default")
    choices = _choices(rule, definitions)
    if choices:
        return next((value for value in reversed(choices) if value != default), choices[0])
    if rule.get("type") == "boolean":
        return not default
    if default not in (None, [], {}, ""):
        return default
    raise ExampleError(
        f"{model}.{key} has no example; write one into {EXAMPLES.name} beside cli/docs/settings.py"
    )


def _choices(rule: Json, definitions: Json) -> list[Any]:
    if "$ref" in rule:
        return _choices(definitions[rule["$ref"].rpartition("/")[2]], definitions)
    if "anyOf" in rule:
        return [value for choice in rule["anyOf"] for value in _choices(choice, definitions)]
    return list(rule.get("enum", [rule["const"]] if "const" in rule else []))


@cache
def written() -> Mapping[str, Mapping[str, Any]]:
    """The examples that are written by hand: model, key and value."""
    return dict(yaml.safe_load(EXAMPLES.read_text(encoding="utf-8")))


def models() -> dict[str, type[BaseModel]]:
    """The models of the settings by name."""
    found: dict[str, type[BaseModel]] = {}
    waiting: list[Any] = [Settings]
    while waiting:
        kind = waiting.pop()
        if isinstance(kind, type) and issubclass(kind, BaseModel) and kind.__name__ not in found:
            found[kind.__name__] = kind
            waiting += [field.annotation for field in kind.model_fields.values()]
        waiting += get_args(kind)
    return found


def _code(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"`{text}`" if text else '`""`'
