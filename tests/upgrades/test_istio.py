"""istiod from one minor version to the next, in place: no Pod is replaced, and sidecars of both are one mesh.

The istiod of the version before is built here, out of the branch of its releases. On simulated nodes one
istiod is a process of this machine, so that two beside each other are for `tests/e2e/test_upgrade.py`.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sandbox.tools.catalog import ISTIO
from tests.ray.nodes import until
from tests.upgrades import older
from tests.upgrades.upgraded import NAMESPACE, WITHOUT_USERS, Upgraded, gone

BEFORE = f"{older.ISTIO_MINOR}.4"
MESH = "/api/v1/namespaces/istio-system/configmaps/istio"


def sidecar(pod: dict[str, Any]) -> str:
    """The version of a Pod's sidecar."""
    (found,) = (each for each in pod["spec"]["initContainers"] if each["name"] == "istio-proxy")
    return str(found["image"].rpartition(":")[2])


def test_istiod_of_another_minor_version_takes_over(make: Callable[[Path | None], Upgraded]) -> None:
    sandbox = make(None)
    mesh = {"mesh": {"version": BEFORE, "tag": BEFORE}}
    sandbox.up(older.toolchain({ISTIO}), **WITHOUT_USERS, **mesh)
    before, pods, ray = sandbox.uids(), sandbox.pods(), sandbox.ray_cluster()
    assert {sidecar(pod) for pod in pods.values()} == {BEFORE}
    first = sandbox.program("istiod")

    sandbox.up(None, **WITHOUT_USERS)
    assert sandbox.program("istiod") != first
    assert "TLSV1_3" in sandbox.get(MESH)["data"]["mesh"]
    assert gone(before, sandbox.uids()) == set()
    assert sandbox.pods().keys() == pods.keys()
    assert sandbox.ray_cluster()["metadata"]["generation"] == ray["metadata"]["generation"]

    # What is made from now on has a sidecar of the new version, beside the head's old one.
    (worker,) = (
        pod["metadata"]["name"]
        for pod in pods.values()
        if pod["metadata"]["labels"]["ray.io/node-type"] == "worker"
    )
    kubectl = [str(sandbox.environment.tool("kubectl")), "--kubeconfig", str(sandbox.environment.kubeconfig)]
    subprocess.run([*kubectl, "delete", "pod", worker, "--namespace", NAMESPACE], check=True)

    def both() -> bool:
        now = sandbox.pods().values()
        running = [pod for pod in now if pod["status"]["phase"] == "Running"]
        return len(running) == 2 and len({sidecar(pod) for pod in running}) == 2

    until(both, 180, lambda: "a worker with the new sidecar")
    assert sidecar(sandbox.head()) == BEFORE
    assert not sandbox.environment.preview().any
