"""What an earlier version brought up, today's brings on, with every object that was there."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.upgrades.released import VERSIONS, sources
from tests.upgrades.upgraded import Upgraded, gone


@pytest.mark.parametrize("version", sorted(VERSIONS))
def test_the_platform_of_an_earlier_version_is_taken_over(
    make: Callable[[Path | None], Upgraded], version: str, tmp_path: Path
) -> None:
    """Its program runs in an environment of its own, as whoever has it runs it."""
    checkout = sources(version, tmp_path / version)
    sandbox = make(None)
    sandbox.state.mkdir(parents=True)
    old = {**os.environ, "RAYFORT_STATE": str(sandbox.state)}
    subprocess.run([checkout / "rayfort", "up", "--nodes", "simulated"], env=old, check=True)
    check_taken_over(sandbox, version)


def check_taken_over(sandbox: Upgraded, version: str) -> None:
    """Today's `up` on it, then what has to be the same."""
    before, pods, ray = sandbox.uids(), sandbox.pods(), sandbox.ray_cluster()
    token = sandbox.token(ray["spec"]["authOptions"]["secretName"])
    report = sandbox.up()
    assert gone(before, sandbox.uids()) == VERSIONS[version].announced.keys()
    assert sandbox.pods().keys() == pods.keys()  # jobs go on
    now = sandbox.ray_cluster()
    assert now["metadata"]["uid"] == ray["metadata"]["uid"]
    assert sandbox.token(now["spec"]["authOptions"]["secretName"]) == token
    assert not report.changes.violations
    assert not sandbox.environment.preview().any
