"""`rayfort ray` runs Ray's own program against a cluster of the sandbox, and `up` says how."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from cli import ray as cli_ray
from cli.commands import sandbox as command
from cli.messages import status_table, summary
from sandbox import ray_client, ray_status
from sandbox.changes import Changes
from sandbox.environment import Report
from sandbox.image_source import ImageSource
from sandbox.kube_api import ApiUnreachable
from sandbox.node_kind import NodeKind
from sandbox.processes import SandboxError
from sandbox.progress import Progress
from sandbox.ray_status import RayClusterStatus
from sandbox.ray_view import Dashboard
from sandbox.toolchain import ToolchainError

TOKEN = "token-of-the-cluster-77aa"
RAY = RayClusterStatus("team-a", "ray", "2.55.1", "ready", 2, 2, 2, simulated=False, alive=2)
OTHER = replace(RAY, namespace="team-b")
HERE = Path("kubeconfig")
QUIET = Progress(quiet=True)


# --- which cluster


def test_the_only_cluster_needs_no_name() -> None:
    assert cli_ray.choose([RAY], None, None) is RAY
    assert cli_ray.choose([RAY, OTHER], None, "team-b") is OTHER
    assert cli_ray.choose([RAY, replace(RAY, name="big")], "ray", None) is RAY


@pytest.mark.parametrize(
    ("cluster", "namespace", "said"),
    [(None, None, "more than one"), ("ray", None, "more than one"), ("rey", None, "no such")],
)
def test_otherwise_all_are_listed(cluster: str | None, namespace: str | None, said: str) -> None:
    with pytest.raises(SandboxError, match=said) as error:
        cli_ray.choose([RAY, OTHER], cluster, namespace)
    assert "--namespace team-a --cluster ray\n  --namespace team-b --cluster ray" in str(error.value)


def test_a_sandbox_without_clusters_is_told_what_to_do() -> None:
    with pytest.raises(SandboxError, match=r"rayfort up"):
        cli_ray.choose([], None, None)


# --- the run


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SimpleNamespace:
    """A sandbox with one cluster, whose `ray` writes down how it was called."""
    program = tmp_path / "ray"
    program.write_text(f'#!/bin/sh\necho "$@" > "{tmp_path}/arguments"\nenv > "{tmp_path}/env"\n')
    program.chmod(0o755)
    made = SimpleNamespace(status=RAY, versions=[], folder=tmp_path, dialled=[])

    def ensure(version: str, *_: Any) -> Path:
        made.versions.append(version)
        return program

    monkeypatch.setattr(ray_status, "survey", lambda *_, **__: [made.status])
    monkeypatch.setattr(ray_client, "ensure", ensure)
    monkeypatch.setattr(cli_ray, "_dashboard", lambda *_: Dashboard("team-a", "ray-head", 8265, TOKEN))

    @contextlib.contextmanager
    def dial(kubeconfig: Path, namespace: str, pod: str, port: int) -> Iterator[int]:
        made.dialled.append((namespace, pod, port))
        yield 45678

    made.dial = dial
    return made


def variables(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def test_ray_gets_its_arguments_the_address_and_the_token(cluster: SimpleNamespace) -> None:
    code = cli_ray.ray(HERE, ["job", "submit", "--", "python", "-c", "1"], QUIET, dial=cluster.dial)
    assert code == 0
    assert cluster.versions == ["2.55.1"]
    assert cluster.dialled == [("team-a", "ray-head", 8265)]
    assert (cluster.folder / "arguments").read_text() == "job submit -- python -c 1\n"
    given = variables((cluster.folder / "env").read_text())
    assert given["RAY_ADDRESS"] == given["RAY_API_SERVER_ADDRESS"] == "http://127.0.0.1:45678"
    assert (given["RAY_AUTH_MODE"], given["RAY_AUTH_TOKEN"]) == ("token", TOKEN)
    assert "RAY_AUTH_TOKEN" not in os.environ


@pytest.mark.parametrize(("script", "code"), [("exit 7", 7), ("kill -9 $$", 128 + 9)])
def test_the_exit_code_is_rays(cluster: SimpleNamespace, script: str, code: int) -> None:
    (cluster.folder / "ray").write_text(f"#!/bin/sh\n{script}\n")
    assert cli_ray.ray(HERE, ["job", "list"], QUIET, dial=cluster.dial) == code


def test_on_simulated_nodes_one_message_says_that_nothing_computes(cluster: SimpleNamespace) -> None:
    cluster.status = replace(RAY, simulated=True, alive=None)
    with pytest.raises(SandboxError, match="simulated nodes: no container runs") as error:
        cli_ray.ray(HERE, ["job", "list"], QUIET, dial=cluster.dial)
    assert "./rayfort doctor" in str(error.value)
    assert cluster.versions == []  # Ray is not installed for nothing


def test_a_sandbox_that_is_down_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*_: Any, **__: Any) -> None:
        raise ApiUnreachable("connection refused")

    monkeypatch.setattr(ray_status, "survey", down)
    with pytest.raises(SandboxError, match=r"does not answer .*rayfort up"):
        cli_ray.ray(HERE, ["job", "list"], QUIET)


def test_ctrl_c_is_left_to_ray(tmp_path: Path) -> None:
    """Ray stops following a log at Ctrl-C and says so; who started it must not die before it."""
    program = tmp_path / "ray.py"
    program.write_text(
        "import os, pathlib, signal, sys, time\n"
        "signal.signal(signal.SIGINT, lambda *_: sys.exit(5))\n"
        f"draft = pathlib.Path({str(tmp_path / 'draft')!r})\n"
        "draft.write_text(str(os.getpid()))\n"
        "draft.rename(draft.with_name('up'))\n"
        "time.sleep(30)\n"
    )

    def interrupt() -> None:
        while not (tmp_path / "up").exists():
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)  # the terminal tells both
        os.kill(int((tmp_path / "up").read_text()), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    threading.Thread(target=interrupt, daemon=True).start()
    assert cli_ray._run([sys.executable, str(program)], dict(os.environ)) == 5
    assert signal.getsignal(signal.SIGINT) is before


# --- the variables


def test_nothing_of_the_caller_leads_ray_elsewhere() -> None:
    base = {
        "HOME": "/home/someone",
        "PYTHONPATH": "/the/checkout",
        "RAY_ADDRESS": "http://elsewhere:8265",
        "RAY_API_SERVER_ADDRESS": "http://elsewhere:8265",
        "RAY_AUTH_TOKEN_PATH": "/home/someone/token",
        "HTTP_PROXY": "http://proxy:3128",
        "no_proxy": "internal.example.com",
    }
    given = ray_client.environment(1234, TOKEN, base)
    assert given["HOME"] == "/home/someone"
    assert "PYTHONPATH" not in given
    assert "RAY_AUTH_TOKEN_PATH" not in given
    assert given["RAY_ADDRESS"] == given["RAY_API_SERVER_ADDRESS"] == "http://127.0.0.1:1234"
    assert given["NO_PROXY"] == given["no_proxy"] == "internal.example.com,127.0.0.1"
    # requests lets a netrc's `default` entry replace the Authorization header.
    assert given["NETRC"] == os.devnull


def test_a_cluster_without_a_token_is_asked_without() -> None:
    given = ray_client.environment(1234, None, {"RAY_AUTH_TOKEN": "of another cluster"})
    assert not [name for name in given if name.startswith("RAY_AUTH_")]


# --- where ray comes from


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Installing writes a `ray`, or fails if the first entry says so."""
    said: list[str] = []

    def create(home: Path, **_: Any) -> None:
        python = home / "bin" / "python"
        python.parent.mkdir(parents=True)
        script = (
            f"#!/bin/sh\necho '{said[0]}'\nexit 1\n"
            if said
            else f'#!/bin/sh\necho "Collecting $7"\ntouch "{home}/bin/ray"\n'
        )
        python.write_text(script)
        python.chmod(0o755)

    monkeypatch.setattr("venv.create", create)
    monkeypatch.setattr("shutil.which", lambda _: None)
    return said


