"""Which components are hosted, and what each takes."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, get_args

import pulumi
from pydantic import create_model

import rayfort
from rayfort.component import TYPE_PREFIX, Component
from rayfort.host import records
from rayfort.model import Model

_ARGUMENTS: Final = "Args"
# Not hosted, and why.
LEFT_OUT: Final[Mapping[str, str]] = {
    "KindCluster": "its provider is Python that Pulumi runs in the program's own environment, which "
    "programs in other languages lack",
}


def names() -> Sequence[str]:
    """The hosted components: those of the library that have arguments of their own."""
    stems = [name.removesuffix(_ARGUMENTS) for name in rayfort.__all__ if name.endswith(_ARGUMENTS)]
    return [stem for stem in stems if stem not in LEFT_OUT]


def token(name: str) -> str:
    """The type token of a component or of a type."""
    return f"{TYPE_PREFIX}:{name}"


def arguments(name: str) -> type[Model]:
    """The model of a component's arguments."""
    model: type[Model] = getattr(rayfort, name + _ARGUMENTS)
    return model


@dataclass(frozen=True)
class Hosted:
    """A component and what it takes.

    Attributes:
        component: the class.
        arguments: the model of its arguments.
        facts: a model of what it takes beside them, as keyword arguments.
    """

    component: type[Component]
    arguments: type[Model]
    facts: type[Model]

    @property
    def inputs(self) -> Mapping[str, Any]:
        """The type of every input, by its key in a program of another language."""
        models = (self.arguments, self.facts)
        return {
            field.alias or name: field.annotation
            for model in models
            for name, field in model.model_fields.items()
        }


def hosted(name: str) -> Hosted:
    """The component of a name.

    Raises:
        ImportError: if an extra of the distribution is missing.
    """
    component: type[Component] = getattr(rayfort, name)
    return Hosted(component, arguments(name), _facts(component))


def _is_resource(annotation: Any) -> bool:
    return any(isinstance(part, type) and issubclass(part, pulumi.Resource) for part in get_args(annotation))


def _facts(component: type[Component]) -> type[Model]:
    """A component's keyword arguments; another resource cannot come from another process."""
    parameters = inspect.signature(component).parameters.values()
    taken: dict[str, Any] = {
        parameter.name: (records.modelled(parameter.annotation), parameter.default)
        for parameter in parameters
        if parameter.kind is parameter.KEYWORD_ONLY and not _is_resource(parameter.annotation)
    }
    return create_model(f"{component.__name__}Facts", __base__=Model, **taken)
