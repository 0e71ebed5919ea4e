"""The comment on a pull request, and the same text for an issue about drift."""

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from rayfort.review.blocks import LIMIT, Block, fit, left_out
from rayfort.review.markdown import block as code_block
from rayfort.review.markdown import code, html_code
from rayfort.review.model import Change, Effect, Property, Review, Source, Violation

MARKER: Final = "<!-- rayfort-review: changes -->"
DRIFT_MARKER: Final = "<!-- rayfort-review: drift -->"
_DONE: Final = {
    Effect.REPLACE: "replaced",
    Effect.DELETE: "deleted",
    Effect.CREATE: "created",
    Effect.UPDATE: "changed",
}
_PROPERTIES: Final = 12
_COLUMNS: Final = 110  # of a block of code, which GitHub does not wrap
_FAILED, _WEAKENED, _DANGEROUS, _ADVISORY, _REST, _ASIDE = range(1, 7)
OFFLINE_NOTE: Final = (
    "Computed offline by the code of this pull request itself, without credentials and without a look at any "
    "cluster: how it differs from the base revision, not what an `up` would do. A replacement is seen only "
    "where a name or a namespace changes; a changed secret is not seen."
)


def comment(
    reviews: Sequence[Review], *, commit: str = "", drift: bool = False, limit: int = LIMIT, where: str = ""
) -> str:
    """The comment about some stacks.

    Args:
        reviews: one for each stack.
        commit: the revision that was reviewed.
        drift: whether this is about what somebody changed past Pulumi.
        limit: how long it may be, in bytes of UTF-8.
        where: where the whole text is, for a comment that leaves something out.
    """
    ordered = sorted(reviews, key=lambda review: (_grade(review), review.stack))
    groups = [[_top(ordered, commit, drift)], *(list(_section(review)) for review in ordered)]
    fit(groups, limit)
    lines = [line for blocks in groups for block in blocks for line in block.lines()]
    missing = left_out(block for blocks in groups for block in blocks)
    if missing:
        place = f" The whole text is in {where}." if where else ""
        lines += ["", f"**Left out, since GitHub takes no longer comment:** {', '.join(missing)}.{place}"]
    return "\n".join(lines).strip() + "\n"


def _grade(review: Review) -> int:
    """The most dangerous first."""
    if review.failed or review.mandatory:
        return 0
    if review.weakened.added or review.of(Effect.REPLACE, Effect.DELETE):
        return 1
    return 2 if not review.clean else 3


def _top(reviews: Sequence[Review], commit: str, drift: bool) -> Block:
    title = "Drift" if drift else "What this changes"
    lines = [DRIFT_MARKER if drift else MARKER, f"## {title}", ""]
    if not reviews:
        return Block(0, [*lines, "No stack is affected."])
    lines += ["| stack | result | replace | delete | create | change |", "|---|---|---:|---:|---:|---:|"]
    for review in reviews:
        counts = (_count(len(review.of(effect))) for effect in Effect)
        lines.append(f"| {code(review.stack)} | {_result(review, drift=drift)} | {' | '.join(counts)} |")
    if commit:
        lines += ["", f"For commit {code(commit[:12])}."]
    if any(review.source is Source.OFFLINE for review in reviews):
        lines += ["", OFFLINE_NOTE]
    return Block(0, lines)


def _count(number: int) -> str:
    return f"**{number}**" if number else "-"


def _result(review: Review, *, drift: bool) -> str:
    """The worst that is to be said, in a word or two."""
    told = {
        "❌ failed": review.errors or (review.failed and not review.mandatory),
        "❌ against policy": review.mandatory,
        "⚠️ drifted": drift and review.drifted,
        "⚠️ not deployed": drift and review.changes,
        "⚠️ weakens security": review.weakened.added,
        "⚠️ replaces or deletes": review.of(Effect.REPLACE, Effect.DELETE),
        "changes": review.changes,
    }
    return next((words for words, holds in told.items() if holds), "no change")