def test_ray_is_installed_once_and_outside_of_the_project(tmp_path: Path, pip: list[str]) -> None:
    out = io.StringIO()
    progress = Progress(stream=out)
    assert ray_client.installed("2.55.1", tmp_path) is None
    path = ray_client.ensure("2.55.1", progress, tmp_path)
    assert path.is_relative_to(tmp_path / "ray")
    assert ray_client.ensure("2.55.1", progress, tmp_path) == path
    assert out.getvalue().count("Install Ray 2.55.1 for the command line (once) ...") == 1
    other = ray_client.ensure("2.56.0", progress, tmp_path)
    assert other != path


def test_an_installation_that_was_cut_off_is_made_anew(tmp_path: Path, pip: list[str]) -> None:
    path = ray_client.ensure("2.55.1", QUIET, tmp_path)
    (path.parent.parent / ray_client.STAMP).unlink()
    (path.parent / "half").touch()
    assert ray_client.installed("2.55.1", tmp_path) is None
    assert ray_client.ensure("2.55.1", QUIET, tmp_path) == path
    assert not (path.parent / "half").exists()


@pytest.mark.parametrize(
    ("says", "remedy"),
    [
        ("ERROR: No matching distribution found for ray", "another Python"),
        ("connection refused: Max retries exceeded", "check the network"),
    ],
)
def test_what_pip_cannot_get_is_told_with_a_remedy(
    tmp_path: Path, pip: list[str], says: str, remedy: str
) -> None:
    pip.append(says)
    with pytest.raises(ToolchainError, match=remedy) as error:
        ray_client.ensure("2.55.1", QUIET, tmp_path)
    assert "2.55.1-py" in str(error.value)  # the log
    assert ray_client.installed("2.55.1", tmp_path) is None


