"""An upgrade of the mesh by canary: a second istiod, to which a workspace moves while Pods are made."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import yaml

from tests.e2e import lab, visitors
from tests.e2e.sandbox import Sandbox, stack_file

pytestmark = pytest.mark.real

NAMESPACE = "movers"
CLIENTS, CLIENT = "newcomers", "newcomer"  # of the new istiod, and let in by a workspace of the old one
REVISION = "canary"
INJECTED_BY = "istio.io/rev"  # in a namespace who is to inject, in a Pod who did


def _move(sandbox: Sandbox, revision: str | None) -> None:
    """Two istiods, and a workspace that belongs to one of them."""
    first, *others = lab.listed()
    mover = {"name": NAMESPACE, **({"revision": revision} if revision else {})}
    client = {"namespace": CLIENTS, "serviceAccount": CLIENT}
    stack = stack_file()["rayfort:mesh"]
    canary = {
        "version": stack["version"],  # no other one is built here
        "revision": REVISION,
        "istiodChart": {"chart": str(sandbox.state / "charts" / "istiod")},
        "tag": stack["tag"],
    }
    workspaces = [{**first, "clients": [client]}, *others, mover]
    sandbox.up({"mesh": {"canary": canary}, "workspaces": workspaces})


@contextmanager
def _pods_all_the_time(sandbox: Sandbox, made: list[str | None]) -> Iterator[None]:
    """Ask for a Pod again and again, and note who would have injected it; None for nobody."""
    pod = yaml.safe_dump(sandbox.client("trial", meshed=True, namespace=NAMESPACE))
    stop = threading.Event()
    problems: list[str] = []

    def ask() -> None:
        while not stop.is_set():
            done = sandbox.kubectl("create", "--dry-run=server", "-o", "json", "-f", "-", stdin=pod)
            if done.ok:
                made.append(_injected_by(json.loads(done.output)))
            else:
                problems.append(done.output)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield
    finally:
        stop.set()
        asking.join()
    assert not problems, problems


def _injected_by(pod: dict[str, Any]) -> str | None:
    containers = pod["spec"]["containers"] + pod["spec"].get("initContainers", [])
    if not any(container["name"] == "istio-proxy" for container in containers):
        return None
    return str(pod["metadata"]["annotations"][INJECTED_BY])


@pytest.fixture
def _alone_again(sandbox: Sandbox) -> Iterator[None]:
    """Others need the room that the second istiod takes on the node."""
    yield
    sandbox.up({})


@pytest.mark.usefixtures("_alone_again")
def test_a_workspace_moves_to_another_istiod_without_a_gap(sandbox: Sandbox) -> None:
    _move(sandbox, None)
    made: list[str | None] = []
    with _pods_all_the_time(sandbox, made):
        _move(sandbox, REVISION)
    assert (made[0], made[-1]) == ("default", REVISION), made
    assert set(made) == {"default", REVISION}

    # What the new istiod configures and what the old one does are one mesh.
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": CLIENT, "namespace": CLIENTS},
    }
    pod = sandbox.client(CLIENT, meshed=True, namespace=CLIENTS, serviceAccountName=CLIENT)
    with sandbox.running(visitors.namespace(CLIENTS, **{INJECTED_BY: REVISION}), account, pod):
        head, token = sandbox.address("head"), sandbox.token()
        answers = visitors.ask(sandbox, CLIENT, head, [8265], token=token, namespace=CLIENTS)
        assert answers == {8265: "answered"}
        environment = sandbox.execute(CLIENT, "env", container="istio-proxy", namespace=CLIENTS).output
        assert f"CA_ADDR=istiod-{REVISION}.istio-system.svc:15012" in environment, environment
