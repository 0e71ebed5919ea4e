"""What profiles and the job template say of every job, and what of it no job would be let in with."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from rayfort import api_types
from rayfort.model import JsonObject
from rayfort.proxy import kbatch_config as config

_PARTS: Final = {"metadata": "meta.v1.ObjectMeta", "spec": "batch.v1.JobSpec"}
_RESOURCES: Final = "core.v1.ResourceRequirements"
_PROFILE_LISTS: Final = {
    "tolerations": "core.v1.Toleration",
    "node_affinity_required": "core.v1.NodeSelectorTerm",
}
_PYTHONS: Final = "toleration_seconds"
_NOT_PYTHONS: Final = "tolerationSeconds"
_POD: Final = ("spec", "template", "spec")
# What the admission rules refuse in a job, whoever says it.
_NEVER: Final[Mapping[str, str]] = {
    "hostNetwork": "is the node's network",
    "hostPID": "shows the node's processes",
    "hostIPC": "shares the node's memory",
    "shareProcessNamespace": "shows the sidecar's process to the job",
    "nodeName": "goes past the scheduler",
    "automountServiceAccountToken": "gives jobs a token for the API server",
}


def problems(template: JsonObject) -> Iterator[str]:
    """Why kbatch-proxy or the API server would refuse every job with this template.

    Args:
        template: the ``jobTemplate`` of the settings.
    """
    for key in template:
        if key not in _PARTS:
            yield f"{key} is no part of a template; it has metadata and spec of a Job"
    mistakes = [
        text
        for part, kind in _PARTS.items()
        for text in api_types.mistakes(template.get(part), kind, (part,))
    ]
    yield from mistakes
    if mistakes:
        return  # what follows reads it as what it should be
    pod = pod_of(template)
    for key, why in _NEVER.items():
        if pod.get(key):
            yield f"spec.template.spec.{key} {why}, so that every job would be refused; remove it"
    for kind in ("labels", "annotations"):
        for key in metadata_keys(template, kind):
            if re.search(r"(^|\.)istio\.io/", key):
                yield (
                    f"{kind} {key} decides about the sidecar, so that every job would be refused; remove it"
                )
    account = pod.get("serviceAccountName", config.JOB_ACCOUNT)
    if account != config.JOB_ACCOUNT:
        yield (
            f"spec.template.spec.serviceAccountName: jobs run as {config.JOB_ACCOUNT}, by which Ray knows "
            "them; remove it"
        )
    for volume in pod.get("volumes") or ():
        if isinstance(volume, Mapping) and "hostPath" in volume:
            yield f"volume {volume.get('name')} is a directory of the node; use another kind of volume"


def pod_of(template: JsonObject) -> JsonObject:
    """The ``spec`` of the Pods in a job template; empty where it says nothing about them."""
    found = _at(template, _POD)
    return dict(found) if isinstance(found, Mapping) else {}


def metadata_keys(template: JsonObject, kind: str) -> list[str]:
    """The keys of ``labels`` or ``annotations`` that a job template puts on jobs and their Pods."""
    found: set[str] = set()
    for place in (template, _at(template, ("spec", "template"))):
        keys = _at(place, ("metadata", kind))
        found |= set(map(str, keys)) if isinstance(keys, Mapping) else set()
    return sorted(found)


def profile_problems(profiles: JsonObject) -> Iterator[str]:
    """What kbatch's client could not read of profiles, or the API server would refuse.

    Args:
        profiles: the ``profiles`` of the settings.
    """
    for name, profile in profiles.items():
        if not isinstance(profile, Mapping):
            yield f"{name} must be an object, such as {{image: …, resources: …}}"
            continue
        yield from api_types.mistakes(profile.get("resources"), _RESOURCES, (name, "resources"))
        for key, kind in _PROFILE_LISTS.items():
            entries = profile.get(key) or []
            if not isinstance(entries, list) or not all(isinstance(each, Mapping) for each in entries):
                yield f"{name}.{key} must be a list of objects"
                continue
            for index, entry in enumerate(entries):
                yield from api_types.mistakes(_as_kubernetes(entry), kind, (name, key, index))
                if _NOT_PYTHONS in entry:
                    yield f"{name}.{key}[{index}].{_NOT_PYTHONS} is {_PYTHONS} to kbatch's client; rename it"


def _as_kubernetes(entry: Mapping[str, Any]) -> JsonObject:
    """What kbatch's client, which hands tolerations to Python's classes, makes of an entry."""
    return {_NOT_PYTHONS if key == _PYTHONS else key: value for key, value in entry.items()}


def node_keys(profiles: JsonObject, template: JsonObject) -> list[str]:
    """The labels of nodes that jobs may choose nodes by: those of the profiles and of the template."""
    pod = pod_of(template)
    affinity = (pod.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    preferred = affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
    terms = [
        *(term for profile in profiles.values() for term in profile.get("node_affinity_required") or ()),
        *(required.get("nodeSelectorTerms") or ()),
        *(each.get("preference") or {} for each in preferred),
    ]
    keys = {each["key"] for term in terms for each in term.get("matchExpressions") or () if "key" in each}
    return sorted(keys | set(pod.get("nodeSelector") or ()))


def toleration_keys(profiles: JsonObject, template: JsonObject) -> list[str]:
    """The taints of nodes that jobs may tolerate: those of the profiles and of the template."""
    entries = [
        *(each for profile in profiles.values() for each in profile.get("tolerations") or ()),
        *(pod_of(template).get("tolerations") or ()),
    ]
    return sorted({each["key"] for each in entries if each.get("key")})


def _at(value: Any, path: Iterable[str]) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