@pytest.mark.parametrize(("says", "used"), [("ray, version 2.55.1", True), ("ray, version 2.54.0", False)])
def test_a_ray_on_path_is_used_in_the_right_version(
    tmp_path: Path, pip: list[str], monkeypatch: pytest.MonkeyPatch, says: str, used: bool
) -> None:
    own = tmp_path / "own-ray"
    own.write_text(f"#!/bin/sh\necho '{says}'\n")
    own.chmod(0o755)
    monkeypatch.setattr("shutil.which", lambda _: str(own))
    assert (ray_client.ensure("2.55.1", QUIET, tmp_path) == own) is used


# --- the command


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """What the command was called with, in a sandbox that exists."""
    seen: dict[str, Any] = {}

    def run(kubeconfig: Path, arguments: list[str], _: Progress, **chosen: str | None) -> int:
        seen.update(arguments=arguments, **chosen)
        return 9

    (tmp_path / "kubeconfig").touch()
    monkeypatch.setattr(
        command, "find_environment", lambda: SimpleNamespace(kubeconfig=tmp_path / "kubeconfig")
    )
    monkeypatch.setattr(cli_ray, "ray", run)
    return seen


@pytest.mark.parametrize(
    ("line", "arguments", "cluster"),
    [
        ("job submit -- python job.py", ["job", "submit", "--", "python", "job.py"], None),
        ("--cluster big job list --verbose", ["job", "list", "--verbose"], "big"),
        ("job list --cluster x", ["job", "list", "--cluster", "x"], None),
        ("job submit --help", ["job", "submit", "--help"], None),
        ("--cluster big -- --version", ["--version"], "big"),
    ],
)
def test_options_before_rays_arguments_are_ours_and_the_rest_is_rays(
    called: dict[str, Any], line: str, arguments: list[str], cluster: str | None
) -> None:
    done = CliRunner().invoke(command.app, ["ray", *line.split()])
    assert done.exit_code == 9, done.output
    assert called == {"arguments": arguments, "cluster": cluster, "namespace": None}


