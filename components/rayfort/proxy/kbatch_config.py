"""What kbatch-proxy is told and what it may do: pure functions.

Source: seed 003 (kbatch-proxy) and the behaviour of kbatch-proxy 0.5.0b1. Where the seed differs: a Role in
each user's namespace instead of cluster-wide rights, and no ``admin: true`` for the service.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Final

import yaml

from rayfort.model import JsonObject

SERVICE_NAME: Final = "kbatch-proxy"
HUB_SERVICE_NAME: Final = "kbatch"
PREFIX: Final = f"/services/{HUB_SERVICE_NAME}"
USER_NAMESPACE_PREFIX: Final = "kbatch-"
PORT: Final = 8080
CONFIG_PATH: Final = "/etc/kbatch"
PROFILE_FILE: Final = "profiles.yaml"
JOB_TEMPLATE_FILE: Final = "job_template.yaml"
TOKEN_KEY: Final = "JUPYTERHUB_API_TOKEN"  # noqa: S105 - the key's name
EXTRA_ENV_KEY: Final = "KBATCH_JOB_EXTRA_ENV"
_MAX_SAFE_NAME: Final = 40


def user_namespace(user: str) -> str:
    """The namespace of a JupyterHub user, computed exactly as kbatch-proxy 0.5 computes it.

    A name that is not a Kubernetes name as it stands gets a hash, so that no two users share a namespace.
    """
    safe = re.sub(r"[^a-z0-9]+", "-", user.lower())[:_MAX_SAFE_NAME].strip("-")
    if safe != user:
        safe = f"{safe}--{hashlib.sha256(user.encode()).hexdigest()[:7]}"
    return f"{USER_NAMESPACE_PREFIX}{safe}"


def user_rules(*, cron_jobs: bool) -> list[JsonObject]:
    """Rules of the proxy's Role in a user's namespace: the verbs that it was seen to use, and no other.

    Args:
        cron_jobs: whether users may make CronJobs, which bypass the job template.
    """
    jobs = ["jobs", "cronjobs"] if cron_jobs else ["jobs"]
    return [
        {"apiGroups": ["batch"], "resources": jobs, "verbs": ["create", "get", "list", "delete"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]},
        {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create", "patch", "delete"]},
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create", "patch"]},
    ]


def limit_range_spec() -> JsonObject:
    """``spec`` of a LimitRange: small requests for containers that state none.

    A quota on requests refuses every Pod with a container that states none, such as the one that kbatch
    adds to unpack a job's code.
    """
    return {"limits": [{"type": "Container", "defaultRequest": {"cpu": "100m", "memory": "128Mi"}}]}


def environment(hub_api_url: str, ttl_seconds: int, files: Mapping[str, str]) -> dict[str, str]:
    """The proxy's environment, without secrets."""
    paths = {
        "KBATCH_PROFILE_FILE": PROFILE_FILE,
        "KBATCH_JOB_TEMPLATE_FILE": JOB_TEMPLATE_FILE,
    }
    return {
        "JUPYTERHUB_API_URL": hub_api_url,
        # 0.5 answers 500 to every call without it.
        "JUPYTERHUB_SERVICE_NAME": HUB_SERVICE_NAME,
        "KBATCH_PREFIX": PREFIX,
        "KBATCH_JOB_TTL_SECONDS_AFTER_FINISHED": str(ttl_seconds),
        # Unknown users fail closed: the namespaces are made by Pulumi.
        "KBATCH_CREATE_USER_NAMESPACE": "false",
        "APP_PORT": str(PORT),
        **{name: f"{CONFIG_PATH}/{file}" for name, file in paths.items() if file in files},
    }


def config_files(profiles: JsonObject, job_template: JsonObject) -> dict[str, str]:
    """The files that the proxy reads, by name."""
    contents = {PROFILE_FILE: profiles, JOB_TEMPLATE_FILE: job_template}
    return {name: yaml.safe_dump(content, sort_keys=True) for name, content in contents.items() if content}


def extra_env(values: Mapping[str, str]) -> str:
    """``KBATCH_JOB_EXTRA_ENV``: variables for every job, as JSON."""
    return json.dumps(dict(sorted(values.items())))


def checksum(files: Mapping[str, str]) -> str:
    """A digest of the files, so that changed ones replace the Pods."""
    return hashlib.sha256(json.dumps(dict(sorted(files.items()))).encode()).hexdigest()[:16]


def first_boolean(value: Any, path: str = "") -> str | None:
    """The path of the first boolean in a job template, or None.

    kbatch-proxy 0.5.0b1 answers 500 to every submission when its template holds one.
    """
    if isinstance(value, bool):
        return path
    if isinstance(value, Mapping):
        pairs = [(f"{path}.{key}" if path else str(key), item) for key, item in value.items()]
    elif isinstance(value, list):
        pairs = [(f"{path}[{index}]", item) for index, item in enumerate(value)]
    else:
        return None
    return next((found for where, item in pairs if (found := first_boolean(item, where))), None)


def address(namespace: str, cluster_domain: str) -> str:
    """The proxy's URL inside the cluster."""
    return f"http://{SERVICE_NAME}.{namespace}.svc.{cluster_domain}:{PORT}"


def hub_values(url: str) -> JsonObject:
    """Values for the zero-to-jupyterhub chart that register the service, with the least scopes.

    The service itself needs no role: kbatch-proxy asks the hub with the user's own token, which needs
    the scope to use the service. The chart makes the service's API token itself.
    """
    scope = f"access:services!service={HUB_SERVICE_NAME}"
    return {
        "hub": {
            "services": {HUB_SERVICE_NAME: {"url": url}},
            "loadRoles": {
                "user": {"scopes": ["self", scope]},
                "server": {"scopes": ["users:activity!user", "access:servers!server", scope]},
            },
        }
    }
