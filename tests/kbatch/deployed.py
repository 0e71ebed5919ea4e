"""The platform that all tests of kbatch share: two workspaces, and users with and without one."""

from __future__ import annotations

import copy
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rayfort.proxy.kbatch_config import user_namespace

from sandbox.environment import Report
from sandbox.node_kind import NodeKind
from tests.e2e.sandbox import Sandbox, stack_file

OWN, FOREIGN = "team-a", "team-b"  # workspaces
CLUSTER = "ray"  # of both, on purpose
ALICE, BOB = "alice", "bob"  # of the first workspace, and of the second
PLAIN = "carol.plain@example.org"  # of no workspace
OUTSIDER = "eve"  # in the hub, which gives her no right to use kbatch
# To whom the hub gives the right, but not in the settings: their namespaces are not there, or not theirs.
STRANGERS = ("mallory", "kube-system", "alice.", "batch-system")
PROXY_NAMESPACE = "batch-system"
JOB_SECRET = "dask-" + secrets.token_hex(16)  # a variable of every job
REGISTRY = "registry.example/lab/"  # from which jobs may have images
IMAGE = f"{REGISTRY}notebook:1"
PRIORITY = "batch-low"  # that jobs may name
TEMPLATE = "example.org/template"  # an annotation that the job template puts on every job
_LITTLE = {"cpu": "250m", "memory": "2Gi"}


def overrides(**kbatch: Any) -> dict[str, Any]:
    """What is laid over the stack file; `kbatch` over what it says of kbatch."""
    first = copy.deepcopy(stack_file()["rayfort:workspaces"][0])
    first.pop("quota", None)
    ray = {"name": CLUSTER, "head": {"resources": _LITTLE}, "workerGroups": []}
    return {
        "workspaces": [{**first, "clusters": [ray]}, {"name": FOREIGN, "clusters": [ray]}],
        "kbatch": {
            "users": [{"name": ALICE, "workspace": OWN}, {"name": BOB, "workspace": FOREIGN}, PLAIN],
            "profiles": {"small": {"image": IMAGE, "resources": {"requests": {"cpu": "1"}}}},
            "jobs": {"allowedImages": [REGISTRY], "priorityClasses": [PRIORITY]},
            "jobTemplate": {"metadata": {"annotations": {TEMPLATE: "applied"}}},
            # More than one of these tests submits for one user.
            "userQuota": {"count/jobs.batch": "100", "requests.cpu": "16", "requests.memory": "64Gi"},
            "jobEnv": {"DASK_GATEWAY__AUTH__TYPE": JOB_SECRET},
            **kbatch,
        },
        "jupyterhub": None,  # a real one runs on the loopback
    }


class Deployed:
    """The running platform."""

    def __init__(self, state: Path) -> None:
        self.sandbox = Sandbox(state, overrides())
        self.outputs: Mapping[str, Any] = {}

    def up(self, **kbatch: Any) -> Report:
        """Bring it up, with these settings of kbatch."""
        self.sandbox = Sandbox(self.sandbox.state, overrides(**kbatch))
        report = self.sandbox.environment.up(NodeKind.SIMULATED)
        self.outputs = report.outputs
        return report

    @property
    def hub_values(self) -> Mapping[str, Any]:
        """What the stack says to put into the values of a hub."""
        return dict(self.outputs["kbatch"]["jupyterhubValues"])


def namespace(user: str) -> str:
    return user_namespace(user)
