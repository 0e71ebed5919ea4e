"""Namespaces for whoever the hub lets in, and CronJobs: the proxy's wide rights, and what fences them.

These run last: they change the platform.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e.sandbox import wait_for
from tests.kbatch.accounts import account_token, administrators_token
from tests.kbatch.attack import Refuser, cron_job, job
from tests.kbatch.deployed import ALICE, OUTSIDER, OWN, PROXY_NAMESPACE, TEMPLATE, Deployed, namespace
from tests.kbatch.door import Door, door
from tests.kbatch.programs import Programs
from tests.kbatch.web import Answer, Api

SETTINGS: dict[str, Any] = {"users": [], "dynamicUsers": True, "cronJobs": True}
HOME = namespace(OUTSIDER)
# Names that another version would have used as they are.
NAMED_LIKE_THE_SYSTEM = ("kube-system", "istio-system", "system", "proxy")


@pytest.fixture(scope="module")
def kbatch(
    deployed: Deployed, programs: Programs, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Door]:
    """The hub and the proxy, as the stack has them with these settings."""
    deployed.up(**SETTINGS)
    with door(deployed, programs, tmp_path_factory.mktemp("from the hub")) as made:
        yield made


@pytest.fixture(scope="module")
def account(kbatch: Door, deployed: Deployed) -> Api:
    """The API server, by the token of the proxy's account."""
    return Api(deployed.sandbox, account_token(deployed.sandbox, kbatch.workload.account))


@pytest.fixture(scope="module")
def home(kbatch: Door) -> str:
    """A user's namespace, made by a first job."""
    answer = kbatch.submit(OUTSIDER, job())
    assert answer.status == 200, answer
    return str(answer.json()["metadata"]["namespace"])


def test_the_first_job_makes_the_namespace_with_all_that_belongs_into_it(
    home: str, deployed: Deployed
) -> None:
    sandbox = deployed.sandbox
    assert home == HOME
    labels = sandbox.get("namespace", home)["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "baseline"
    assert labels["app.kubernetes.io/managed-by"] == "kbatch"
    for kind in ("resourcequotas", "limitranges", "networkpolicies"):
        assert sandbox.get(kind, namespace=home)["items"], kind
    for name in ("default", "kbatch-job"):
        assert sandbox.get("serviceaccount", name, namespace=home)["automountServiceAccountToken"] is False
    assert wait_for(lambda: sandbox.get("pods", namespace=home)["items"], 60, "the job's Pod")


@pytest.mark.parametrize("user", NAMED_LIKE_THE_SYSTEM)
def test_no_user_is_named_into_the_system(kbatch: Door, deployed: Deployed, user: str) -> None:
    answer = kbatch.submit(user, job())
    assert answer.status == 200, answer
    assert answer.json()["metadata"]["namespace"] == f"kbatch-{user}"
    for where in (PROXY_NAMESPACE, "kube-system", "istio-system"):
        assert deployed.sandbox.get("jobs", namespace=where)["items"] == [], where


def test_jobs_are_held_to_the_same_rules(kbatch: Door, home: str) -> None:
    for parts in ({"pod": {"hostNetwork": True}}, {"container": {"image": "docker.io/evil/x:1"}}):
        answer = kbatch.submit(OUTSIDER, job(**parts))
        assert answer.status == 403 and Refuser.ADMISSION in answer.message, answer


def _namespace(name: str, **labels: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def _secret(**more: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "try", **more}, "type": "Opaque"}


def _config_map() -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "try"}}


