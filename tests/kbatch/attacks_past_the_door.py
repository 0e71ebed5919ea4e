"""What somebody tries who got into the proxy, or past the rules for jobs."""

from __future__ import annotations

from typing import Any

from tests.kbatch.attack import (
    HOME,
    Attack,
    Refuser,
    account,
    job,
    pod,
    volume,
)
from tests.kbatch.deployed import ALICE, OWN, PROXY_NAMESPACE

USERS_JOBS = "/apis/batch/v1/namespaces/{}/jobs"
A_JOB = job()
# Kubernetes itself refuses the one without the other, and the proxy sets the other where nobody does.
_PRIVILEGED = {"securityContext": {"privileged": True, "allowPrivilegeEscalation": True}}


def _binding() -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "mine"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [
            {"kind": "ServiceAccount", "name": "kbatch-proxy", "namespace": PROXY_NAMESPACE},
        ],
    }


_POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"
_ROLES = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{HOME}"
# Somebody who got into the proxy.
ACCOUNT = (
    account("all Secrets", "GET", "/api/v1/secrets", "cannot list resource"),
    account(
        "its own Secrets", "GET", f"/api/v1/namespaces/{PROXY_NAMESPACE}/secrets", "cannot list resource"
    ),
    account("a user's Secrets", "GET", f"/api/v1/namespaces/{HOME}/secrets", "cannot list resource"),
    account(
        "a user's Ray", "GET", f"/api/v1/namespaces/{HOME}/secrets/rayfort-job-env", "cannot get resource"
    ),
    account("the workspace's Secrets", "GET", f"/api/v1/namespaces/{OWN}/secrets", "cannot list resource"),
    account(
        "a workspace's Secret by a patch",
        "PATCH",
        f"/api/v1/namespaces/{OWN}/secrets/netrc-secret",
        "cannot patch resource",
        {},
    ),
    account("all Pods", "GET", "/api/v1/pods", "cannot list resource"),
    account("all namespaces", "GET", "/api/v1/namespaces", "cannot list resource"),
    account(
        "a namespace",
        "POST",
        "/api/v1/namespaces",
        "cannot create resource",
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kbatch-mallory"}},
    ),
    account(
        "a Pod for a user",
        "POST",
        f"/api/v1/namespaces/{HOME}/pods",
        "cannot create resource",
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": []}},
    ),
    account(
        "into a Pod", "POST", f"/api/v1/namespaces/{HOME}/pods/x/exec?command=sh", "cannot create resource"
    ),
    *(
        account(f"a job in {where}", "POST", USERS_JOBS.format(where), "cannot create resource", A_JOB)
        for where in (PROXY_NAMESPACE, "kube-system", "default", OWN, ALICE)
    ),
    account(
        "another job in its place", "PUT", f"{USERS_JOBS.format(HOME)}/x", "cannot update resource", A_JOB
    ),
    account("a user's Role", "PATCH", f"{_ROLES}/roles/kbatch-proxy", "cannot patch resource", {}),
    account("a binding for itself", "POST", f"{_ROLES}/rolebindings", "cannot create resource", _binding()),
    account("the rules for jobs", "DELETE", _POLICIES, "cannot deletecollection resource"),
    account(
        "a token of another account",
        "POST",
        f"/api/v1/namespaces/{HOME}/serviceaccounts/default/token",
        "cannot create resource",
        {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}},
    ),
    account("all nodes", "GET", "/api/v1/nodes", "cannot list resource"),
    account("a Ray", "GET", f"/apis/ray.io/v1/namespaces/{OWN}/rayclusters", "cannot list resource"),
)

# The account goes past the proxy, but not past the rules.
PAST_THE_PROXY = (
    Attack(
        "with the proxy's own token: a job for ever",
        Refuser.ADMISSION,
        "finished jobs are kept",
        lambda scene: scene.account.call(
            "POST", USERS_JOBS.format(HOME), _bare(ttlSecondsAfterFinished=10**8)
        ),
        403,
    ),
    Attack(
        "with the proxy's own token: a job without an end",
        Refuser.ADMISSION,
        "finished jobs are kept",
        lambda scene: scene.account.call("POST", USERS_JOBS.format(HOME), _bare()),
        403,
    ),
    Attack(
        "with the proxy's own token: a job as the namespace's account",
        Refuser.ADMISSION,
        "service account",
        lambda scene: scene.account.call("POST", USERS_JOBS.format(HOME), A_JOB),
        403,
    ),
)


def _bare(**spec: Any) -> dict[str, Any]:
    """A job that the proxy did not complete."""
    return job(pod={"serviceAccountName": "kbatch-job"}, spec=spec)


# The second fence, for what the rules for jobs do not see.
PODS = (
    pod("hostPath", "hostPath volumes", **volume(hostPath={"path": "/"})),
    pod("privileged", "privileged", container=_PRIVILEGED),
    pod("host namespaces", "host namespaces", hostNetwork=True),
    pod("hostPort", "hostPort", container={"ports": [{"containerPort": 80, "hostPort": 80}]}),
    pod(
        "an added capability",
        "non-default capabilities",
        container={"securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}},
    ),
)
