"""What a cluster and a state hold, without what differs from one run to the next."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any

from sandbox.kube_api import KubeApi

# What controllers make by themselves, with names and contents that are chance.
_NOT_OURS = {"Event", "EndpointSlice", "Endpoints", "ControllerRevision", "Lease", "PodMetrics", "Node"}
_VOLATILE = {
    *("uid", "resourceVersion", "creationTimestamp", "managedFields", "generation", "selfLink", "status"),
    *("__fieldManager", "__rewrites", "lastUpdateTime", "lastTransitionTime", "clusterIP", "clusterIPs"),
    *("caBundle", "nodePort", "revision", "checksum"),
}
_SECRET_SIGNATURE = "4dabf18193072939515e22adb298388d"
_CHANCE = (
    (re.compile(r"\b(ray-auth)-[0-9a-f]{8}\b"), r"\1-<hash>"),
    (re.compile(r"\brotation-\d+\b"), "<rotation>"),
    (re.compile(r"\b77\d\d\b"), "<size>"),
    (re.compile(r"\b[0-9a-f]{32,64}\b"), "<digest>"),
)


def of_cluster(api: KubeApi, namespaces: tuple[str, ...], marks: tuple[str, ...]) -> dict[str, str]:
    """Every object of the namespaces, and every cluster-wide one whose name has one of the marks.

    Returns:
        Its content, as JSON without what is chance, by kind, namespace and name.
    """
    found: dict[str, str] = {}
    for base, resource in _resources(api):
        listed = api.get(f"{base}/{resource['name']}")
        for item in (listed or {}).get("items", []):
            meta = item["metadata"]
            item.setdefault("kind", resource["kind"])
            namespace = meta.get("namespace", "")
            mine = namespace in namespaces if namespace else _marked(meta["name"], namespaces, marks)
            if mine:
                _add(found, resource["kind"], namespace, item)
    last = {key: value.partition(" ")[2] for key, value in found.items() if key.startswith("release ")}
    return found | last


def of_state(exported: dict[str, Any]) -> dict[str, str]:
    """Every resource of a state that the engine exported, and what is not finished in it."""
    deployment = exported["deployment"]
    found = {}
    for resource in deployment.get("resources") or []:
        broken = {
            key: resource[key] for key in ("initErrors", "delete", "pendingReplacement") if key in resource
        }
        kept = {"inputs": resource.get("inputs"), "outputs": resource.get("outputs"), **broken}
        suffix = " (to be deleted)" if resource.get("delete") else ""
        found[text(resource["urn"]) + suffix] = _json(kept)
    for operation in deployment.get("pending_operations") or []:
        found[f"pending: {operation['type']} {operation['resource']['urn']}"] = ""
    return found


def differences(expected: dict[str, str], found: dict[str, str]) -> list[str]:
    """What is missing, what is too much and what differs, a line each."""
    lines = [f"missing: {key}" for key in sorted(expected.keys() - found.keys())]
    lines += [f"too much: {key}" for key in sorted(found.keys() - expected.keys())]
    for key in sorted(expected.keys() & found.keys()):
        if expected[key] != found[key]:
            lines += [f"differs: {key}: {each}" for each in _apart(expected[key], found[key])]
    return lines


def text(value: str) -> str:
    """A text without what is chance in it."""
    for pattern, instead in _CHANCE:
        value = pattern.sub(instead, value)
    return value


def _resources(api: KubeApi) -> Iterator[tuple[str, dict[str, Any]]]:
    groups = (api.get("/apis") or {})["groups"]
    bases = ["/api/v1", *(f"/apis/{group['preferredVersion']['groupVersion']}" for group in groups)]
    for base in bases:
        for resource in (api.get(base) or {}).get("resources", []):
            if (
                "list" in resource["verbs"]
                and "/" not in resource["name"]
                and resource["kind"] not in _NOT_OURS
            ):
                yield base, resource


def _marked(name: str, namespaces: tuple[str, ...], marks: tuple[str, ...]) -> bool:
    return name in namespaces or any(mark in name for mark in marks)


def _add(found: dict[str, str], kind: str, namespace: str, item: dict[str, Any]) -> None:
    meta = item["metadata"]
    name = text(meta["name"])
    if kind == "Pod":
        _count(found, f"Pod {namespace} of {_owner(meta)}", _pod(item))
        return
    if kind == "Secret" and str(item.get("type", "")).startswith("helm.sh/release"):
        # How many revisions an interrupted release took is chance; what counts is what the last one came to.
        labels, key = meta["labels"], f"release {namespace}/{meta['labels']['name']}"
        newest = int(found.get(key, "0").partition(" ")[0])
        if int(labels["version"]) > newest:
            found[key] = f"{labels['version']} {labels['status']}"
        return
    if kind == "Secret":
        item["data"] = dict.fromkeys(item.get("data") or {}, "<secret>")
    if meta.get("deletionTimestamp"):
        name += " (being deleted)"
    found[f"{kind} {namespace}/{name}"] = _json(item)


def _count(found: dict[str, str], key: str, what: str) -> None:
    number = 1
    while f"{key} #{number}" in found:
        number += 1
    found[f"{key} #{number}"] = what


def _owner(meta: dict[str, Any]) -> str:
    labels = meta.get("labels") or {}
    return f"{labels.get('ray.io/cluster', '')} {labels.get('ray.io/node-type', '')}"


def _pod(item: dict[str, Any]) -> str:
    spec = item["spec"]
    containers = [each["name"] for each in [*(spec.get("initContainers") or []), *spec["containers"]]]
    gone = "being deleted" if item["metadata"].get("deletionTimestamp") else ""
    return json.dumps([containers, item["status"].get("phase"), gone])


def _json(value: Any) -> str:
    return text(json.dumps(_clean(value), sort_keys=True))


def _clean(value: Any) -> Any:
    if isinstance(value, dict):
        if _SECRET_SIGNATURE in value:
            return "<secret>"
        return {key: _clean(each) for key, each in value.items() if key not in _VOLATILE}
    if isinstance(value, list):
        return [_clean(each) for each in value]
    return value


def _apart(one: str, other: str) -> Iterator[str]:
    try:
        yield from _walk("", json.loads(one), json.loads(other))
    except ValueError:
        yield f"{one[:200]} / {other[:200]}"


def _walk(path: str, one: Any, other: Any) -> Iterator[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted({*one, *other}):
            yield from _walk(f"{path}.{key}", one.get(key), other.get(key))
    elif one != other:
        yield f"{path}: {json.dumps(one)[:160]} / {json.dumps(other)[:160]}"


def digest(value: str) -> str:
    """Something to compare secrets by, which a message may show."""
    return hashlib.sha256(value.encode()).hexdigest()[:12]
