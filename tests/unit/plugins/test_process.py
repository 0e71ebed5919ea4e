"""The plugins as the engine starts them: executables that print a port and go away when told."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import grpc  # type: ignore[import-untyped]
import pytest
from google.protobuf import empty_pb2  # type: ignore[import-untyped]
from pulumi.runtime.proto import provider_pb2_grpc

from sandbox.plugins import attended
from sandbox.plugins.install import ANALYZER, install, install_analyzer

ROOT = Path(__file__).parents[3]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return install(
        tmp_path / "with space's" / "plugins", Path(sys.executable), ROOT, helm=tmp_path / "my helm"
    )


@pytest.fixture
def started(directory: Path) -> Iterator[list[subprocess.Popen[str]]]:
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.wait()


@pytest.mark.parametrize("name", ["kubernetes", "random"])
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_plugin_prints_its_port_answers_and_stops_when_told(
    directory: Path, started: list[subprocess.Popen[str]], name: str, how: signal.Signals
) -> None:
    process = subprocess.Popen(
        [str(directory / f"pulumi-resource-{name}"), "127.0.0.1:1", "-v=9"],
        stdout=subprocess.PIPE,
        text=True,
        cwd="/",
        env={"PATH": "/usr/bin:/bin"},
    )
    started.append(process)
    assert process.stdout is not None
    port = int(process.stdout.readline())
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = provider_pb2_grpc.ResourceProviderStub(channel)
        assert stub.GetPluginInfo(empty_pb2.Empty(), timeout=10).version.count(".") == 2
    process.send_signal(how)
    assert process.wait(10) == 0


PACK = """
from pulumi_policy import PolicyPack, ResourceValidationPolicy
PolicyPack("small", [ResourceValidationPolicy("any", "Any will do.", lambda args, report: None)])
"""


@pytest.fixture(params=["resources", "policies"])
def plugin(request: pytest.FixtureRequest, directory: Path, tmp_path: Path) -> list[str]:
    """What each kind of plugin is started with; it prints its port."""
    if request.param == "resources":
        return [str(directory / "pulumi-resource-random"), "127.0.0.1:1"]
    (tmp_path / "__main__.py").write_text(PACK)
    return [str(install_analyzer(tmp_path / "bin", Path(sys.executable)) / ANALYZER), "127.0.0.1:1", "."]


def test_what_the_engine_starts_goes_with_it(plugin: list[str], tmp_path: Path) -> None:
    note, said = tmp_path / "pid", tmp_path / "said"
    # An engine that starts it and is killed: a shell in its place.
    start = f'{shlex.join(plugin)} >"{said}" & echo $! >"{note}"; wait'
    engine = subprocess.Popen(["sh", "-c", start], cwd=tmp_path)
    try:
        while not said.exists() or not said.read_text().strip():
            assert engine.poll() is None, "it ended by itself"
            time.sleep(0.05)
        pid = int(note.read_text())
    finally:
        engine.kill()
        engine.wait()
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        if Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
            return
        time.sleep(0.1)
    os.kill(pid, signal.SIGKILL)
    pytest.fail("the plugin outlived its engine")


def test_the_shims_name_interpreter_root_and_helm(directory: Path, tmp_path: Path) -> None:
    for name in ("kubernetes", "random"):
        path = directory / f"pulumi-resource-{name}"
        assert os.access(path, os.X_OK)
        text = path.read_text()
        assert str(ROOT) in text
        assert str(tmp_path / "my helm") in text
        subprocess.run(["sh", "-n", str(path)], check=True)


def test_policy_packs_get_the_engine_and_their_directory_and_no_options(tmp_path: Path) -> None:
    """Pulumi's own module takes an option of the pack's runtime for one of its own."""
    python = tmp_path / "a python"
    python.write_text('#!/bin/sh\nprintf "%s|" "$@"\n')
    python.chmod(0o755)
    analyzer = install_analyzer(tmp_path / "analyzers", python) / "pulumi-analyzer-policy-python"
    command = [str(analyzer), "127.0.0.1:1", ".", "-virtualenv=../.rayfort/venv"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert said == f"-u|-P|{attended.__file__}|pulumi.policy|127.0.0.1:1|.|"


def test_installing_again_replaces(directory: Path, tmp_path: Path) -> None:
    again = install(directory, Path("/other/python"), ROOT, helm=tmp_path / "helm")
    assert again == directory
    assert "/other/python" in (directory / "pulumi-resource-random").read_text()
    assert sorted(path.name for path in directory.iterdir()) == [
        "pulumi-resource-kubernetes",
        "pulumi-resource-random",
    ]
