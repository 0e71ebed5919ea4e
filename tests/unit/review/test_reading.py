"""Reading events, paths and files, whoever wrote them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rayfort.review.affected import affected
from rayfort.review.events import EventsError, read, write
from rayfort.review.model import Review, ReviewError, from_json, to_json
from rayfort.review.names import called
from rayfort.review.paths import differences, split, value_at
from rayfort.review.paths import write as written
from rayfort.review.summarize import summarize

from tests.reviews.record import load

STACKS = ("gke-dev", "gke-prod")


@pytest.mark.parametrize("name", ["create", "rotate-token", "policy-failure", "drift", "settings-error"])
def test_events_are_written_as_they_were_read(name: str) -> None:
    lines = load(name)
    events = list(read(lines))
    assert len(events) > 50
    again = [write(event) for event in events]
    assert [write(event) for event in read(again)] == again
    assert summarize(read(again), "s") == summarize(read(lines), "s")


@pytest.mark.parametrize(
    "line", ["no json", "[]", '"text"', "{}", '{"sequence":1,"resourcePreEvent":{"metadata":{"op":"?"}}}']
)
def test_what_is_no_event_is_named_by_its_line_and_not_quoted(line: str) -> None:
    with pytest.raises(EventsError) as caught:
        list(read(['{"sequence":0,"cancelEvent":{}}', "", line]))
    assert "line 3" in str(caught.value)
    assert "no json" not in str(caught.value)


def test_events_that_end_early_are_a_failure() -> None:
    whole = load("scale")
    review = summarize(read(whole[: len(whole) // 2]), "s")
    assert review.failed
    assert "end early" in review.errors[0]


def test_an_engine_that_fails_before_any_event_says_why() -> None:
    review = summarize([], "s", failed=True, said="error: no passphrase\nDB_PASSWORD=correct-horse-battery")
    assert review.errors == ("error: no passphrase\nDB_PASSWORD=[secret]",)


SEGMENTS = st.lists(
    st.one_of(st.integers(0, 20), st.text(min_size=1, max_size=8).filter(lambda text: not text.isdigit())),
    min_size=1,
    max_size=5,
)


@given(SEGMENTS)
def test_paths_are_read_as_they_are_written(segments: list[str | int]) -> None:
    assert split(written(tuple(segments))) == tuple(segments)


@pytest.mark.parametrize(
    ("path", "segments"),
    [
        ('spec.hard["requests.cpu"]', ("spec", "hard", "requests.cpu")),
        ("spec.containers[0].image", ("spec", "containers", 0, "image")),
        ('data[".netrc"]', ("data", ".netrc")),
        ("broken[", ("broken", "[")),
    ],
)
def test_paths_of_the_engine(path: str, segments: tuple[str | int, ...]) -> None:
    assert split(path) == segments


def test_differences_are_the_deepest_paths() -> None:
    before = {"a": {"b": 1, "c": [1, {"d": 2}]}, "gone": 1, "list": [1]}
    after = {"a": {"b": 1, "c": [1, {"d": 3}]}, "list": [1, 2]}
    assert list(differences(before, after)) == [("a", "c", 1, "d"), ("gone",), ("list",)]
    assert value_at(after, ("a", "c", 1, "d")) == 3
    assert value_at(after, ("a", "x", 1)) is None


def test_a_resource_whose_name_is_not_known_yet_has_its_name_in_the_program() -> None:
    urn = "urn:pulumi:s::p::kubernetes:core/v1:Secret::team-a.ray-auth"
    metadata = {"name": object(), "namespace": "team-a"}
    assert called("kubernetes:core/v1:Secret", urn, {"metadata": metadata}) == "Secret team-a.ray-auth"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        '{"format": 2, "reviews": []}',
        '{"format": 1, "reviews": [{"stack": "s", "more": 1}]}',
        '{"format": 1, "reviews": [{"stack": "s", "changes": [{"effect": "explode", "name": "n"}]}]}',
        '{"format": 1, "reviews": [{"stack": 1}]}',
        "[" * 100_000,
    ],
)
def test_a_file_that_holds_no_reviews_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(ReviewError) as caught:
        from_json(text, "plan.json")
    assert "plan.json" in str(caught.value)
    assert "explode" not in str(caught.value)


def test_a_review_file_is_json_with_a_format() -> None:
    assert json.loads(to_json([Review(stack="s")]))["format"] == 1


@pytest.mark.parametrize(
    ("files", "stacks"),
    [
        (["docs/gke.md", "README.md", "tests/unit/test_x.py"], ()),
        (["stacks/Pulumi.gke-dev.yaml"], ("gke-dev",)),
        (["stacks/Pulumi.gke-dev.yaml", "README.md"], ("gke-dev",)),
        (["stacks/Pulumi.gone.yaml"], ()),
        (["infra/platform.py"], STACKS),
        (["components/rayfort/versions.py"], STACKS),
        (["requirements.lock"], STACKS),
        (["a-new-file-that-nobody-knows"], STACKS),
        (["policies/__main__.py", "stacks/Pulumi.gke-dev.yaml"], STACKS),
        ([], ()),
    ],
)
def test_which_stacks_a_change_affects(files: list[str], stacks: tuple[str, ...]) -> None:
    assert affected(files, STACKS, "stacks") == stacks
