"""Who may use a Ray cluster: who is in the mesh, is let in by name, and holds the token."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e import jobs, visitors
from tests.e2e.sandbox import NAMESPACE, Done, Sandbox

pytestmark = pytest.mark.real

MEMBER, STRANGER, OUTSIDER, ELSEWHERE = "test-member", "test-stranger", "test-outsider", "test-elsewhere"
PORTS = [8265, 6379, 10001, 52365]

# A submission as any program makes it. Prints the status and what was said.
SUBMIT = """
import json, urllib.error, urllib.request
headers = {"Content-Type": "application/json"}
token = %(token)r
if token:
    headers["Authorization"] = "Bearer " + token
body = json.dumps({"entrypoint": "true", "submission_id": %(job)r}).encode()
request = urllib.request.Request("http://%(address)s:8265/api/jobs/", body, headers)
try:
    with urllib.request.urlopen(request, timeout=60) as answer:
        print(json.dumps([answer.status, answer.read().decode()]))
except urllib.error.HTTPError as error:
    print(json.dumps([error.code, error.read().decode()]))
"""


@pytest.fixture(scope="module")
def guests(sandbox: Sandbox) -> Iterator[None]:
    """Pods beside the Ray cluster: with a worker's identity in the mesh, without a sidecar, and elsewhere."""
    address = {"name": "RAY_API_SERVER_ADDRESS", "value": f"http://{sandbox.address('head')}:8265"}
    member = sandbox.client(MEMBER, meshed=True, labels=visitors.GUEST, serviceAccountName="ray-worker")
    member["spec"]["containers"][0]["env"] = [address, *_token(sandbox)]
    with sandbox.running(
        visitors.open_network(),
        visitors.namespace(ELSEWHERE),
        member,
        sandbox.client(STRANGER, meshed=False, labels=visitors.GUEST),
        sandbox.client(OUTSIDER, meshed=False, labels=visitors.GUEST, namespace=ELSEWHERE),
    ):
        yield


def _token(sandbox: Sandbox) -> list[dict[str, Any]]:
    """What `ray` reads in a Pod that has the token."""
    reference = {"name": sandbox.token_secret(), "key": "auth_token"}
    return [
        {"name": "RAY_AUTH_MODE", "value": "token"},
        {"name": "RAY_AUTH_TOKEN", "valueFrom": {"secretKeyRef": reference}},
    ]


def hand_in(
    sandbox: Sandbox, job: str, token: str | None, pod: str, container: str, address: str
) -> tuple[int, str]:
    """Hand in a job from a container of a Pod: the status, and what was said."""
    program = SUBMIT % {"token": token, "job": job, "address": address}
    done = sandbox.execute(pod, "python3", "-", container=container, stdin=program)
    assert done.ok, done.output
    status, said = json.loads(done.output)
    return status, said


def _jobs(sandbox: Sandbox) -> str:
    done = sandbox.execute(
        sandbox.head(), "ray", "job", "list", "--address", "http://127.0.0.1:8265", container="ray-head"
    )
    assert done.ok, done.output
    return done.output


def _no_token(sandbox: Sandbox, done: Done) -> None:
    """Neither in what a job printed nor in a log of a node, which is where Ray keeps it."""
    token = sandbox.token()
    assert token not in done.output
    assert sandbox.ray_logs_with("Running entrypoint for job"), "the search finds nothing that is there"
    assert not sandbox.ray_logs_with(token)


@pytest.mark.usefixtures("guests")
@pytest.mark.parametrize("where", ["the head", "another Pod of the mesh"])
def test_a_submission_needs_the_token(sandbox: Sandbox, where: str) -> None:
    inside = where == "the head"
    place = (sandbox.head(), "ray-head", "127.0.0.1") if inside else (MEMBER, "main", sandbox.address("head"))
    job = f"test-{secrets.token_hex(4)}"  # Ray takes a name once

    status, said = hand_in(sandbox, job, None, *place)
    assert (status, "Missing authentication token" in said) == (401, True), said
    status, said = hand_in(sandbox, job, "wrong", *place)
    assert (status, "Invalid authentication token" in said) == (403, True), said
    assert job not in _jobs(sandbox)

    status, said = hand_in(sandbox, job, sandbox.token(), *place)
    assert status == 200, said
    assert job in _jobs(sandbox)


def test_many_tasks_from_outside(sandbox: Sandbox) -> None:
    done = sandbox.rayfort("ray", "--namespace", NAMESPACE, "--cluster", "ray", *_from_anywhere())
    assert done.ok, done.output
    jobs.assert_many_tasks(done.output)
    _no_token(sandbox, done)


@pytest.mark.usefixtures("guests")
def test_many_tasks_from_another_pod_of_the_mesh(sandbox: Sandbox) -> None:
    bare = ("env", "--unset=RAY_AUTH_MODE", "--unset=RAY_AUTH_TOKEN")
    refused = sandbox.execute(MEMBER, *bare, "ray", *_from_anywhere(), container="main")
    assert not refused.ok
    assert "authentication" in refused.output.lower(), refused.output

    done = sandbox.execute(MEMBER, "ray", *_from_anywhere(), container="main")
    assert done.ok, done.output
    jobs.assert_many_tasks(done.output)
    _no_token(sandbox, done)


def _from_anywhere() -> tuple[str, ...]:
    """With the address that the environment names."""
    return jobs.submit(jobs.MANY_TASKS, address=None)


@pytest.mark.usefixtures("guests")
def test_outside_the_mesh_the_token_opens_nothing(sandbox: Sandbox) -> None:
    head, token = sandbox.address("head"), sandbox.token()
    # The same requests are answered where the mesh lets them in.
    assert ask_all(sandbox, MEMBER, head, token) == dict.fromkeys(PORTS, "answered")
    # Packets pass, so that it is the sidecar that hangs up.
    assert ask_all(sandbox, STRANGER, head, token) == dict.fromkeys(PORTS, "closed")
    answers = visitors.ask(sandbox, OUTSIDER, head, PORTS, token=token, namespace=ELSEWHERE)
    assert set(answers.values()) <= {"closed", "silent"}, answers


def ask_all(sandbox: Sandbox, pod: str, address: str, token: str) -> dict[int, str]:
    return visitors.ask(sandbox, pod, address, PORTS, token=token)
