"""KubeRay from one minor version to the next: what stays, what `up` waits for, and that changes arrive later.

The operator of 1.5 is built here. What it made of a Ray cluster lacks what 1.6 compares with, so that
`Recreate` has no effect on those Pods; and KubeRay writes down that it saw a changed RayCluster only when
something happens to its Pods, which `up` waits for. Both end when the Pods are deleted: docs/upgrades.md.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rayfort import versions

from sandbox.tools.catalog import RAY_OPERATOR
from tests.ray.nodes import until
from tests.upgrades import older
from tests.upgrades.upgraded import CLUSTER, NAMESPACE, WITHOUT_USERS, Upgraded, workspaces

HASH = "ray.io/upgrade-strategy-recreate-hash"
LEFT_ALONE = 15.0  # seconds in which the new operator does nothing to the Pods
OPERATORS_TOKEN = {"auth": {"source": "operator"}}


@dataclass(frozen=True)
class Seen:
    """What was there before the Pods were deleted."""

    pods: set[str]
    generation: int
    observed: int


def test_a_ray_cluster_of_1_5_survives_and_is_made_anew_when_asked(
    make: Callable[[Path | None], Upgraded],
) -> None:
    sandbox = make(None)
    before = {"operator": {"version": older.KUBERAY}, "workspaces": workspaces(**OPERATORS_TOKEN)}
    sandbox.up(older.toolchain({RAY_OPERATOR}), **WITHOUT_USERS, **before)
    ray, pods, token = sandbox.ray_cluster(), sandbox.pods(), sandbox.token(CLUSTER)
    assert "upgradeStrategy" not in ray["spec"]
    assert older.KUBERAY in sandbox.program("kuberay-operator")
    assert HASH not in sandbox.head()["metadata"]["annotations"]

    after: dict[str, Any] = {"operator": {"version": versions.KUBERAY}}
    kubectl = str(sandbox.environment.tool("kubectl"))
    with ThreadPoolExecutor(1) as meanwhile:
        deleted = meanwhile.submit(delete_pods, sandbox, kubectl)
        sandbox.up(None, **WITHOUT_USERS, **after, workspaces=workspaces(**OPERATORS_TOKEN))
        seen = deleted.result()
    assert seen.pods == pods.keys()
    assert seen.observed < seen.generation
    assert versions.KUBERAY in sandbox.program("kuberay-operator")
    until(lambda: anew(sandbox, pods), 180, lambda: "Pods of the new operator")
    assert sandbox.ray_cluster()["metadata"]["uid"] == ray["metadata"]["uid"]
    assert sandbox.token(CLUSTER) == token
    assert HASH in sandbox.head()["metadata"]["annotations"]

    # From then on a change replaces them: here the token that Pulumi makes.
    known = sandbox.pods()
    sandbox.up(None, **WITHOUT_USERS, **after)
    until(lambda: anew(sandbox, known), 180, lambda: "Pods with Pulumi's token")
    name = sandbox.ray_cluster()["spec"]["authOptions"]["secretName"]
    assert sandbox.token(name) != token
    for pod in sandbox.pods().values():
        variables = {each["name"]: each for each in pod["spec"]["containers"][0]["env"]}
        assert variables["RAY_AUTH_TOKEN"]["valueFrom"]["secretKeyRef"]["name"] == name
    assert sandbox.ray_cluster()["metadata"]["uid"] == ray["metadata"]["uid"]


def delete_pods(sandbox: Upgraded, kubectl: str) -> Seen:
    """Wait until `up` has changed the RayCluster, look for a while, then do what docs/upgrades.md says."""
    until(lambda: "upgradeStrategy" in sandbox.ray_cluster()["spec"], 600, lambda: "a changed RayCluster")
    time.sleep(LEFT_ALONE)  # something that does not happen cannot be waited for
    ray, pods = sandbox.ray_cluster(), set(sandbox.pods())
    command = ["delete", "pods", "--namespace", NAMESPACE, "--selector", f"ray.io/cluster={CLUSTER}"]
    subprocess.run(
        [kubectl, *command, "--kubeconfig", str(sandbox.environment.kubeconfig)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return Seen(pods, ray["metadata"]["generation"], ray["status"]["observedGeneration"])


def anew(sandbox: Upgraded, old: Iterable[str]) -> bool:
    """Whether head and worker run, and are other Pods than these."""
    pods = sandbox.pods()
    running = [pod for pod in pods.values() if pod["status"]["phase"] == "Running"]
    return len(running) == 2 and pods.keys().isdisjoint(old)
