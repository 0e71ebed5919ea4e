"""`rayfort verify`: exit codes, files, what is said where it cannot run, and what it never does."""

from __future__ import annotations

import json
from pathlib import Path
from unittest.mock import ANY

import pytest
from rayfort.conformance.checks import ALL
from typer.testing import CliRunner, Result

from cli import __main__ as command
from cli import verify as cli_verify
from sandbox.layout import Layout
from tests.unit.conformance.fake import SECRETS, FakeCluster
from tests.unit.conformance.world import World, main, worker
from tests.unit.samples import kubeconfig

KUBECONFIG = "the content of a kubeconfig"


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeCluster:
    """A sandbox that is as it should be."""
    made = FakeCluster()
    connected: list[tuple[str, str, bool]] = []

    def connect(content: str, context: str, *, direct: bool) -> FakeCluster:
        connected.append((content, context, direct))
        return made

    monkeypatch.setattr(cli_verify, "KubernetesConnection", connect)
    monkeypatch.setenv("RAYFORT_STATE", str(tmp_path / "state"))
    monkeypatch.setattr("sandbox.elevate.needed", lambda *_: False)
    layout = Layout(tmp_path / "state")
    layout.state.mkdir()
    layout.admin_kubeconfig.write_text(KUBECONFIG)
    made.connected = connected  # type: ignore[attr-defined]
    return made


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command.app, ["verify", *arguments])


def test_without_a_failure_the_exit_code_is_0_and_each_check_has_a_line(cluster: FakeCluster) -> None:
    done = run()
    assert done.exit_code == 0, done.output
    for name in ALL:
        assert name in done.stdout
    assert "0 failed" in done.stdout
    assert cluster.connected == [(KUBECONFIG, "rayfort-sandbox", True)]  # type: ignore[attr-defined]


def test_a_failure_is_exit_code_1_and_says_what_to_do(cluster: FakeCluster) -> None:
    main(worker(cluster.world))["image"] = "ray:latest"
    done = run("--no-probe")
    assert done.exit_code == 1
    line = next(line for line in done.stdout.splitlines() if " images-pinned " in line)
    assert line.startswith("fail")
    assert f"What to do: {ALL['images-pinned'].remedy}." in done.stdout


def test_the_sandbox_is_probed_and_other_clusters_only_where_asked(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    run()
    assert len(cluster.probes) == 2
    file = tmp_path / "kubeconfig"
    file.write_text(kubeconfig("prod"))
    elsewhere = ("--kubeconfig", str(file), "--context", "prod")
    done = run("gke-prod", *elsewhere)
    assert "--probe" in done.stdout
    assert len(cluster.probes) == 2
    assert cluster.connected[-1] == (ANY, "prod", False)  # type: ignore[attr-defined]
    run("gke-prod", *elsewhere, "--probe")
    assert len(cluster.probes) == 4


def test_a_check_that_needs_no_probe_makes_none(cluster: FakeCluster) -> None:
    done = run("--check", "mesh-strict", "--check", "quota")
    assert (done.exit_code, cluster.probes) == (0, [])
    assert "2 passed, 0 failed, 0 not run" in done.stdout
    assert "tls-1.2-refused" not in done.stdout


def test_reports_are_written_where_they_are_asked_for(cluster: FakeCluster, tmp_path: Path) -> None:
    files = {kind: tmp_path / f"report.{kind}" for kind in ("json", "junit", "html")}
    done = run(*(part for kind, file in files.items() for part in (f"--{kind}", str(file))))
    assert done.exit_code == 0, done.output
    assert json.loads(files["json"].read_text())["ok"] is True
    assert files["junit"].read_text().startswith("<?xml")
    assert files["html"].read_text().startswith("<!DOCTYPE html>")
    for text in (done.output, *(file.read_text() for file in files.values())):
        assert not [secret for secret in SECRETS if secret in text]


def test_standard_output_takes_one_report_and_nothing_else(cluster: FakeCluster) -> None:
    assert json.loads(run("--json", "-").stdout)["format"] == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--check", "nope"), "--list"),
        (("nope",), "there is no stack"),
        (("--json", "-", "--html", "-"), "only one report"),
        (("--html", "/nowhere/at/all.html"), "cannot be written"),
        (("--kubeconfig", "/x"), "go together"),
        (("--context", "x"), "go together"),
        (("--kubeconfig", "/nowhere", "--context", "x"), "name a kubeconfig file"),
        (("--kubeconfig", __file__, "--context", "x"), "kubeconfig"),
        (("gke-prod",), "--kubeconfig FILE --context NAME"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_nothing_is_asked(
    cluster: FakeCluster, arguments: tuple[str, ...], said: str
) -> None:
    done = run(*arguments)
    assert done.exit_code == 2, done.output
    assert said in done.stderr
    assert cluster.calls == []


def test_a_sandbox_that_was_never_up_is_told(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RAYFORT_STATE", str(tmp_path / "none"))
    done = run()
    assert (done.exit_code, "./rayfort up" in done.stderr) == (2, True)


def test_a_cluster_without_rayfort_is_a_failure(cluster: FakeCluster) -> None:
    cluster.world = World()
    cluster.world.data["objects"]["Namespace"] = []
    done = run()
    assert (done.exit_code, "right cluster" in done.stderr) == (1, True)


def test_the_list_names_every_check_and_what_it_proves() -> None:
    done = run("--list")
    assert done.exit_code == 0
    for check in ALL.values():
        assert check.name in done.stdout
        assert check.proves in done.stdout


def test_a_shell_can_complete_the_names() -> None:
    assert cli_verify.names() == list(ALL)
