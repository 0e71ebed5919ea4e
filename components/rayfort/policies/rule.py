"""What a rule is, what it sees and what it says."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from rayfort.policies.values import Node

Config = Mapping[str, Any]
"""What a stack's pack configuration says about one rule, by the names of `Rule.settings`."""


class Level(StrEnum):
    """What becomes of a violation, in Pulumi's words."""

    DISABLED = "disabled"
    ADVISORY = "advisory"
    MANDATORY = "mandatory"


class Stage(StrEnum):
    """What a stack is for."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


@dataclass(frozen=True)
class Resource:
    """One resource as a policy sees it.

    Attributes:
        type: Pulumi's type token, such as ``kubernetes:core/v1:Service``.
        name: its name in the program.
        properties: its inputs, or its outputs for a stack rule, in camelCase; see `values` for unknown
            and secret ones.
        urn: its URN.
        protect: whether Pulumi refuses to delete it.
    """

    type: str
    name: str
    properties: Any
    urn: str = ""
    protect: bool = False

    @property
    def root(self) -> Node:
        """Where reading its properties starts."""
        return Node(self.properties)


@dataclass(frozen=True)
class Violation:
    """What a rule found.

    Attributes:
        where: the path of the property; empty for the resource itself.
        problem: what is wrong and what to do about it. Never holds a value that may be a credential.
        urn: of a stack rule, the resource that it is about.
    """

    where: str
    problem: str
    urn: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.problem}" if self.where else self.problem


@dataclass(frozen=True)
class Unproven:
    """What a rule would have to know, and what a preview cannot say yet.

    Attributes:
        where: the path of the property that is not known.
    """

    where: str


Finding = Violation | Unproven
ResourceCheck = Callable[[Resource, Config], Iterable[Finding]]
StackCheck = Callable[[Sequence[Resource], Config], Iterable[Finding]]
Remediation = Callable[[str, dict[str, Any]], None]


@dataclass(frozen=True)
class Rule:
    """What every rule has.

    Attributes:
        name: in kebab-case; what a stack's pack configuration calls it.
        description: what holds where the rule is kept, as one sentence.
        why: what goes wrong where it does not, for the documentation.
        development: the level in stacks for development.
        production: the level in all others.
        settings: the JSON schemas of its settings, by name.
    """

    name: str
    description: str
    why: str
    development: Level = Level.ADVISORY
    production: Level = Level.MANDATORY
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def level(self, stage: Stage) -> Level:
        """The level where the pack's configuration says none."""
        return self.production if stage is Stage.PRODUCTION else self.development


@dataclass(frozen=True, kw_only=True)
class ResourceRule(Rule):
    """A rule about each resource by itself.

    Attributes:
        check: yields what it found in a resource.
        remediate: changes a resource's inputs in place, given its type, so that the rule is kept; None where
            that is not safe. Runs at Pulumi's level ``remediate`` only.
    """

    check: ResourceCheck
    remediate: Remediation | None = None

    def findings(self, resource: Resource, config: Config | None = None) -> Iterator[Finding]:
        """What is wrong with a resource, each once."""
        yield from dict.fromkeys(self.check(resource, config or {}))


@dataclass(frozen=True, kw_only=True)
class StackRule(Rule):
    """A rule about all resources of a stack together.

    Attributes:
        check: yields what it found.
    """

    check: StackCheck

    def findings(self, resources: Sequence[Resource], config: Config | None = None) -> Iterator[Finding]:
        """What is wrong with the stack, each once."""
        yield from dict.fromkeys(self.check(resources, config or {}))
