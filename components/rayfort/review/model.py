"""What a reviewer is told about one stack: plain values, from which any text is made.

A review travels between jobs as JSON, and may come from code that nobody vouched for: it holds no markup, and
is escaped where it is shown.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from pydantic import Field, TypeAdapter, ValidationError

from rayfort.model import Model

FORMAT: Final = 1
TOO_LARGE: Final = 32 * 1024 * 1024


class Effect(StrEnum):
    """What happens to a resource, the most dangerous first."""

    REPLACE = "replace"
    DELETE = "delete"
    CREATE = "create"
    UPDATE = "update"


class Source(StrEnum):
    """Where a review comes from."""

    PREVIEW = "preview"
    OFFLINE = "offline"


class Property(Model):
    """A changed property.

    Args:
        path: such as ``spec.mtls.mode``.
        before: what it was, as text; None where that is not shown.
        after: what it will be, as text; None where that is not shown.
        replaces: whether the resource is replaced because of it.
        secret: whether it holds a secret, of which no value is shown.
    """

    path: str
    before: str | None = None
    after: str | None = None
    replaces: bool = False
    secret: bool = False


class Change(Model):
    """A resource that changes.

    Args:
        effect: what happens to it.
        name: what a reader calls it, such as ``Service team-a/ray-headless-svc``.
        component: the component at the top of the stack that made it; empty for none.
        properties: what changes in it.
        is_component: whether it is a component, which is nothing by itself.
        drift: what somebody changed past Pulumi; empty where nobody did.
        kept: whether it stays in the cluster although Pulumi forgets it.
        protected: whether Pulumi refuses to delete it.
    """

    effect: Effect
    name: str
    component: str = ""
    properties: tuple[Property, ...] = ()
    is_component: bool = False
    drift: str = ""
    kept: bool = False
    protected: bool = False


class Violation(Model):
    """What a policy has against a resource.

    Args:
        rule: the policy.
        mandatory: whether it ends an `up`.
        resource: the resource's name; empty for the whole stack.
        message: what is wrong and what to do.
    """

    rule: str
    mandatory: bool
    resource: str = ""
    message: str


class Weakened(Model):
    """The security settings that are weaker than Rayfort's defaults, each with its key.

    Args:
        added: what this change weakens.
        removed: what this change makes strong again.
        stays: what was weak before and still is.
        known: whether it could be told; a program that failed early does not say.
    """

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    stays: tuple[str, ...] = ()
    known: bool = True


class Review(Model):
    """What a change does to one stack.

    Args:
        stack: the stack's name.
        source: where this comes from.
        changes: every resource that changes, in the engine's order.
        unchanged: how many resources do not change.
        weakened: the security settings.
        violations: what the policies found.
        errors: what went wrong; not empty where the preview failed.
        warnings: what the engine and its plugins warn of.
        failed: whether the preview failed, so that the changes may not be all.
        policies: whether the policies were run.
    """

    stack: str
    source: Source = Source.PREVIEW
    changes: tuple[Change, ...] = ()
    unchanged: int = 0
    weakened: Weakened = Field(default_factory=Weakened)
    violations: tuple[Violation, ...] = ()
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    failed: bool = False
    policies: bool = True

    def of(self, *effects: Effect) -> tuple[Change, ...]:
        """The resources to which one of these happens, without components."""
        return tuple(
            change for change in self.changes if change.effect in effects and not change.is_component
        )

    @property
    def drifted(self) -> tuple[Change, ...]:
        """The resources that somebody changed past Pulumi."""
        return tuple(change for change in self.changes if change.drift)

    @property
    def mandatory(self) -> tuple[Violation, ...]:
        """What ends an `up`."""
        return tuple(violation for violation in self.violations if violation.mandatory)

    @property
    def clean(self) -> bool:
        """Whether nothing changes and nothing went wrong."""
        return not (self.changes or self.failed or self.violations)


class _File(Model):
    format: int
    reviews: tuple[Review, ...]


class ReviewError(ValueError):
    """A file that holds no reviews, with what to do about it; never with its content."""


def to_json(reviews: Iterable[Review]) -> str:
    """Reviews as one file."""
    return _File(format=FORMAT, reviews=tuple(reviews)).model_dump_json(by_alias=True, indent=1) + "\n"


def from_json(text: str, name: str) -> tuple[Review, ...]:
    """Reviews out of a file, whoever wrote it.

    Args:
        text: the file's content.
        name: what an error calls it.

    Raises:
        ReviewError: if it is not what `to_json` writes.
    """
    if len(text) > TOO_LARGE:
        raise ReviewError(f"{name}: is larger than {TOO_LARGE} characters; no review is")
    try:
        read = TypeAdapter(_File).validate_json(text)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ReviewError(
            f"{name}: holds no reviews of this version of Rayfort ({where}: {first['msg']}); make it with "
            "`./rayfort review preview` or `./rayfort plan A B --json`"
        ) from None
    if read.format != FORMAT:
        raise ReviewError(f"{name}: has format {read.format}, and this version of Rayfort reads {FORMAT}")
    return read.reviews
