"""Which provider plugins the sandbox's engine gets, with a Pulumi that only pretends to download."""

import os
import time
from pathlib import Path

import pulumi
import pytest

from sandbox import engine
from sandbox.progress import Progress

QUIET = Progress(quiet=True)


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """A Pulumi that notes each download and says that it failed, unless it is told to succeed."""
    directory = tmp_path / "tools"
    directory.mkdir()
    pulumi = directory / "pulumi"
    pulumi.write_text(f'#!/bin/sh\necho "$4" >> "{tmp_path}/downloads"\nexit ${{DOWNLOAD_STATUS:-1}}\n')
    pulumi.chmod(0o755)
    monkeypatch.setenv("RAYFORT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("RAYFORT_PLUGINS", raising=False)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    return {"pulumi": pulumi, "helm": pulumi}


def prepare(tmp_path: Path, tools: dict[str, Path]) -> engine.Engine:
    return engine.prepare(tmp_path / "state", tmp_path, tools, "https://198.18.0.2:6443", QUIET)


def downloads(tmp_path: Path) -> list[str]:
    file = tmp_path / "downloads"
    return sorted(file.read_text().split()) if file.exists() else []


def test_official_plugins_are_downloaded_where_they_can_be(
    tmp_path: Path, tools: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOWNLOAD_STATUS", "0")
    made = prepare(tmp_path, tools)
    assert made.stand_ins == ()
    assert downloads(tmp_path) == ["kubernetes", "random"]
    # What runs policy packs is a part of Pulumi's release and no plugin that could be downloaded.
    assert made.environment["PATH"] == f"/usr/bin:/bin:{tmp_path / 'state' / 'engine' / 'analyzers'}"


def test_stand_ins_serve_where_the_download_fails_and_come_last_on_path(
    tmp_path: Path, tools: dict[str, Path]
) -> None:
    made = prepare(tmp_path, tools)
    assert made.stand_ins == ("kubernetes", "random")
    *first, plugins, analyzers = made.environment["PATH"].split(os.pathsep)
    assert first == ["/usr/bin", "/bin"]
    assert {file.name for file in Path(plugins).iterdir()} == {
        "pulumi-resource-kubernetes",
        "pulumi-resource-random",
    }
    assert [file.name for file in Path(analyzers).iterdir()] == ["pulumi-analyzer-policy-python"]


def test_pulumis_own_way_to_run_policy_packs_is_preferred(
    tmp_path: Path, tools: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    analyzer = mine / "pulumi-analyzer-policy-python"
    analyzer.write_text("#!/bin/sh\n")
    analyzer.chmod(0o755)
    monkeypatch.setenv("PATH", f"{mine}:/usr/bin:/bin")
    made = prepare(tmp_path, tools)
    assert "analyzers" not in made.environment["PATH"]


def test_a_failed_download_is_not_tried_again_for_a_day(tmp_path: Path, tools: dict[str, Path]) -> None:
    """Each try costs ten seconds of every command."""
    made = [prepare(tmp_path, tools), prepare(tmp_path, tools)]
    assert [each.stand_ins for each in made] == [("kubernetes", "random")] * 2
    assert downloads(tmp_path) == ["kubernetes", "random"]
    yesterday = time.time() - engine.RETRY_AFTER_SECONDS - 1
    for mark in (tmp_path / "cache" / "pulumi").glob("not-downloaded-*"):
        os.utime(mark, (yesterday, yesterday))
    prepare(tmp_path, tools)
    assert downloads(tmp_path) == ["kubernetes", "kubernetes", "random", "random"]


def test_a_plugin_on_path_is_preferred(
    tmp_path: Path, tools: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    plugin = mine / "pulumi-resource-kubernetes"
    plugin.write_text("#!/bin/sh\n")
    plugin.chmod(0o755)
    monkeypatch.setenv("PATH", f"{mine}:/usr/bin:/bin")
    made = prepare(tmp_path, tools)
    assert made.stand_ins == ("random",)
    assert downloads(tmp_path) == ["random"]
    assert made.environment["PATH"].startswith(f"{mine}:")


@pytest.mark.parametrize(("choice", "stand_ins"), [("official", ()), ("stand-in", ("kubernetes", "random"))])
def test_a_choice_is_not_questioned(
    tmp_path: Path,
    tools: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    choice: str,
    stand_ins: tuple[str, ...],
) -> None:
    monkeypatch.setenv("RAYFORT_PLUGINS", choice)
    assert prepare(tmp_path, tools).stand_ins == stand_ins
    assert downloads(tmp_path) == []


def test_the_engine_sees_nothing_of_the_users_own_pulumi(
    tmp_path: Path, tools: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A login or a backend of the user's must never be touched by the sandbox."""
    monkeypatch.setenv("PULUMI_ACCESS_TOKEN", "theirs")
    monkeypatch.setenv("PULUMI_BACKEND_URL", "https://api.example.com")
    made = prepare(tmp_path, tools)
    assert "PULUMI_ACCESS_TOKEN" not in made.environment
    assert made.environment["PULUMI_BACKEND_URL"].startswith(f"file://{tmp_path}")
    passphrase = Path(made.environment["PULUMI_CONFIG_PASSPHRASE_FILE"])
    assert passphrase.stat().st_mode & 0o777 == 0o600
    assert len(passphrase.read_text()) >= 32


def test_pulumi_and_its_plugins_reach_the_api_server_without_the_users_proxy(
    tmp_path: Path, tools: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Helm, which a plugin runs, has its environment too; everything else still goes through the proxy."""
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "a.example")
    monkeypatch.delenv("no_proxy", raising=False)
    made = prepare(tmp_path, tools)
    assert made.environment["NO_PROXY"] == "a.example,198.18.0.2"
    assert made.environment["no_proxy"] == "a.example,198.18.0.2"
    assert made.environment["HTTPS_PROXY"] == "http://proxy.example:3128"


def test_while_the_engine_is_called_nothing_of_the_users_pulumi_is_in_this_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Pulumi's SDK hands the process's environment on, below the variables that it is told."""
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "theirs")
    monkeypatch.setenv("PULUMI_CONFIG", "{}")
    monkeypatch.setenv("PULUMIS_COUSIN", "stays")
    with pytest.raises(RuntimeError, match="something"), engine.alone():
        assert not [name for name in os.environ if name.startswith("PULUMI_")]
        assert os.environ["PULUMIS_COUSIN"] == "stays"
        raise RuntimeError("something")
    assert os.environ["PULUMI_CONFIG_PASSPHRASE"] == "theirs"
    assert os.environ["PULUMI_CONFIG"] == "{}"


def test_while_the_engine_is_called_the_sdk_keeps_its_debug_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(pulumi.log, "debug", told.append)
    with pytest.raises(RuntimeError, match="something"), engine.quiet():
        pulumi.log.debug("registering", None, ephemeral=True)
        raise RuntimeError("something")
    pulumi.log.debug("again")
    assert told == ["again"]
