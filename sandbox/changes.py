"""What Pulumi's engine does and says while it works, kept as far as a person is told of it."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pulumi.automation as auto
from pulumi.automation.events import PolicyEvent
from rayfort.review.said import plain, uncoloured

Note = Callable[[str], None]


@dataclass
class Changes:
    """What an operation did, counted by kind (create, update, replace, delete, same).

    Attributes:
        counts: how many resources by kind of change.
        errors, warnings: what Pulumi and its plugins said.
        violations: what the policy pack has against the stack, each with the rule's name.
    """

    counts: dict[str, int] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    @property
    def summary(self) -> str:
        """The counts in words, such as ``12 created, 3 unchanged``."""
        words = {"create": "created", "update": "updated", "delete": "deleted", "same": "unchanged"}
        parts = [f"{count} {words.get(kind, kind)}" for kind, count in self.counts.items() if count]
        return ", ".join(parts) or "nothing to do"

    @property
    def any(self) -> bool:
        """Whether anything was, or would be, changed."""
        return any(count for kind, count in self.counts.items() if kind not in {"same", "read"})


def follow(event: auto.EngineEvent, changes: Changes, note: Note) -> None:
    """Keep count of what the engine does, and say what it is doing."""
    if event.resource_pre_event:
        step = event.resource_pre_event.metadata
        if step.op.value not in {"same", "read", "refresh"}:
            note(f"{step.op.value} {step.urn.rsplit('::', 1)[-1]}")
    if event.summary_event:
        changes.counts = {
            str(getattr(kind, "value", kind)): count
            for kind, count in event.summary_event.resource_changes.items()
        }
    if event.policy_event:
        changes.violations.append(_violation(event.policy_event))
    diagnostic = event.diagnostic_event
    if diagnostic and not diagnostic.ephemeral and diagnostic.severity in {"error", "warning"}:
        about = diagnostic.urn.rsplit("::", 1)[-1] if diagnostic.urn else ""
        text = plain(uncoloured(diagnostic.message))
        line = f"{about}: {text}" if about else text
        told = changes.errors if diagnostic.severity == "error" else changes.warnings
        if line not in told:
            told.append(line)


def _violation(found: PolicyEvent) -> str:
    """Rule, level and resource, then what is wrong; the rule's own description is left out."""
    about = (found.resource_urn or "").rsplit("::", 1)[-1]
    problem = uncoloured(found.message).partition("\n")
    return f"{found.policy_name} ({found.enforcement_level}) {about}: {problem[2].strip() or problem[0]}"
