"""What is tried at the door, and who refuses it; and that nothing of it is refused by accident."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.e2e.sandbox import Sandbox, wait_for
from tests.kbatch.accounts import account_token, administrators_token
from tests.kbatch.attack import HOME, Attack, Refuser, Scene, job
from tests.kbatch.attacks import ATTACKS, JOBS
from tests.kbatch.deployed import ALICE, BOB, OUTSIDER, PLAIN, Deployed, namespace
from tests.kbatch.door import Door
from tests.kbatch.hub import Token
from tests.kbatch.proxy import TOKEN
from tests.kbatch.web import Answer, Api

CACHED_SECONDS = 60  # for which the proxy believes what the hub said of a token; it cannot be set
COUNTED = "count/jobs.batch"
LASTING = ("finalizers", "very large parallelism")
BINDINGS = "validatingadmissionpolicybindings"


def orphans(sandbox: Sandbox) -> set[str]:
    """What was made for alice's jobs and belongs to none."""
    found = sandbox.get("secrets,configmaps", namespace=HOME)["items"]
    return {
        f"{each['kind']} {each['metadata']['name']}"
        for each in found
        if each["metadata"]["name"].startswith(("kbatch-env-", "kbatch-code-", "try-", "code-"))
        and not each["metadata"].get("ownerReferences")
    }


@pytest.fixture(scope="module")
def earlier(deployed: Deployed) -> set[str]:
    """What was left before the first of these attempts: tests of rights leave some."""
    return orphans(deployed.sandbox)


@pytest.fixture(scope="module")
def scene(kbatch: Door, deployed: Deployed, earlier: set[str]) -> Iterator[Scene]:
    """Alice and bob with a job each, and tokens of every kind; one was revoked after its use."""
    sandbox, hub = deployed.sandbox, kbatch.hub
    revoked = hub.token(ALICE)
    assert kbatch.call(revoked, "GET", "jobs/").status == 200
    hub.revoke(revoked)
    tokens = {
        "revoked": revoked,
        "narrow": hub.token(ALICE, scopes=[f"read:users!user={ALICE}"]),
        OUTSIDER: hub.token(OUTSIDER, scopes=["self"]),
        "service": Token("kbatch", kbatch.workload.container.environment[TOKEN], ""),
    }
    jobs, pods = {}, {}
    for user in (ALICE, BOB):
        answer = kbatch.submit(user, job())
        assert answer.status == 200, answer
        jobs[user] = answer.json()["metadata"]["name"]
        pods[user] = wait_for(
            lambda user=user: _pod(sandbox, user, jobs[user]), 60, f"the Pod of {user}'s job"
        )
    yield Scene(
        kbatch,
        Api(sandbox, account_token(sandbox, kbatch.workload.account)),
        Api(sandbox, administrators_token(sandbox)),
        tokens,
        jobs,
        pods,
    )
    for user in (ALICE, BOB, PLAIN):
        clean(sandbox, user)


def _pod(sandbox: Sandbox, user: str, name: str) -> str | None:
    found = sandbox.get("pods", "-l", f"job-name={name}", namespace=namespace(user))["items"]
    return str(found[0]["metadata"]["name"]) if found else None


def clean(sandbox: Sandbox, user: str) -> None:
    """Delete all jobs of a user."""
    done = sandbox.kubectl("-n", namespace(user), "delete", "jobs", "--all")
    assert done.ok, done.output


@pytest.fixture(scope="module")
def said() -> dict[str, Answer]:
    """What was said to each attempt so far."""
    return {}


def refused(attack: Attack, answer: Answer) -> bool:
    """Whether an attack was refused by whom it should, in the words that it should."""
    status = answer.status == attack.status if attack.status else 400 <= answer.status < 500
    return status and attack.refuser in answer.message and attack.says in answer.message


def test_the_table_has_every_refuser_and_no_row_twice() -> None:
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS)
    assert {attack.refuser for attack in ATTACKS} == set(Refuser) - {Refuser.QUOTA}  # a test of its own


@pytest.mark.parametrize("attack", [each for each in ATTACKS if each.name != "a revoked token"], ids=str)
def test_refused(attack: Attack, scene: Scene, said: dict[str, Answer]) -> None:
    answer = said[attack.name] = attack.attempt(scene)
    assert refused(attack, answer), f"{answer.status}: {answer.message[:1000]}"


def test_everything_is_still_there(scene: Scene) -> None:
    """After all attempts; and who may, may."""
    for user in (ALICE, BOB):
        assert scene.door.call(user, "GET", f"jobs/{scene.jobs[user]}").status == 200
    for user in (ALICE, BOB, PLAIN):
        assert scene.door.call(user, "GET", "jobs/").status == 200


def test_nothing_is_left_of_what_was_refused(scene: Scene, earlier: set[str]) -> None:
    """Neither a Secret with the user's token nor a ConfigMap with the code; what a job has goes with it."""
    assert orphans(scene.door.deployed.sandbox) <= earlier


def test_every_rule_for_jobs_has_an_attack(scene: Scene, said: dict[str, Answer]) -> None:
    """As the policies stand on the API server: each says its own words to one of the attempts."""
    rows = [attack for attack in ATTACKS if attack.refuser is Refuser.ADMISSION]
    told = [(said.get(attack.name) or attack.attempt(scene)).message for attack in rows]
    policies = scene.door.deployed.sandbox.get("validatingadmissionpolicies")["items"]
    (policy,) = [each for each in policies if each["metadata"]["name"].startswith("kbatch-jobs")]
    messages = {each["message"] for each in policy["spec"]["validations"]}
    unsaid = [message for message in messages if not any(message in each for each in told)]
    assert not unsaid
    assert policy["spec"]["failurePolicy"] == "Fail"