NAMESPACES = "/api/v1/namespaces"
RIGHT = {
    "app.kubernetes.io/managed-by": "kbatch",
    "rayfort.dev/kbatch": PROXY_NAMESPACE,
    "pod-security.kubernetes.io/enforce": "baseline",
}
TOKEN_SECRET = {
    **_secret(annotations={"kubernetes.io/service-account.name": "kbatch-job"}),
    "type": "kubernetes.io/service-account-token",
}
# Somebody who got into the proxy: method, path, body, who refuses, and in which words.
WRITES: dict[str, tuple[str, str, Any, Refuser, str]] = {
    "a namespace of another name": (
        "POST",
        NAMESPACES,
        _namespace("evil", **RIGHT),
        Refuser.ADMISSION,
        "begin with kbatch-",
    ),
    "a namespace without labels": (
        "POST",
        NAMESPACES,
        _namespace("kbatch-bare"),
        Refuser.ADMISSION,
        "these labels",
    ),
    "a namespace held to no level": (
        "POST",
        NAMESPACES,
        _namespace("kbatch-open", **{**RIGHT, "pod-security.kubernetes.io/enforce": "privileged"}),
        Refuser.ADMISSION,
        "these labels",
    ),
    "a namespace with a label more": (
        "POST",
        NAMESPACES,
        _namespace("kbatch-more", **RIGHT, **{"istio-injection": "enabled"}),
        Refuser.ADMISSION,
        "these labels",
    ),
    "other labels for a namespace": (
        "PATCH",
        f"{NAMESPACES}/{HOME}",
        {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}},
        Refuser.RBAC,
        "cannot patch resource",
    ),
    "a user's namespace away": (
        "DELETE",
        f"{NAMESPACES}/{HOME}",
        None,
        Refuser.RBAC,
        "cannot delete resource",
    ),
    **{
        f"{kind} in {where}": (
            "POST",
            f"{group}/namespaces/{where}/{kind}",
            body,
            Refuser.ADMISSION,
            "its users' namespaces alone",
        )
        for where in ("kube-system", "default", PROXY_NAMESPACE, OWN)
        for kind, group, body in (
            ("secrets", "/api/v1", _secret()),
            ("configmaps", "/api/v1", _config_map()),
            ("jobs", "/apis/batch/v1", job()),
            ("cronjobs", "/apis/batch/v1", cron_job()),
        )
    },
    "a Secret of a workspace, changed": (
        "PATCH",
        f"/api/v1/namespaces/{OWN}/secrets/netrc-secret",
        {"metadata": {"labels": {"mine": "yes"}}},
        Refuser.ADMISSION,
        "its users' namespaces alone",
    ),
    "a Secret of a workspace, away": (
        "DELETE",
        f"/api/v1/namespaces/{OWN}/secrets/netrc-secret",
        None,
        Refuser.ADMISSION,
        "its users' namespaces alone",
    ),
    "a Secret that is filled with an account's token": (
        "POST",
        f"/api/v1/namespaces/{HOME}/secrets",
        TOKEN_SECRET,
        Refuser.ADMISSION,
        "Opaque",
    ),
    "all Secrets": ("GET", "/api/v1/secrets", None, Refuser.RBAC, "cannot list resource"),
    "a Secret": (
        "GET",
        f"/api/v1/namespaces/{OWN}/secrets/netrc-secret",
        None,
        Refuser.RBAC,
        "cannot get resource",
    ),
    "a Pod": ("POST", f"/api/v1/namespaces/{HOME}/pods", {}, Refuser.RBAC, "cannot create resource"),
    "the rules away": (
        "DELETE",
        "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies",
        None,
        Refuser.RBAC,
        "cannot deletecollection resource",
    ),
}


@pytest.mark.parametrize("what", WRITES)
def test_the_account_is_fenced(what: str, account: Api, home: str) -> None:
    method, path, body, refuser, says = WRITES[what]
    content = "application/merge-patch+json" if method == "PATCH" else "application/json"
    answer = account.call(method, path, body, content)
    assert answer.status == 403 and refuser in answer.message and says in answer.message, answer


def test_a_namespace_that_only_looks_like_a_users_is_none(account: Api, deployed: Deployed) -> None:
    """One that somebody else made, without the label."""
    deployed.sandbox.apply(_namespace("kbatch-lookalike"))
    answer = account.call("POST", f"{NAMESPACES}/kbatch-lookalike/configmaps", _config_map())
    assert answer.status == 403 and "its users' namespaces alone" in answer.message, answer


