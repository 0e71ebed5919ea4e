"""GitHub's workflows as actionlint reads them, and held to what docs/pull-requests.md promises."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.toolchain import Toolchain

pytestmark = pytest.mark.sandbox

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".github" / "workflows"
WORKFLOWS = sorted(FOLDER.glob("*.yml"))
ACTIONS = sorted((ROOT / ".github" / "actions").glob("*/action.yml"))
WITH_CREDENTIALS = {"preview.yml", "deploy-stack.yml", "drift.yml", "deploy.yml"}
# What this page of rules is about; others, such as a release, have rights of their own.
REVIEWS = [FOLDER / name for name in sorted({*WITH_CREDENTIALS, "ci.yml", "plan.yml", "plan-comment.yml"})]


@pytest.fixture(scope="module")
def actionlint(toolchain: Toolchain) -> Path:
    return toolchain.ensure(["actionlint"])["actionlint"]


def lint(actionlint: Path, *files: Path) -> subprocess.CompletedProcess[str]:
    # Without shellcheck and pyflakes, which are on some machines and not on others.
    command = [str(actionlint), "-no-color", "-shellcheck=", "-pyflakes=", *map(str, files)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def content(file: Path) -> dict[Any, Any]:
    loaded: dict[Any, Any] = yaml.safe_load(file.read_text())
    return loaded


def steps(file: Path) -> Iterator[dict[str, Any]]:
    """Every step of a workflow or of an action."""
    loaded = content(file)
    for job in [*loaded.get("jobs", {}).values(), loaded.get("runs", {})]:
        yield from job.get("steps", [])


def test_actionlint_has_nothing_to_say(actionlint: Path) -> None:
    assert len(WORKFLOWS) >= 7
    done = lint(actionlint, *WORKFLOWS)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "right", "wrong", "said"),
    [
        ("preview.yml", "needs: [stacks, preview]", "needs: [stacks, preveiw]", "preveiw"),
        ("preview.yml", "pull-requests: write", "pull-requests: wirte", "wirte"),
        ("preview.yml", "steps.stacks.outputs", "steps.stax.outputs", "stax"),
        ("drift.yml", "17 3 * * *", "77 3 * * *", "77 3"),
        ("ci.yml", ".ci/run", "echo ${{ github.event.pull_request.title }}", "untrusted"),
    ],
)
def test_actionlint_sees_what_is_broken(
    actionlint: Path, tmp_path: Path, name: str, right: str, wrong: str, said: str
) -> None:
    text = (FOLDER / name).read_text()
    assert right in text
    broken = tmp_path / name
    broken.write_text(text.replace(right, wrong))
    done = lint(actionlint, broken)
    assert done.returncode == 1
    assert said in done.stdout


@pytest.mark.parametrize("file", [*WORKFLOWS, *ACTIONS], ids=lambda file: f"{file.parent.name}/{file.name}")
def test_every_action_is_pinned_by_its_commit(file: Path) -> None:
    for step in steps(file):
        uses = step.get("uses", "./")
        assert uses.startswith("./") or re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}", uses), uses
    for line in file.read_text().splitlines():
        if re.search(r"@[0-9a-f]{40}", line):
            assert re.search(r" # v\d+\.\d+\.\d+$", line), line  # what a person, and a bot, reads


@pytest.mark.parametrize("file", REVIEWS, ids=lambda file: file.name)
def test_a_job_has_only_the_rights_that_it_names(file: Path) -> None:
    loaded = content(file)
    assert loaded["permissions"] == {}
    for job in loaded["jobs"].values():
        assert isinstance(job["permissions"], dict)
        writes = {right for right, level in job["permissions"].items() if level == "write"}
        assert writes <= {"id-token", "pull-requests", "issues"}
        # Who may log in to the cloud may not speak on GitHub, and the other way round.
        assert len(writes) <= 1
        if "id-token" in writes and "steps" in job:
            assert re.fullmatch(r"(preview|deploy)-\$\{\{.*\}\}", job["environment"])


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_nothing_of_an_event_is_pasted_into_a_shell(file: Path) -> None:
    for step in steps(file):
        assert "${{" not in step.get("run", "")
        if str(step.get("uses", "")).startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("file", REVIEWS, ids=lambda file: file.name)
def test_no_workflow_gives_a_fork_credentials(file: Path) -> None:
    loaded = content(file)
    triggers = loaded[True]  # what YAML 1.1 makes of `on`
    assert "pull_request_target" not in triggers
    credentials = any("id-token" in job["permissions"] for job in loaded["jobs"].values())
    assert credentials == (file.name in WITH_CREDENTIALS)
    assert "secrets." not in file.read_text()
    if "pull_request" in triggers and credentials:
        first = loaded["jobs"]["stacks"]
        assert "head.repo.full_name == github.repository" in first["if"]
        assert all("needs" in job for name, job in loaded["jobs"].items() if name != "stacks")


def test_who_may_write_comments_runs_no_code_of_a_pull_request() -> None:
    for name in ("preview.yml", "plan-comment.yml"):
        job = content(FOLDER / name)["jobs"]["comment"]
        [checkout] = [each for each in job["steps"] if str(each.get("uses")).startswith("actions/checkout@")]
        ref = checkout["with"].get("ref")
        assert ref == ("${{ github.event.pull_request.base.sha }}" if name == "preview.yml" else None)
        [download] = [each for each in job["steps"] if "download-artifact@" in str(each.get("uses"))]
        assert download["with"]["path"].startswith("${{ runner.temp }}/")
    assert set(content(FOLDER / "plan-comment.yml")[True]) == {"workflow_run"}


def test_a_failed_preview_is_still_told() -> None:
    """A step ends at the first command that fails, so what tells of it is a step of its own."""
    told = {
        "preview.yml": "actions/upload-artifact@",
        "drift.yml": "actions/upload-artifact@",
        "plan.yml": "actions/upload-artifact@",
        "deploy-stack.yml": "./rayfort review comment",
    }
    for name, start in told.items():
        [step] = [
            each for each in steps(FOLDER / name) if start in each.get("uses", "") + each.get("run", "")
        ]
        assert step["if"] == "${{ !cancelled() }}", name
        assert "review preview" not in step.get("run", ""), name
