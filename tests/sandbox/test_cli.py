"""The command line as a person uses it: interrupted, run again, asked, taken down."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests import documents

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(1800)]

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 300.0  # seconds; a step takes a few, on a busy machine several times that


@pytest.fixture(scope="module")
def environment(
    tmp_path_factory: pytest.TempPathFactory, tools: Mapping[str, Path]
) -> Iterator[dict[str, str]]:
    """Variables with which the commands have a sandbox of their own."""
    state = tmp_path_factory.mktemp("cli") / "sandbox"
    variables = {**os.environ, "RAYFORT_STATE": str(state)}
    yield variables
    rayfort(variables, "down", "--force")


def rayfort(environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(ROOT / "rayfort"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def session_members(leader: int) -> list[int]:
    """Processes of the session that `leader` began; daemons have sessions of their own."""
    members = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader and fields[0] != "Z":
            members.append(int(entry.name))
    return members


def wait_for(condition: object, what: str) -> None:
    assert callable(condition)
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"not in {PATIENCE:.0f} s: {what}"
        time.sleep(0.2)


def test_before_the_first_up_every_question_has_a_plain_answer(environment: dict[str, str]) -> None:
    asked = rayfort(environment, "kubeconfig")
    assert (asked.returncode, asked.stdout) == (1, "")
    assert "run `./rayfort up`" in asked.stderr
    assert "./rayfort up" in rayfort(environment, "status").stdout
    quiet = rayfort(environment, "down")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")


def test_ctrl_c_leaves_nothing_half_running(environment: dict[str, str], tmp_path: Path) -> None:
    """One Ctrl-C: Pulumi finishes what it is at and stops; no engine or plugin stays behind."""
    log = tmp_path / "up.log"
    with log.open("w") as output:
        up = subprocess.Popen(
            [str(ROOT / "rayfort"), "up", "--nodes", "simulated"],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    wait_for(lambda: "Provision the platform" in log.read_text() or up.poll() is not None, "Pulumi begins")
    kubeconfig = rayfort(environment, "kubeconfig").stdout.strip()
    assert kubeconfig
    wait_for(
        lambda: rayfort(environment, "kubectl", "get", "namespace", "istio-system").returncode == 0,
        "the first namespace",
    )
    os.killpg(up.pid, signal.SIGINT)
    assert up.wait(timeout=PATIENCE) == 130, log.read_text()
    assert "run the command again" in log.read_text()
    assert "Traceback" not in log.read_text()
    wait_for(lambda: not session_members(up.pid), "engine and plugins are gone")


def test_up_after_an_interruption_finishes(environment: dict[str, str]) -> None:
    done = rayfort(environment, "up", "--nodes", "simulated")
    assert done.returncode == 0, done.stderr
    assert "RayCluster team-a/ray: ready, 2 of 2 Pods running, 2 with a sidecar" in done.stdout
    assert "no container" in done.stdout or "containers do not run" in done.stdout


def test_status_tells_a_program_what_runs(environment: dict[str, str]) -> None:
    told = json.loads(rayfort(environment, "status", "--json").stdout)
    assert {process["state"] for process in told["processes"]} == {"running"}
    assert [cluster["ready"] for cluster in told["rayClusters"]] == [True]


def test_preview_tells_by_its_exit_code_whether_anything_changed(environment: dict[str, str]) -> None:
    clean = rayfort(environment, "preview", "--expect-no-changes")
    assert clean.returncode == 0, clean.stdout + clean.stderr
    deleted = rayfort(environment, "kubectl", "-n", "team-a", "delete", "service", "ray-headless-svc")
    assert deleted.returncode == 0, deleted.stderr
    drifted = rayfort(environment, "preview", "--expect-no-changes")
    assert drifted.returncode == 3, drifted.stdout + drifted.stderr
    assert "ray-headless" in drifted.stdout


def test_a_stopped_sandbox_goes_on_where_it_was(environment: dict[str, str]) -> None:
    assert rayfort(environment, "stop").returncode == 0
    told = json.loads(rayfort(environment, "status", "--json").stdout)
    assert {process["state"] for process in told["processes"]} == {"stopped"}
    done = rayfort(environment, "up", "--nodes", "simulated")
    assert done.returncode == 0, done.stderr
    assert "1 created" in done.stdout  # the Service that the test before deleted


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout, in which the documents' lines may write."""
    return documents.checkout(tmp_path_factory.mktemp("documents") / "check out")


@pytest.fixture(scope="module")
def reader(
    environment: dict[str, str],
    tools: Mapping[str, Path],
    checkout: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, str]:
    """Variables of somebody who follows the documents: logged in to a backend of their own, tools on PATH."""
    home = tmp_path_factory.mktemp("reader")
    paths = [str(tools[name].parent) for name in ("pulumi", "kubectl")]
    passphrase = home / "passphrase"
    passphrase.write_text("of-the-reader")
    variables = {
        **environment,
        "PATH": os.pathsep.join([*paths, os.environ["PATH"]]),
        "PULUMI_BACKEND_URL": f"file://{home}",
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(passphrase),
        "PULUMI_HOME": str(home / "pulumi"),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }
    # The stack of which the documents speak where they name none.
    init = [str(tools["pulumi"]), "stack", "init", "existing"]
    subprocess.run(init, cwd=checkout, env=variables, check=True, capture_output=True)
    return variables


SANDBOX_LINES = documents.of_category("sandbox")
LAST_LINES = documents.of_category("last")


@pytest.mark.parametrize("document", SANDBOX_LINES)
def test_the_documents_lines_run(document: str, reader: dict[str, str], checkout: Path) -> None:
    documents.run(SANDBOX_LINES[document], checkout, reader)


@pytest.mark.parametrize("document", LAST_LINES)
def test_the_documents_last_lines_run(document: str, reader: dict[str, str], checkout: Path) -> None:
    documents.run(LAST_LINES[document], checkout, reader)


def test_down_and_down_again(environment: dict[str, str]) -> None:
    done = rayfort(environment, "down")
    assert done.returncode == 0, done.stderr
    assert not Path(environment["RAYFORT_STATE"]).exists()
    again = rayfort(environment, "down")
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
