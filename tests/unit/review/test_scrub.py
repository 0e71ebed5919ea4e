"""What is kept of a recording belongs to no machine and holds no secret; the recordings are held to it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pulumi.runtime import rpc
from rayfort.review.secrets import is_secret

from tests.reviews.record import RECORDINGS, ROOT, load, paths_of
from tests.reviews.scenarios import SCENARIOS
from tests.reviews.scrub import scrub

STATE = Path("/var/lib/somebody/my sandbox/state")


def scrubbed(*events: dict[str, Any]) -> str:
    return "\n".join(scrub(map(json.dumps, events), paths_of(STATE)))


def test_paths_ports_ids_and_times_of_this_machine_go() -> None:
    message = (
        f"{STATE}/charts in {ROOT}/infra by {Path.home()}/x at https://127.0.0.1:43210 on localhost:8080: "
        "0x7f3a2b1c 40969b63-4f9a-4dc4-8f3c-6f1a0fb01077 2026-11-21T23:30:00.123Z"
    )
    text = scrubbed({"sequence": 9, "timestamp": 1795304096, "diagnosticEvent": {"message": message}})
    assert json.loads(text)["diagnosticEvent"]["message"] == (
        "/sandbox/charts in /checkout/infra by /home/user/x at https://127.0.0.1:1 on localhost:1: "
        "0x0 00000000-0000-0000-0000-000000000000 2026-01-01T00:00:00Z"
    )
    assert json.loads(text)["timestamp"] == 0


def test_what_is_not_known_yet_stays_recognizable() -> None:
    metadata = {"op": "update", "type": "t", "new": {"inputs": {"a": rpc.UNKNOWN}}}
    text = scrubbed({"sequence": 1, "resOutputsEvent": {"metadata": metadata}})
    assert rpc.UNKNOWN in text


def test_settings_and_what_the_api_server_fills_in_go() -> None:
    step = {"op": "update", "type": "t", "old": {"outputs": {"metadata": {"uid": "u", "name": "n"}}}}
    text = scrubbed(
        {"sequence": 1, "preludeEvent": {"config": {"rayfort:netrc": "x"}}},
        {"sequence": 2, "resOutputsEvent": {"metadata": step}},
        {"sequence": 3, "diagnosticEvent": {"severity": "debug", "message": "m"}},
        {"sequence": 4, "timestamp": 1},
    )
    first, second = map(json.loads, text.splitlines())
    assert first["preludeEvent"] == {"config": {}}
    assert second["resOutputsEvent"]["metadata"]["old"]["outputs"] == {"metadata": {"name": "n"}}


def test_steps_that_change_nothing_lose_their_states_and_the_stack_keeps_its_outputs() -> None:
    state = {"inputs": {"a": 1}, "outputs": {"weakened": ["x"]}}
    same = {"op": "same", "type": "t", "old": state, "new": state}
    stack = {**same, "type": "pulumi:pulumi:Stack"}
    text = scrubbed(*({"sequence": 1, "resOutputsEvent": {"metadata": each}} for each in (same, stack)))
    first, second = (json.loads(line)["resOutputsEvent"]["metadata"] for line in text.splitlines())
    assert first["new"] == {"inputs": {}, "outputs": {}}
    assert second["new"] == state


@pytest.mark.parametrize("name", [scenario.name for scenario in SCENARIOS])
def test_recordings_hold_no_secret_and_nothing_of_a_machine(name: str) -> None:
    text = "\n".join(load(name))
    for needle in (str(ROOT), str(Path.home()) + "/", "/tmp/", "rayfort-recordings-"):
        assert needle not in text
    assert not re.search(r"(127\.0\.0\.1|localhost):(?!1\b)\d+", text)
    assert "another-password-of-a-test" not in text
    secrets = re.findall(r'"ciphertext":"([^"]*)"', text)
    assert set(secrets) <= {"[secret]"}
    for line in text.splitlines():
        for value in re.findall(r'"((?:[^"\\]|\\.)*)"', line):
            assert not is_secret(value), value
    if name in {"secret-change", "rotate-token", "create"}:
        assert secrets, "there is a secret to be masked"


@pytest.mark.parametrize("name", [scenario.name for scenario in SCENARIOS])
def test_a_recording_is_scrubbed_already(name: str) -> None:
    lines = load(name)
    assert list(scrub(lines, paths_of(STATE))) == lines


def test_there_is_a_recording_for_every_scenario_and_no_other() -> None:
    assert {file.name for file in RECORDINGS.iterdir()} == {f"{each.name}.jsonl.gz" for each in SCENARIOS}
    assert sum(file.stat().st_size for file in RECORDINGS.iterdir()) < 500_000
