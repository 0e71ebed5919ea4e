"""What kbatch-proxy leaves out: a module that is mounted beside the published image's.

Booleans in jobs, Ray's variables by reference, names that no user chooses, the template for CronJobs, and
logs that are followed from a job's start. For 0.4 it also keeps tokens out of jobs. It runs on every Python
that an image of kbatch-proxy has.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from typing import Any

# For how long somebody who follows a job waits for its start: kbatch's client gives up after 60 seconds.
START_SECONDS = 45.0
# Types of fields that kbatch-proxy's reader of jobs does not know, in the spelling of every Kubernetes client
# that it can read.
MORE_TYPES = ("bool", "object", "list[int]", "dict[str, str]", "float")
# A Job with a field of each kind.
_SAMPLE: Mapping[str, Any] = {
    "metadata": {"generate_name": "check-", "labels": {"a": "b"}, "annotations": {}},
    "spec": {
        "template": {
            "metadata": {"labels": {}, "annotations": {}},
            "spec": {
                "automount_service_account_token": False,
                "containers": [
                    {
                        "name": "job",
                        "image": "check",
                        "resources": {"limits": {"cpu": "1"}},
                        "env": [{"name": "A", "value": "b"}],
                    }
                ],
                "node_selector": {"a": "b"},
                "security_context": {"supplemental_groups": [1], "run_as_non_root": True},
            },
        }
    },
}
_USER = "kbatch.jupyter.org/username"
_LABEL = re.compile(r"[A-Za-z0-9]([-._A-Za-z0-9]{0,61}[A-Za-z0-9])?")


def templated(merge: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Let kbatch-proxy lay its template over the Jobs of a CronJob as well.

    A ``jobTemplate`` in a Job gets the template twice, which no API server minds: it drops the field.
    """

    def over(data: Any, template: Any) -> Any:
        made = merge(data, template)
        spec = data.get("spec") if isinstance(data, dict) else None
        if not template or not isinstance(spec, dict):
            return made
        for key in ("job_template", "jobTemplate"):
            if isinstance(spec.get(key), dict):
                inner = merge(
                    spec[key], {name: template[name] for name in ("metadata", "spec") if name in template}
                )
                rest = {name: value for name, value in made["spec"].items() if name != "jobTemplate"}
                made = {**made, "spec": {**rest, "job_template": inner}}
                break
        return made

    return over


def followed(
    stream: Callable[..., Iterator[str]],
    refused: type[Exception],
    pause: Callable[[float], None] = time.sleep,
) -> Callable[..., Iterator[str]]:
    """Let somebody follow a job from its start, line by line.

    kbatch-proxy's answer has begun when it asks for the logs. What Kubernetes refuses then, as it does for a
    Pod that is still starting, would leave an answer that never ends; so it is waited for, and then told.

    Args:
        stream: the Kubernetes client's, which gives lines without their ends.
        refused: what it raises.
        pause: waits between two attempts.
    """

    def lines(*given: Any, **named: Any) -> Iterator[str]:
        until, begun = time.monotonic() + START_SECONDS, False
        while True:
            try:
                for line in stream(*given, **named):
                    begun = True
                    yield f"{line}\n"
            except refused as error:
                starting = getattr(error, "status", None) == 400 and not begun
                if starting and time.monotonic() < until:
                    pause(1)
                    continue
                yield f"kbatch-proxy: {_said(error)}{'; ask again' if starting else ''}\n"
            return

    return lines


def _said(error: Exception) -> str:
    """What Kubernetes says of what it refuses."""
    try:
        return str(json.loads(getattr(error, "body", ""))["message"])
    except (ValueError, TypeError, KeyError):
        return str(getattr(error, "reason", error))


