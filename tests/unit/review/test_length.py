"""GitHub takes 65,536 characters: what is dangerous stays, and what is left out is counted."""

from __future__ import annotations

from rayfort.review.blocks import LIMIT
from rayfort.review.comment import comment
from rayfort.review.events import read
from rayfort.review.model import Change, Effect, Property, Review, Weakened
from rayfort.review.summarize import summarize

from tests.reviews.record import load


def many(effect: Effect, count: int, name: str = "thing") -> tuple[Change, ...]:
    return tuple(
        Change(
            effect=effect,
            name=f"Service {name}/{number:05}",
            component="RayWorkspace team",
            properties=(Property(path="spec.ports", before="1", after="2"),),
        )
        for number in range(count)
    )


def test_a_real_change_that_is_too_long_keeps_its_dangerous_parts() -> None:
    review = summarize(read(load("many-teams")), "sandbox")
    assert review.of(Effect.DELETE)
    assert len(comment([review], limit=10 * LIMIT)) > LIMIT
    text = comment([review])
    assert len(text.encode()) <= LIMIT
    for change in review.of(Effect.DELETE):
        assert f"- `{change.name}` of " in text
    assert "`rayfort:mesh.mtls`" in text
    assert "**Left out, since GitHub takes no longer comment:**" in text
    assert text.count("<details>") == text.count("</details>")


def test_what_is_left_out_is_counted() -> None:
    text = comment([Review(stack="s", changes=many(Effect.CREATE, 5000))])
    shown = text.count("- created `Service")
    assert 100 < shown < 5000
    assert f"{5000 - shown} created or changed resources" in text
    assert "| `s` | changes | - | - | **5000** | - |" in text


def test_nothing_is_left_out_of_what_fits() -> None:
    text = comment([Review(stack="s", changes=many(Effect.CREATE, 300))])
    assert text.count("- created `Service") == 300
    assert "Left out" not in text


def test_so_many_deletions_that_even_they_do_not_fit_are_counted() -> None:
    text = comment([Review(stack="s", changes=many(Effect.DELETE, 5000))])
    assert len(text.encode()) <= LIMIT
    shown = text.count("- `Service")
    assert shown > 300
    assert f"… and {5000 - shown} more deleted resources" in text


def test_the_flood_of_one_stack_does_not_take_the_room_of_another() -> None:
    flood = Review(stack="a-flood", changes=many(Effect.DELETE, 5000))
    quiet = Review(
        stack="z-quiet", changes=many(Effect.DELETE, 20, "quiet"), weakened=Weakened(added=("key: weak",))
    )
    text = comment([flood, quiet])
    assert len(text.encode()) <= LIMIT
    assert text.count("`Service quiet/") == 20
    assert "`key` - `weak`" in text


def test_letters_of_several_bytes_count_as_what_they_are() -> None:
    changes = tuple(Change(effect=Effect.DELETE, name="Service " + "é漢😀" * 30 + str(n)) for n in range(900))
    assert len(comment([Review(stack="s", changes=changes)]).encode()) <= LIMIT
