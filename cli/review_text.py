"""A review for a terminal."""

from collections.abc import Iterator
from typing import Final

from rayfort.review.model import Change, Effect, Property, Review
from rich.text import Text

_SIGNS: Final = {
    Effect.REPLACE: ("±", "bold magenta"),
    Effect.DELETE: ("-", "bold red"),
    Effect.CREATE: ("+", "green"),
    Effect.UPDATE: ("~", "yellow"),
}


def lines(review: Review) -> Iterator[Text]:
    """What a person reads: the dangerous first, what went wrong last, where it stays in view."""
    counts = ", ".join(f"{len(review.of(effect))} {effect}" for effect in Effect if review.of(effect))
    yield Text.assemble((_plain(review.stack), "bold"), f": {counts or 'no difference'}")
    for effect in Effect:
        for change in review.of(effect):
            yield from _change(change)
    for line in review.weakened.removed:
        yield Text(f"  Strong again: {_plain(line)}", "green")
    for violation in review.violations:
        style = "bold red" if violation.mandatory else "yellow"
        level = "mandatory" if violation.mandatory else "advisory"
        where = f" {_plain(violation.resource)}" if violation.resource else ""
        yield Text(f"  Policy {_plain(violation.rule)} ({level}){where}: {_plain(violation.message)}", style)
    for line in review.weakened.added:
        yield Text(f"  Weakened: {_plain(line)}", "bold yellow")
    for error in review.errors:
        yield Text(f"  Problem: {_plain(error, keep_lines=True)}", "bold red")


def _change(change: Change) -> Iterator[Text]:
    sign, style = _SIGNS[change.effect]
    of = f"  of {_plain(change.component)}" if change.component else ""
    yield Text.assemble((f"  {sign} {_plain(change.name)}", style), (of, "dim"))
    for each in change.properties:
        yield Text(f"      {_plain(each.path)}{_values(each)}")


def _values(each: Property) -> str:
    if each.secret:
        return " (secret)"
    if each.before is None and each.after is None:
        return ""
    return f": {_plain(each.before or '-')} → {_plain(each.after or '-')}"


def _plain(text: str, *, keep_lines: bool = False) -> str:
    """Without what moves a terminal's cursor or colours it."""
    kept = "\n" if keep_lines else ""
    return "".join(letter if letter.isprintable() or letter in kept else "?" for letter in text)
