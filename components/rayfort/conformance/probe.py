"""Pods that try out what others can reach: made, read and deleted.

One comes from outside, from a namespace of its own that nothing lets in. One comes from the operator's
namespace: the NetworkPolicies of a workspace let that namespace through to the dashboard, so that what it
meets there is the mesh. Neither has a sidecar, a service account token or a right, no policy is changed, and
nothing is put into a workspace.
"""

import contextlib
import ipaddress
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

from rayfort import labels, pod_security
from rayfort.conformance.cluster import ClusterError, Connection
from rayfort.model import JsonObject
from rayfort.ray.manifest import RAY_GID, RAY_UID

NAME: Final = "rayfort-verify"  # of the Pods, and of the namespace of the one from outside
CONTAINER: Final = "probe"
START_SECONDS: Final = 90
LIVE_SECONDS: Final = 120  # after which the kubelet ends it, whatever happened to whoever made it
GONE_SECONDS: Final = 60
POLL_SECONDS: Final = 0.5
_OWN: Final = {"app.kubernetes.io/name": NAME, labels.SIDECAR_INJECT: "false"}

Target = tuple[str, int]


@dataclass(frozen=True)
class Place:
    """Where a probe runs.

    Attributes:
        namespace: its namespace.
        own: whether the namespace is the probe's own, made and deleted with it.
        image: Ray's image, which the node has.
        node: the node that has it.
    """

    namespace: str
    own: bool
    image: str
    node: str


def namespace() -> JsonObject:
    """The namespace of the probe from outside: no sidecars, and the strictest Pod security."""
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": NAME,
            "labels": {
                labels.PART_OF: "rayfort",
                labels.ISTIO_INJECTION: "disabled",
                **pod_security.namespace_labels(pod_security.PodSecurity.RESTRICTED),
            },
        },
    }


def pod(place: Place, asked: Mapping[str, Sequence[Target]]) -> JsonObject:
    """The Pod, which asks what it is told to ask and ends."""
    program = resources.files("rayfort.conformance").joinpath("probe_program.py").read_text()
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [place.node]}]}
    selector = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": NAME, "namespace": place.namespace, "labels": labels.common(**_OWN)},
        "spec": {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": LIVE_SECONDS,
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": pod_security.pod_security_context(RAY_UID, RAY_GID),
            "affinity": {"nodeAffinity": selector},
            "tolerations": [{"operator": "Exists"}],
            "containers": [
                {
                    "name": CONTAINER,
                    "image": place.image,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["python", "-c", program, json.dumps(asked)],
                    "resources": {
                        "requests": {"cpu": "10m", "memory": "64Mi"},
                        "limits": {"cpu": "500m", "memory": "256Mi"},
                    },
                    "securityContext": pod_security.container_security_context(),
                }
            ],
        },
    }


def leftovers(connection: Connection, namespaces: Sequence[str]) -> list[str]:
    """Remove what an earlier run could not: its Pods in these namespaces, and its own namespace.

    Returns:
        What was found.

    Raises:
        ClusterError: if one of them is somebody else's, or cannot be removed.
    """
    paths = {f"/api/v1/namespaces/{name}/pods/{NAME}": f"Pod {name}/{NAME}" for name in namespaces}
    paths[f"/api/v1/namespaces/{NAME}"] = f"namespace {NAME}"
    found = []
    for path, what in paths.items():
        item = connection.call("GET", path)
        if item is None:
            continue
        if labels.common().items() - (item["metadata"].get("labels") or {}).items():
            raise ClusterError(
                f"{what} is there already and is not Rayfort's; rename it, or leave the probe out"
            )
        _delete(connection, path)
        found.append(what)
    return found


@contextlib.contextmanager
def running(
    connection: Connection, place: Place, asked: Mapping[str, Sequence[Target]]
) -> Iterator[Callable[[], JsonObject]]:
    """A probe, for as long as the block; it is deleted at its end, at Ctrl-C as well.

    Yields:
        What waits for its answer.

    Raises:
        ClusterError: if it cannot be made.
    """
    path = f"/api/v1/namespaces/{place.namespace}/pods"
    try:
        if place.own:
            connection.call("POST", "/api/v1/namespaces", namespace())
        connection.call("POST", path, pod(place, asked))
        yield lambda: _answer(connection, f"{path}/{NAME}")
    finally:
        _delete(connection, f"{path}/{NAME}", wait=not place.own)
        if place.own:
            _delete(connection, f"/api/v1/namespaces/{NAME}")


def _answer(connection: Connection, path: str) -> JsonObject:
    deadline = time.monotonic() + START_SECONDS
    while True:
        status = (connection.call("GET", path) or {}).get("status", {})
        if status.get("phase") in {"Succeeded", "Failed"}:
            break
        if time.monotonic() > deadline:
            raise ClusterError(f"the probe did not end in {START_SECONDS} s: {_why(status)}")
        time.sleep(POLL_SECONDS)
    said = connection.text(f"{path}/log?container={CONTAINER}")
    try:
        return dict(json.loads(said))
    except ValueError:
        last = said.strip().splitlines()[-1:] or [_why(status)]
        raise ClusterError(f"the probe failed: {last[0]}") from None


def _why(status: Mapping[str, Any]) -> str:
    waiting = [
        f"{state.get('reason')}: {state.get('message', '')}"
        for each in status.get("containerStatuses") or ()
        for state in (each.get("state") or {}).values()
        if state.get("reason")
    ]
    unmet = [
        each.get("message", "") for each in status.get("conditions") or () if each.get("status") == "False"
    ]
    return "; ".join(filter(None, [*waiting, *unmet])) or str(status.get("phase", "it is not there"))


def _delete(connection: Connection, path: str, *, wait: bool = True) -> bool:
    """Delete an object; returns whether it was there.

    Raises:
        ClusterError: if it is still there after a while.
    """
    if connection.call("GET", path) is None:
        return False
    connection.call("DELETE", path)
    deadline = time.monotonic() + GONE_SECONDS
    while wait and connection.call("GET", path) is not None:
        if time.monotonic() > deadline:
            raise ClusterError(f"{path} is still there after {GONE_SECONDS} s; delete it")
        time.sleep(POLL_SECONDS)
    return True


def is_address(text: str) -> bool:
    """Whether a text is an address, as a Pod has one as soon as it runs."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