def test_our_help_explains_and_runs_nothing(called: dict[str, Any]) -> None:
    for arguments, code in (["--help"], 0), ([], 2):
        done = CliRunner().invoke(command.app, ["ray", *arguments])
        assert done.exit_code == code
        assert "--cluster" in done.output
        assert "job submit" in done.output
    assert called == {}


def test_names_are_completed_and_a_sandbox_that_is_down_completes_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    there = tmp_path / "kubeconfig"
    assert cli_ray.completions(there) == ([], [])
    there.touch()
    monkeypatch.setattr(ray_status, "names", lambda _: [("team-b", "ray"), ("team-a", "ray")])
    assert cli_ray.completions(there) == (["team-a", "team-b"], ["ray"])


# --- what `up` says

ACCESS = {
    "portForward": "kubectl -n team-a port-forward svc/ray-head-svc 8265",
    "readToken": "kubectl -n team-a get secret ray-auth-1 --template='{{.data.auth_token | base64decode}}'",
}


def said(report: Report) -> list[str]:
    environment: Any = SimpleNamespace(kubeconfig=Path("/state/kubeconfig"))
    return summary(report, environment).splitlines()


def report(*clusters: RayClusterStatus, **values: Any) -> Report:
    outputs = {"rayClusters": {"team-a": {"ray": ACCESS}}}
    return Report(Changes({"create": 3}), list(clusters), outputs, (), **values)


def test_real_nodes_are_told_with_what_ray_itself_counts() -> None:
    lines = said(report(replace(RAY, restarts=1), nodes=NodeKind.REAL))
    assert any(line.startswith("Nodes are real") for line in lines)
    assert (
        "RayCluster team-a/ray: ready, 2 of 2 Pods running, 2 with a sidecar, 2 alive in Ray's own view, "
        "1 restart"
    ) in lines
    assert "./rayfort kubectl -n team-a port-forward svc/ray-head-svc 8265" in lines
    assert f"./rayfort {ACCESS['readToken']}" in lines  # which needs neither kubectl nor a kubeconfig
    assert lines[-1].startswith("./rayfort ray job submit -- python -c 'import ray;")
    assert not any("simulated" in line for line in lines)


def test_a_job_names_its_cluster_where_there_are_more() -> None:
    lines = said(report(RAY, replace(OTHER, name="big"), nodes=NodeKind.REAL))
    assert lines[-1].startswith("./rayfort ray --namespace team-b --cluster big job submit -- ")
    assert sum("port-forward" in line for line in lines) == 1


@pytest.mark.parametrize("source", ImageSource)
def test_pulled_images_are_told(source: ImageSource) -> None:
    told = any("official ones" in line for line in said(report(RAY, nodes=NodeKind.REAL, images=source)))
    assert told is (source is ImageSource.REGISTRY)


def test_simulated_nodes_say_why_and_what_is_lost() -> None:
    simulated = replace(RAY, simulated=True, alive=None)
    lines = said(report(simulated, why_simulated="rights: only root can make a node; run it with sudo."))
    assert "RayCluster team-a/ray: ready, 2 of 2 Pods running, 2 with a sidecar" in lines
    assert any(line.endswith("only root can make a node; run it with sudo.") for line in lines)
    assert any("Ray computes nothing here" in line for line in lines)
    assert not any("ray job submit" in line for line in lines)
    chosen = said(report(simulated))
    assert not any("cannot carry" in line for line in chosen)


def test_status_says_what_a_late_cluster_waits_for() -> None:
    late = replace(RAY, alive=1, late=("Ray itself counts 1 of 2 nodes alive",))
    process = SimpleNamespace(name="etcd", state="running", pid=1, port=2, detail="")
    environment: Any = SimpleNamespace(processes=lambda: [process], clusters=lambda: [late])
    table = status_table(environment)
    assert not isinstance(table, str)
    assert list(table.columns[-1].cells)[-1].endswith("; Ray itself counts 1 of 2 nodes alive")
