"""What a user writes into a job: what stands there instead, and what is let in as it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.sandbox import wait_for
from tests.kbatch.attack import HOME, job
from tests.kbatch.deployed import ALICE, BOB, IMAGE, TEMPLATE, Deployed, namespace
from tests.kbatch.door import Door


@pytest.fixture(scope="module", autouse=True)
def _clean(deployed: Deployed) -> Iterator[None]:
    yield
    done = deployed.sandbox.kubectl("-n", HOME, "delete", "jobs", "--all", "--wait=false")
    assert done.ok, done.output


# What a user may write and does not get: the part of the Job, and what stands there instead.
WRITTEN: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "another user's namespace": (
        {"meta": {"namespace": namespace(BOB)}, "template": {"namespace": namespace(BOB)}},
        {"metadata.namespace": HOME, "spec.template.metadata.namespace": HOME},
    ),
    "the namespace that 0.4 would use": ({"meta": {"namespace": ALICE}}, {"metadata.namespace": HOME}),
    "the system's namespace": ({"meta": {"namespace": "kube-system"}}, {"metadata.namespace": HOME}),
    "another user's name": (
        {
            "meta": {
                "labels": {"kbatch.jupyter.org/username": BOB},
                "annotations": {"kbatch.jupyter.org/username": BOB},
            },
            "template": {
                "labels": {"kbatch.jupyter.org/username": BOB},
                "annotations": {"kbatch.jupyter.org/username": BOB},
            },
        },
        {
            "metadata.labels.kbatch~jupyter~org/username": ALICE,
            "metadata.annotations.kbatch~jupyter~org/username": ALICE,
            "spec.template.metadata.labels.kbatch~jupyter~org/username": ALICE,
            "spec.template.metadata.annotations.kbatch~jupyter~org/username": ALICE,
        },
    ),
    "another time to live": (
        {"spec": {"ttlSecondsAfterFinished": 10**8}},
        {"spec.ttlSecondsAfterFinished": 3600},
    ),
    "no time to live": ({"spec": {"ttlSecondsAfterFinished": None}}, {"spec.ttlSecondsAfterFinished": 3600}),
    "what the template says": (
        {"meta": {"labels": {}, "annotations": {TEMPLATE: "mine"}}},
        {f"metadata.annotations.{TEMPLATE.replace('.', '~')}": "applied"},
    ),
    "no account": (
        {},
        {
            "spec.template.spec.serviceAccountName": "kbatch-job",
            "spec.template.spec.automountServiceAccountToken": False,
        },
    ),
}


@pytest.mark.parametrize("what", WRITTEN)
def test_overwritten(what: str, kbatch: Door, deployed: Deployed) -> None:
    parts, there = WRITTEN[what]
    answer = kbatch.submit(ALICE, job(**parts))
    assert answer.status == 200, answer
    name = answer.json()["metadata"]["name"]
    made = deployed.sandbox.get("job", name, namespace=HOME)
    assert {path: _at(made, path) for path in there} == there


def _at(value: Any, path: str) -> Any:
    for part in path.split("."):
        value = value.get(part.replace("~", ".")) if isinstance(value, dict) else None
    return value


def test_a_user_chooses_no_name_of_a_secret(kbatch: Door, deployed: Deployed) -> None:
    """A job that is called as the Secret with the Ray's token makes no Secret of that name, nor reads it."""
    answer = kbatch.submit(ALICE, job(meta={"name": "rayfort-job-env", "generateName": None}))
    assert answer.status == 200, answer
    sandbox = deployed.sandbox
    secrets = sandbox.get("secrets", namespace=HOME)["items"]
    (ours,) = [each for each in secrets if each["metadata"]["name"] == "rayfort-job-env"]
    assert not ours["metadata"].get("ownerReferences")
    assert set(ours["data"]) == {"RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"}


def test_what_may_be_is_let_in(kbatch: Door, deployed: Deployed) -> None:
    """So that nothing above is refused for another reason."""
    given = job(
        pod={
            "containers": [
                {
                    "name": "job",
                    "image": IMAGE,
                    "env": [{"name": "COLOUR", "value": "blue"}],
                    "ports": [{"containerPort": 80}],
                    "readinessProbe": {"httpGet": {"path": "/", "port": 80}},
                    "securityContext": {"runAsUser": 1000, "capabilities": {"drop": ["ALL"]}},
                    "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                },
                {"name": "other", "image": IMAGE},
            ],
            "initContainers": [{"name": "first", "image": IMAGE}],
            "volumes": [{"name": "data", "emptyDir": {}}],
            "priorityClassName": "",
            "automountServiceAccountToken": False,
            "hostNetwork": False,
            "terminationGracePeriodSeconds": 60,
            "affinity": {
                "podAntiAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": [
                        {"topologyKey": "zone", "labelSelector": {"matchLabels": {"mine": "apart"}}}
                    ]
                }
            },
        },
        spec={"activeDeadlineSeconds": 60, "parallelism": 2, "completions": 2, "backoffLimit": 6},
        meta={"labels": {"mine": "yes"}, "annotations": {"note": "x", "app.kubernetes.io/version": "1"}},
        template={"labels": {"mine": "yes", "app.kubernetes.io/name": "x"}, "annotations": {"note": "x"}},
    )
    answer = kbatch.submit(ALICE, given)
    assert answer.status == 200, answer
    selector = f"job-name={answer.json()['metadata']['name']}"
    assert wait_for(
        lambda: deployed.sandbox.get("pods", "-l", selector, namespace=HOME)["items"], 60, "its Pod"
    )
