"""A program that computes nothing and registers as much: what the engine and its plugins take by themselves.

It has a resource for each of the platform's, of the same type and saying the same, as plain data that is
there before it begins. Policies and plugins then have the same to do. No resource is a part of another or
waits for one, and there are no outputs.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import pulumi
import pulumi_kubernetes as k8s

from cli.offline import Plan
from cli.recorder import SECRET_TYPE

_SECRET: Final = ("data", "stringData")


@dataclass(frozen=True)
class Blank:
    """A resource as plain data.

    Attributes:
        type: Pulumi's type token.
        name: unique among all.
        role: ``component``, ``provider`` or ``resource``.
        inputs: plain data.
    """

    type: str
    name: str
    role: str
    inputs: Mapping[str, Any]


def blanks(plan: Plan) -> list[Blank]:
    """A blank for each resource of a plan, in its order; the provider is the first."""
    made = [
        Blank(each.type, f"{each.name}-{index}", each.role, each.inputs if each.role == "resource" else {})
        for index, each in enumerate(plan.resources)
    ]
    return sorted(made, key=lambda blank: blank.role != "provider")


def written(found: Iterable[Blank]) -> str:
    """Blanks as text, for another process."""
    return json.dumps([asdict(each) for each in found])


def read(text: str) -> list[Blank]:
    """What `written` wrote."""
    return [Blank(**each) for each in json.loads(text)]


def _inputs(blank: Blank) -> dict[str, Any]:
    if blank.type != SECRET_TYPE:
        return dict(blank.inputs)
    # Masks stand there, which a policy must not take for passwords that anybody can read.
    return {
        key: pulumi.Output.secret(value) if key in _SECRET else value for key, value in blank.inputs.items()
    }


def register(found: Iterable[Blank], kubeconfig: str) -> None:
    """Register the blanks, on the cluster of a kubeconfig."""
    provider: k8s.Provider | None = None
    for blank in found:
        if blank.role == "provider":
            provider = k8s.Provider(blank.name, kubeconfig=pulumi.Output.secret(kubeconfig))
            continue
        if blank.role == "component":
            pulumi.ComponentResource(blank.type, blank.name)
            continue
        own = provider if blank.type.startswith("kubernetes:") else None
        pulumi.CustomResource(blank.type, blank.name, _inputs(blank), pulumi.ResourceOptions(provider=own))


def program(found: Iterable[Blank], kubeconfig: str) -> Callable[[], Awaitable[None]]:
    """A program that registers the blanks."""

    async def run() -> None:
        register(found, kubeconfig)
        await asyncio.sleep(0)  # as `infra.program.run`, and for its reason

    return run
