"""A job's way to the Ray of its user's workspace: by reference, and to no other Ray."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from rayfort import versions

from sandbox import ray_client
from sandbox.progress import Progress
from tests.kbatch import search
from tests.kbatch.attack import job
from tests.kbatch.container import Container, Resolver
from tests.kbatch.deployed import ALICE, BOB, CLUSTER, FOREIGN, JOB_SECRET, OWN, PLAIN, Deployed, namespace
from tests.kbatch.door import Door
from tests.kbatch.proxy import TOKEN
from tests.ray import pods
from tests.ray.nodes import Loopback, loopback

WORKSPACES = {ALICE: OWN, BOB: FOREIGN}
SECRET = "rayfort-job-env"
RAY = ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN")


@pytest.fixture(scope="module")
def jobs(kbatch: Door, deployed: Deployed) -> Iterator[dict[str, dict[str, Any]]]:
    """A job of each user, with a variable of the user's own, as it stands on the API server."""
    made = {}
    for user in (ALICE, BOB, PLAIN):
        answer = kbatch.submit(user, job(container={"env": [{"name": "COLOUR", "value": "blue"}]}))
        assert answer.status == 200, answer
        name = answer.json()["metadata"]["name"]
        made[user] = dict(deployed.sandbox.get("job", name, namespace=namespace(user)))
    yield made
    for user, found in made.items():
        deployed.sandbox.kubectl("-n", namespace(user), "delete", "job", found["metadata"]["name"])


def container(deployed: Deployed, jobs: Mapping[str, Any], user: str) -> Container:
    """What a kubelet would start for a user's job."""
    return Resolver(deployed.sandbox, namespace(user)).container(jobs[user]["spec"]["template"])


@pytest.mark.parametrize("user", [ALICE, BOB, PLAIN])
def test_every_variable_of_a_job_is_a_reference(jobs: dict[str, Any], user: str) -> None:
    """And Ray's are to the one Secret that the platform keeps in the user's namespace."""
    (first,) = jobs[user]["spec"]["template"]["spec"]["containers"]
    references = {each["name"]: each["valueFrom"]["secretKeyRef"] for each in first["env"]}
    assert not [each["name"] for each in first["env"] if "value" in each]
    assert {references[name]["name"] for name in RAY} == {SECRET}
    assert {references[name]["key"] for name in RAY} == set(RAY)
    assert {"COLOUR", "JUPYTERHUB_API_TOKEN", "DASK_GATEWAY__AUTH__TYPE"} <= references.keys()


@pytest.mark.parametrize("user", WORKSPACES)
def test_they_lead_to_the_users_own_workspace(deployed: Deployed, jobs: dict[str, Any], user: str) -> None:
    where = WORKSPACES[user]
    found = container(deployed, jobs, user).environment
    assert found["RAY_ADDRESS"] == f"http://{CLUSTER}-head-svc.{where}.svc.cluster.local:8265"
    assert found["RAY_AUTH_MODE"] == "token"
    assert found["RAY_AUTH_TOKEN"] == deployed.sandbox.token(CLUSTER, where)
    assert found["COLOUR"] == "blue"


def test_each_workspace_has_a_token_of_its_own(deployed: Deployed) -> None:
    assert deployed.sandbox.token(CLUSTER, OWN) != deployed.sandbox.token(CLUSTER, FOREIGN)


def test_a_user_without_a_workspace_has_no_ray(deployed: Deployed, jobs: dict[str, Any]) -> None:
    """The references are there and lead nowhere; the job starts all the same."""
    found = container(deployed, jobs, PLAIN).environment
    assert not found.keys() & set(RAY)
    assert found["COLOUR"] == "blue"


def test_no_token_stands_anywhere_in_clear_text(
    kbatch: Door, deployed: Deployed, jobs: dict[str, Any]
) -> None:
    """Of Ray, of users, of the hub: in no object, no log, no state; encoded only where each belongs."""
    sandbox = deployed.sandbox
    objects = search.every_object(sandbox)
    assert search.in_clear(objects, SECRET), "the search finds nothing that is there"
    places = [kbatch.log, kbatch.hub.log, sandbox.state / "logs", sandbox.state / "engine" / "backend"]
    assert len(search.in_files(places, namespace(ALICE))) >= 3, "the search finds nothing that is there"

    homes = {user: f"Secret {namespace(user)}" for user in (ALICE, BOB, PLAIN)}
    expected = {
        sandbox.token(CLUSTER, where): {f"{homes[user]}/{SECRET}", _of_ray(deployed, where)}
        for user, where in WORKSPACES.items()
    }
    for secret, there in expected.items():
        assert search.in_clear(objects, secret) == []
        assert search.in_files(places, secret) == []
        assert search.encoded(objects, secret) == there

    for user in (ALICE, BOB, PLAIN):
        token = kbatch.token(user).value
        assert search.in_clear(objects, token) == []
        assert search.in_files(places, token) == []
        there = search.encoded(objects, token)
        assert there and all(each.startswith(f"{homes[user]}/kbatch-env-") for each in there), there

    service = kbatch.workload.container.environment[TOKEN]
    for secret in (service, JOB_SECRET, kbatch.hub.administrator):
        assert search.in_clear(objects, secret) == []
        # These tests give the stack its settings in clear text, which is what its history then has.
        written = [each for each in search.in_files(places, secret) if not each.endswith(".history.json")]
        assert written == []
    (own,) = search.encoded(objects, service)
    assert own.startswith("Secret batch-system/kbatch-proxy")


def _of_ray(deployed: Deployed, where: str) -> str:
    return f"Secret {where}/{deployed.sandbox.token_secret(CLUSTER, where)}"


@pytest.fixture(scope="module")
def ray(deployed: Deployed) -> Iterator[Loopback]:
    """A real Ray of the Pod that the operator made for the head of alice's workspace."""
    program: Path = ray_client.ensure(versions.RAY, Progress())
    (head,) = deployed.sandbox.ray_pods("head", CLUSTER, OWN)
    secrets = pods.secrets_of(deployed.sandbox.get("secrets", namespace=OWN)["items"])
    with loopback(program) as made:
        made.start(pods.ray_container(head, secrets))
        made.await_ready()
        yield made


def submit(ray: Loopback, found: Container) -> tuple[int, str]:
    """`ray job submit` in a job's container; only the address is the loopback's."""
    variables = {name: value for name, value in found.environment.items() if name in RAY}
    command = [str(ray.ray), "job", "submit", "--", "python", "-c", "print(6 * 7)"]
    done = ray.run(command, {**variables, "RAY_ADDRESS": ray.dashboard})
    return done.returncode, done.stdout


def test_a_job_submits_to_its_own_ray(ray: Loopback, deployed: Deployed, jobs: dict[str, Any]) -> None:
    code, said = submit(ray, container(deployed, jobs, ALICE))
    assert code == 0, said
    assert "42" in said.splitlines(), said


@pytest.mark.parametrize(("user", "says"), [(BOB, "Forbidden"), (PLAIN, "Unauthorized")])
def test_a_job_is_refused_by_another_ray(
    ray: Loopback, deployed: Deployed, jobs: dict[str, Any], user: str, says: str
) -> None:
    found = container(deployed, jobs, user)
    code, said = submit(ray, found)
    assert code != 0 and says in said, said
    token = found.environment.get("RAY_AUTH_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    assert ray.ask("/api/jobs/", headers)[0] == (403 if token else 401)
