"""Who comes in, to whose things, and with how much."""

from __future__ import annotations

import base64
import json
from typing import Any

from rayfort.proxy.kbatch_config import PREFIX

from tests.kbatch.attack import (
    Attack,
    Refuser,
    call,
    cron_job,
    job,
)
from tests.kbatch.deployed import ALICE, BOB, OUTSIDER, namespace
from tests.kbatch.hub import Token
from tests.kbatch.web import request

A_JOB = job()
BODY = 2 * 1024 * 1024  # the largest request that the proxy takes, in bytes


def _large() -> bytes:
    """What is larger than the proxy takes, and no more than it reads to its end."""
    return json.dumps({"job": job(meta={"annotations": {"a": "x" * BODY}})}).encode()


# Who may come in at all.
DOOR = (
    call("no token", "Incorrect token", Refuser.PROXY, None, "GET", "jobs/"),
    Attack(
        "no token, past the hub's proxy",
        Refuser.PROXY,
        "Incorrect token",
        lambda scene: request(scene.door.port, "POST", f"{PREFIX}/jobs/", {}, {"job": A_JOB}),
        401,
    ),
    Attack(
        "a token that nobody was given",
        Refuser.PROXY,
        "Incorrect token",
        lambda scene: scene.door.call(Token(ALICE, "0" * 32, ""), "GET", "jobs/"),
        401,
    ),
    Attack(
        "the hub's own token of the service",
        Refuser.PROXY,
        "Needs scope",
        lambda scene: scene.door.call(scene.tokens["service"], "GET", "jobs/"),
        403,
    ),
    Attack(
        "a token of a user without the scope",
        Refuser.PROXY,
        "Needs scope",
        lambda scene: scene.door.call(scene.tokens["narrow"], "POST", "jobs/", {"job": A_JOB}),
        403,
    ),
    Attack(
        "a user of the hub who is not in the settings",
        Refuser.PROXY,
        "Needs scope",
        lambda scene: scene.door.call(scene.tokens[OUTSIDER], "POST", "jobs/", {"job": A_JOB}),
        403,
    ),
    Attack(
        "a revoked token",
        Refuser.PROXY,
        "Incorrect token",
        lambda scene: scene.door.call(scene.tokens["revoked"], "GET", "jobs/"),
        401,
    ),
    Attack(
        "another user's name in a header",
        Refuser.PROXY,
        "Incorrect token",
        lambda scene: request(
            scene.door.hub.port, "GET", f"{PREFIX}/jobs/", {"X-Forwarded-User": ALICE, "Remote-User": ALICE}
        ),
        401,
    ),
    *(
        Attack(
            f"user {user}, whom the hub lets in and the settings do not name: {what}",
            Refuser.RBAC,
            f'in the namespace "{namespace(user)}"',
            lambda scene, user=user, method=method, body=body: scene.door.call(user, method, "jobs/", body),
            403,
        )
        for user in ("mallory", "kube-system", "alice.", "batch-system")
        for what, method, body in (("list", "GET", None), ("submit", "POST", {"job": A_JOB}))
    ),
    call("the documentation of the API", "Not Found", Refuser.PROXY, ALICE, "GET", "openapi.json"),
)

# Other users' things.
OTHERS = (
    *(
        Attack(
            f"bob {what}",
            Refuser.KUBERNETES,
            "not found",
            lambda scene, method=method, path=path: scene.door.call(
                BOB, method, path.format(job=scene.jobs[ALICE], pod=scene.pods[ALICE])
            ),
            404,
        )
        for what, method, path in (
            ("shows alice's job", "GET", "jobs/{job}"),
            ("deletes alice's job", "DELETE", "jobs/{job}"),
            ("shows alice's Pod", "GET", "pods/{pod}"),
            ("reads the logs of alice's Pod", "GET", "pods/logs/{pod}/"),
        )
    ),
    Attack(
        "bob reads the logs of alice's job",
        Refuser.PROXY,
        "No pods found",
        lambda scene: scene.door.call(BOB, "GET", f"jobs/logs/{scene.jobs[ALICE]}/"),
        404,
    ),
    *(
        Attack(
            f"past the hub's proxy: {method} {path}",
            refuser,
            says,
            lambda scene, method=method, path=path: request(
                scene.door.port, method, f"{PREFIX}/{path}", scene.door.token(ALICE).headers()
            ),
        )
        for method, path, refuser, says in (
            ("GET", "jobs/%2e%2e", Refuser.RBAC, 'cannot get resource "namespaces"'),
            ("DELETE", "jobs/%2e%2e", Refuser.RBAC, 'cannot delete resource "namespaces"'),
            ("DELETE", "jobs/%2e", Refuser.RBAC, "cannot deletecollection resource"),
            ("GET", "pods/%2e%2e", Refuser.RBAC, 'cannot get resource "namespaces"'),
            ("GET", "pods/logs/%2e%2e/", Refuser.RBAC, "cannot list resource"),
            ("GET", "jobs/logs/%2e%2e/", Refuser.KUBERNETES, "Invalid value"),
            ("GET", "pods/%2e%2e%2f%2e%2e%2fkube-system%2fpods", Refuser.PROXY, "Not Found"),
            ("GET", "pods/%252e%252e%252fsecrets", Refuser.KUBERNETES, "may not contain '%'"),
            ("GET", "pods/x%3fwatch=true", Refuser.KUBERNETES, 'pods "x?watch=true" not found'),
        )
    ),
    call("a verb that the proxy has not", "Method Not Allowed", Refuser.PROXY, ALICE, "DELETE", "jobs/"),
)

# Too much of it.
AMOUNTS = (
    *(
        Attack(
            name,
            Refuser.PROXY,
            "larger than",
            lambda scene, direct=direct, parts=parts: request(
                scene.door.port if direct else scene.door.hub.port,
                "POST",
                f"{PREFIX}/jobs/",
                scene.door.token(ALICE).headers(),
                parts(),
            ),
            413,
        )
        for name, direct, parts in (
            ("a request that is too large", False, _large),
            ("a request that is too large, of no stated size", False, lambda: iter([_large()])),
            ("a request that is too large, past the hub's proxy", True, _large),
        )
    ),
    Attack(
        "code that is too large",
        Refuser.KUBERNETES,
        "1048576",
        lambda scene: scene.door.submit(ALICE, job(), code=_code(b"x" * 1_100_000)),
    ),
)


def _code(content: bytes) -> dict[str, Any]:
    return {
        "metadata": {"generateName": "code-"},
        "binaryData": {"code": base64.b64encode(content).decode()},
    }


# With CronJobs off: the proxy forwards them, and has no right to.
CRON = (
    Attack(
        "a CronJob",
        Refuser.RBAC,
        "cannot create resource",
        lambda scene: scene.door.call(ALICE, "POST", "cronjobs/", {"job": cron_job()}),
        403,
    ),
    Attack(
        "a Job where CronJobs go",
        Refuser.RBAC,
        "cannot create resource",
        lambda scene: scene.door.call(ALICE, "POST", "cronjobs/", {"job": {**cron_job(), "kind": "Job"}}),
        403,
    ),
    call("a list of CronJobs", "cannot list resource", Refuser.RBAC, ALICE, "GET", "cronjobs/"),
)
