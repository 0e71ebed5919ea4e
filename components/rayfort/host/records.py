"""Dataclasses that components take beside their arguments, as models, with the keys of other languages."""

import dataclasses
import inspect
from collections.abc import Awaitable, Mapping
from functools import cache, reduce
from operator import or_
from types import UnionType
from typing import Any, ClassVar, ForwardRef, Union, get_args, get_origin

import pulumi
from pydantic import Field, create_model

from rayfort.model import Model


def is_record(kind: Any) -> bool:
    """Whether it is a dataclass."""
    return isinstance(kind, type) and dataclasses.is_dataclass(kind)


class _Record(Model):
    """The base of these models; ``record`` is the dataclass."""

    record: ClassVar[type]


@cache
def model_of(record: type) -> type[Model]:
    """The model of a dataclass; `built` makes the dataclass of what it has judged."""
    types = inspect.get_annotations(record)
    taken: dict[str, Any] = {}
    for each in dataclasses.fields(record):
        default: Any = ...
        if each.default is not dataclasses.MISSING:
            default = each.default
        elif each.default_factory is not dataclasses.MISSING:
            default = Field(default_factory=each.default_factory)
        taken[each.name] = (modelled(types[each.name]), default)
    text = (inspect.getdoc(record) or "").replace("\nAttributes:\n", "\nArgs:\n")
    made: type[Model] = create_model(record.__name__, __base__=_Record, __doc__=text, **taken)
    made.record = record
    return made


def modelled(annotation: Any) -> Any:
    """An annotation with models for dataclasses, and without awaitables, which nobody hands over."""
    if is_record(annotation):
        return model_of(annotation)
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin in {Union, UnionType}:
        kept = [modelled(part) for part in parts if get_origin(part) is not Awaitable]
        # `pulumi.Input` names the output only, since its class comes later.
        plain = [part for part in kept if not isinstance(part, ForwardRef)]
        output: Any = pulumi.Output
        return reduce(or_, [*plain, *([output[plain[0]]] if len(plain) < len(kept) else [])])
    if origin in {tuple, dict, Mapping}:
        return origin[tuple(modelled(part) for part in parts)]
    return annotation


def built(value: Any) -> Any:
    """A value with dataclasses instead of their models."""
    if isinstance(value, _Record):
        return value.record(**{name: built(getattr(value, name)) for name in type(value).model_fields})
    if isinstance(value, Mapping):
        return {name: built(each) for name, each in value.items()}
    return tuple(built(each) for each in value) if isinstance(value, tuple) else value
