"""What an engine that was killed leaves in the state."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sandbox.interrupted import anything_pending, nothing_pending

PENDING = [{"type": "creating", "resource": {"urn": "urn:pulumi:sandbox::rayfort::a:b:C::d"}}]


def checkpoint(place: Path, latest: object) -> Path:
    file = place / "sandbox.json"
    file.write_text(json.dumps({"version": 3, "checkpoint": {"latest": latest}}))
    return file


def test_a_creation_that_was_begun_is_noticed(tmp_path: Path) -> None:
    assert anything_pending(checkpoint(tmp_path, {"resources": [], "pending_operations": PENDING}))


@pytest.mark.parametrize("latest", [None, {}, {"resources": []}, {"pending_operations": []}])
def test_a_state_with_nothing_begun_is_left_alone(tmp_path: Path, latest: object) -> None:
    assert not anything_pending(checkpoint(tmp_path, latest))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}"])
def test_a_state_that_cannot_be_read_is_left_to_the_engine(tmp_path: Path, text: str) -> None:
    file = tmp_path / "sandbox.json"
    file.write_text(text)
    assert not anything_pending(file)
    assert not anything_pending(tmp_path / "none.json")


def test_only_what_was_begun_goes(tmp_path: Path) -> None:
    resources = [{"urn": "urn:pulumi:sandbox::rayfort::a:b:C::e", "inputs": {"a": "b"}}]
    deployment = {"manifest": {}, "resources": resources, "pending_operations": PENDING}
    left = json.loads(nothing_pending(json.dumps({"version": 3, "deployment": deployment})))
    assert left == {"version": 3, "deployment": {"manifest": {}, "resources": resources}}
