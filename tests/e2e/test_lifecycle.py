"""What a sandbox does to the machine, what it survives, and what it leaves behind: nothing.

These tests end the sandbox that all others share, so they run last.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sandbox.node import link
from sandbox.node.enclosure import HOLDER
from sandbox.processes import ProcessTable
from tests.e2e import machine
from tests.e2e.sandbox import REUSE, ROOT, Sandbox, say, wait_for

pytestmark = pytest.mark.real

SEED = "RAYFORT_TEST_SEED"  # repeats the random moments of an earlier run


@pytest.fixture(scope="module")
def own(
    machine_before: frozenset[str], request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sandbox]:
    """A sandbox that may be ended: the shared one, unless that is somebody's own."""
    if REUSE not in os.environ:
        yield request.getfixturevalue("sandbox")
        return
    made = Sandbox(tmp_path_factory.mktemp("life cycle") / "sandbox")
    try:
        made.up()
        yield made
    finally:
        made.environment.down(force=True)


@pytest.fixture(scope="module")
def chance() -> random.Random:
    seed = int(os.environ.get(SEED, time.time()))
    say(f"{SEED}={seed}")
    return random.Random(seed)


def test_the_machine_is_not_touched_while_it_runs(machine_before: frozenset[str], own: Sandbox) -> None:
    found = machine.changes(machine_before, machine.look(), own.state)
    pair = f"rayfort{link.identity(own.state)}"
    allowed = ("+ interface", "+ route", "+ setting net/", "+ group")
    assert [
        line for line in found if not (line.startswith(allowed) and link.identity(own.state) in line)
    ] == []
    assert f"+ interface {pair}" in found
    assert len([line for line in found if line.startswith(f"+ route {pair} ") and "C6/FCFFFFFF" in line]) == 1

    # A machine may have no program that shows its packet filters; the node's own look at them then.
    holder = ProcessTable(own.state).running(HOLDER)
    assert holder
    look = ("nsenter", f"--target={holder.pid}", "--mount", "--", "iptables-save")
    assert any("KUBE-SERVICES" in line for line in machine.filters((*look[:2], "--net", *look[2:])))
    assert not any("KUBE-" in line or "cali" in line or pair in line for line in machine.filters(look))


@pytest.mark.parametrize("daemon", ["kubelet", "containerd"])
def test_killed_daemon_is_healed(own: Sandbox, chance: random.Random, daemon: str) -> None:
    before = ray_containers(own)
    with own.holding(newborn(own, daemon)):
        time.sleep(chance.uniform(0, 3))  # somewhere in the start of that Pod
        kill(own, daemon)
        with timed(f"up after the death of {daemon}"):
            own.up()
        wait_for(lambda: own.execute(daemon, "true", namespace="default").ok, 60, "the new Pod runs")
    assert ray_containers(own) == before


def test_lost_namespaces_are_made_anew(own: Sandbox) -> None:
    before = ray_containers(own)
    kill(own, HOLDER)
    with timed("up after the loss of the namespaces, which is that of a reboot"):
        own.up()
    after = ray_containers(own)
    assert len(after) == len(before)
    assert not after & before


def test_stop_leaves_nothing_running_and_a_killed_up_is_taken_over(
    machine_before: frozenset[str], own: Sandbox, chance: random.Random
) -> None:
    with timed("stop"):
        own.environment.stop()
    assert machine.processes(own.state) == []
    assert machine.changes(machine_before, machine.look(), own.state) == []

    killed_up(own.state, chance.uniform(0, 20))
    with timed("up after a killed up"):
        own.up()


def test_down_leaves_nothing(machine_before: frozenset[str], own: Sandbox) -> None:
    with timed("down"):
        done = own.rayfort("down")
    assert done.ok, done.output
    assert not own.state.exists()
    assert machine.processes(own.state) == []
    assert machine.changes(machine_before, machine.look(), own.state) == []
    again = own.rayfort("down")
    assert (again.code, again.output) == (0, "")


def test_down_clears_what_a_killed_first_up_left(
    machine_before: frozenset[str], tmp_path: Path, chance: random.Random
) -> None:
    young = Sandbox(tmp_path / "sandbox")
    killed_up(young.state, chance.uniform(0, 10))
    with timed("down after a killed first up"):
        done = young.rayfort("down", "--force")
    assert done.ok, done.output
    assert not young.state.exists()
    assert machine.processes(young.state) == []
    assert machine.changes(machine_before, machine.look(), young.state) == []


def killed_up(state: Path, seconds: float) -> None:
    """An `up` that is killed so many seconds after it has made the node's namespaces and the link to them."""
    interface = Path("/sys/class/net") / f"rayfort{link.identity(state)}"
    up = subprocess.Popen(
        [str(ROOT / "rayfort"), "up", "--nodes", "real"],
        env={**os.environ, "RAYFORT_STATE": str(state)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(interface.exists, 120, "the link to the node")
        time.sleep(seconds)
        assert up.poll() is None, "it ended by itself"
    finally:
        up.kill()
        up.wait()
    say(f"killed {seconds:.1f} s after it made the link")


def kill(sandbox: Sandbox, name: str) -> None:
    """End a daemon as the kernel does it where memory is short."""
    record = ProcessTable(sandbox.state).running(name)
    assert record, f"{name} does not run"
    os.kill(record.pid, signal.SIGKILL)
    assert ProcessTable(sandbox.state).wait_gone(name, 10)


def ray_containers(sandbox: Sandbox) -> set[str]:
    """The containers of the Ray cluster's Pods, which a restart of any of them changes."""
    pods = [*sandbox.ray_pods("head"), *sandbox.ray_pods("worker")]
    assert pods
    return {
        str(status["containerID"])
        for pod in pods
        for kind in ("initContainerStatuses", "containerStatuses")
        for status in pod["status"][kind]
        if "running" in status["state"]
    }


def newborn(sandbox: Sandbox, name: str) -> dict[str, Any]:
    """A Pod outside the mesh that does nothing."""
    image = sandbox.ray_pods("head")[0]["spec"]["initContainers"][0]["image"]
    container = {"name": "sleep", "image": image, "command": ["sleep", "infinity"]}
    metadata = {"name": name, "namespace": "default"}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


@contextmanager
def timed(what: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    say(f"{what}: {time.monotonic() - began:.0f} s")
