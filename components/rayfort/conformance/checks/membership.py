"""Seed 002: who is in the mesh, and that nothing goes past it."""

from collections.abc import Iterator
from typing import Final

import yaml

from rayfort import labels
from rayfort.conformance.check import Check, Scope, Seen
from rayfort.conformance.checks.mesh import DEFAULT
from rayfort.conformance.observations import (
    NotSeen,
    Observations,
    annotated,
    containers,
    labelled,
    name_of,
    namespace_of,
)
from rayfort.model import JsonObject
from rayfort.proxy import kbatch_config
from rayfort.ray import operator

SIDECAR: Final = "istio-proxy"
STATUS: Final = "sidecar.istio.io/status"
DEFAULT_TAG: Final = "istio-revision-tag-default"
# What the injector itself writes into the annotations of Pods.
_INJECTED: Final = {
    "traffic.sidecar.istio.io/excludeInboundPorts": {"15020"},
    "traffic.sidecar.istio.io/includeInboundPorts": {"*"},
    "traffic.sidecar.istio.io/includeOutboundIPRanges": {"*"},
}
_TRAFFIC: Final = "traffic.sidecar.istio.io/"


def _sidecars(seen: Observations, namespace: str) -> Iterator[str]:
    for pod in seen.pods(namespace):
        yield from sidecar(seen, pod)


def sidecar(seen: Observations, pod: JsonObject) -> Iterator[str]:
    """Whether a Pod has a sidecar, of the revision that its namespace or its own label names."""
    name = name_of(pod)
    if not any(each["name"] == SIDECAR for each in containers(pod["spec"])):
        yield f"Pod {name} has no sidecar"
        return
    status = yaml.safe_load(annotated(pod).get(STATUS, "{}")) or {}
    revision, wanted = (
        status.get("revision") or annotated(pod).get(labels.ISTIO_REVISION),
        expected(seen, pod),
    )
    if revision != wanted:
        yield f"Pod {name}: its sidecar is of revision {revision}, and {wanted} is meant"
    else:
        yield Seen(f"Pod {name}: a sidecar of revision {revision}")


def expected(seen: Observations, pod: JsonObject) -> str:
    """The revision that is meant to inject a Pod."""
    space = next((item for item in seen.all("Namespace") if name_of(item) == namespace_of(pod)), None)
    said = labelled(pod).get(labels.ISTIO_REVISION) or (
        labelled(space).get(labels.ISTIO_REVISION) if space else None
    )
    if said:
        return said
    tag = next(
        (
            item
            for item in seen.objects.get("MutatingWebhookConfiguration", ())
            if name_of(item) == DEFAULT_TAG
        ),
        None,
    )
    return labelled(tag).get(labels.ISTIO_REVISION, DEFAULT) if tag else DEFAULT


def _past_the_sidecar(seen: Observations, namespace: str) -> Iterator[str]:
    for pod in seen.pods(namespace):
        laid = {
            key: value
            for key, value in annotated(pod).items()
            if key.startswith(_TRAFFIC) and not set(value.split(",")) <= _INJECTED.get(key, set())
        }
        for key, value in laid.items():
            yield f"Pod {name_of(pod)}: {key}={value} takes traffic past its sidecar"
        if pod["spec"].get("hostNetwork"):
            yield f"Pod {name_of(pod)} is in its node's network, where no sidecar is asked"
        if not laid:
            yield Seen(f"Pod {name_of(pod)}: all traffic goes through its sidecar")


def _operator_in_mesh(seen: Observations, _: str) -> Iterator[str]:
    found = seen.deployments(operator.RELEASE)
    if not found:
        raise NotSeen("no KubeRay operator runs here; GKE's own is Google's to verify")
    for item in found:
        yield from _members(seen, item)


def _proxy_in_mesh(seen: Observations, _: str) -> Iterator[str]:
    for item in seen.deployments(kbatch_config.SERVICE_NAME):
        yield from _members(seen, item)


def _members(seen: Observations, deployment: JsonObject) -> Iterator[str]:
    wanted = deployment["spec"]["selector"]["matchLabels"].items()
    pods = [pod for pod in seen.pods(namespace_of(deployment)) if wanted <= labelled(pod).items()]
    if not pods:
        yield f"{name_of(deployment)}: none of its Pods runs"
    for pod in pods:
        yield from sidecar(seen, pod)


CHECKS: Final = (
    Check(
        "sidecars",
        "Every Pod has a sidecar of the revision that is meant",
        "seed 002: every Pod is in the mesh",
        "delete the Pod, so that it is made anew with a sidecar",
        _sidecars,
    ),
    Check(
        "nothing-past-the-sidecar",
        "No annotation takes traffic past a sidecar",
        "security model: known gaps",
        "remove the annotations from the node's settings",
        _past_the_sidecar,
    ),
    Check(
        "operator-in-mesh",
        "The KubeRay operator is in the mesh",
        "seed 002: the operator follows RayJobs without a plaintext port",
        "set `operator.inMesh: true`",
        _operator_in_mesh,
        Scope.PLATFORM,
    ),
    Check(
        "kbatch-proxy-in-mesh",
        "kbatch-proxy is in the mesh",
        "seed 003: the proxy's traffic is encrypted",
        "set `kbatch.inMesh: true`",
        _proxy_in_mesh,
        Scope.PLATFORM,
    ),
)