def _section(review: Review) -> Iterator[Block]:
    yield Block(0, ["", f"### {code(review.stack)}", "", _summary(review)])
    yield from _errors(review)
    yield from _weakened(review)
    yield from _violations(review.mandatory, "❌ Against mandatory policies", _FAILED)
    yield from _dangerous(review, Effect.REPLACE, "♻️ Replaced")
    yield from _dangerous(review, Effect.DELETE, "🗑️ Deleted")
    advisory = [violation for violation in review.violations if not violation.mandatory]
    yield from _violations(advisory, "Against advisory policies", _ADVISORY)
    yield from _drifted(review)
    yield from _by_component(review)
    stays = "Weak already, and unchanged" if review.weakened.known else "Weak before this"
    yield from _aside(stays, [_setting(line) for line in review.weakened.stays])
    yield from _aside("Warnings of the engine", [code(line, 500) for line in review.warnings])


def _summary(review: Review) -> str:
    parts = [f"{len(review.of(effect))} {_DONE[effect]}" for effect in Effect if review.of(effect)]
    if review.unchanged:
        parts.append(f"{review.unchanged} unchanged")
    text = f"{', '.join(parts)}." if parts else "Nothing changes."
    if review.mandatory and not review.errors:
        text = f"**Policies refuse this**: an `up` would end before it is whole. {text}"
    elif review.failed and parts:
        text = f"**The preview failed**: what follows may not be all. So far: {text}"
    elif review.failed:
        text = "**The preview failed** before it came to any resource."
    return text if review.policies or review.source is Source.OFFLINE else f"{text} Policies were not run."


def _errors(review: Review) -> Iterator[Block]:
    if review.errors:
        items = ["\n".join(code_block(_wrapped(error))) for error in review.errors]
        yield Block(_FAILED, ["", "**❌ What went wrong**", ""], items, noun="errors")


def _wrapped(text: str) -> str:
    """Long lines broken at blanks, what goes on indented."""
    return "\n".join(
        part
        for line in text.split("\n")
        for part in textwrap.wrap(
            line,
            _COLUMNS,
            subsequent_indent=f"{line[: len(line) - len(line.lstrip())]}  ",
            expand_tabs=False,
            replace_whitespace=False,
            break_long_words=False,
            break_on_hyphens=False,
        )
        or [""]
    )


def _weakened(review: Review) -> Iterator[Block]:
    weakened = review.weakened
    if not weakened.known:
        yield Block(
            0, ["", "⚠️ Whether this weakens security settings is not known: the program did not say."]
        )
    if weakened.added:
        head = ["", "**⚠️ Security settings that this weakens**", ""]
        yield Block(
            _WEAKENED, head, [f"- {_setting(line)}" for line in weakened.added], noun="weakened settings"
        )
    if weakened.removed:
        head = ["", "**Security settings that this no longer weakens**", ""]
        yield Block(_ADVISORY, head, [f"- {_setting(line)}" for line in weakened.removed], noun="settings")


def _setting(line: str) -> str:
    """The key, then what it means."""
    key, colon, text = line.partition(": ")
    return f"{code(key)} - {code(text, 400)}" if colon else code(line, 400)


def _violations(violations: Sequence[Violation], title: str, rank: int) -> Iterator[Block]:
    if violations:
        items = [
            f"- {code(found.rule)}{f' {code(found.resource)}' if found.resource else ''}: "
            f"{code(found.message, 500)}"
            for found in violations
        ]
        yield Block(rank, ["", f"**{title}**", ""], items, noun="policy violations")


def _dangerous(review: Review, effect: Effect, title: str) -> Iterator[Block]:
    changes = review.of(effect)
    if changes:
        head = ["", f"**{title}**", ""]
        items = [_line(change, where=True) for change in sorted(changes, key=_place)]
        yield Block(_DANGEROUS, head, items, noun=f"{_DONE[effect]} resources")


