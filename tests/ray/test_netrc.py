"""Private files in a `runtime_env`: with the workspace's netrc Secret, with a token, and without either."""

from __future__ import annotations

import json
import secrets
import subprocess
from collections.abc import Iterator

import pytest
from rayfort.ray.netrc import Login, render

from tests.e2e.jobs import RESULT, VIEWS, result
from tests.ray.deployed import GENERATED, LOGINS, OPERATORS, Deployed
from tests.ray.nodes import Loopback
from tests.ray.private_server import PrivateServer

# On every node, and in the driver: what the two private packages say.
MAIN = f"""
import json, ray, known, module
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On
ray.init(log_to_driver=False)

@ray.remote(num_cpus=0)
def told():
    import known, module
    return [known.VALUE, module.VALUE]

nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
values = ray.get([told.options(scheduling_strategy=On(node, soft=False)).remote() for node in nodes])
print("{RESULT}" + json.dumps([[known.VALUE, module.VALUE], *values]))
"""
DIRECTORY_HOST, MODULE_HOST = LOGINS  # the server by two names, with a login for each


@pytest.fixture(autouse=True)
def _logins(server: PrivateServer) -> Iterator[None]:
    server.logins = dict(LOGINS)
    server.seen.clear()
    yield


def environment(server: PrivateServer) -> dict[str, object]:
    """A `runtime_env` that nobody has asked for before: Ray remembers what it got from a URI."""
    once = secrets.token_hex(4)
    return {
        "working_dir": server.url(DIRECTORY_HOST, f"{once}/known"),
        "py_modules": [server.url(MODULE_HOST, f"{once}/module")],
    }


def run(ray: Loopback, token: str, wanted: dict[str, object]) -> subprocess.CompletedProcess[str]:
    options = ("--runtime-env-json", json.dumps(wanted))
    return ray.submit(MAIN, *options, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=token)


def test_who_has_a_credential_gets_the_files_on_every_node(
    ray: Loopback, token: str, cluster: str, deployed: Deployed, server: PrivateServer
) -> None:
    done = run(ray, token, environment(server))
    if cluster not in (GENERATED, OPERATORS):
        assert done.returncode != 0
        assert "401" in done.stdout, done.stdout
        assert {status for status, *_ in server.seen} == {401}
        return
    assert done.returncode == 0, done.stdout
    assert result(done.stdout) == [["private known", "private module"]] * 3  # the driver and two nodes
    got = [(name, path.rpartition("/")[2]) for status, name, path in server.seen if status == 200]
    each = [(DIRECTORY_HOST, "known.zip"), (MODULE_HOST, "module.zip")]
    assert sorted(got) == sorted(each * 2)  # head and worker, each for itself
    _not_to_be_read(ray, token, deployed, done.stdout)


def _not_to_be_read(ray: Loopback, token: str, deployed: Deployed, output: str) -> None:
    """No credential in what the job printed, in a log, a name, an argument, or an answer of the dashboard."""
    told = [output]
    for view in VIEWS:
        status, said = ray.ask(view, {"Authorization": f"Bearer {token}"})
        assert status == 200, f"{view}: {said}"
        told.append(said)
    assert any(DIRECTORY_HOST in said for said in told[1:]), "the views show no job's environment"
    assert ray.traces_of("/known.zip"), "the search finds nothing that is there"
    for secret in (*(password for _, password in LOGINS.values()), deployed.bearer):
        assert not [said for said in told if secret in said]
        assert ray.traces_of(secret) == []


@pytest.mark.parametrize("cluster", [GENERATED], indirect=True)
def test_a_rotated_login_is_used_from_the_next_download_on(
    ray: Loopback, token: str, server: PrivateServer
) -> None:
    """A running node reads the file anew for each download, and asks for nothing a second time.

    The file changes as the kubelet changes it: under its name another one is put.
    """
    known, fresh, later = environment(server), environment(server), environment(server)
    assert run(ray, token, known).returncode == 0
    new = {name: (login, secrets.token_urlsafe(24)) for name, (login, _) in LOGINS.items()}
    server.logins = dict(new)
    server.seen.clear()

    assert run(ray, token, known).returncode == 0, "what was downloaded before serves without any login"
    assert server.seen == []
    refused = run(ray, token, fresh)
    assert refused.returncode != 0
    assert "401" in refused.stdout

    before = ray.head.netrc.read_text()
    _replace(ray, render([Login(name, login, password) for name, (login, password) in new.items()]))
    try:
        done = run(ray, token, later)
        assert done.returncode == 0, done.stdout
    finally:
        _replace(ray, before)


def _replace(ray: Loopback, text: str) -> None:
    for node in ray.nodes:
        other = node.netrc.with_name("..new")
        other.write_text(text)
        other.chmod(node.netrc.stat().st_mode)
        other.rename(node.netrc)
