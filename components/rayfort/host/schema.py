"""The package's schema for Pulumi, made from the components and their arguments.

No property has a default in it: generated SDKs would send it along as if the user had written it, and pin
what was the default when they were generated. Every input takes outputs of other resources.
"""

import json
from collections.abc import Mapping
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, Final

import pulumi
from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from rayfort import docstrings
from rayfort.component import Component
from rayfort.host import hosted, shape
from rayfort.host.hosted import Hosted, token
from rayfort.model import JsonObject

NAME: Final = "rayfort"
FILE: Final = Path(__file__).with_name("schema.json")
_ANYTHING: Final[JsonObject] = {"$ref": "pulumi.json#/Any"}
_SIMPLE: Final[Mapping[Any, str]] = {bool: "boolean", int: "integer", float: "number", str: "string"}
# Names that the surroundings of several components have.
_OF_ITS_OWN: Final = frozenset({"Surroundings"})
# How a docstring marks a value that is one.
_SECRET: Final = "(secret)"  # noqa: S105 - a mark


def render(version: str) -> str:
    """The schema's text.

    Args:
        version: the distribution's version.
    """
    return json.dumps(package(version), indent=2, ensure_ascii=False) + "\n"


@cache
def committed() -> JsonObject:
    """The schema as it is shipped."""
    read: JsonObject = json.loads(FILE.read_text(encoding="utf-8"))
    return read


def package(version: str) -> JsonObject:
    """The schema of a version."""
    types = _Types()
    components = {name: hosted.hosted(name) for name in hosted.names()}
    told: dict[str, str] = {}
    for each in components.values():
        told |= docstrings.facts(each.component)
    resources = {token(name): _resource(each, types, told) for name, each in sorted(components.items())}
    versioned = {"respectSchemaVersion": True}
    return {
        "name": NAME,
        "displayName": "Rayfort",
        # Their SDK in Python is the distribution itself; one that is generated has another name.
        "namespace": NAME,
        "version": version,
        "description": "Secure Ray on Kubernetes, as Pulumi components.",
        "keywords": ["kind/component", "category/infrastructure", "ray", "kubernetes", "istio"],
        "license": "Apache-2.0",
        # Generated SDKs are packages that their language can build: one for Go is a module.
        "meta": {"moduleFormat": "(.*)", "supportPack": True},
        "language": {
            "go": versioned,
            "nodejs": versioned,
            "python": {**versioned, "pyproject": {"enabled": True}},
        },
        "provider": {},
        "types": dict(sorted(types.specs.items())),
        "resources": resources,
    }


def outputs(component: type[Component]) -> Mapping[str, Any]:
    """The type of each output by its name in Python; a provider is of use to this process alone."""
    annotations = {name: kind for name, kind in component.__annotations__.items() if not name.startswith("_")}
    return {
        name: kind
        for name, kind in annotations.items()
        if not (isinstance(kind, type) and issubclass(kind, pulumi.ProviderResource))
    }


def _resource(each: Hosted, types: "_Types", told: Mapping[str, str]) -> JsonObject:
    fields = types.fields(each.arguments)
    types.owner = each.component.__name__
    for name in each.facts.model_fields:
        if name not in told:
            raise ValueError(f"the docstring of {types.owner} says nothing about its fact {name}; add it")
    facts = {
        field.alias or name: {"description": told[name], **types.spec(field.annotation)}
        for name, field in each.facts.model_fields.items()
    }
    return {
        "isComponent": True,
        "description": docstrings.summary(each.component),
        "inputProperties": {**fields["properties"], **facts},
        "requiredInputs": fields["required"],
        **types.outputs(each.component),
    }


def _member_name(name: str) -> str:
    return name.title().replace("_", "")


class _Types:
    """The schema's types, collected while properties refer to them."""

    def __init__(self) -> None:
        self.specs: dict[str, JsonObject] = {}
        self._sources: dict[str, type] = {}
        self.owner = ""

    def spec(self, annotation: Any) -> JsonObject:
        """What a property of this type says."""
        taken = shape.shape(annotation)
        choices = [self._kind(kind) for kind in taken.kinds]
        made = choices[0] if len(choices) == 1 else {"oneOf": choices}
        return {**made, "secret": True} if taken.secret else made

    def _kind(self, kind: Any) -> JsonObject:
        if kind is Any:
            return _ANYTHING
        if kind in _SIMPLE:
            return {"type": _SIMPLE[kind]}
        if (item := shape.items(kind)) is not None:
            return {"type": "array", "items": self.spec(item)}
        if (value := shape.values(kind)) is not None:
            return {"type": "object", "additionalProperties": self.spec(value)}
        return self._named(kind)

    def _named(self, kind: Any) -> JsonObject:
        if found := shape.model(kind):
            return self._reference(self._name(found), found)
        if isinstance(kind, type) and issubclass(kind, Component):
            return self._reference(f"{kind.__name__}Outputs", kind)
        if isinstance(kind, type) and issubclass(kind, Enum):
            return self._reference(kind.__name__, kind)
        raise TypeError(f"{kind} has no counterpart in other languages; say here what it is")

    def _name(self, source: type) -> str:
        """Its own name; what several components have of their own is told apart by the component's."""
        name = source.__name__
        if name in _OF_ITS_OWN:
            return self.owner + name
        # Generators call the inputs of resources and types ``…Args``.
        return f"{name.removesuffix('Args')}Settings" if name.endswith("Args") else name

    def _reference(self, name: str, source: type) -> JsonObject:
        if self._sources.setdefault(name, source) is not source:
            raise TypeError(f"{source} and {self._sources[name]} have one name; rename one of them")
        if token(name) not in self.specs:
            self.specs[token(name)] = {}  # it may refer to itself
            self.specs[token(name)] = self._type(source)
        return {"$ref": f"#/types/{token(name)}"}

    def _type(self, source: type) -> JsonObject:
        described = {"description": docstrings.summary(source)}
        if issubclass(source, Enum):
            values = [{"name": _member_name(member.name), "value": member.value} for member in source]
            return {**described, "type": "string", "enum": values}
        if issubclass(source, Component):
            return {**described, "type": "object", **self.outputs(source)}
        if issubclass(source, BaseModel):
            return {**described, "type": "object", **self.fields(source)}
        raise TypeError(f"{source} is neither a choice, a component nor a model")

    def fields(self, model: type[BaseModel]) -> JsonObject:
        """The properties of a model, and which of them are required."""
        texts = docstrings.descriptions(model)
        properties, required = {}, []
        for name, field in model.model_fields.items():
            key = field.alias or name
            secret = {"secret": True} if _SECRET in texts[name] else {}
            properties[key] = {"description": texts[name], **self.spec(field.annotation), **secret}
            if field.is_required():
                required.append(key)
        return {"properties": properties, "required": sorted(required)}

    def outputs(self, component: type[Component]) -> JsonObject:
        """The outputs of a component, and which of them are always there."""
        texts = docstrings.attributes(component)
        properties, required = {}, []
        for name, annotation in outputs(component).items():
            secret = {"secret": True} if _SECRET in texts[name] else {}
            key = to_camel(name)
            properties[key] = {"description": texts[name], **self.spec(annotation), **secret}
            if not shape.shape(annotation).optional:
                required.append(key)
        return {"properties": properties, "required": sorted(required)}