def _drifted(review: Review) -> Iterator[Block]:
    if review.drifted:
        items = [f"- {code(change.name)} {change_text(change)}" for change in review.drifted]
        yield Block(
            _ADVISORY,
            ["", "**Changed past Pulumi; an `up` puts it back**", ""],
            items,
            noun="drifted resources",
        )


def change_text(change: Change) -> str:
    """What became of a resource that somebody changed past Pulumi."""
    if change.drift == "is gone":
        return "is gone"
    paths = ", ".join(code(each.path) for each in change.properties[:_PROPERTIES])
    return f"was changed: {paths}" if paths else "was changed"


def _by_component(review: Review) -> Iterator[Block]:
    """What is created and changed, folded away by the component at the top."""
    groups: dict[str, list[Change]] = {}
    for change in review.changes:
        if change.effect is Effect.UPDATE or (change.effect is Effect.CREATE and not change.is_component):
            groups.setdefault(_component(change), []).append(change)
    # What changes before what is new, of which a flood may be left out.
    for component in sorted(groups, key=lambda name: (_all_new(groups[name]), not name, name)):
        changes = groups[component]
        title = html_code(component) if component else "At the top of the stack"
        # As in the table, which counts resources; that a component's arguments differ is said all the same.
        counts = [
            f"{count} {_DONE[effect]}"
            for effect in (Effect.CREATE, Effect.UPDATE)
            if (count := sum(change.effect is effect and not change.is_component for change in changes))
        ]
        head = ["", f"<details><summary>{title}: {', '.join(counts) or 'other arguments'}</summary>", ""]
        items = [_line(change, where=False) for change in sorted(changes, key=_place)]
        yield Block(_REST, head, items, ["", "</details>"], noun="created or changed resources")


def _all_new(changes: Iterable[Change]) -> bool:
    return all(change.effect is Effect.CREATE for change in changes)


def _component(change: Change) -> str:
    """The component at the top that a change belongs to; empty for none."""
    return change.component or (change.name if change.is_component else "")


def _place(change: Change) -> tuple[str, bool, bool, str]:
    """Where a change stands in a list, whatever the order in which the engine came to it.

    Components first, then the namespaces, with which everything in them goes.
    """
    is_namespace = change.name.startswith("Namespace ")
    return _component(change), not change.is_component, not is_namespace, change.name


def _line(change: Change, *, where: bool) -> str:
    """One resource; what happens to it is said where the title does not say it."""
    text = f"- {code(change.name)}" if where else f"- {_DONE[change.effect]} {code(change.name)}"
    if where and change.component:
        text += f" of {code(change.component)}"
    if change.kept:
        text += ", forgotten by Pulumi and kept in the cluster"
    if change.protected and change.effect in {Effect.DELETE, Effect.REPLACE}:
        text += ", **protected: an `up` will refuse**"
    shown = change.properties[:_PROPERTIES]
    lines = [text, *(f"  - {_property(each)}" for each in shown)]
    if len(change.properties) > len(shown):
        lines.append(f"  - … and {len(change.properties) - len(shown)} more properties")
    return "\n".join(lines)


def _property(each: Property) -> str:
    text = code(each.path)
    if each.secret:
        text += " (secret)"
    elif each.before is not None or each.after is not None:
        before = code(each.before) if each.before is not None else "-"
        after = code(each.after) if each.after is not None else "-"
        text += f": {before} → {after}"
    return f"{text}, **forces the replacement**" if each.replaces else text


def _aside(title: str, items: Iterable[str]) -> Iterator[Block]:
    lines = [f"- {item}" for item in items]
    if lines:
        head = ["", f"<details><summary>{title}: {len(lines)}</summary>", ""]
        yield Block(_ASIDE, head, lines, ["", "</details>"], noun="remarks")
