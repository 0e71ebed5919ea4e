"""Two plans as one review: what differs, in the words of the comment on a pull request."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from rayfort.policies.catalog import RULES, stage_of
from rayfort.policies.rule import Level, ResourceRule, StackRule
from rayfort.policies.rule import Resource as Seen
from rayfort.policies.rule import Violation as Found
from rayfort.policies.values import UNKNOWN as NOT_KNOWN
from rayfort.policies.values import SecretText
from rayfort.review.model import Change, Effect, Property, Review, Source, Violation
from rayfort.review.paths import Segment, differences, value_at, write
from rayfort.review.secrets import Secrets, redact
from rayfort.review.summarize import compare_weakened

from cli.highlights import label
from cli.offline import Plan, Resource
from cli.stacks import MASK
from cli.wire import UNKNOWN

# A change of these makes another object, whatever the kind.
_IDENTITY: Final = (("metadata", "name"), ("metadata", "namespace"))
_LONGEST: Final = 60


def review(stack: str, before: Plan | None, after: Plan | None, errors: Iterable[str] = ()) -> Review:
    """What differs between two plans of a stack.

    Args:
        stack: what the comment calls it.
        before: the first plan; None where there was no such stack.
        after: the second plan; None where there is no such stack any more.
        errors: why one of them is missing.
    """
    found = tuple(redact(error) for error in (*errors, *(after.problems if after else ())))
    old = {resource.path: resource for resource in before.resources} if before else {}
    new = {resource.path: resource for resource in after.resources} if after else {}
    if errors:
        old, new = {}, {}
    created = [_change(Effect.CREATE, each, new) for path, each in new.items() if path not in old]
    deleted = [_change(Effect.DELETE, each, old) for path, each in old.items() if path not in new]
    changed = [
        _changed(old[path], each, new)
        for path, each in new.items()
        if path in old and old[path].inputs != each.inputs
    ]
    return Review(
        stack=stack,
        source=Source.OFFLINE,
        changes=(*deleted, *changed, *created),
        unchanged=sum(each.role != "component" for each in new.values())
        - sum(not each.is_component for each in (*created, *changed)),
        weakened=compare_weakened(before.weakened if before else (), after.weakened if after else ()),
        violations=tuple(violations(after)) if after and not errors else (),
        errors=found,
        failed=bool(found),
    )


def _change(effect: Effect, resource: Resource, all_of_them: Mapping[str, Resource]) -> Change:
    return Change(
        effect=effect,
        name=redact(label(resource)),
        component=redact(_top(resource, all_of_them)),
        is_component=resource.role == "component",
        kept=effect is Effect.DELETE and bool(resource.options.get("retainOnDelete")),
        protected=bool(resource.options.get("protect")),
    )


def _changed(before: Resource, after: Resource, all_of_them: Mapping[str, Resource]) -> Change:
    secrets = Secrets(after.type, after.name, (before.inputs, after.inputs))
    places = [place for place in differences(before.inputs, after.inputs) if place]
    other = any(place[: len(key)] == key for place in places for key in _IDENTITY)
    effect = Effect.REPLACE if other and after.role == "resource" else Effect.UPDATE
    properties = tuple(_property(place, before.inputs, after.inputs, secrets) for place in places)
    change = _change(effect, after, all_of_them)
    return change.model_copy(update={"properties": properties})


def _property(place: tuple[Segment, ...], before: Any, after: Any, secrets: Secrets) -> Property:
    old, new = value_at(before, place), value_at(after, place)
    secret = secrets.hide(place, old) or secrets.hide(place, new)
    return Property(
        path=redact(write(place), secrets.texts),
        before=None if secret else _shown(old),
        after=None if secret else _shown(new),
        replaces=place[:2] in _IDENTITY,
        secret=secret,
    )


def _shown(value: Any) -> str | None:
    if value is None or isinstance(value, Mapping | list):
        return None
    text = value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= _LONGEST else None


def _top(resource: Resource, all_of_them: Mapping[str, Resource]) -> str:
    above = resource
    while above.component is not None and above.component in all_of_them:
        above = all_of_them[above.component]
    return f"{above.kind} {above.name}" if above is not resource else ""


def violations(plan: Plan) -> Iterator[Violation]:
    """What Rayfort's policies have against a plan, as they are without a configuration of the pack."""
    stage = stage_of(plan.stack)
    seen = [
        Seen(each.type, each.name, _seen(each.inputs), each.path, bool(each.options.get("protect")))
        for each in plan.resources
        if each.role != "component"
    ]
    names = {each.path: label(each) for each in plan.resources}
    for rule in RULES:
        level = rule.level(stage)
        if level is Level.DISABLED:
            continue
        for path, found in _findings(rule, seen):
            yield Violation(
                rule=rule.name,
                mandatory=level is Level.MANDATORY,
                resource=redact(names.get(path, "")),
                message=redact(str(found)),
            )


def _findings(rule: ResourceRule | StackRule | Any, seen: list[Seen]) -> Iterator[tuple[str, Found]]:
    if isinstance(rule, ResourceRule):
        for resource in seen:
            for found in rule.findings(resource):
                if isinstance(found, Found):
                    yield resource.urn, found
    elif isinstance(rule, StackRule):
        for found in rule.findings(seen):
            if isinstance(found, Found):
                yield found.urn, found


def _seen(value: Any) -> Any:
    """A plan's values as policies read them."""
    if isinstance(value, dict):
        return {key: _seen(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_seen(item) for item in value]
    if value == UNKNOWN:
        return NOT_KNOWN
    return SecretText(value) if value == MASK else value