class Completed:
    """Modules of kbatch-proxy, with what they leave out."""

    def __init__(self, settings: Mapping[str, Any], utils: Any, patch: Any, client: Any) -> None:
        """Take kbatch-proxy's modules ``utils`` and ``patch``, and the Kubernetes ``client``."""
        self._settings, self._utils, self._patch, self._client = settings, utils, patch, client

    def reader(self) -> None:
        """Let kbatch-proxy read every field of a job, and its template reach CronJobs."""
        self._utils.basic_types |= set(MORE_TYPES)
        self._utils.merge_json_objects = templated(self._utils.merge_json_objects)

    def check(self) -> str | None:
        """What is wrong with the Kubernetes client of the image; None where jobs can be read."""
        try:
            job = self._utils.parse(_SAMPLE, self._client.V1Job)
            pod = job.spec.template.spec
            read = (pod.automount_service_account_token, pod.containers[0].resources.limits)
        except Exception as error:  # whatever an unknown version does
            read = (None, f"{type(error).__name__}: {error}")
        if read == (False, {"cpu": "1"}):
            return None
        return (
            f"kbatch-proxy cannot read jobs with this image's Kubernetes client {_version('kubernetes')} "
            f"({read[1]}), and would answer 500 to every submission; use an image with kubernetes>=32,<37"
        )

    def jobs(self) -> None:
        """Complete every job: identity, hardening, and Ray's variables by reference."""
        add, unzip = self._patch.add_extra_env, self._patch.add_unzip_init_container

        def add_extra_env(job: Any, extra_env: Any, api_token: Any = None) -> None:
            # 0.4 would write the user's token into the Job itself.
            add(job, extra_env, None if self._settings["legacy"] else api_token)
            pod = job.spec.template.spec
            self._pod(pod)
            self._ray(pod.containers[0])

        def add_unzip_init_container(job: Any) -> None:
            unzip(job)
            pod = job.spec.template.spec
            pod.init_containers[0].image = self._settings["codeImage"]
            self._pod(pod)

        self._patch.add_extra_env = add_extra_env
        self._patch.add_unzip_init_container = add_unzip_init_container

    def logs(self, watch: Any) -> None:
        """Let logs be followed from a job's start; ``watch`` is the Kubernetes client's class."""
        watch.stream = followed(watch.stream, self._client.ApiException)

    def names(self) -> None:
        """Let no user choose the names of Secrets and ConfigMaps, and let every user have a label."""
        add, code = self._patch.add_labels, self._patch.add_namespace_configmap
        secrets = getattr(self._patch, "extract_env_secret", None)

        def add_namespace_configmap(config_map: Any, namespace: str) -> None:
            config_map.metadata = self._client.V1ObjectMeta(generate_name=self._settings["codePrefix"])
            code(config_map, namespace)

        def extract_env_secret(job: Any) -> Any:
            assert secrets  # noqa: S101 - 0.5 alone calls it
            stated = job.metadata.name, job.metadata.generate_name
            # What the Secret is called until the API server names it, so that no job can refer to it first.
            job.metadata.name, job.metadata.generate_name = None, self._settings["secretPrefix"]
            try:
                return secrets(job)
            finally:
                job.metadata.name, job.metadata.generate_name = stated

        def add_labels(job: Any, labels: Any, username: str) -> None:
            add(job, labels, username)
            # What escapes a capital at its beginning, or is too long, is no label, and every job is refused.
            if not _LABEL.fullmatch(job.metadata.labels[_USER]):
                for each in (job.metadata, job.spec.template.metadata):
                    each.labels[_USER] = self._patch.namespace_for_username(username)

        self._patch.add_labels = add_labels
        self._patch.add_namespace_configmap = add_namespace_configmap
        if secrets:
            self._patch.extract_env_secret = extract_env_secret
        # 0.5.0b1 calls it by a name that no client has, and answers 500 instead of the reason.
        core = self._client.CoreV1Api
        core.delete_namespaced_config = core.delete_namespaced_config_map

    def users(self, refuse: Callable[[str], Exception]) -> None:
        """For 0.4: know users by their exact names, of which two may mean one namespace."""
        known: Mapping[str, str] = self._settings["users"]

        def namespace_for_username(username: str) -> str:
            if username not in known:
                raise refuse(f"user {username} may not submit jobs")
            return known[username]

        self._patch.namespace_for_username = namespace_for_username

    def _pod(self, pod: Any) -> None:
        client = self._client
        if pod.service_account_name is None:
            pod.service_account_name = self._settings["serviceAccount"]
        if pod.automount_service_account_token is None:
            pod.automount_service_account_token = False
        if pod.enable_service_links is None:
            pod.enable_service_links = False
        pod.security_context = pod.security_context or client.V1PodSecurityContext()
        if pod.security_context.seccomp_profile is None:
            pod.security_context.seccomp_profile = client.V1SeccompProfile(type="RuntimeDefault")
        for container in [*pod.containers, *(pod.init_containers or ())]:
            context = container.security_context = container.security_context or client.V1SecurityContext()
            if context.allow_privilege_escalation is None:
                context.allow_privilege_escalation = False
            if self._settings["restricted"] and context.capabilities is None:
                context.capabilities = client.V1Capabilities(drop=["ALL"])

    def _ray(self, container: Any) -> None:
        client, own = self._client, {each.name for each in container.env or ()}
        for name in self._settings["jobEnvironment"]:
            if name not in own:
                # Users without a workspace have no such Secret.
                reference = client.V1SecretKeySelector(
                    name=self._settings["jobEnvironmentSecret"], key=name, optional=True
                )
                source = client.V1EnvVarSource(secret_key_ref=reference)
                container.env = [*(container.env or ()), client.V1EnvVar(name=name, value_from=source)]


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "of unknown version"
