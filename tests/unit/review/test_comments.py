"""What the comment says about recorded previews, as files to read in a review.

After a wanted change: RAYFORT_UPDATE=1 ./rayfort test tests/unit/review, and look at what git says differs.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path

import pytest
from rayfort.review.comment import DRIFT_MARKER, MARKER, comment
from rayfort.review.drift import decide
from rayfort.review.events import read
from rayfort.review.model import Effect, Review, from_json, to_json
from rayfort.review.summarize import summarize

from tests.reviews.record import COMMENTS, load
from tests.reviews.scenarios import BY_NAME, SCENARIOS

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NAMES = [scenario.name for scenario in SCENARIOS]


@functools.cache
def review(name: str) -> Review:
    return summarize(read(load(name)), "sandbox")


def compare(file: Path, text: str) -> None:
    """Hold a text against the file that was looked at."""
    if os.environ.get("RAYFORT_UPDATE"):
        file.write_text(text)
    assert text == file.read_text(), f"{file.name} differs; see the docstring of this module"


@pytest.mark.parametrize("name", NAMES)
def test_the_comment_is_the_one_that_was_looked_at(name: str) -> None:
    compare(COMMENTS / f"{name}.md", comment([review(name)], commit=COMMIT))


def test_one_comment_has_all_stacks_and_the_dangerous_first() -> None:
    names = ("no-change", "scale", "weakened", "delete", "policy-failure")
    reviews = [review(name).model_copy(update={"stack": f"gke-{name}"}) for name in names]
    text = comment(reviews, commit=COMMIT)
    order = [line for line in text.splitlines() if line.startswith("### ")]
    assert order == [
        "### `gke-policy-failure`",
        "### `gke-delete`",
        "### `gke-weakened`",
        "### `gke-scale`",
        "### `gke-no-change`",
    ]
    compare(COMMENTS / "all-stacks.md", text)


@pytest.mark.parametrize("name", ["drift", "unreachable"])
def test_the_issue_about_drift(name: str) -> None:
    decision = decide([review(name), review("no-change").model_copy(update={"stack": "other"})])
    assert decision.keep_open
    assert decision.body.startswith(DRIFT_MARKER)
    compare(COMMENTS / f"issue-{name}.md", f"{decision.title}\n\n{decision.body}")


def test_the_issue_is_closed_when_every_stack_is_clean() -> None:
    decision = decide([review("no-change")])
    assert not decision.keep_open
    assert "sandbox" in decision.body


def test_every_scenario_says_what_it_is_about() -> None:
    """The recordings are what their names promise, so that a new one cannot be about nothing."""
    counts = {
        name: {effect.value: len(review(name).of(effect)) for effect in Effect if review(name).of(effect)}
        for name in NAMES
    }
    assert counts["create"].keys() == {"create"}
    assert counts["create"]["create"] > 40
    assert counts["no-change"] == {}
    assert counts["rotate-token"] == {"replace": 2, "update": 2}  # the cluster, and what users' jobs get
    assert counts["replace"]["replace"] >= 8
    # With the door for users go two rules of the Ray cluster that let it in.
    assert counts["delete"]["delete"] > 40
    assert counts["delete"].keys() == {"delete", "update"}
    assert counts["secret-change"] == {"update": 1}
    assert counts["second-team"].keys() == {"create"}
    assert counts["many-teams"]["create"] > 1000
    assert counts["many-teams"]["delete"] == counts["delete"]["delete"]
    assert counts["drift"] == {"create": 1, "update": 1}
    assert counts["upgrade"].keys() == {"update"}
    assert {name for name in NAMES if review(name).failed} == {each.name for each in SCENARIOS if each.fails}


def test_what_a_change_weakens_is_named_and_what_was_weak_is_not_new() -> None:
    weakened = review("weakened").weakened
    assert [line.partition(": ")[0] for line in weakened.added] == [
        "rayfort:mesh.mtls",
        "rayfort:mesh.minTls",
    ]
    assert [line.partition(": ")[0] for line in weakened.stays] == [
        "rayfort:cluster.facts.networkPolicy",
        "rayfort:jupyterhub.authenticator.type",
    ]
    assert review("no-change").weakened.added == ()
    # The program says it when it starts, so that it is known where the preview ends early.
    assert review("program-failure").weakened.known
    assert not review("settings-error").weakened.known


def test_drift_is_told_apart_from_what_the_code_changes() -> None:
    assert [(each.name, each.drift) for each in review("drift").drifted] == [
        ("PeerAuthentication istio-system/default", "was changed"),
        ("Service team-a/ray-headless-svc", "is gone"),
    ]
    assert not review("weakened").drifted


def test_a_failure_is_told_once_and_without_the_engines_own_lines() -> None:
    assert review("program-failure").errors == (BY_NAME["program-failure"].breaks,)
    [error] = review("settings-error").errors
    assert error.startswith("The stack's settings have 2 mistakes")
    assert not review("policy-failure").errors
    assert {each.rule for each in review("policy-failure").mandatory} == {"mtls-strict", "tls-1-3"}


@pytest.mark.parametrize("name", NAMES)
def test_a_review_travels_as_json(name: str) -> None:
    made = review(name)
    assert from_json(to_json([made]), "review.json") == (made,)


def test_a_comment_is_found_again_by_its_first_line() -> None:
    assert comment([]).startswith(f"{MARKER}\n")