def test_what_the_account_may_is_let_in(account: Api, home: str) -> None:
    """So that nothing above is refused for another reason; and others are not asked these things."""
    answers: list[Answer] = [
        account.call("POST", f"{NAMESPACES}/{home}/configmaps", _config_map()),
        account.call("POST", f"{NAMESPACES}/{home}/secrets", _secret()),
        Api(account.sandbox, administrators_token(account.sandbox)).call(
            "POST", f"{NAMESPACES}/default/configmaps?dryRun=All", _config_map()
        ),
    ]
    assert [answer.status for answer in answers] == [201, 201, 201], answers


@pytest.fixture(scope="module")
def cron(kbatch: Door) -> Callable[[Any], Answer]:
    """Submits a CronJob as a user."""
    return lambda body: kbatch.call(OUTSIDER, "POST", "cronjobs/", {"job": body})


def test_a_cronjob_is_templated_and_completed_as_a_job_is(
    kbatch: Door, deployed: Deployed, cron: Callable[[Any], Answer], home: str
) -> None:
    answer = cron(cron_job())
    assert answer.status == 200, answer
    name = answer.json()["metadata"]["name"]
    made = deployed.sandbox.get("cronjob", name, namespace=home)
    inner = made["spec"]["jobTemplate"]
    assert inner["metadata"]["annotations"][TEMPLATE] == "applied"
    assert inner["spec"]["ttlSecondsAfterFinished"] == 3600
    pod = inner["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "kbatch-job"
    assert not [each for each in pod["containers"][0]["env"] if "value" in each]
    assert kbatch.call(OUTSIDER, "GET", f"cronjobs/{name}").status == 200
    listed = kbatch.call(OUTSIDER, "GET", "cronjobs/").json()["items"]
    assert [each["metadata"]["name"] for each in listed] == [name]
    assert kbatch.call(ALICE, "DELETE", f"cronjobs/{name}").status in (403, 404)
    done = deployed.sandbox.kubectl("-n", home, "create", "job", "at-once", f"--from=cronjob/{name}")
    assert done.ok, done.output
    assert wait_for(
        lambda: deployed.sandbox.get("pods", "-l", "job-name=at-once", namespace=home)["items"], 60, "its Pod"
    )
    assert kbatch.call(OUTSIDER, "DELETE", f"cronjobs/{name}").status == 200


def test_a_job_where_cronjobs_go_is_refused(cron: Callable[[Any], Answer]) -> None:
    answer = cron({**cron_job(), "kind": "Job"})
    assert answer.status == 400 and "cannot be handled as a CronJob" in answer.message, answer


# The same things in a CronJob: what is written into a job's parts.
IN_A_CRONJOB = {
    "hostNetwork": ({"pod": {"hostNetwork": True}}, "hostNetwork"),
    "hostPath": ({"pod": {"volumes": [{"name": "a", "hostPath": {"path": "/"}}]}}, "a volume is none of"),
    "another account": ({"pod": {"serviceAccountName": "default"}}, "service account"),
    "nodeName": ({"pod": {"nodeName": "simulated-0"}}, "nodeName"),
    "an image from elsewhere": ({"container": {"image": "docker.io/evil/x:1"}}, "the image is none of"),
    "another Secret": (
        {"container": {"envFrom": [{"secretRef": {"name": "another"}}]}},
        "the Secrets of a job",
    ),
    "a system priority class": ({"pod": {"priorityClassName": "system-node-critical"}}, "priority class"),
}


@pytest.mark.parametrize("what", IN_A_CRONJOB)
def test_a_cronjob_is_held_to_the_same_rules(what: str, cron: Callable[[Any], Answer], home: str) -> None:
    parts, says = IN_A_CRONJOB[what]
    answer = cron(cron_job(**parts))
    assert answer.status == 403 and Refuser.ADMISSION in answer.message and says in answer.message, answer


def test_the_rules_for_cronjobs_are_those_for_jobs(deployed: Deployed) -> None:
    policies = deployed.sandbox.get("validatingadmissionpolicies")["items"]
    said = {
        each["metadata"]["name"].partition(".")[0]: [rule["message"] for rule in each["spec"]["validations"]]
        for each in policies
    }
    assert said["kbatch-cronjobs"] == said["kbatch-jobs"]
