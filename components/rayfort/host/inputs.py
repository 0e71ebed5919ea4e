"""What another process hands over, as plain values that a model can judge.

Models judge plain values, and what comes over the wire may be an output of another resource: unknown in a
preview, a secret, or of a resource that must outlive the component. Where a field takes outputs it gets them
as they are. Anywhere else an output's value is taken, and what the output knew beside it is kept here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pulumi
from pulumi.output import UNKNOWN, Unknown

from rayfort.host import shape
from rayfort.problems import Problem, key_of

_SHOWN: Final = (
    "is a secret, and what Rayfort makes of it would show it; put it into a Secret and name that where there "
    "is a property for it, or give a value that is no secret"
)


@dataclass
class Received:
    """Inputs without outputs where none is taken.

    Attributes:
        values: the inputs.
        dependencies: the resources whose outputs were taken for their value.
        unknown: the keys of values that nobody knows yet.
        problems: secrets where nothing keeps them.
    """

    values: dict[str, Any] = field(default_factory=dict)
    dependencies: set[pulumi.Resource] = field(default_factory=set)
    unknown: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


async def receive(inputs: Mapping[str, Any], types: Mapping[str, Any]) -> Received:
    """Read inputs.

    Args:
        inputs: what was handed over.
        types: the type of each input by its key; others are passed on.
    """
    received = Received()
    for name, value in inputs.items():
        received.values[name] = await _read(value, types.get(name, Any), (name,), received)
    return received


async def _read(value: Any, annotation: Any, where: tuple[int | str, ...], into: Received) -> Any:
    taken = shape.shape(annotation)
    if taken.takes_output:
        return pulumi.Output.from_input(value) if isinstance(value, Unknown) else value
    if isinstance(value, pulumi.Output):
        return await _read(await _value(value, annotation, where, into), annotation, where, into)
    if isinstance(value, Unknown):
        into.unknown.append(key_of(where))
        return None
    if isinstance(value, list):
        item = next((each for kind in taken.kinds if (each := shape.items(kind)) is not None), Any)
        return [await _read(each, item, (*where, index), into) for index, each in enumerate(value)]
    if isinstance(value, Mapping):
        members = {name: _member(taken, name) for name in value}
        return {name: await _read(value[name], members[name], (*where, name), into) for name in value}
    # All numbers come as floating ones.
    return int(value) if isinstance(value, float) and value.is_integer() else value


async def _value(
    output: pulumi.Output[Any], annotation: Any, where: tuple[int | str, ...], into: Received
) -> Any:
    """An output's value, or `Unknown`."""
    into.dependencies |= await output.resources()
    if await output.is_secret() and not shape.keeps_secrets(annotation):
        into.problems.append(Problem(key_of(where), _SHOWN))
        return None
    # Parts of it may be known, so those that are not are found inside.
    found = await output.future(with_unknowns=True)
    return found if await output.is_known() or _is_partly_known(found) else UNKNOWN


def _is_partly_known(value: Any) -> bool:
    """Whether a value that is not known as a whole is in parts."""
    return isinstance(value, list | Mapping)


def _member(taken: shape.Shape, name: str) -> Any:
    """The type of an object's member."""
    for kind in taken.kinds:
        if (value := shape.values(kind)) is not None:
            return value
        if found := shape.model(kind):
            for own, each in found.model_fields.items():
                if name in (own, each.alias):
                    return each.annotation
    return Any
