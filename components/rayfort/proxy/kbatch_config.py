"""What kbatch-proxy is told and what it may do: pure functions.

Source: seed 003 (kbatch-proxy) and the behaviour of kbatch-proxy 0.5.0b1. Where the seed differs: a Role in
each user's namespace instead of cluster-wide rights, and no ``admin: true`` for the service.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from typing import Final

from rayfort import labels, pod_security
from rayfort.model import JsonObject
from rayfort.pod_security import PodSecurity
from rayfort.ray import auth

SERVICE_NAME: Final = "kbatch-proxy"
HUB_SERVICE_NAME: Final = "kbatch"
PREFIX: Final = f"/services/{HUB_SERVICE_NAME}"
USER_NAMESPACE_PREFIX: Final = "kbatch-"
PORT: Final = 8080
TOKEN_KEY: Final = "JUPYTERHUB_API_TOKEN"  # noqa: S105 - the key's name
EXTRA_ENV_KEY: Final = "KBATCH_JOB_EXTRA_ENV"
RAY_ADDRESS: Final = "RAY_ADDRESS"
# In every user's namespace: as whom jobs run, and the Secret with the Ray of the user's workspace.
JOB_ACCOUNT: Final = "kbatch-job"
JOB_ENV_SECRET: Final = "rayfort-job-env"  # noqa: S105 - the Secret's name
# What the proxy makes for a job begins so, whatever the job is called.
JOB_SECRET_PREFIX: Final = "kbatch-env-"  # noqa: S105 - of the Secrets' names
JOB_CODE_PREFIX: Final = "kbatch-code-"
# What that Secret holds: of a Ray, and so never the same for all users.
JOB_ENVIRONMENT: Final = (RAY_ADDRESS, auth.MODE_VARIABLE, auth.TOKEN_VARIABLE)
_MAX_SAFE_NAME: Final = 40
_HASH_LENGTH: Final = 8


def user_namespace(user: str) -> str:
    """The namespace of a JupyterHub user, computed exactly as kbatch-proxy 0.5 computes it.

    A name that is not a Kubernetes name as it stands gets a hash, so that no two users share a namespace.
    """
    safe = re.sub(r"[^a-z0-9]+", "-", user.lower())[:_MAX_SAFE_NAME].strip("-")
    if safe != user:
        safe = f"{safe}--{hashlib.sha256(user.encode()).hexdigest()[:7]}"
    return f"{USER_NAMESPACE_PREFIX}{safe}"


def legacy_namespace(user: str) -> str:
    """The namespace of a JupyterHub user, computed exactly as kbatch-proxy 0.4 computes it."""
    return re.sub(r"[^a-z0-9]", "-", user.lower())


def legacy_problem(namespace: str) -> str | None:
    """Why no user of kbatch-proxy 0.4 may have this namespace; None where one may."""
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", namespace):
        return "which is no name of a namespace"
    if namespace == "default" or namespace.startswith(("kube-", "istio-", "openshift-", "gke-", "gmp-")):
        return "which is the system's"
    return None


def user_rules(*, cron_jobs: bool, legacy: bool = False) -> list[JsonObject]:
    """Rules of the proxy's Role in a user's namespace: the verbs that it was seen to use, and no other.

    Args:
        cron_jobs: whether users may make CronJobs.
        legacy: whether the proxy is 0.4, which makes no Secrets.
    """
    jobs = ["jobs", "cronjobs"] if cron_jobs else ["jobs"]
    secrets = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create", "patch", "delete"]}
    # The code of a job that is refused is deleted again.
    code = ["create", "patch"] if legacy else ["create", "patch", "delete"]
    return [
        {"apiGroups": ["batch"], "resources": jobs, "verbs": ["create", "get", "list", "delete"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]},
        {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
        *([] if legacy else [secrets]),
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": code},
    ]


def dynamic_labels(namespace: str) -> dict[str, str]:
    """Labels of namespaces that the proxy makes itself; it puts them on jobs as well.

    Args:
        namespace: the proxy's own.
    """
    return {
        labels.MANAGED_BY: "kbatch",
        labels.PART_OF: "rayfort",
        labels.KBATCH: namespace,
        **pod_security.namespace_labels(PodSecurity.BASELINE),
    }


def extra_env(values: Mapping[str, str]) -> str:
    """``KBATCH_JOB_EXTRA_ENV``: variables for every job, as JSON."""
    return json.dumps(dict(sorted(values.items())))


def checksum(files: Mapping[str, str]) -> str:
    """A short hash of the files: a change replaces the Pods."""
    return hashlib.sha256(json.dumps(dict(sorted(files.items()))).encode()).hexdigest()[:16]


def secret_name(token: str, variables: str) -> str:
    """The name of the Secret with the hub's token and the jobs' variables: what changes has a new name.

    The token is the key of the hash, since a variable may be short enough to be guessed by its hash.
    """
    keyed = hmac.new(token.encode(), variables.encode(), hashlib.sha256).hexdigest()
    return f"{SERVICE_NAME}-{keyed[:_HASH_LENGTH]}"


def address(namespace: str, cluster_domain: str) -> str:
    """The proxy's URL inside the cluster."""
    return f"http://{SERVICE_NAME}.{namespace}.svc.{cluster_domain}:{PORT}"
