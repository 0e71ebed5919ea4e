"""The programs `kind` and `docker`: how they are called, and what is said where they are missing."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rayfort import KindClusterArgs, versions
from rayfort.cluster.kind import process
from rayfort.cluster.kind.errors import KindError
from rayfort.cluster.kind.process import Kind

from cli.checks import State
from cli.checks import kind as doctor

Program = Callable[..., None]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only directory on PATH."""
    made = tmp_path / "bin"
    made.mkdir()
    monkeypatch.setenv("PATH", str(made))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return made


@pytest.fixture
def program(folder: Path) -> Program:
    """Writes a program that notes how it was called, says something and ends."""

    def write(name: str, *, out: str = "", said: str = "", code: int = 0, sleeps: float = 0) -> None:
        script = (
            f"#!{sys.executable}\nimport json, os, sys, time\n"
            f"with open({str(folder.parent / 'calls')!r}, 'a') as file:\n"
            "    stdin = sys.stdin.read()\n"
            "    file.write(json.dumps([sys.argv, stdin, dict(os.environ)]) + '\\n')\n"
            f"time.sleep({sleeps})\n"
            f"sys.stdout.write({out!r}); sys.stderr.write({said!r}); sys.exit({code})\n"
        )
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)

    return write


def calls(folder: Path) -> list[tuple[list[str], str, dict[str, str]]]:
    lines = (folder.parent / "calls").read_text().splitlines()
    return [(found[0][1:], found[1], found[2]) for found in map(json.loads, lines)]


@pytest.mark.parametrize("runtime", ["docker", "podman"])
def test_the_runtime_is_the_one_that_was_asked_for(folder: Path, program: Program, runtime: str) -> None:
    program("kind", out="dev\n\nother\n")
    assert Kind(runtime).clusters() == {"dev", "other"}
    [(arguments, _, environment)] = calls(folder)
    assert arguments == ["get", "clusters"]
    assert environment["KIND_EXPERIMENTAL_PROVIDER"] == runtime


def test_the_users_kubeconfig_is_never_touched(
    folder: Path, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(folder / "mine"))
    program("kind")
    Kind("docker").create("dev", "kind: Cluster", ())
    Kind("docker").delete("dev")
    for arguments, _, _ in calls(folder):
        given = Path(arguments[arguments.index("--kubeconfig") + 1])
        assert given.name == "kubeconfig"
        assert not given.parent.exists()  # gone with its directory
    assert calls(folder)[0][1] == "kind: Cluster"
    assert not (folder / "mine").exists()


def test_what_fails_is_told_with_its_end_and_a_remedy(program: Program) -> None:
    program("kind", said="ERROR: failed to create cluster\nno space left on device\n", code=1)
    with pytest.raises(KindError) as failed:
        Kind("docker").create("dev", "")
    assert "`kind create cluster` with docker ended with exit code 1" in str(failed.value)
    assert "free disk space" in str(failed.value)


def test_what_does_not_end_is_ended(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "QUESTION_SECONDS", 0.1)
    monkeypatch.setattr(process, "_LOOK_SECONDS", 0.05)
    program("docker", sleeps=600)
    with pytest.raises(KindError, match="docker does not answer within"):
        process.runtime_version("docker")


def test_nothing_goes_on_for_an_engine_that_is_gone(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_LOOK_SECONDS", 0.05)
    monkeypatch.setattr(process, "engine_is_gone", lambda: True)
    program("kind", sleeps=600)
    with pytest.raises(KindError, match="did not end"):
        Kind("docker").create("dev", "")


def test_an_engine_is_gone_when_nobody_listens_at_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setattr(sys, "argv", ["plugin", address])
        assert not process.engine_is_gone()
    assert process.engine_is_gone()
    for other in (["plugin"], ["plugin", "-v=9"], ["plugin", "nothing"]):
        monkeypatch.setattr(sys, "argv", other)
        assert not process.engine_is_gone()


def test_a_missing_program_is_named_with_where_to_get_it(folder: Path) -> None:
    for name, ask in {
        "docker": lambda: process.runtime_version("docker"),
        "podman": lambda: process.runtime_version("podman"),
        "kind": process.kind_version,
    }.items():
        with pytest.raises(KindError, match=rf"{name} is not on PATH(.|\n)*install it: https://"):
            ask()
    with pytest.raises(KindError, match="kind is not on PATH"):
        Kind("docker").clusters()


def test_a_daemon_that_is_not_there_is_told_with_its_own_words(program: Program) -> None:
    said = "Cannot connect to the Docker daemon at unix:///run/docker.sock. Is the docker daemon running?\n"
    program("docker", out="\n", said=said, code=1)
    with pytest.raises(KindError) as failed:
        process.runtime_version("docker")
    assert said.strip() in str(failed.value)
    assert "start the container runtime" in str(failed.value)


@pytest.mark.parametrize(
    ("out", "refused"),
    [
        (versions.KIND, ""),
        ("0.99.0", ""),
        ("kind v0.99.0 go1.26.0 linux/amd64", ""),
        ("0.29.0", f"is Kind 0.29.0, and the node images are those of {versions.KIND}"),
        ("hello", "does not tell its version"),
    ],
)
def test_an_old_kind_is_refused(program: Program, out: str, refused: str) -> None:
    program("kind", out=out)
    if not refused:
        assert process.kind_version() in out
        return
    with pytest.raises(KindError, match=refused):
        process.kind_version()


def test_windows_is_told_to_use_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(KindError, match="WSL"):
        process.runtime_version("docker")


def found(**args: Any) -> dict[str, Any]:
    return {check.subject: check for check in doctor.checks(KindClusterArgs(**args))}


def test_doctor_says_all_that_is_missing(folder: Path) -> None:
    checks = found()
    for subject in ("docker", "kind", "dynamic providers"):
        assert checks[subject].state is State.MISSING
        assert checks[subject].remedy
    assert "memory" not in checks


def test_doctor_finds_what_is_there(program: Program) -> None:
    program("docker", out=f"{8 * 10**9}\n")
    program("kind", out=versions.KIND)
    program("pulumi-resource-pulumi-python")
    checks = found()
    for subject in ("docker", "kind", "dynamic providers", "memory"):
        assert checks[subject].state is State.OK, checks[subject]


def test_doctor_finds_the_dynamic_provider_beside_pulumi(
    folder: Path, program: Program, tmp_path: Path
) -> None:
    release = tmp_path / "release"
    release.mkdir()
    program("pulumi")
    program(doctor.DYNAMIC)
    (folder / "pulumi").rename(release / "pulumi")
    (folder / doctor.DYNAMIC).rename(release / doctor.DYNAMIC)
    assert doctor.dynamic_provider().state is State.MISSING
    (folder / "pulumi").symlink_to(release / "pulumi")
    assert doctor.dynamic_provider().state is State.OK


def test_doctor_warns_of_little_memory() -> None:
    assert doctor.memory(2 * 10**9, 2).state is State.WARN
    assert doctor.memory(16 * 10**9, 2).state is State.OK


@pytest.mark.parametrize(
    ("watches", "instances", "state"),
    [("524288", "512", State.OK), ("8192", "512", State.WARN), ("524288", "128", State.WARN)],
)
def test_doctor_knows_the_limits_that_kind_asks_for(
    tmp_path: Path, watches: str, instances: str, state: State
) -> None:
    (tmp_path / "max_user_watches").write_text(f"{watches}\n")
    (tmp_path / "max_user_instances").write_text(f"{instances}\n")
    check = doctor.inotify(tmp_path)
    assert check.state is state
    assert (check.remedy.count("fs.inotify") == 1) == (state is State.WARN)
