"""From the engine's events to what a reviewer is told: a pure function."""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from pulumi.automation import EngineEvent
from pulumi.automation.events import DiagnosticEvent, OpType, PolicyEvent, StepEventMetadata

from rayfort.review.model import Change, Effect, Review, Violation, Weakened
from rayfort.review.names import STACK_TYPE, Tree, called, kind, name_of, type_of
from rayfort.review.properties import Differ, inputs, outputs
from rayfort.review.said import plain, uncoloured
from rayfort.review.secrets import redact

WEAKENED: Final = "weakened"
_EFFECTS: Final = {
    OpType.CREATE: Effect.CREATE,
    OpType.IMPORT: Effect.CREATE,
    OpType.UPDATE: Effect.UPDATE,
    OpType.DELETE: Effect.DELETE,
    OpType.DISCARD: Effect.DELETE,
    OpType.REPLACE: Effect.REPLACE,
    OpType.CREATE_REPLACEMENT: Effect.REPLACE,
    OpType.DELETE_REPLACED: Effect.REPLACE,
    OpType.IMPORT_REPLACEMENT: Effect.REPLACE,
}
# What adds nothing to the errors before it.
_NOTHING_NEW: Final = frozenset({"preview failed", "update failed", "error: preview failed"})
_PLUGIN_NOTE: Final = re.compile(r"^using pulumi-\S+ from \$PATH")
_LONGEST_MESSAGE: Final = 4000


def summarize(events: Iterable[EngineEvent], stack: str, *, failed: bool = False, said: str = "") -> Review:
    """What a preview found.

    Args:
        events: the engine's events, in order; the last one may be missing where it was killed.
        stack: the stack's name.
        failed: whether the operation is known to have failed, for errors that come before any event.
        said: the end of what the engine printed; shown only where the events hold no error.
    """
    heard = list(events)
    steps = list(_steps(heard))
    changes, secrets = _changes(steps)
    diagnostics = [event.diagnostic_event for event in heard if event.diagnostic_event]
    errors = _messages(diagnostics, "error", secrets)
    violations = tuple(
        _violation(event.policy_event, steps, secrets) for event in heard if event.policy_event
    )
    ended = any(event.summary_event for event in heard)
    if failed and not errors and not any(found.mandatory for found in violations):
        errors = (
            _short(redact(said.strip(), secrets)) or "the engine says no reason; look at the job's log",
        )
    if not ended and not errors:
        errors = ("the engine's events end early: it was stopped, or the file is not whole",)
    return Review(
        stack=stack,
        changes=changes,
        unchanged=_unchanged(heard),
        weakened=_weakened(steps, diagnostics, whole=ended and not errors, secrets=secrets),
        violations=violations,
        errors=errors,
        warnings=_messages(diagnostics, "warning", secrets),
        failed=failed or bool(errors) or any(found.mandatory for found in violations),
        policies=any(event.summary_event.policy_packs for event in heard if event.summary_event),
    )


def _steps(events: Iterable[EngineEvent]) -> Iterator[StepEventMetadata]:
    for event in events:
        for each in (event.resource_pre_event, event.res_outputs_event):
            if each:
                yield each.metadata


def _changes(steps: list[StepEventMetadata]) -> tuple[tuple[Change, ...], set[str]]:
    """What changes, one entry a resource, and the texts that must not be shown."""
    tree, drift = Tree(steps), dict(_drifts(steps))
    found: dict[str, StepEventMetadata] = {}
    effects: dict[str, Effect] = {}
    for step in steps:
        effect = _EFFECTS.get(step.op)
        if effect is None or step.type == STACK_TYPE:
            continue
        known = effects.get(step.urn)
        if known is None or (effect is Effect.REPLACE and known is not Effect.REPLACE):
            effects[step.urn] = effect
        # The steps of a replacement have the new state, and say why, all but its deletion.
        if step.urn not in found or (step.op is OpType.REPLACE and step.new):
            found[step.urn] = step
    differs = {urn: Differ(step) for urn, step in found.items()}
    secrets = {text for differ in differs.values() for text in differ.secrets}
    changes = tuple(
        _change(
            found[urn],
            effect=effects[urn],
            differ=differs[urn],
            component=tree.top(urn),
            drift=drift.get(urn, ""),
            secrets=secrets,
        )
        for urn in found
    )
    return changes, secrets


