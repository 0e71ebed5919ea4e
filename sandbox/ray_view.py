"""What Ray itself says about its nodes: KubeRay calls a cluster ready while its workers crash and come back.

Ray's state API tells each node's state and age. (Its `/nodes?view=summary`, which the dashboard shows, is
put together from reports of the nodes and lacks those that did not report yet.)
"""

import base64
import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rayfort.labels import RAY_CLUSTER, RAY_NODE_TYPE
from rayfort.ray.auth import TOKEN_VARIABLE
from rayfort.ray.ports import NodeRole, RayPorts

from sandbox import port_forward
from sandbox.kube_api import KubeApi
from sandbox.port_forward import ForwardFailed
from sandbox.simulated import NODE_NAMES

ASK_SECONDS: Final = 10.0
ALIVE: Final = "ALIVE"
PORT_NAME: Final = "dashboard"  # the name of its container port, which KubeRay looks for
# The state API's own bound; without one it gives the first hundred, dead nodes included.
_NODES: Final = "/api/v0/nodes?detail=1&limit=10000"

Dial = Callable[[Path, str, str, int], AbstractContextManager[int]]


class RayUnreachable(RuntimeError):
    """Ray did not answer, or with an error; the message says which."""


@dataclass(frozen=True)
class RayNode:
    """A node of a Ray cluster, as its head knows it.

    Attributes:
        address: its address, or its DNS name where Ray uses names.
        state: ``ALIVE`` or ``DEAD``.
        reason: why it is dead; empty while it lives.
        started: when its raylet started, in seconds since the epoch.
    """

    address: str
    state: str
    reason: str
    started: float


@dataclass(frozen=True)
class Dashboard:
    """Where a Ray cluster's dashboard is, which also serves its state and takes jobs.

    Attributes:
        namespace, pod: the head Pod.
        port: the dashboard's port in it.
        token: what it asks for; None where it asks for nothing.
    """

    namespace: str
    pod: str
    port: int
    token: str | None = field(repr=False)


def head_pod(pods: list[dict[str, Any]], namespace: str, cluster: str) -> dict[str, Any] | None:
    """The head Pod of a Ray cluster; None while there is none, or only one that is on its way out."""
    for pod in pods:
        meta = pod["metadata"]
        wanted = {RAY_CLUSTER: cluster, RAY_NODE_TYPE: NodeRole.HEAD.value}
        if (
            meta["namespace"] == namespace
            and wanted.items() <= meta.get("labels", {}).items()
            and "deletionTimestamp" not in meta
        ):
            return pod
    return None


def is_simulated(pod: Mapping[str, Any]) -> bool:
    """Whether the Pod is on a node where no container runs."""
    return pod["spec"].get("nodeName") in NODE_NAMES


def dashboard(api: KubeApi, head: Mapping[str, Any]) -> Dashboard:
    """How to get at the dashboard of the Ray cluster with this head Pod.

    The token is the one that the Pod itself was told to ask for.

    Raises:
        RayUnreachable: if the token's Secret is not there.
    """
    container = head["spec"]["containers"][0]  # Ray's own, as KubeRay has it
    ports = {port.get("name"): port["containerPort"] for port in container.get("ports", [])}
    return Dashboard(
        namespace=head["metadata"]["namespace"],
        pod=head["metadata"]["name"],
        port=int(ports.get(PORT_NAME, RayPorts().dashboard)),
        token=_token(api, head["metadata"]["namespace"], container),
    )


def _token(api: KubeApi, namespace: str, container: Mapping[str, Any]) -> str | None:
    for variable in container.get("env", []):
        if variable["name"] != TOKEN_VARIABLE:
            continue
        if "value" in variable:
            return str(variable["value"])
        reference = variable["valueFrom"]["secretKeyRef"]
        secret = api.get(f"/api/v1/namespaces/{namespace}/secrets/{reference['name']}") or {}
        encoded = secret.get("data", {}).get(reference["key"])
        if encoded is None:
            raise RayUnreachable(f"Secret {namespace}/{reference['name']} with its token is not there")
        return base64.b64decode(encoded).decode()
    return None


def nodes(kubeconfig: Path, to: Dashboard, dial: Dial = port_forward.to_pod) -> list[RayNode]:
    """Every node that the Ray cluster knows, dead ones as well.

    Args:
        kubeconfig: of the sandbox's administrator.
        to: the cluster's dashboard.
        dial: opens a way to a Pod's port.

    Raises:
        RayUnreachable: if it does not answer.
    """
    try:
        with dial(kubeconfig, to.namespace, to.pod, to.port) as port:
            return parse(_get(f"http://127.0.0.1:{port}{_NODES}", to.token))
    except ForwardFailed as error:
        raise RayUnreachable(str(error)) from error


def _get(url: str, token: str | None) -> bytes:
    headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
    # Without handlers for proxies: those of the environment do not lead to this machine's loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, headers=headers), timeout=ASK_SECONDS) as answer:  # noqa: S310
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        said = error.read().decode(errors="replace").strip()
        raise RayUnreachable(f"Ray answered {error.code} {said[:200]}".strip()) from error
    except (OSError, http.client.HTTPException) as error:
        raise RayUnreachable(f"Ray does not answer: {error}") from error


def parse(answer: bytes) -> list[RayNode]:
    """The nodes in an answer of Ray's state API.

    Raises:
        RayUnreachable: if it is something else.
    """
    try:
        listed = json.loads(answer)["data"]["result"]["result"]
        return [
            RayNode(
                address=node["node_ip"],
                state=node["state"],
                reason=node.get("state_message") or "",
                started=(node.get("start_time_ms") or 0) / 1000,
            )
            for node in listed
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise RayUnreachable("Ray's answer is not a list of nodes") from error
