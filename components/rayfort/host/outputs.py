"""A component's outputs, as another process reads them."""

import dataclasses
from collections.abc import Mapping
from enum import Enum
from typing import Any

import pulumi
from pulumi.output import UNKNOWN
from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from rayfort.component import Component
from rayfort.host import schema


def state(component: Component) -> Mapping[str, Any]:
    """The outputs by their keys."""
    return {to_camel(name): plain(getattr(component, name)) for name in schema.outputs(type(component))}


def unknown() -> pulumi.Output[Any]:
    """What nobody knows yet."""
    return pulumi.Output.from_input(UNKNOWN)


def plain(value: Any) -> Any:
    """A value without classes of this library; outputs stay in it."""
    if isinstance(value, Component):
        return state(value)
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True, exclude_none=True)
    if dataclasses.is_dataclass(value):
        return {to_camel(each.name): plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list | tuple) else value
