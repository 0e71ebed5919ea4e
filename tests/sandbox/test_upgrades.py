"""What earlier versions left behind is taken over as it is: nothing is replaced but what was announced.

Pulumi's own engine compares today's program with recorded states; no cluster is asked.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
from rayfort import component

from sandbox import platform_charts
from sandbox.plugins.install import install
from sandbox.toolchain import Toolchain
from tests.upgrades import record
from tests.upgrades.preview import GOING, Step, steps
from tests.upgrades.released import VERSIONS, short

pytestmark = pytest.mark.sandbox

CHANGELOG = (record.ROOT / "CHANGELOG.md").read_text()


class Engine:
    """Pulumi's engine with the stand-ins, and the charts that the stack file names."""

    def __init__(self, directory: Path, tools: Mapping[str, Path]) -> None:
        self.directory = directory
        plugins = install(directory / "plugins", Path(sys.executable), record.ROOT, helm=tools["helm"])
        (directory / "engine" / "bin").mkdir(parents=True)
        (directory / "engine" / "bin" / "pulumi").symlink_to(tools["pulumi"])
        self.environment = {
            "PATH": f"{plugins}{os.pathsep}{os.environ['PATH']}",
            "PULUMI_HOME": str(directory / "home"),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_AUTOMATION_API_SKIP_VERSION_CHECK": "true",
        }


@pytest.fixture(scope="module")
def engine(
    tools: Mapping[str, Path],
    assets: Mapping[str, Path],
    toolchain: Toolchain,
    tmp_path_factory: pytest.TempPathFactory,
) -> Engine:
    directory = tmp_path_factory.mktemp("check out")
    operator = toolchain.find("ray-operator")
    assert operator is not None
    platform_charts.write(assets, operator.version, directory / "charts")
    return Engine(directory, tools)


def going(found: Iterable[Step]) -> set[str]:
    return {short(step.resource) for step in found if step.op in GOING}


@pytest.mark.parametrize("version", record.versions())
def test_an_upgrade_replaces_and_deletes_what_was_announced_and_nothing_else(
    engine: Engine, version: str
) -> None:
    recorded = record.load(version)
    found = steps(recorded, engine.directory, engine.environment)
    assert going(found) == VERSIONS[version].announced.keys()
    kept = {step.resource for step in found if step.op in {"same", "update", "replace"}}
    told = {resource["urn"].split("::", 2)[2] for resource in recorded.resources}
    gone = told - kept
    assert {short(resource) for resource in gone} <= VERSIONS[version].announced.keys()


def test_a_name_that_changes_is_found(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the test above is for: components of another type have other children, for Pulumi."""
    monkeypatch.setattr(component, "TYPE_PREFIX", "rayfort:other")
    version = record.versions()[-1]
    recorded = record.load(version)
    found = going(steps(recorded, engine.directory, engine.environment))
    assert len(found) > 40
    assert "kubernetes:ray.io/v1:RayCluster::team-a.ray" in found


def test_every_released_version_is_recorded() -> None:
    """The changelog knows which there are."""
    released = set(re.findall(r"^## \[(\d[^\]]*)\]", CHANGELOG, re.MULTILINE))
    assert released <= set(record.versions())
    assert set(record.versions()) == VERSIONS.keys()


def test_what_is_announced_is_in_the_changelog() -> None:
    said = " ".join(CHANGELOG.split())
    reasons = {reason for version in VERSIONS.values() for reason in version.announced.values()}
    assert [reason for reason in sorted(reasons) if reason not in said] == []


@pytest.mark.parametrize("version", record.versions())
def test_a_recording_holds_no_secret_and_no_path(version: str) -> None:
    recorded = record.load(version)
    text = f"{recorded.stack}{recorded.state}"
    forbidden = ("plaintext", "client-key", "PRIVATE KEY", f"{Path.home()}/", str(record.ROOT))
    assert [word for word in forbidden if word in text] == []
    assert recorded.state["deployment"]["secrets_providers"]["type"] == "passphrase"
    assert text.count("ciphertext") > 5
    assert recorded.stack.count("secure: v1:") > 0
