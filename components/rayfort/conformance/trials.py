"""What is tried out: each trial's answer is plain data, or the reason why there is none."""

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from rayfort.conformance.checks.netrc import FILE
from rayfort.conformance.checks.rbac import NOBODY
from rayfort.conformance.checks.token import token_reference
from rayfort.conformance.cluster import ClusterError, Connection
from rayfort.conformance.nodes import heads_of, pods_of, port_of, running
from rayfort.conformance.observations import (
    NOT_SEEN,
    NotSeen,
    Observations,
    containers,
    name_of,
    namespace_of,
)
from rayfort.model import JsonObject
from rayfort.proxy import kbatch_config
from rayfort.ray import operator
from rayfort.ray.auth import TOKEN_KEY

Note = Callable[[str], None]
Answers = dict[str, JsonObject]
# Paths that ask Ray for nothing but to show: the first needs the token, as everything but health does.
_JOBS: Final = "/api/jobs/"
_VERSION: Final = "/api/version"
_FORBIDDEN: Final = 403
_OK: Final = 200
# Run by the Python of Ray's image, as Ray's user: what the file is, never what is in it.
_LOOK: Final = """
import json, os, sys
found = {"user": os.getuid()}
try:
    seen = os.stat(sys.argv[1])
    found.update(mode=seen.st_mode & 0o7777, owner=seen.st_uid, group=seen.st_gid,
                 readable=os.access(sys.argv[1], os.R_OK))
except OSError as error:
    found["error"] = error.strerror
print(json.dumps(found))
"""


def rights(connection: Connection, seen: Observations, note: Note) -> Answers:
    """What each service account may do in each namespace that matters, as the API server lists it."""
    note("rights")
    accounts = {f"default/{NOBODY}"}
    for app in (operator.RELEASE, kbatch_config.SERVICE_NAME):
        for item in seen.deployments(app):
            name = item["spec"]["template"]["spec"].get("serviceAccountName", "default")
            accounts.add(f"{namespace_of(item)}/{name}")
    for namespace in seen.workspaces.values():
        for pod in seen.objects.get("Pod", ()):
            if namespace_of(pod) == namespace and pod in seen.ray_pods(namespace):
                accounts.add(f"{namespace}/{pod['spec'].get('serviceAccountName', 'default')}")
    places = sorted(
        {
            "default",
            "kube-system",
            *seen.workspaces.values(),
            *seen.users,
            *(one.split("/")[0] for one in accounts),
        }
    )
    return {account: _rights(connection, account, places) for account in sorted(accounts)}


def _rights(connection: Connection, account: str, places: Sequence[str]) -> JsonObject:
    namespace, name = account.split("/")
    found: dict[str, list[JsonObject]] = {}
    incomplete = ""
    for place in places:
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectRulesReview",
            "spec": {"namespace": place},
        }
        try:
            answer = connection.call(
                "POST",
                "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
                review,
                acts_as=f"system:serviceaccount:{namespace}:{name}",
            )
        except ClusterError as error:
            if error.status == _FORBIDDEN:
                return {NOT_SEEN: f"it takes the right to impersonate service accounts ({error})"}
            return {NOT_SEEN: str(error)}
        status = (answer or {}).get("status") or {}
        found[place] = [
            {key: rule[key] for key in ("apiGroups", "resources", "verbs", "resourceNames") if rule.get(key)}
            for rule in status.get("resourceRules") or ()
        ]
        if status.get("incomplete"):
            incomplete = status.get("evaluationError") or "an authorizer cannot list its rules"
    return {"rules": found, "incomplete": incomplete}


def dashboards(
    connection: Connection,
    seen: Observations,
    known: Mapping[tuple[str, str], Mapping[str, str]],
    note: Note,
) -> Answers:
    """What each dashboard's API answers without a token, with a wrong one and with the right one."""
    found: Answers = {}
    for subject, pod in heads_of(seen):
        note(f"dashboard of {subject}")
        try:
            head = running(seen, pod)
            found[subject] = _dashboard(connection, head, known)
        except (ClusterError, NotSeen) as error:
            found[subject] = {NOT_SEEN: str(error)}
    return found


def _dashboard(
    connection: Connection, head: JsonObject, known: Mapping[tuple[str, str], Mapping[str, str]]
) -> JsonObject:
    namespace, pod, port = namespace_of(head), name_of(head), port_of(head, "dashboard")
    reference = token_reference(next(containers(head["spec"], init=False)))
    secret = known.get((namespace, reference["name"]), {}) if reference else {}
    token = secret.get(reference["key"] if reference else TOKEN_KEY)
    found: JsonObject = {}
    handed = {"none": None, "wrong": secrets.token_hex(24), "right": token}
    for what, value in handed.items():
        headers = {"Authorization": f"Bearer {value}"} if value else {}
        found[what] = connection.ask(namespace, pod, port, _JOBS, headers).status
    if token is None:
        # Without it the two refusals could be about anything.
        return {NOT_SEEN: "the token's Secret cannot be read, so that the right token could not be tried"}
    answer = connection.ask(namespace, pod, port, _VERSION, {"Authorization": f"Bearer {token}"})
    if answer.status == _OK:
        said = json.loads(answer.body)
        found["version"] = str(said.get("ray_version", "")) if isinstance(said, dict) else ""
    return found


def netrc_files(connection: Connection, seen: Observations, note: Note) -> Answers:
    """The netrc file as Ray's user finds it in each Pod that has one mounted."""
    found: Answers = {}
    for namespace in seen.workspaces.values():
        for pod in pods_of(seen, namespace):
            subject = f"{namespace}/{name_of(pod)}"
            container = next(containers(pod["spec"], init=False))
            note(f"netrc of {subject}")
            try:
                running(seen, pod)
                said = connection.execute(
                    namespace, name_of(pod), container["name"], ["python", "-c", _LOOK, FILE]
                )
                found[subject] = dict(json.loads(said))
            except (ClusterError, NotSeen) as error:
                found[subject] = {NOT_SEEN: str(error)}
            except ValueError:
                found[subject] = {NOT_SEEN: "the container has no Python that answers"}
    return found