def test_the_api_server_understands_every_rule(deployed: Deployed) -> None:
    """It reads them against the fields that a Job has, and says where one cannot be right."""

    def judged() -> list[dict[str, Any]] | None:
        found = deployed.sandbox.get("validatingadmissionpolicies")["items"]
        done = [
            each
            for each in found
            if each["status"].get("observedGeneration") == each["metadata"]["generation"]
        ]
        return found if found == done else None

    for policy in wait_for(judged, 60, "the API server's word about the rules"):
        assert policy["status"].get("typeChecking", {}) == {}, policy["status"]


@contextmanager
def unbound(scene: Scene) -> Iterator[None]:
    """Without the rules for jobs, for the length of a block."""
    sandbox = scene.door.deployed.sandbox
    found = sandbox.get(BINDINGS)["items"]
    (binding,) = [each for each in found if each["metadata"]["name"].startswith("kbatch-jobs")]
    meta = binding["metadata"]
    kept = {key: meta[key] for key in ("name", "labels", "annotations") if key in meta}
    try:
        done = sandbox.kubectl("delete", BINDINGS, meta["name"])
        assert done.ok, done.output
        yield
    finally:
        sandbox.apply({**binding, "metadata": kept})
        wait_for(lambda: _host_network(scene).status == 403, 60, "the rules are in force again")


def _host_network(scene: Scene) -> Answer:
    return scene.door.submit(ALICE, job(pod={"hostNetwork": True}))


def test_it_is_the_rules_that_refuse_and_behind_them_pod_security(scene: Scene) -> None:
    """Without them the same jobs are taken; what their Pods may be, the namespace's level says."""
    # What has a finalizer would never go, and a million Pods not soon.
    rows = [each for each in JOBS if each.refuser is Refuser.ADMISSION and not each.name.startswith(LASTING)]
    with unbound(scene):
        answer = wait_for(lambda: _taken(_host_network(scene)), 60, "the rules are gone")
        name, sandbox = answer.json()["metadata"]["name"], scene.door.deployed.sandbox
        why = wait_for(lambda: _why_no_pod(sandbox, name), 60, "a word about the Pod")
        answers = {attack.name: attack.attempt(scene) for attack in rows}
    assert Refuser.POD_SECURITY in why and "host namespaces" in why
    taken = {name for name, answer in answers.items() if answer.status == 200}
    assert taken == answers.keys(), {
        name: answer.message for name, answer in answers.items() if name not in taken
    }
    clean(sandbox, ALICE)


def _taken(answer: Answer) -> Answer | None:
    return answer if answer.status == 200 else None


def _why_no_pod(sandbox: Sandbox, name: str) -> str | None:
    """What the job controller says of a job whose Pod is refused."""
    selector = f"--field-selector=involvedObject.name={name},reason=FailedCreate"
    found = sandbox.get("events", selector, namespace=HOME)["items"]
    return str(found[0]["message"]) if found else None


def test_a_user_cannot_have_more_than_the_quota(scene: Scene) -> None:
    """Jobs by number; and what their Pods ask for together."""
    sandbox, where, most = scene.door.deployed.sandbox, namespace(PLAIN), 3
    (quota,) = sandbox.get("resourcequotas", namespace=where)["items"]
    name, stated = quota["metadata"]["name"], quota["spec"]["hard"][COUNTED]
    clean(sandbox, PLAIN)
    try:
        _allow(sandbox, where, name, most, used=0)  # the stack's own number would take a minute
        answers = [scene.door.submit(PLAIN, job())]
        while answers[-1].status == 200 and len(answers) <= most:
            answers.append(scene.door.submit(PLAIN, job()))
    finally:
        clean(sandbox, PLAIN)
        _allow(sandbox, where, name, stated, used=0)
    assert len(answers) == most + 1
    assert answers[-1].status == 403 and Refuser.QUOTA in answers[-1].message, answers[-1]

    large = {"resources": {"requests": {"cpu": "1000"}}}
    answer = scene.door.submit(ALICE, job(container=large))
    assert answer.status == 200, answer
    name = answer.json()["metadata"]["name"]
    assert Refuser.QUOTA in wait_for(lambda: _why_no_pod(sandbox, name), 60, "a word about the Pod")


def _allow(sandbox: Sandbox, where: str, quota: str, jobs: int | str, used: int) -> None:
    """Set the number of jobs that a user may have, and wait until so many are counted."""
    patch = json.dumps({"spec": {"hard": {COUNTED: str(jobs)}}})
    done = sandbox.kubectl("-n", where, "patch", "resourcequota", quota, "--type=merge", "--patch", patch)
    assert done.ok, done.output

    def counted() -> bool:
        status = sandbox.get("resourcequota", quota, namespace=where)["status"]
        return (status["hard"][COUNTED], status["used"][COUNTED]) == (str(jobs), str(used))

    wait_for(counted, 60, "the quota counts anew")


def test_a_revoked_token_is_refused_as_soon_as_the_proxy_asks_the_hub_again(scene: Scene) -> None:
    (attack,) = [each for each in ATTACKS if each.name == "a revoked token"]
    wait_for(lambda: refused(attack, attack.attempt(scene)), CACHED_SECONDS + 30, "the token is refused")