def _change(
    step: StepEventMetadata, *, effect: Effect, differ: Differ, component: str, drift: str, secrets: set[str]
) -> Change:
    state = step.old if effect is Effect.DELETE else step.new or step.old
    changed = differ.changed() if effect in {Effect.UPDATE, Effect.REPLACE} else ()
    properties = tuple(each.model_copy(update={"path": redact(each.path, secrets)}) for each in changed)
    name = called(step.type, step.urn, inputs(state) or outputs(state))
    return Change(
        effect=effect,
        name=redact(name, secrets),
        component=redact(component, secrets),
        properties=properties,
        is_component=not (state and state.custom),
        drift=drift,
        kept=bool(effect is Effect.DELETE and step.old and step.old.retain_on_delete),
        protected=bool(step.old and step.old.protect),
    )


def _drifts(steps: Iterable[StepEventMetadata]) -> Iterator[tuple[str, str]]:
    """What the refresh found, by URN."""
    for step in steps:
        if step.op is OpType.REFRESH and step.old and not step.new:
            yield step.urn, "is gone"
        elif step.op is OpType.REFRESH and step.detailed_diff:
            yield step.urn, "was changed"


def _unchanged(events: Iterable[EngineEvent]) -> int:
    counts = (event.summary_event.resource_changes for event in events if event.summary_event)
    # The stack itself is counted by the engine, and is no resource to a reader.
    return max(0, sum(int(count.get(OpType.SAME, 0)) for count in counts) - 1)


def _weakened(
    steps: Iterable[StepEventMetadata],
    diagnostics: Iterable[DiagnosticEvent],
    *,
    whole: bool,
    secrets: set[str],
) -> Weakened:
    """What the program says when it starts, or the stack's outputs, against those of the last `up`."""
    stack = [step for step in steps if step.type == STACK_TYPE]
    before = _listed(next((outputs(step.old) for step in stack if step.old), {}))
    prefix = f"{WEAKENED}: "
    told = [_text(each) for each in diagnostics if each.severity == "warning"]
    after = [text.removeprefix(prefix) for text in told if text.startswith(prefix)]
    if not after:
        if not whole:
            return Weakened(stays=tuple(redact(line, secrets) for line in before), known=False)
        after = _listed(next((outputs(step.new) for step in reversed(stack) if step.new), {}))
    return compare_weakened(
        [redact(line, secrets) for line in before], [redact(line, secrets) for line in after]
    )


def compare_weakened(before: Iterable[str], after: Iterable[str]) -> Weakened:
    """The weakenings that come, go and stay."""
    old, new = dict.fromkeys(before), dict.fromkeys(after)
    return Weakened(
        added=tuple(line for line in new if line not in old),
        removed=tuple(line for line in old if line not in new),
        stays=tuple(line for line in new if line in old),
    )


def _listed(state: dict[str, Any]) -> list[str]:
    value = state.get(WEAKENED)
    return [str(line) for line in value] if isinstance(value, list) else []


def _violation(found: PolicyEvent, steps: list[StepEventMetadata], secrets: set[str]) -> Violation:
    urn = found.resource_urn or ""
    step = next((step for step in reversed(steps) if step.urn == urn and step.new), None)
    name = called(step.type, urn, inputs(step.new)) if step else ""
    if urn and not name and type_of(urn) != STACK_TYPE:
        name = f"{kind(type_of(urn))} {name_of(urn)}"
    # The first line is the rule's own description. Redacted as a whole: a part of a key looks like nothing.
    message = redact(uncoloured(found.message), secrets).partition("\n")
    return Violation(
        rule=redact(found.policy_name, secrets),
        mandatory=found.enforcement_level == "mandatory",
        resource=redact(name, secrets),
        message=_short(message[2].strip() or message[0]),
    )


def _messages(diagnostics: Iterable[DiagnosticEvent], severity: str, secrets: set[str]) -> tuple[str, ...]:
    """What was said at a severity, each once, without what the comment says elsewhere."""
    said: dict[str, list[str]] = {}
    for each in diagnostics:
        if each.severity != severity or each.ephemeral:
            continue
        whole = redact(_text(each), secrets)
        text = plain(whole).partition("\nTraceback ")[0].strip()
        if not text or text in _NOTHING_NEW or text.startswith(f"{WEAKENED}: ") or _PLUGIN_NOTE.match(text):
            continue
        about = said.setdefault(text, [])
        if each.urn and type_of(each.urn) != STACK_TYPE:
            about.append(f"{kind(type_of(each.urn))} {name_of(each.urn)}")
    return tuple(
        _short(_about(text, redact(", ".join(names[:3]), secrets), len(names)))
        for text, names in said.items()
    )


def _about(text: str, names: str, count: int) -> str:
    """A message with what it is about; one that is said of many resources names the first few."""
    others = f" and {count - 3} others" if count > 3 else ""
    return f"{names}{others}:\n{text}" if names else text


def _text(diagnostic: DiagnosticEvent) -> str:
    return uncoloured(diagnostic.message)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_MESSAGE else f"{text[:_LONGEST_MESSAGE]} …"
