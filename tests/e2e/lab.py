"""A second workspace, with a Ray cluster of each traffic mode and a private file server next to it.

Its sidecars count TLS by version, and its nodes trust the file server's authority. Only the cluster `l4`
mounts the workspace's netrc Secret. A client of another namespace is let in by name, and a gateway exposes
the dashboards.
"""

from __future__ import annotations

import json
import re
import secrets
from collections import Counter
from typing import Any

from tests.e2e import front_door
from tests.e2e.sandbox import Done, Sandbox, stack_file

NAMESPACE = "lab"
L4, L7 = "l4", "l7"
CLIENTS, CLIENT = "analysts", "analyst"  # who may use the clusters, from a namespace of their own
SERVER_NAMESPACE, SERVER = "private-files", "files"
HOST = f"{SERVER}.{SERVER_NAMESPACE}.svc.cluster.local"
LOGIN = "reader"
AUTHORITY = "/tmp/private-authority.pem"
COUNTED = r".*ssl\.(handshake|versions\..*|connection_error)"
_PRESENT = re.compile(r"^\S*ssl\.(?P<what>handshake|versions\.\S+): (?P<count>\d+)$", re.MULTILINE)


def workspace(password: str) -> dict[str, Any]:
    """The workspace, as a stack lists it."""
    return {
        "name": NAMESPACE,
        "netrc": [{"machine": HOST, "login": LOGIN, "password": password}],
        "clients": [{"namespace": CLIENTS, "serviceAccount": CLIENT}],
        "clusters": [_cluster(L4, netrc=True), _cluster(L7, netrc=False)],
    }


def _cluster(name: str, *, netrc: bool) -> dict[str, Any]:
    node = {
        # Room is counted by requests, and both clusters are busy in turn.
        "resources": {"cpu": "0", "memory": "2Gi"},
        "numCpus": 1,
        "env": {"REQUESTS_CA_BUNDLE": AUTHORITY},
        "annotations": {
            "proxy.istio.io/config": json.dumps({"proxyStatsMatcher": {"inclusionRegexps": [COUNTED]}}),
            "sidecar.istio.io/proxyCPU": "10m",
            "sidecar.istio.io/proxyMemory": "128Mi",
        },
    }
    return {
        "name": name,
        "traffic": name,
        "netrc": netrc,
        "head": node,
        "workerGroups": [{"name": "small", "replicas": 1, **node}],
    }


def ensure(sandbox: Sandbox) -> None:
    """Have the workspace in the sandbox, beside what the stack file lists."""
    found = sandbox.kubectl("-n", NAMESPACE, "get", "rayclusters", L4, L7, "-o", "json")
    if found.ok and front_door.stands(sandbox):
        states = [each.get("status", {}).get("state") for each in json.loads(found.output)["items"]]
        if states == ["ready", "ready"]:
            return
    exposed = front_door.settings(sandbox, NAMESPACE, L4, L7)
    sandbox.up({"workspaces": [*listed(), workspace(secrets.token_urlsafe(24))], "gateway": exposed})


def listed() -> list[Any]:
    """The workspaces of the stack file."""
    return list(stack_file()["rayfort:workspaces"])


def password(sandbox: Sandbox) -> str:
    """The file server's password, as the workspace's Secret has it."""
    entry = sandbox.secret("netrc-secret", ".netrc", NAMESPACE)
    found = re.search(r"password\s+(\S+)", entry)
    assert found, "the netrc Secret holds no password"
    return found[1].strip('"')


def pods(sandbox: Sandbox, cluster: str) -> dict[str, dict[str, Any]]:
    """The head and the worker of a cluster, by their role."""
    roles = ("head", "worker")
    return {role: pod for role in roles for pod in sandbox.ray_pods(role, cluster, NAMESPACE)}


def in_ray(
    sandbox: Sandbox, cluster: str, role: str, *command: str, stdin: str | None = None, seconds: float = 180
) -> Done:
    """Run a command in Ray's container of a node."""
    (pod,) = sandbox.ray_pods(role, cluster, NAMESPACE)
    name = pod["metadata"]["name"]
    return sandbox.execute(
        name, *command, container=f"ray-{role}", namespace=NAMESPACE, stdin=stdin, seconds=seconds
    )


def tls_counters(sandbox: Sandbox, pod: str) -> Counter[str]:
    """Envoy's own count of handshakes, and of TLS versions, over all its listeners and upstreams."""
    ask = ("curl", "--silent", "--show-error", "--fail", "http://127.0.0.1:15000/stats")
    done = sandbox.execute(pod, *ask, container="istio-proxy", namespace=NAMESPACE)
    assert done.ok, done.output
    counted: Counter[str] = Counter()
    for line in _PRESENT.finditer(done.output):
        counted[line["what"]] += int(line["count"])
    return counted
