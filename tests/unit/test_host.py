"""Whether a machine can carry a real node is tried, told with a remedy, and leaves nothing behind."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.checks import Check, State, real_nodes
from sandbox import host, host_probe, node_kind
from sandbox.host import Obstacle
from sandbox.images import debian
from sandbox.node_kind import NodeKind

Usage = namedtuple("Usage", "total used free")
WORKS: dict[str, str | None] = {
    "veth": None,
    "bridge": None,
    "nat": None,
    **{f"xt {name}": None for name, _, _ in host_probe.EXTENSIONS},
    "br_netfilter": None,
    "proc": None,
    "overlay": None,
    "kmsg": None,
    "cgroup /sys/fs/cgroup": None,
}


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """What one test finds is forgotten before the next."""
    host._lasting.cache_clear()
    yield
    host._lasting.cache_clear()


class Machine:
    """A machine on which everything works, until a test says otherwise."""

    def __init__(self) -> None:
        self.tried = dict(WORKS)
        self.root = True
        self.sudo = False
        self.unshare_says = ""
        self.missing: set[str] = set()
        self.no_images: str | None = None
        self.commands: list[list[str]] = []

    def run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        self.commands.append(command)
        if command[1:] == ["-n", "true"]:
            return subprocess.CompletedProcess(command, 0 if self.sudo else 1, "", "")
        assert "unshare" in command
        if self.unshare_says:
            return subprocess.CompletedProcess(command, 1, "", self.unshare_says)
        return subprocess.CompletedProcess(command, 0, json.dumps(self.tried), "")

    def which(self, name: str, path: str | None = None) -> str | None:
        return None if name in self.missing else f"/usr/bin/{name}"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    made = Machine()
    groups = tmp_path / "cgroup"
    groups.mkdir()
    (groups / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    real_groups = host.control_groups
    monkeypatch.setattr(host, "control_groups", lambda: real_groups(groups))
    monkeypatch.setattr(host, "_run", made.run)
    monkeypatch.setattr(host, "available_memory_gb", lambda: 32.0)
    monkeypatch.setattr(os, "geteuid", lambda: 0 if made.root else 1000)
    monkeypatch.setattr(shutil, "which", made.which)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(100e9, 0, 100e9))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(debian, "unavailable", lambda: made.no_images)
    return made


def found(tmp_path: Path) -> Obstacle:
    (one,) = host.obstacles(tmp_path)
    return one


def test_a_machine_that_can_do_everything_has_no_obstacle(machine: Machine, tmp_path: Path) -> None:
    assert host.obstacles(tmp_path) == ()
    assert host.why_not_real(tmp_path) is None


def test_the_kernel_is_asked_once_per_process(machine: Machine, tmp_path: Path) -> None:
    host.obstacles(tmp_path)
    host.obstacles(tmp_path)
    assert len(machine.commands) == 1
    (command,) = machine.commands
    assert command[:6] == ["unshare", "--mount", "--uts", "--ipc", "--net", "--cgroup"]
    assert command[-2:] == [str(tmp_path), str(tmp_path / "cgroup" / f"rayfort-probe-{os.getpid()}")]


def test_a_place_that_is_not_there_yet_is_tried_where_it_will_be(machine: Machine, tmp_path: Path) -> None:
    host.obstacles(tmp_path / "not" / "yet")
    assert str(tmp_path) in machine.commands[0]


def test_another_system_is_one_obstacle(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert found(tmp_path).problem == "a node needs Linux"
    assert machine.commands == []


def test_the_sentence_names_the_first_obstacle_and_its_remedy(machine: Machine, tmp_path: Path) -> None:
    machine.tried |= {"veth": "Operation not supported", "overlay": "Invalid argument"}
    assert len(host.obstacles(tmp_path)) == 2
    assert host.why_not_real(tmp_path) == (
        "kernel: no pairs of network interfaces (Operation not supported); load its module, or use a kernel "
        "with VETH."
    )


def test_images_that_cannot_be_built_are_an_obstacle(machine: Machine, tmp_path: Path) -> None:
    machine.no_images = "no source for the release potato"
    assert found(tmp_path).subject == "images"
    assert "potato" in found(tmp_path).problem


def test_without_root_it_says_so_and_with_sudo_it_tries_the_rest(machine: Machine, tmp_path: Path) -> None:
    machine.root = False
    assert found(tmp_path).subject == "rights"
    assert not any("unshare" in command for command in machine.commands)
    host._lasting.cache_clear()
    machine.sudo = True
    machine.tried["bridge"] = "Operation not supported"
    assert [each.subject for each in host.obstacles(tmp_path)] == ["kernel"]
    assert machine.commands[-1][:3] == ["/usr/bin/sudo", "-n", "unshare"]


def test_namespaces_that_cannot_be_made_are_told_in_the_kernels_words(
    machine: Machine, tmp_path: Path
) -> None:
    machine.unshare_says = "unshare: unshare failed: Operation not permitted\n"
    one = found(tmp_path)
    assert one.subject == "namespaces"
    assert "unshare failed: Operation not permitted" in one.problem
    assert "--privileged" in one.remedy


@pytest.mark.parametrize(
    ("name", "subject", "said"),
    [
        ("bridge", "kernel", "no network bridges (why)"),
        ("nat", "kernel", "no address translation by nf_tables (why)"),
        ("br_netfilter", "kernel", "no packet filters within a bridge (why)"),
        ("xt REDIRECT", "kernel", "iptables cannot use REDIRECT"),
        ("overlay", "kernel", "no overlay of directories in"),
        ("proc", "namespaces", "no /proc of its own (why)"),
        ("kmsg", "kernel log", "/dev/kmsg, which the kubelet reads, cannot be read (why)"),
        ("cgroup /sys/fs/cgroup", "control groups", "none can be made in /sys/fs/cgroup (why)"),
    ],
)
def test_each_thing_that_fails_is_an_obstacle_with_a_remedy(
    machine: Machine, tmp_path: Path, name: str, subject: str, said: str
) -> None:
    machine.tried[name] = "why"
    one = found(tmp_path)
    assert one.subject == subject
    assert one.problem.startswith(said)
    assert one.remedy


def test_what_the_kernel_has_but_forbids_needs_rights_and_no_module(machine: Machine, tmp_path: Path) -> None:
    machine.tried["bridge"] = os.strerror(errno.EPERM)
    assert "--privileged" in found(tmp_path).remedy


def test_all_that_is_tried_can_be_told() -> None:
    """A test of the probe whose failure nobody reports would be a hole."""
    for name in WORKS:
        assert len(list(host.read_probe({name: "why"}, Path("/place")))) == 1, name


def test_missing_programs_are_told_with_their_packages(machine: Machine, tmp_path: Path) -> None:
    machine.missing = {"nsenter"}
    assert found(tmp_path) == Obstacle("tools", "nsenter not found on PATH", "install util-linux")
    host._lasting.cache_clear()
    machine.missing = {"apt-get", "dpkg-deb"}
    assert found(tmp_path).remedy.startswith("use Debian, Ubuntu")
    host._lasting.cache_clear()
    machine.missing = {"unshare"}
    machine.commands.clear()
    assert found(tmp_path).subject == "tools"
    assert machine.commands == []


def test_room_counts_until_the_node_is_there(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "available_memory_gb", lambda: 2.5)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(100e9, 91e9, 9e9))
    memory, disk = host.obstacles(tmp_path)
    assert memory.problem == "2.5 GB free, 6 GB needed"
    assert disk.problem == f"9.0 GB free at {tmp_path}, 12 GB needed"
    assert host.obstacles(tmp_path, room=False) == ()
    assert host.why_not_real(tmp_path, room=False) is None


# --- control groups


def group(root: Path, name: str) -> None:
    (root / name).mkdir()
    (root / name / "cgroup.procs").touch()


def test_version_1_has_a_directory_for_each_resource(tmp_path: Path) -> None:
    for name in ("cpu,cpuacct", "memory", "pids", "systemd", "unified"):
        group(tmp_path, name)
    groups = host.control_groups(tmp_path)
    assert [each.parent.name for each in groups] == ["cpu,cpuacct", "memory", "pids"]
    assert list(host.missing_controllers(groups)) == []


def test_what_cannot_be_limited_is_named(tmp_path: Path) -> None:
    group(tmp_path, "cpu,cpuacct")
    (one,) = host.missing_controllers(host.control_groups(tmp_path))
    assert one.problem == "memory, pids cannot be limited"
    assert "cgroup_enable=memory" in one.remedy


def test_version_2_lists_them_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io pids\n")
    (one,) = host.missing_controllers(host.control_groups(tmp_path))
    assert one.problem == "memory cannot be limited"
    (one,) = host.missing_controllers(host.control_groups(tmp_path / "absent"))
    assert one.problem == "cpu, memory, pids cannot be limited"


# --- the probe itself


class FakeKernel:
    """The other end of a netlink socket, with one answer for each message that asks for one."""

    def __init__(self, code: int) -> None:
        self.code = code
        self.sent = b""

    def __call__(self, *_: Any) -> FakeKernel:
        return self

    def __enter__(self) -> FakeKernel:
        return self

    def __exit__(self, *_: Any) -> None:
        pass

    def settimeout(self, _: float) -> None:
        pass

    def bind(self, _: Any) -> None:
        pass

    def send(self, data: bytes) -> None:
        self.sent += data

    def recv(self, _: int) -> bytes:
        # A message of another kind comes first, as the kernel's own report of an extension does.
        other = host_probe._message(77, 0, b"xyz")
        body = self.code.to_bytes(4, sys.byteorder, signed=True) + bytes(16)
        return other + b"\0" + host_probe._message(host_probe._ERROR, 0, body)


TRIED: list[Callable[[], None]] = [
    lambda: host_probe.link("veth"),
    host_probe.nat_chain,
    lambda: host_probe.extension("owner", 1, 0),
]


@pytest.mark.parametrize("tried", TRIED, ids=["link", "nat", "extension"])
def test_the_kernels_answer_is_the_verdict(
    tried: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "socket", FakeKernel(0))
    assert host_probe._failure(tried) is None
    monkeypatch.setattr(socket, "socket", FakeKernel(-errno.ENOENT))
    assert host_probe._failure(tried) == os.strerror(errno.ENOENT)


def test_the_probe_prints_what_fails_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever this machine lets the caller do: files that were made are gone, and every answer is there."""
    monkeypatch.setattr(socket, "socket", FakeKernel(-errno.EPERM))

    def refuse(*_: Any) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(host_probe, "_mount", refuse)
    own = tmp_path / "groups"
    own.mkdir()
    assert host_probe.main(tmp_path, [own / "probe", tmp_path / "absent" / "probe"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert set(said) - {f"cgroup {own}", f"cgroup {tmp_path / 'absent'}"} == set(WORKS) - {
        "cgroup /sys/fs/cgroup"
    }
    assert said["veth"] == said["overlay"] == said["proc"] == os.strerror(errno.EPERM)
    assert said[f"cgroup {own}"] is None
    assert said[f"cgroup {tmp_path / 'absent'}"] == os.strerror(errno.ENOENT)
    assert sorted(tmp_path.rglob("*")) == [own]


# --- doctor


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of a sandbox that never ran."""
    monkeypatch.setenv("RAYFORT_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


def test_doctor_says_which_nodes_up_will_choose(machine: Machine, state: Path) -> None:
    assert list(real_nodes.checks()) == [Check("nodes", State.OK, real_nodes.REAL)]
    assert str(state.parent) in machine.commands[0]


def test_an_obstacle_is_a_warning_since_the_sandbox_works_without(machine: Machine, state: Path) -> None:
    machine.tried["overlay"] = "Invalid argument"
    choice, check = real_nodes.checks()
    assert choice == Check("nodes", State.WARN, real_nodes.SIMULATED)
    assert check.subject == "real nodes, kernel"
    assert check.state is State.WARN
    assert check.remedy


def test_a_sandbox_that_is_there_keeps_its_kind(
    machine: Machine, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "available_memory_gb", lambda: 1.0)
    node_kind.choose(state, NodeKind.SIMULATED, lambda: None)
    kept, memory = real_nodes.checks()
    assert (kept.state, kept.text) == (State.OK, "this sandbox has simulated nodes, as when it was made")
    assert memory.subject == "real nodes, memory"
    (state / "nodes").write_text("real\n")
    assert [check.text for check in real_nodes.checks()] == [real_nodes.KEPT.format("real")]
