"""How somebody tries something at the door, and by whom and in which words it is to be refused."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tests.kbatch.deployed import ALICE, IMAGE, namespace
from tests.kbatch.door import Door
from tests.kbatch.hub import Token
from tests.kbatch.web import Answer, Api

HOME = namespace(ALICE)


class Refuser(StrEnum):
    """Who refuses; the value is in every refusal of it."""

    PROXY = ""  # kbatch-proxy has no words of its own that all its refusals share
    RBAC = "is forbidden: User "
    ADMISSION = "ValidatingAdmissionPolicy"
    POD_SECURITY = "violates PodSecurity"
    QUOTA = "exceeded quota"
    KUBERNETES = " "  # the API server's own checks


@dataclass(frozen=True)
class Scene:
    """Who is there.

    Attributes:
        door: the hub and the proxy.
        account: the API server, by the token of the proxy's account.
        administrator: the API server, by an administrator's.
        tokens: of users, by what is special about them.
        jobs: the name of a job of each user.
        pods: the name of that job's Pod.
    """

    door: Door
    account: Api
    administrator: Api
    tokens: Mapping[str, Token]
    jobs: Mapping[str, str]
    pods: Mapping[str, str]


@dataclass(frozen=True)
class Attack:
    """One attempt.

    Attributes:
        name: who tries what.
        refuser: who must refuse it.
        says: what is in the refusal.
        attempt: how it is done.
        status: of the refusal; None for any error.
    """

    name: str
    refuser: Refuser
    says: str
    attempt: Callable[[Scene], Answer]
    status: int | None = None

    def __str__(self) -> str:
        return self.name


def job(
    pod: Mapping[str, Any] | None = None,
    container: Mapping[str, Any] | None = None,
    spec: Mapping[str, Any] | None = None,
    meta: Mapping[str, Any] | None = None,
    template: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A job as kbatch's client makes it, with things laid over its parts."""
    first = {"name": "job", "image": IMAGE, "command": ["true"], **(container or {})}
    labelled: dict[str, Any] = {"labels": {}, "annotations": {}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"generateName": "try-", **copy.deepcopy(labelled), **(meta or {})},
        "spec": {
            "backoffLimit": 0,
            "template": {
                "metadata": {**copy.deepcopy(labelled), **(template or {})},
                "spec": {"restartPolicy": "Never", "containers": [first], **(pod or {})},
            },
            **(spec or {}),
        },
    }


def submission(name: str, says: str, refuser: Refuser = Refuser.ADMISSION, **parts: Any) -> Attack:
    """Alice submits a job with something in it."""
    return Attack(name, refuser, says, lambda scene: scene.door.submit(ALICE, job(**parts)))


def call(name: str, says: str, refuser: Refuser, user: str | None, method: str, path: str) -> Attack:
    """A user, or nobody, calls a path below the service."""
    return Attack(name, refuser, says, lambda scene: scene.door.call(user, method, path))


def account(name: str, method: str, path: str, says: str, body: Any = None) -> Attack:
    """Somebody who has the token of the proxy's account asks the API server himself."""
    patch = "application/merge-patch+json" if method == "PATCH" else "application/json"
    return Attack(
        f"with the proxy's own token: {name}",
        Refuser.RBAC,
        says,
        lambda scene: scene.account.call(method, path, body, patch),
        403,
    )


def pod(name: str, says: str, container: Mapping[str, Any] | None = None, **spec: Any) -> Attack:
    """A Pod in a user's namespace that did not come through a job, which no rule for jobs sees."""
    made = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "try"},
        "spec": {"containers": [{"name": "job", "image": IMAGE, **(container or {})}], **spec},
    }
    path = f"/api/v1/namespaces/{HOME}/pods?dryRun=All"
    return Attack(
        f"a Pod without a job: {name}",
        Refuser.POD_SECURITY,
        says,
        lambda scene: scene.administrator.call("POST", path, made),
        403,
    )


def volume(**source: Any) -> dict[str, Any]:
    return {"volumes": [{"name": "data", **source}]}


def another(**fields: Any) -> dict[str, Any]:
    """A further container."""
    return {"name": "other", "image": IMAGE, "command": ["true"], **fields}


def cron_job(**parts: Any) -> dict[str, Any]:
    """A CronJob around a job."""
    made = job(**parts)
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": made["metadata"],
        "spec": {
            "schedule": "0 0 1 1 *",
            "jobTemplate": {"metadata": {"labels": {}, "annotations": {}}, "spec": made["spec"]},
        },
    }
