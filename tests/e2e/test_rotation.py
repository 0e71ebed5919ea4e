"""Rotation of a Ray cluster's token as an `up`, on Pods that run."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e import jobs, lab
from tests.e2e.sandbox import CLUSTER, NAMESPACE, Sandbox
from tests.e2e.test_token import hand_in

pytestmark = pytest.mark.real


@dataclass(frozen=True)
class Moment:
    """What stood in the API server at one moment.

    Attributes:
        wanted: the Secret that the RayCluster names, and with which the operator would ask Ray.
        there: the token Secrets that exist.
        running: the Secrets of Pods that run and are not on their way out.
    """

    wanted: str
    there: frozenset[str]
    running: frozenset[str]


def look(sandbox: Sandbox) -> Moment:
    """One moment: Pods and Secrets in one answer, so that they belong together."""
    done = sandbox.kubectl("-n", NAMESPACE, "get", "rayclusters,pods,secrets", "-o", "json")
    assert done.ok, done.output
    items: dict[str, list[dict[str, Any]]] = {"RayCluster": [], "Pod": [], "Secret": []}
    for each in json.loads(done.output)["items"]:
        items[each["kind"]].append(each)
    (wanted,) = [
        each["spec"]["authOptions"]["secretName"]
        for each in items["RayCluster"]
        if each["metadata"]["name"] == CLUSTER
    ]
    prefix = f"{CLUSTER}-auth-"
    names = {each["metadata"]["name"] for each in items["Secret"]}
    running = {
        _secret_of(pod)
        for pod in items["Pod"]
        if pod["metadata"].get("labels", {}).get("ray.io/cluster") == CLUSTER
        and "deletionTimestamp" not in pod["metadata"]
    }
    return Moment(wanted, frozenset(name for name in names if name.startswith(prefix)), frozenset(running))


def _secret_of(pod: dict[str, Any]) -> str:
    variables = {each["name"]: each for each in pod["spec"]["containers"][0]["env"]}
    return str(variables["RAY_AUTH_TOKEN"]["valueFrom"]["secretKeyRef"]["name"])


@contextmanager
def watching(sandbox: Sandbox, seen: list[Moment]) -> Iterator[None]:
    """Look again and again, and note what changed."""
    stop = threading.Event()

    def watch() -> None:
        while not stop.is_set():
            moment = look(sandbox)
            if not seen or seen[-1] != moment:
                seen.append(moment)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()


@pytest.fixture
def _as_it_was(sandbox: Sandbox) -> Iterator[None]:
    yield
    sandbox.up({})


def _submit(sandbox: Sandbox, token: str) -> int:
    job = f"test-{secrets.token_hex(4)}"
    status, _ = hand_in(sandbox, job, token, sandbox.head(), "ray-head", "127.0.0.1")
    return status


@pytest.mark.usefixtures("_as_it_was")
def test_a_rotated_token_replaces_the_old_one_without_a_gap(sandbox: Sandbox) -> None:
    old, old_secret = sandbox.token(), sandbox.token_secret()
    assert _submit(sandbox, old) == 200

    first, *others = lab.listed()
    rotated = {**first, "clusters": [{**first["clusters"][0], "auth": {"rotation": "2"}}]}
    seen: list[Moment] = []
    with watching(sandbox, seen):
        sandbox.up({"workspaces": [rotated, *others]})  # returns when Ray itself is ready

    new, new_secret = sandbox.token(), sandbox.token_secret()
    assert (new != old, new_secret != old_secret) == (True, True)
    assert (seen[0].wanted, seen[-1].wanted) == (old_secret, new_secret)
    assert seen[-1].there == seen[-1].running == {new_secret}
    for moment in seen:
        # The operator takes the token from the Secret that the spec names: it is there at every moment.
        assert moment.wanted in moment.there, seen
        # No Pod is made with a token that is not, or no longer, that of the spec.
        assert moment.running <= {old_secret, moment.wanted}, seen

    assert _submit(sandbox, old) == 403
    assert _submit(sandbox, new) == 200
    done = sandbox.rayfort(
        "ray", "--namespace", NAMESPACE, "--cluster", CLUSTER, *jobs.submit(jobs.MANY_TASKS, address=None)
    )
    assert done.ok, done.output
    jobs.assert_many_tasks(done.output)
    assert not {old, new} & set(done.output.split())
    assert not sandbox.ray_logs_with(new)
