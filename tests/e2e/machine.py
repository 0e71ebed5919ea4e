"""What a sandbox could change on the machine that carries it, for a look before and a look after."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from sandbox.node import link
from sandbox.node.cgroup import ControlGroup

# Programs that print the machine's packet filters, where it has them.
FILTER_COMMANDS = (("iptables-save",), ("ip6tables-save",), ("nft", "--stateless", "list", "ruleset"))
# Where the node's programs would keep their files if they ran on the machine itself.
PLACES = (
    *(
        "/etc/cni",
        "/etc/kubernetes",
        "/etc/calico",
        "/opt/cni",
        "/run/calico",
        "/run/containerd",
        "/run/netns",
    ),
    *("/var/lib/calico", "/var/lib/cni", "/var/lib/containerd", "/var/lib/etcd", "/var/lib/kubelet"),
    *("/var/log/containers", "/var/log/pods"),
)
SETTINGS = ("net/core", "net/ipv4", "net/ipv6", "kernel", "vm")
# What the kernel changes by itself, or with every process.
_VOLATILE = re.compile(r"kernel/(random/|ns_last_pid|pty/nr|perf_event_max_sample_rate)|vm/stat_refresh")
_COUNTERS = re.compile(r"\[\d+:\d+\]")
_SANDBOX = re.compile(r"rayfort-?([0-9a-f]{8})\b")


def look() -> frozenset[str]:
    """Everything, a line each."""
    return frozenset(
        [
            *(f"mount {line}" for line in _mounts()),
            *(f"interface {each.name}" for each in Path("/sys/class/net").iterdir()),
            *(f"route {line}" for line in _routes()),
            *(f"filter {line}" for command in FILTER_COMMANDS for line in filters(command)),
            *(f"setting {line}" for line in _settings()),
            *(f"group {line}" for line in _groups()),
            *(f"place {path}" for path in PLACES if Path(path).exists()),
        ]
    )


def changes(before: frozenset[str], after: frozenset[str], state: Path) -> list[str]:
    """The lines that only one of two looks has, but for those of other sandboxes than that in `state`."""
    own = link.identity(state)
    found = {f"- {line}" for line in before - after} | {f"+ {line}" for line in after - before}
    return sorted(line for line in found if all(other == own for other in _SANDBOX.findall(line)))


def filters(command: Sequence[str]) -> list[str]:
    """The packet filters that a program prints, without counters; none where it is not there."""
    if shutil.which(command[0]) is None:
        return []
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [_COUNTERS.sub("", line) for line in done.stdout.splitlines() if not line.startswith("#")]


def processes(state: Path) -> list[str]:
    """What runs for the sandbox in `state`, not counting whoever asks."""
    group, text = f"/rayfort-{link.identity(state)}", os.fsencode(state)
    asking = {str(pid) for pid in _ancestors(os.getpid())}
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        if process.name in asking:
            continue
        with contextlib.suppress(OSError):
            command = (process / "cmdline").read_bytes()  # empty for a zombie
            told = text in command or text in (process / "environ").read_bytes()
            if command and (told or group in (process / "cgroup").read_text()):
                found.append(f"{process.name} {command.replace(bytes(1), b' ').decode(errors='replace')}")
    return found


def _ancestors(pid: int) -> Iterator[int]:
    while pid:
        yield pid
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _mounts() -> Iterator[str]:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        _, _, device, root, point, *rest = line.split()
        yield f"{point} {device} {root} {rest[rest.index('-') + 1]}"


def _routes() -> Iterator[str]:
    for line in Path("/proc/net/route").read_text().splitlines()[1:]:
        interface, destination, gateway, _, _, _, _, mask, *_ = line.split()
        yield f"{interface} {destination}/{mask} {gateway}"
    table = Path("/proc/net/ipv6_route")
    for line in table.read_text().splitlines() if table.exists() else []:
        destination, prefix, *_, interface = line.split()
        yield f"{interface} {destination}/{prefix}"


def _settings() -> Iterator[str]:
    root = Path("/proc/sys")
    for folder in SETTINGS:
        for file in (root / folder).rglob("*"):
            name = str(file.relative_to(root))
            if _VOLATILE.match(name) or not file.is_file():
                continue
            with contextlib.suppress(OSError):  # some can only be written
                yield f"{name} {file.read_text().strip()}"


def _groups() -> Iterator[str]:
    for each in ControlGroup("").directories:
        yield from (str(child) for child in each.iterdir() if child.is_dir())
