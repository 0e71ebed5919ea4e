"""`pulumi up` of a real Kind cluster; `test_real_cluster.py` runs this in the network of its ports."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
import pytest
import yaml
from rayfort import KindCluster, KindClusterArgs

from sandbox.plugins.install import install_dynamic
from sandbox.progress import Progress
from sandbox.toolchain import Toolchain
from tests.kind.node_image import NAME, VERSION
from tests.sandbox.engine_site import Site, Stack

pytestmark = pytest.mark.timeout(1500)

CLUSTER = "real"


class Machine:
    """A machine on which docker answers."""

    def __init__(self, directory: Path) -> None:
        self._tools = Toolchain(progress=Progress(quiet=True)).ensure(["pulumi", "helm", "kubectl", "kind"])
        self.home = directory / "user"  # `home` is Pulumi's
        self.home.mkdir()
        self.site = Site(directory, "", self._tools)
        programs = install_dynamic(directory / "bin", Path(sys.executable))
        (programs / "kind").symlink_to(self._tools["kind"])
        self.environment = {
            "PATH": os.pathsep.join([str(programs), self.site.environment["PATH"]]),
            "HOME": str(self.home),
            "XDG_STATE_HOME": "",
            "KUBECONFIG": "",
        }

    def stack(self, workers: int, **environment: str) -> Stack:
        args = KindClusterArgs(
            name=CLUSTER, image=NAME, kubernetes_version=VERSION.removeprefix("v"), workers=workers
        )
        return Stack(self.site, "real", lambda: program(args), **self.environment, **environment)

    def up(self, stack: Stack) -> None:
        self.site.config_path.write_text(stack.up()["kubeconfig"])

    def delete_by_hand(self) -> None:
        command = [self._tools["kind"], "delete", "cluster", "--name", CLUSTER, "--kubeconfig", "/dev/null"]
        environment = {**os.environ, "KIND_EXPERIMENTAL_PROVIDER": "docker"}
        subprocess.run(command, env=environment, check=True, capture_output=True)

    def containers(self) -> set[str]:
        command = ["docker", "ps", "--all", "--format", "{{.Names}}"]
        return set(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())

    def nodes(self) -> dict[str, str]:
        """Which nodes are ready, with their version."""
        return {
            item["metadata"]["name"]: item["status"]["nodeInfo"]["kubeletVersion"]
            for item in self.site.get("nodes")["items"]
            if any(
                each["type"] == "Ready" and each["status"] == "True" for each in item["status"]["conditions"]
            )
        }

    def pods(self) -> list[Any]:
        return [each["status"]["phase"] for each in self.site.get("pods", "-n", "default")["items"]]


def program(args: KindClusterArgs) -> None:
    cluster = KindCluster("cluster", args)
    labels = {"app": "pause"}
    # An image that every node has.
    pod = {"containers": [{"name": "pause", "image": os.environ["PAUSE_IMAGE"]}]}
    k8s.apps.v1.Deployment(
        "pause",
        metadata={"name": "pause", "namespace": "default"},
        spec={
            "replicas": 2,
            "selector": {"match_labels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
        opts=pulumi.ResourceOptions(provider=cluster.provider, deleted_with=cluster.provider),
    )
    pulumi.export("kubeconfig", cluster.kubeconfig)


def test_a_real_cluster_lives_as_pulumi_says(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    stack = machine.stack(workers=1)
    machine.up(stack)
    both = {"real-control-plane": VERSION, "real-worker": VERSION}
    assert machine.nodes() == both
    assert machine.containers() == both.keys()
    assert machine.pods() == ["Running"] * 2
    stack.expect_no_changes()
    stack.refresh()
    stack.expect_no_changes()
    key = yaml.safe_load(machine.site.config_path.read_text())["users"][0]["user"]["client-key-data"]
    assert key not in stack.stored()
    assert key not in stack.said

    machine.delete_by_hand()
    # Of what was on it nobody can be asked any more.
    stack = machine.stack(workers=1, PULUMI_K8S_DELETE_UNREACHABLE="true")
    stack.refresh()
    machine.up(stack)
    assert machine.nodes() == both
    assert machine.pods() == ["Running"] * 2

    smaller = machine.stack(workers=0)
    machine.up(smaller)
    assert machine.nodes() == {"real-control-plane": VERSION}
    assert machine.pods() == ["Running"] * 2
    smaller.expect_no_changes()

    machine.delete_by_hand()
    smaller.destroy()
    assert not machine.containers()
    # Neither ~/.kube nor anything else of the user's.
    written = {str(each.relative_to(machine.home)) for each in machine.home.rglob("*") if each.is_file()}
    assert written <= {".local/state/rayfort/kind/docker-real"}
