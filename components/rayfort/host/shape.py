"""What a field's annotation says to somebody who hands values over from another process."""

import collections.abc
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

import pulumi
from pydantic import BaseModel, SecretStr

from rayfort.host import records

_LISTS: Final = {tuple, list, collections.abc.Sequence}
_OBJECTS: Final = {dict, Mapping}


@dataclass(frozen=True)
class Shape:
    """An annotation, taken apart.

    Attributes:
        kinds: what a value may be: classes, `Any`, or generic aliases of lists and objects.
        optional: whether it may be left out.
        takes_output: whether it may be a Pulumi output, unknown and secret ones too.
        secret: whether it is a secret in any case.
    """

    kinds: tuple[Any, ...]
    optional: bool = False
    takes_output: bool = False
    secret: bool = False

    @property
    def kind(self) -> Any:
        """The only kind."""
        (kind,) = self.kinds
        return kind


def shape(annotation: Any) -> Shape:
    """Take an annotation apart."""
    kinds: dict[Any, None] = {}
    optional = takes_output = secret = False
    for part in _parts(annotation):
        if part is NoneType:
            optional = True
        elif part is SecretStr:
            secret = True
            kinds[str] = None
        elif get_origin(part) is pulumi.Output:
            takes_output = True
            kinds |= dict.fromkeys(_parts(get_args(part)[0]))
        elif get_origin(part) is not collections.abc.Awaitable:
            kinds[part] = None
    return Shape(tuple(kinds), optional, takes_output, secret)


def _parts(annotation: Any) -> list[Any]:
    if get_origin(annotation) is Annotated:
        return _parts(get_args(annotation)[0])
    if get_origin(annotation) in {Union, UnionType}:
        return [part for choice in get_args(annotation) for part in _parts(choice)]
    return [annotation]


def items(kind: Any) -> Any:
    """The annotation of a list's items; None where this is no list."""
    return get_args(kind)[0] if get_origin(kind) in _LISTS else None


def values(kind: Any) -> Any:
    """The annotation of an object's values; None where this is no object with keys of the user's."""
    return get_args(kind)[1] if get_origin(kind) in _OBJECTS else None


def model(kind: Any) -> type[BaseModel] | None:
    """The model, where it is one or a dataclass."""
    if records.is_record(kind):
        return records.model_of(kind)
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


@cache
def keeps_secrets(annotation: Any) -> bool:
    """Whether something in a value of this type is kept as a secret."""
    taken = shape(annotation)
    if taken.secret or taken.takes_output:
        return True
    for kind in taken.kinds:
        inner = [each for each in (items(kind), values(kind)) if each is not None]
        if found := model(kind):
            inner += [field.annotation for field in found.model_fields.values()]
        if any(keeps_secrets(each) for each in inner):
            return True
    return False
