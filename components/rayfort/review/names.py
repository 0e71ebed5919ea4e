"""What a reader calls a resource, and the component that made it."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from pulumi.automation.events import StepEventMetadata

STACK_TYPE: Final = "pulumi:pulumi:Stack"
PROVIDERS: Final = "pulumi:providers:"


def kind(type_: str) -> str:
    """The last part of a type token: a Kubernetes kind or a component's class."""
    return type_.rpartition(":")[2].rpartition("/")[2]


def name_of(urn: str) -> str:
    """A resource's name in the program."""
    return urn.rpartition("::")[2]


def type_of(urn: str) -> str:
    """A resource's type token."""
    parts = urn.split("::")
    return parts[2].rpartition("$")[2] if len(parts) > 2 else ""


def called(type_: str, urn: str, inputs: Mapping[str, Any]) -> str:
    """Kind and name: namespace and name in the cluster where they are known, else the name in the program.

    Args:
        type_: the type token.
        urn: the resource's URN.
        inputs: its properties; what is not known yet is not text.
    """
    if type_.startswith(PROVIDERS):
        return f"Provider {name_of(urn)}"
    place = inputs.get("metadata") if "apiVersion" in inputs or "metadata" in inputs else inputs
    place = place if isinstance(place, Mapping) else {}
    name, namespace = place.get("name"), place.get("namespace")
    if not type_.startswith("kubernetes:") or not isinstance(name, str):
        return f"{kind(type_)} {name_of(urn)}"
    return f"{kind(type_)} {f'{namespace}/' if isinstance(namespace, str) else ''}{name}"


class Tree:
    """Which resource stands below which.

    Args:
        steps: every step that the engine spoke of.
    """

    def __init__(self, steps: Iterable[StepEventMetadata]) -> None:
        self._parents: dict[str, str] = {}
        for step in steps:
            for state in (step.old, step.new):
                if state and state.parent:
                    self._parents[step.urn] = state.parent

    def top(self, urn: str) -> str:
        """The component at the top of the stack above a resource, by kind and name; empty for none."""
        above = urn
        for _ in range(len(self._parents) + 1):
            parent = self._parents.get(above, "")
            if not parent or type_of(parent) == STACK_TYPE:
                break
            above = parent
        return f"{kind(type_of(above))} {name_of(above)}" if above != urn else ""
