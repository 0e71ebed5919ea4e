"""The proxy's rights are exactly what it needs: without any one of them a step fails, and no other step."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest

from tests.e2e.sandbox import Sandbox, wait_for
from tests.kbatch.accounts import account_token
from tests.kbatch.deployed import ALICE, PROXY_NAMESPACE, Deployed, namespace
from tests.kbatch.door import Door, Steps
from tests.kbatch.web import Api

HOME = namespace(ALICE)


class Right(NamedTuple):
    """One verb of a Role."""

    group: str
    resource: str
    verb: str

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}"


SUBMISSIONS = {"submit", "submit --code", "refused", "refused --code"}
# What fails without it, of the steps in steps.py.
NEEDED = {
    Right("batch", "jobs", "create"): SUBMISSIONS,
    Right("batch", "jobs", "get"): {"job show"},
    Right("batch", "jobs", "list"): {"job list"},
    Right("batch", "jobs", "delete"): {"job delete"},
    Right("", "pods", "get"): {"pod show"},
    Right("", "pods", "list"): {"pod list", "job logs"},
    Right("", "pods/log", "get"): {"job logs", "pod logs", "pod logs --stream"},
    Right("", "secrets", "create"): SUBMISSIONS,
    Right("", "secrets", "patch"): {"submit", "submit --code"},
    Right("", "secrets", "delete"): {"refused", "refused --code"},
    Right("", "configmaps", "create"): {"submit --code", "refused --code"},
    Right("", "configmaps", "patch"): {"submit --code"},
    Right("", "configmaps", "delete"): {"refused --code"},
}


@pytest.fixture(scope="module")
def account(kbatch: Door) -> str:
    return kbatch.workload.account


@pytest.fixture(scope="module")
def role(deployed: Deployed, account: str) -> dict[str, Any]:
    """The one Role that the proxy's account has in a user's namespace."""
    bindings = [
        each
        for each in deployed.sandbox.get("rolebindings", namespace=HOME)["items"]
        for subject in each.get("subjects", ())
        if (subject["kind"], subject.get("namespace"), subject["name"])
        == ("ServiceAccount", PROXY_NAMESPACE, account)
    ]
    assert [each["roleRef"]["kind"] for each in bindings] == ["Role"]
    return dict(deployed.sandbox.get("role", bindings[0]["roleRef"]["name"], namespace=HOME))


def rights(rules: list[dict[str, Any]]) -> set[Right]:
    """Every verb by itself; rules for single objects keep their names."""
    return {
        Right(group, "/".join([resource, *each.get("resourceNames", ())]), verb)
        for each in rules
        for group in each.get("apiGroups", ())
        for resource in each.get("resources", ())
        for verb in each["verbs"]
    }


class Walker:
    """Goes through all steps as a user, again and again."""

    def __init__(self, steps: Steps, sandbox: Sandbox) -> None:
        self._steps = steps
        self._first = steps.call("submit", "first")
        (self._pod,) = wait_for(lambda: steps.call("pods_of", self._first), 60, "the Pod of a job")
        done = sandbox.kubectl(
            *("-n", HOME, "wait", f"pod/{self._pod}", "--timeout=60s"),
            "--for=jsonpath={.status.phase}=Succeeded",
        )
        assert done.ok, done.output
        self.submit()

    def submit(self) -> None:
        """The job that the next walk deletes."""
        self._second = self._steps.call("submit", "second")

    def walk(self) -> dict[str, str]:
        said = self._steps.call("walk", self._first, self._pod, self._second)
        return dict(said)


@pytest.fixture(scope="module")
def walker(kbatch: Door, deployed: Deployed, logged: None) -> Iterator[Walker]:
    with kbatch.steps(ALICE) as steps:
        yield Walker(steps, deployed.sandbox)
    done = deployed.sandbox.kubectl("-n", HOME, "delete", "jobs", "--all", "--wait=false")
    assert done.ok, done.output


@contextmanager
def without(right: Right, role: dict[str, Any], account: str, sandbox: Sandbox) -> Iterator[None]:
    """The Role less one verb, for the length of a block."""
    kept = [
        {"apiGroups": [each.group], "resources": [each.resource], "verbs": [each.verb]}
        for each in rights(role["rules"])
        if each != right
    ]
    try:
        _replace(sandbox, role, kept)
        _await(sandbox, account, right, allowed=False)
        yield
    finally:
        _replace(sandbox, role, role["rules"])
        _await(sandbox, account, right, allowed=True)


def _replace(sandbox: Sandbox, role: dict[str, Any], rules: list[dict[str, Any]]) -> None:
    patch = json.dumps([{"op": "replace", "path": "/rules", "value": rules}])
    name = role["metadata"]["name"]
    done = sandbox.kubectl("-n", HOME, "patch", "role", name, "--type=json", "--patch", patch)
    assert done.ok, done.output


def _await(sandbox: Sandbox, account: str, right: Right, *, allowed: bool) -> None:
    """Until the API server decides by the new Role."""
    resource, _, subresource = right.resource.partition("/")
    kind = f"{resource}.{right.group}" if right.group else resource
    options = [f"--subresource={subresource}"] if subresource else []
    user = f"--as=system:serviceaccount:{PROXY_NAMESPACE}:{account}"

    def decided() -> bool:
        done = sandbox.kubectl("-n", HOME, "auth", "can-i", right.verb, kind, user, *options)
        return (done.output.strip().splitlines()[-1] == "yes") == allowed

    wait_for(decided, 60, f"{right} is {'allowed' if allowed else 'refused'}")


def test_the_role_is_what_this_table_has(role: dict[str, Any]) -> None:
    assert rights(role["rules"]) == NEEDED.keys()


def test_with_all_rights_every_step_works(walker: Walker) -> None:
    said = walker.walk()
    assert set(said.values()) == {"ok"}, said
    walker.submit()


@pytest.mark.parametrize("right", NEEDED, ids=str)
def test_without_one_right_exactly_its_steps_fail(
    right: Right, walker: Walker, role: dict[str, Any], account: str, deployed: Deployed
) -> None:
    with without(right, role, account, deployed.sandbox):
        said = walker.walk()
    if said["job delete"] == "ok":
        walker.submit()
    failed = {step: words for step, words in said.items() if words != "ok"}
    assert failed.keys() == NEEDED[right], said
    for step, words in failed.items():
        # What is followed has begun as a success by then.
        assert step == "pod logs --stream" or words.startswith("403: "), f"{step}: {words}"
        assert f"cannot {right.verb} resource" in words, f"{step}: {words}"


def test_the_account_may_do_nothing_else(role: dict[str, Any], account: str, deployed: Deployed) -> None:
    """As the API server tells the account itself; an account that nobody binds is what everybody may."""
    own = Api(deployed.sandbox, account_token(deployed.sandbox, account))
    nobody = Api(deployed.sandbox, account_token(deployed.sandbox, "default", "default"))
    assert _told(own, HOME) - _told(nobody, HOME) == NEEDED.keys()
    for other in (PROXY_NAMESPACE, "default", "kube-system", "team-a", "istio-system"):
        assert _told(own, other) == _told(nobody, other), other


def _told(api: Api, where: str) -> set[Right]:
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": where},
    }
    answer = api.call("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", review)
    assert answer.status == 201, answer
    status = answer.json()["status"]
    assert not status["incomplete"], status
    paths = {
        Right("", path, verb)
        for each in status["nonResourceRules"]
        for path in each["nonResourceURLs"]
        for verb in each["verbs"]
    }
    return rights(status["resourceRules"]) | paths
