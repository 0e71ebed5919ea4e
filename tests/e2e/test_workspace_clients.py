"""Clients of a workspace: let in by the name of their service account, to the doors that are for them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e import jobs, lab, visitors
from tests.e2e.sandbox import Sandbox

pytestmark = pytest.mark.real

NEIGHBOUR = "neighbour"
OPEN, SHUT = [8265, 10001], [6379, 52365]


@pytest.fixture(scope="module", autouse=True)
def _pods(sandbox: Sandbox) -> Iterator[None]:
    """The lab's client, and somebody else of its namespace, both in the mesh."""
    lab.ensure(sandbox)
    known, other = (
        sandbox.client(name, meshed=True, namespace=lab.CLIENTS, serviceAccountName=name)
        for name in (lab.CLIENT, NEIGHBOUR)
    )
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": lab.CLIENT, "namespace": lab.CLIENTS},
    }
    neighbour = {**account, "metadata": {"name": NEIGHBOUR, "namespace": lab.CLIENTS}}
    space = visitors.namespace(lab.CLIENTS, **{"istio-injection": "enabled"})
    with sandbox.running(space, account, neighbour, known, other):
        yield


def _ask(sandbox: Sandbox, pod: str) -> dict[int, str]:
    head, token = (
        sandbox.address("head", lab.L4, lab.NAMESPACE),
        sandbox.token(lab.L4, lab.NAMESPACE),
    )
    return visitors.ask(sandbox, pod, head, [*OPEN, *SHUT], token=token, namespace=lab.CLIENTS)


def test_a_client_reaches_what_is_for_clients(sandbox: Sandbox) -> None:
    answers = _ask(sandbox, lab.CLIENT)
    assert {port: answers[port] for port in OPEN} == dict.fromkeys(OPEN, "answered")
    assert {answers[port] for port in SHUT} <= {"closed", "silent"}, answers


def test_its_neighbour_reaches_nothing(sandbox: Sandbox) -> None:
    # Its packets pass to the open doors: there it is the sidecar that hangs up.
    answers = _ask(sandbox, NEIGHBOUR)
    assert {port: answers[port] for port in OPEN} == dict.fromkeys(OPEN, "closed")
    assert {answers[port] for port in SHUT} <= {"closed", "silent"}, answers


def test_a_client_hands_in_a_job(sandbox: Sandbox) -> None:
    """By the Service's name, as a user writes it."""
    token = sandbox.token(lab.L4, lab.NAMESPACE)
    address = f"http://{lab.L4}-head-svc.{lab.NAMESPACE}.svc.cluster.local:{jobs.DASHBOARD}"
    script = 'export RAY_AUTH_TOKEN="$(cat)" RAY_AUTH_MODE=token; exec ray "$@"'
    done = sandbox.execute(
        lab.CLIENT,
        *("sh", "-c", script, "sh", *jobs.submit(jobs.MANY_TASKS, address=address)),
        container="main",
        namespace=lab.CLIENTS,
        stdin=token,
    )
    assert done.ok, done.output
    jobs.assert_many_tasks(done.output)
    assert token not in done.output
