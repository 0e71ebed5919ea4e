"""Who may use a Ray cluster: only who has its token, at every door, wherever the token comes from."""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from rayfort.ray.ports import NodeRole

from tests.ray import knocks, pods
from tests.ray.deployed import EXPLICIT, GENERATED, OPERATORS, UNTAGGED, Deployed
from tests.ray.nodes import Loopback, Node, until

KNOCK = Path(__file__).with_name("knock.py").read_text()
DOORS = ("job", "driver", "client")
WRONG = "wrong" * 8
SUBMISSION = json.dumps({"entrypoint": "true"})


def knock(ray: Loopback, *doors: str, **token: str) -> dict[str, str]:
    """What came back from each door, in a program outside of the cluster with these variables."""
    done = ray.python(KNOCK, ray.dashboard, ray.gcs, ray.client, *doors, **token)
    lines = [line for line in done.stdout.splitlines() if line.startswith("TOLD ")]
    assert len(lines) == 1, done.stdout
    return dict(json.loads(lines[0].removeprefix("TOLD ")))


def in_a_file(path: Path, token: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(token)
    path.chmod(0o600)
    return path


def test_the_token_comes_from_where_the_stack_says(
    ray: Loopback, token: str, cluster: str, deployed: Deployed
) -> None:
    """And both nodes have the same one, in the mode that asks for it."""
    spec = deployed.sandbox.get("raycluster", cluster)["spec"]
    secrets = deployed.secrets()
    if cluster == EXPLICIT:
        assert "authOptions" not in spec
        assert token == deployed.token
    elif cluster == OPERATORS:
        assert spec["authOptions"] == {"mode": "token"}
        assert secrets[cluster]["auth_token"].decode() == token
    else:
        assert secrets[spec["authOptions"]["secretName"]]["auth_token"].decode() == token
    for node in ray.nodes:
        assert node.container.environment["RAY_AUTH_TOKEN"] == token
        assert node.container.environment["RAY_AUTH_MODE"] == "token"


@pytest.mark.parametrize("header", ["Authorization", "X-Ray-Authorization"])
def test_the_dashboard_and_jobs_over_http(ray: Loopback, token: str, header: str) -> None:
    for path, body in (("/api/jobs/", SUBMISSION), ("/api/v0/nodes", None), ("/api/version", None)):
        status, said = ray.ask(path, {}, body)
        assert (status, "Missing authentication token" in said) == (401, True), said
        status, said = ray.ask(path, {header: f"Bearer {WRONG}"}, body)
        assert (status, "Invalid authentication token" in said) == (403, True), said
        status, said = ray.ask(path, {header: f"Bearer {token}"}, body)
        assert status == 200, said


def test_a_browser_may_load_the_dashboard_and_nothing_of_the_cluster(ray: Loopback) -> None:
    """Its page asks for the token; the page itself is the same everywhere."""
    assert ray.ask("/", {})[0] == 200
    assert ray.ask("/api/authentication_mode", {}) == (200, json.dumps({"authentication_mode": "token"}))
    for path in ("/nodes?view=summary", "/api/cluster_status", "/logical/actors", "/api/v0/logs"):
        assert ray.ask(path, {})[0] == 401, path


@pytest.mark.parametrize("door", knocks.CALLS)
def test_every_grpc_port(ray: Loopback, token: str, door: str) -> None:
    """GCS, Ray Client, and on head and worker alike the raylet, its objects and the agent."""
    nodes = [node for node in ray.nodes if door in node.ports]
    assert nodes
    for node in nodes:
        assert knocks.call(node, door, None) is grpc.StatusCode.UNAUTHENTICATED
        assert knocks.call(node, door, WRONG) is grpc.StatusCode.UNAUTHENTICATED
        # Ray Client knows no client of that name, which only who has the token is told.
        assert knocks.call(node, door, token) in {grpc.StatusCode.OK, grpc.StatusCode.NOT_FOUND}


@pytest.mark.parametrize("source", ["RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "~/.ray/auth_token"])
def test_with_the_token_everything_runs(
    ray: Loopback, token: str, cluster: str, source: str, tmp_path: Path
) -> None:
    """A job, a driver with `ray.init` and one with Ray Client, from outside."""
    variables = {
        "RAY_AUTH_TOKEN": {"RAY_AUTH_TOKEN": token},
        "RAY_AUTH_TOKEN_PATH": {"RAY_AUTH_TOKEN_PATH": str(in_a_file(tmp_path / "token", token))},
        "~/.ray/auth_token": {"HOME": str(in_a_file(tmp_path / ".ray" / "auth_token", token).parents[1])},
    }[source]
    doors = DOORS if cluster == GENERATED else ("driver",)
    told = knock(ray, *doors, RAY_AUTH_MODE="token", **variables)
    assert {door: said.splitlines()[-1] for door, said in told.items()} == dict.fromkeys(doors, "42"), told


def test_the_command_line_says_what_is_missing(ray: Loopback) -> None:
    done = ray.submit("print(6 * 7)")
    assert done.returncode != 0
    assert "Unauthorized: Missing authentication token" in done.stdout
    done = ray.submit("print(6 * 7)", RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=WRONG)
    assert done.returncode != 0
    assert "Forbidden: Invalid authentication token" in done.stdout


NOBODY: dict[str, dict[str, str | None]] = {
    "none": {"RAY_AUTH_TOKEN": None},
    "wrong": {"RAY_AUTH_TOKEN": WRONG},
    "without the mode": {"RAY_AUTH_TOKEN": None, "RAY_AUTH_MODE": None},
}


def test_without_the_token_nothing_runs_and_nobody_joins(
    ray: Loopback, token: str, cluster: str, deployed: Deployed
) -> None:
    """Drivers, and workers of the Pod whose worker has joined: all at once, since they try for half a minute.

    Where the token comes from makes no difference to them: elsewhere only a worker that gives up at once.
    """
    everybody = cluster == GENERATED
    worker = deployed.node(NodeRole.WORKER, cluster)
    nobody = NOBODY if everybody else {"none": NOBODY["none"]}
    workers = {which: ray.attempt(worker, **changed) for which, changed in nobody.items()}
    outside = {"none": {}, "wrong": {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": WRONG}} if everybody else {}
    with ThreadPoolExecutor() as pool:
        tries = [
            pool.submit(knock, ray, door, **variables)
            for variables in outside.values()
            for door in ("driver", "client")
        ]
    for each in tries:
        (said,) = each.result().values()
        assert said.startswith("ConnectionError"), said

    for which, node in workers.items():
        _await_end(node)
        says = "no authentication token was found" if which == "none" else "InvalidAuthToken"
        assert says in node.output, node.output
    _, said = ray.ask("/api/v0/nodes", {"Authorization": f"Bearer {token}"})
    assert said.count('"ALIVE"') == len(ray.nodes) == 2


def _await_end(node: Node) -> None:
    until(lambda: node.process.poll() is not None, 120, lambda: node.output)
    assert node.process.returncode != 0


def test_the_token_stands_nowhere(ray: Loopback, token: str) -> None:
    """Not in a log of Ray, in a name, or in an argument."""
    assert ray.traces_of("Running entrypoint for job"), "the search finds nothing that is there"
    assert ray.traces_of(token) == []


def test_an_image_is_looked_into_before_ray_starts(deployed: Deployed, program: Path) -> None:
    """The init container of a Pod whose image says nothing, run by a Python that has Ray."""
    (pod,) = deployed.sandbox.ray_pods("head", UNTAGGED)
    (check,) = [each for each in pod["spec"]["initContainers"] if each["name"] == "ray-version"]
    assert check["image"] == pod["spec"]["containers"][0]["image"]
    _, *arguments, version = pods.container(pod, check, deployed.secrets()).command
    python = str(program.with_name("python"))
    for stated, fine in ((version, True), ("2.46.0", False)):
        done = subprocess.run([python, *arguments, stated], capture_output=True, text=True, check=False)
        assert (done.returncode == 0) == fine, done.stderr
