"""`KindCluster` under Pulumi's own engine, with the real `kind`, and docker in name only.

What `kind` asks of docker is answered by `fake_docker.py`; the API server that the nodes would run is the
sandbox's, so that what a program puts on its cluster arrives somewhere.
"""

from __future__ import annotations

import base64
import contextlib
import gc
import json
import os
import pickletools
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
import pytest
import yaml
from pulumi import automation
from rayfort import KindCluster, KindClusterArgs, versions

from sandbox.plugins.install import install_dynamic
from sandbox.toolchain import Toolchain
from tests.sandbox.engine_site import ROOT, Site, Stack

pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

CLUSTER = "pulumi-python:dynamic/rayfort:KindCluster"
ARGS = KindClusterArgs(name="laptop", ready_seconds=60)
NODES = {"laptop-control-plane", "laptop-worker"}


def script(path: Path, *command: str | Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\nexec {shlex.join(map(str, command))} "$@"\n')
    path.chmod(0o755)


class Machine:
    """A machine with docker (in name), kind, and a home directory."""

    def __init__(self, directory: Path, site: Site, kind: Path) -> None:
        self.site = site
        self.docker, self.home, self._bin = directory / "docker", directory / "home", directory / "bin"
        self.docker.mkdir()
        self.home.mkdir()
        install_dynamic(self._bin, Path(sys.executable))
        script(self._bin / "docker", sys.executable, ROOT / "tests" / "sandbox" / "fake_docker.py")
        (self._bin / "kind").symlink_to(kind)
        (self.docker / "admin.conf").write_text(inlined(site.kubeconfig))

    def environment(self, *without: str) -> dict[str, str]:
        """Variables for the engine; some programs may be missing."""
        folder = self._bin
        if without:
            folder = self._bin.with_name("bin-without-" + "-".join(without))
            shutil.copytree(self._bin, folder, symlinks=True, dirs_exist_ok=True)
            for name in without:
                (folder / name).unlink(missing_ok=True)
        path = self.site.environment["PATH"].split(os.pathsep)[0]
        system = [each for each in os.defpath.split(os.pathsep) if each]
        return {
            "PATH": os.pathsep.join([str(folder), path, "/usr/sbin", *system]),
            "HOME": str(self.home),
            "XDG_STATE_HOME": "",
            "KUBECONFIG": "",
            "FAKE_DOCKER": str(self.docker),
        }

    def stack(self, name: str, args: KindClusterArgs = ARGS, *without: str) -> Stack:
        return Stack(self.site, name, lambda: program(name, args), **self.environment(*without))

    def kind(self, *arguments: str) -> str:
        """What a person does by hand."""
        command = [str(self._bin / "kind"), *arguments]
        environment = os.environ | self.environment() | {"KIND_EXPERIMENTAL_PROVIDER": "docker"}
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

    def known(self) -> dict[str, Any]:
        path = self.docker / "state.json"
        return json.loads(path.read_text()) if path.exists() else {"containers": {}, "calls": []}

    def containers(self) -> dict[str, Any]:
        return self.known()["containers"]

    def made(self) -> int:
        """How often a control plane was started."""
        return sum(call[1:3] == ["kubeadm", "init"] for call in self.known()["calls"])

    def untouched(self) -> bool:
        """Whether nothing of the user's was written, and nothing temporary is left in reach."""
        written = {str(each.relative_to(self.home)) for each in self.home.rglob("*") if each.is_file()}
        return all(each.startswith(".local/state/rayfort/kind/docker-") for each in written)


def inlined(kubeconfig: str) -> str:
    """A kubeconfig in the form that kubeadm writes in a node: certificates and all."""
    given = yaml.safe_load(kubeconfig)

    def data(owner: dict[str, Any], key: str) -> None:
        owner[f"{key}-data"] = base64.b64encode(Path(owner.pop(key)).read_bytes()).decode()

    data(given["clusters"][0]["cluster"], "certificate-authority")
    for key in ("client-certificate", "client-key"):
        data(given["users"][0]["user"], key)
    return yaml.safe_dump(given)


def clusters(stack: Stack) -> list[dict[str, Any]]:
    """What the stack's state says of its cluster."""
    deployment = stack._stack.export_stack().deployment or {}
    return [each for each in deployment.get("resources", []) if each["type"] == CLUSTER]


def program(name: str, args: KindClusterArgs) -> None:
    cluster = KindCluster("cluster", args)
    k8s.core.v1.ConfigMap(
        "note",
        metadata={"namespace": "default", "labels": {"stack": name}},
        data={"on": args.context},
        # The provider is replaced with the cluster: by it the engine knows that this is gone as well.
        opts=pulumi.ResourceOptions(provider=cluster.provider, deleted_with=cluster.provider),
    )
    pulumi.export("kubeconfig", cluster.kubeconfig)


@pytest.fixture(scope="module")
def kind(toolchain: Toolchain) -> Path:
    return toolchain.ensure(["kind"])["kind"]


@pytest.fixture
def machine(site: Site, kind: Path, tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path, site, kind)
    yield made
    gc.collect()  # coroutines that a program which failed leaves behind in the SDK
    assert made.untouched()


def failure(act: Callable[[], object]) -> str:
    with pytest.raises(automation.CommandError) as failed:
        act()
    gc.collect()
    return str(failed.value)


def test_a_cluster_is_made_kept_noticed_as_gone_replaced_and_deleted(machine: Machine) -> None:
    stack = machine.stack("life")
    kubeconfig = yaml.safe_load(stack.up()["kubeconfig"])
    assert machine.containers().keys() == NODES
    image = KindClusterArgs().node_image
    assert {each["image"] for each in machine.containers().values()} == {image}
    assert "@sha256:" in image
    assert kubeconfig["current-context"] == "kind-laptop"
    [note] = machine.site.get("configmap", "-l", "stack=life")["items"]
    assert note["data"] == {"on": "kind-laptop"}

    # No secret in clear text: neither in the state nor in what the engine said.
    key = kubeconfig["users"][0]["user"]["client-key-data"]
    assert key not in stack.stored()
    assert key not in stack.said

    # What is kept of the provider is a name.
    pickled = base64.b64decode(clusters(stack)[0]["inputs"]["__provider"])
    names = [argument for operation, argument, _ in pickletools.genops(pickled) if isinstance(argument, str)]
    assert "rayfort.cluster.kind.provider" in names
    assert len(pickled) < 200

    stack.expect_no_changes()
    stack.up()
    assert machine.made() == 1

    # Somebody deletes it.
    machine.kind("delete", "cluster", "--name", "laptop", "--kubeconfig", str(machine.docker / "kubeconfig"))
    stack.refresh()
    assert not clusters(stack)
    stack.up()
    assert machine.containers().keys() == NODES
    assert machine.made() == 2

    # Somebody removes a node.
    subprocess.run(
        [machine.docker.parent / "bin" / "docker", "rm", "-f", "laptop-worker"],
        env=os.environ | machine.environment(),
        check=True,
        stdout=subprocess.DEVNULL,
    )
    stack.refresh()
    stack.up()
    assert machine.containers().keys() == NODES
    assert machine.made() == 3

    # Another version is another cluster; another patience is not.
    newer = machine.stack("life", ARGS.model_copy(update={"kubernetes_version": "1.37.0"}))
    assert newer.preview()["replace"] >= 1
    newer.up()
    assert {each["image"].partition("@")[0] for each in machine.containers().values()} == {
        f"{versions.KIND_NODE_REPOSITORY}:v1.37.0"
    }
    assert machine.made() == 4
    patient = ARGS.model_copy(update={"kubernetes_version": "1.37.0", "ready_seconds": 90})
    patient_stack = machine.stack("life", patient)
    patient_stack.expect_no_changes()
    patient_stack.up()
    assert machine.made() == 4

    patient_stack.destroy()
    assert not machine.containers()


def test_several_control_planes_and_no_workers(machine: Machine) -> None:
    """The container of the load balancer between them is no node."""
    stack = machine.stack("wide", KindClusterArgs(name="wide", control_planes=3, workers=0, ready_seconds=10))
    failed = failure(stack.up)  # the sandbox has two nodes
    assert "2 of 3 nodes have registered" in failed
    assert not machine.containers()
    roles = {call[0] for call in machine.known()["calls"] if call[1:3] == ["kubeadm", "join"]}
    assert roles == {"wide-control-plane2", "wide-control-plane3"}


def test_a_cluster_that_is_gone_already_is_deleted(machine: Machine) -> None:
    stack = machine.stack("gone")
    stack.up()
    machine.kind("delete", "cluster", "--name", "laptop", "--kubeconfig", str(machine.docker / "kubeconfig"))
    stack.destroy()
    assert not clusters(stack)


def test_somebody_elses_cluster_is_left_alone(machine: Machine) -> None:
    machine.stack("first").up()
    made = machine.known()["containers"]
    failed = failure(machine.stack("second").up)
    assert "there is a Kind cluster 'laptop' already" in failed
    assert "kind delete cluster --name laptop" in failed
    assert "Traceback" not in failed
    assert machine.containers() == made


def test_what_is_missing_is_told_before_anything_is_made(machine: Machine) -> None:
    cases = {
        "docker": "docker is not on PATH",
        "kind": "kind is not on PATH",
    }
    for program_name, said in cases.items():
        assert said in failure(machine.stack("missing", ARGS, program_name).preview)
    (machine.docker / "down").touch()
    stack = machine.stack("down")
    failed = failure(stack.up)
    assert "docker is installed and does not answer: Cannot connect to the Docker daemon" in failed
    assert "start the container runtime" in failed
    assert not machine.containers()


def test_a_daemon_that_does_not_answer_is_no_deleted_cluster(machine: Machine) -> None:
    stack = machine.stack("asleep")
    stack.up()
    (machine.docker / "down").touch()
    for act in (stack.refresh, stack.destroy):
        assert "Cannot connect to the Docker daemon" in failure(act)
    assert clusters(stack)
    (machine.docker / "down").unlink()
    (machine.docker / "stopped").touch()
    failed = failure(stack.refresh)
    assert "nodes of the cluster are stopped" in failed
    (machine.docker / "stopped").unlink()
    stack.destroy()
    assert not machine.containers()


def test_a_failed_creation_leaves_nothing_and_can_be_repeated(machine: Machine) -> None:
    (machine.docker / "no-image").touch()
    stack = machine.stack("again")
    failed = failure(stack.up)
    assert "manifest unknown" in failed
    assert "a mirror's copy with `image`" in failed
    assert not machine.containers()
    (machine.docker / "no-image").unlink()
    stack.up()
    assert machine.containers().keys() == NODES
    stack.destroy()


def processes_of(machine: Machine) -> dict[int, str]:
    """Processes that were started for this machine: by its variable in their environment."""
    mark = f"FAKE_DOCKER={machine.docker}".encode()
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
    return found


@pytest.mark.parametrize("dies", ["everything", "the engine"])
def test_an_interrupted_creation_is_cleaned_up_by_the_next_one(machine: Machine, dies: str) -> None:
    """The machine loses power, or the engine alone is killed, while nodes are there and Kubernetes is not."""
    hold = machine.docker / "hold"
    hold.touch()
    stack = machine.stack("cut")
    with killed(machine, dies), pytest.raises(automation.CommandError):
        stack.up()
    gc.collect()
    assert machine.containers().keys() == (NODES if dies == "everything" else set())
    hold.unlink()
    again = machine.stack("cut")
    again._stack.cancel()  # the dead engine's lock on the stack
    again.up()
    assert machine.containers().keys() == NODES
    again.expect_no_changes()
    again.destroy()


@contextlib.contextmanager
def killed(machine: Machine, what: str) -> Iterator[None]:
    """Kill what works for a machine as soon as its first node is made into a control plane."""

    def kill() -> None:
        deadline = time.monotonic() + 120
        while machine.made() == 0 and time.monotonic() < deadline:
            time.sleep(0.1)
        for pid, command in processes_of(machine).items():
            if what == "everything" or "/pulumi --non-interactive up" in command:
                os.kill(pid, signal.SIGKILL)
        # The plugin outlives the engine, stops `kind`, cleans up, and would hold the output open.
        deadline = time.monotonic() + 300
        while what != "everything" and machine.containers() and time.monotonic() < deadline:
            time.sleep(0.1)
        for pid in processes_of(machine):
            os.kill(pid, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    yield
    thread.join()
