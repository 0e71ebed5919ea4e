"""A sandbox with simulated nodes whose programs change under it, and what must not change with them."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from sandbox.environment import Environment, Report
from sandbox.kube_api import KubeApi
from sandbox.node_kind import NodeKind
from sandbox.progress import Progress
from sandbox.toolchain import Toolchain
from tests.upgrades.record import ROOT

NAMESPACE, CLUSTER = "team-a", "ray"
# Ray, mesh and operator are what these upgrades are about.
WITHOUT_USERS: Mapping[str, Any] = {"kbatch": None, "jupyterhub": None}


class Upgraded:
    """One sandbox, and whatever runs in it now."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.environment = Environment(ROOT, Progress(), state=state)

    def up(self, toolchain: Toolchain | None = None, **overrides: Any) -> Report:
        """`up` with these tools and settings; every Ray cluster is ready then."""
        self.environment = Environment(
            ROOT, Progress(), state=self.state, overrides=overrides, toolchain=toolchain
        )
        report = self.environment.up(NodeKind.SIMULATED)
        assert all(cluster.ready for cluster in report.clusters)
        return report

    def down(self) -> None:
        """Take it down, whatever state it is in."""
        self.environment.down(force=True)

    def get(self, path: str) -> dict[str, Any]:
        """An object, or a list, of the API server."""
        with KubeApi(self.environment.kubeconfig) as api:
            found = api.get(path)
        assert found is not None, path
        return found

    def ray_cluster(self) -> dict[str, Any]:
        """The RayCluster."""
        return self.get(f"/apis/ray.io/v1/namespaces/{NAMESPACE}/rayclusters/{CLUSTER}")

    def pods(self) -> dict[str, dict[str, Any]]:
        """The Pods of the Ray cluster that are not on their way out, by uid."""
        listed = self.get(f"/api/v1/namespaces/{NAMESPACE}/pods?labelSelector=ray.io/cluster%3D{CLUSTER}")
        return {
            pod["metadata"]["uid"]: pod
            for pod in listed["items"]
            if not pod["metadata"].get("deletionTimestamp")
        }

    def head(self) -> dict[str, Any]:
        """The head's Pod."""
        (found,) = (
            pod for pod in self.pods().values() if pod["metadata"]["labels"]["ray.io/node-type"] == "head"
        )
        return found

    def token(self, name: str) -> str:
        """The token in a Secret."""
        secret = self.get(f"/api/v1/namespaces/{NAMESPACE}/secrets/{name}")
        return base64.b64decode(secret["data"]["auth_token"]).decode()

    def program(self, name: str) -> str:
        """The executable that runs for a Deployment, such as `istiod`."""
        (pid,) = (each.pid for each in self.environment.processes() if each.name == name)
        return str(Path(f"/proc/{pid}/exe").resolve())

    def uids(self) -> dict[str, str]:
        """The uid of every object in Pulumi's state, by the type and name of its resource."""
        (file,) = (self.state / "engine" / "backend" / ".pulumi" / "stacks").rglob("sandbox.json")
        resources = json.loads(file.read_text())["checkpoint"]["latest"]["resources"]
        return {
            each["urn"].split("::", 2)[2].rsplit("$", 1)[-1]: each["outputs"]["metadata"]["uid"]
            for each in resources
            if isinstance(each.get("outputs", {}).get("metadata"), dict)
        }


def workspaces(**cluster: Any) -> list[dict[str, Any]]:
    """The stack file's workspaces, with settings of its Ray cluster laid over."""
    written = yaml.safe_load((ROOT / "stacks" / "Pulumi.sandbox.yaml").read_text())["config"]
    changed: list[dict[str, Any]] = deepcopy(written["rayfort:workspaces"])
    changed[0]["clusters"][0].update(cluster)
    return changed


def gone(before: Mapping[str, str], after: Mapping[str, str]) -> set[str]:
    """What is not the same object any more."""
    return {name for name, uid in before.items() if after.get(name) != uid}
