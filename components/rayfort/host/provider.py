"""The provider that makes components for programs in other languages."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import pulumi
from pulumi.errors import InputPropertiesError
from pulumi.provider import ConstructResult, Provider, main
from pydantic import ValidationError

from rayfort.component import TYPE_PREFIX, Component
from rayfort.host import hosted, inputs, outputs, records, schema
from rayfort.host.hosted import Hosted
from rayfort.model import Model
from rayfort.problems import Problem, from_validation

_NOT_KNOWN: Final = "is not known before the update, so this preview does not show what the component makes"


class RayfortProvider(Provider):
    """Makes the components of the schema."""

    def __init__(self) -> None:
        text = schema.FILE.read_text(encoding="utf-8")
        super().__init__(schema.committed()["version"], text)

    def construct(
        self,
        name: str,
        resource_type: str,
        inputs: pulumi.Inputs,
        options: pulumi.ResourceOptions | None = None,
    ) -> ConstructResult:
        """Make a component.

        Args:
            name: its name in the program.
            resource_type: its type token.
            inputs: its arguments, and the facts that it takes beside them.
            options: its options.
        """
        # Reading inputs means waiting for outputs, and this method cannot wait: it answers with outputs.
        made = asyncio.ensure_future(_make(name, resource_type, inputs, options or pulumi.ResourceOptions()))
        properties = schema.committed()["resources"].get(resource_type, {}).get("properties", {})
        return ConstructResult(
            pulumi.Output.from_input(_urn(made)),
            {key: pulumi.Output.from_input(_part(made, key)) for key in properties},
        )


Made = tuple[pulumi.Resource, Mapping[str, Any]]


async def _urn(made: Awaitable[Made]) -> Any:
    resource, _ = await made
    return resource.urn


async def _part(made: Awaitable[Made], key: str) -> Any:
    _, state = await made
    return state.get(key)


async def _make(name: str, type_: str, given: pulumi.Inputs, options: pulumi.ResourceOptions) -> Made:
    """The component and its outputs."""
    prefix, _, short = type_.rpartition(":")
    if prefix != TYPE_PREFIX or short not in hosted.names():
        raise _refusal(f"there is no {type_}; there are {', '.join(sorted(hosted.names()))}")
    try:
        component = hosted.hosted(short)
    except ImportError as error:
        raise _refusal(f"{error}, in the environment of the plugin") from error
    received = await inputs.receive(given, component.inputs)
    if received.problems:
        raise _mistakes(name, received.problems)
    # What is destroyed: the component before the resources whose outputs it was given.
    options.depends_on = [*_resources(options.depends_on), *received.dependencies]
    if received.unknown:
        return _deferred(name, type_, received.unknown, options)
    arguments, facts = _validated(name, component, received.values)
    try:
        make: Callable[..., Component] = component.component
        made = make(name, arguments, options, **facts)
    except ValueError as error:
        raise _refusal(f"{name}: {error}") from error
    return made, outputs.state(made)


def _resources(depends_on: Any) -> Sequence[pulumi.Resource]:
    return list(depends_on or ())  # the SDK's server makes it a list


def _validated(name: str, component: Hosted, values: Mapping[str, Any]) -> tuple[Model, Mapping[str, Any]]:
    """The component's arguments and facts.

    Raises:
        InputPropertiesError: with every mistake.
    """
    problems: list[Problem] = []
    beside = {field.alias or own for own, field in component.facts.model_fields.items()}

    def valid(model: type[Model], given: Mapping[str, Any]) -> Any:
        try:
            return model.model_validate(given)
        except ValidationError as error:
            problems.extend(from_validation(error, model, noun=f"property of {component.component.__name__}"))
            return None

    arguments = valid(component.arguments, {key: value for key, value in values.items() if key not in beside})
    facts = valid(component.facts, {key: value for key, value in values.items() if key in beside})
    if problems:
        raise _mistakes(name, problems)
    return arguments, {own: records.built(getattr(facts, own)) for own in component.facts.model_fields}


def _mistakes(name: str, problems: list[Problem]) -> InputPropertiesError:
    """All mistakes in one message."""
    count = "1 mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
    lines = "\n".join(f"  {problem}" for problem in problems)
    return _refusal(f"the properties of {name} have {count}; nothing of it was made.\n{lines}")


def _refusal(message: str) -> InputPropertiesError:
    # Told as details, mistakes would stand beside the values in the engine's log. Without a list of details,
    # even an empty one, the SDK's server fails.
    return InputPropertiesError(message, [])


def _deferred(name: str, type_: str, unknown: list[str], options: pulumi.ResourceOptions) -> Made:
    """A component without children, in a preview that cannot know them."""
    if not pulumi.runtime.is_dry_run():
        raise _mistakes(name, [Problem(key, "has no value: what gives it was not made") for key in unknown])
    stand_in = pulumi.ComponentResource(type_, name, None, options)
    pulumi.log.warn(f"{', '.join(unknown)} {_NOT_KNOWN}", stand_in)
    properties = schema.committed()["resources"][type_]["properties"]
    return stand_in, {key: outputs.unknown() for key in properties}


def serve() -> None:
    """Be the plugin: tell Pulumi, which gave its address as an argument, the port, and answer it."""
    main(RayfortProvider(), sys.argv[1:])
