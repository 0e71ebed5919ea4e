"""Whether this machine can carry a real node, where containers run and Ray computes.

What the kernel must do is tried, not read from its configuration: `host_probe` does it in namespaces of its
own, which end with it. All that may stay is a kernel module that the kernel loaded for it.
"""

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from sandbox import host_probe
from sandbox.images import debian
from sandbox.node.cgroup import ControlGroup
from sandbox.tools.build import available_memory_gb

# One Ray cluster of two Pods with their sidecars, the control plane and Pulumi at work.
MEMORY_GB: Final = 6.0
# Images, the node's copies of them, and its containers.
DISK_GB: Final = 12.0
NAMESPACES: Final = ("--mount", "--uts", "--ipc", "--net", "--cgroup")
CONTROLLERS: Final = frozenset({"cpu", "memory", "pids"})
# Tool -> the Debian package that has it.
TOOLS: Final = {
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "mount": "mount",
    "tar": "tar",
    "apt-get": "apt",
    "dpkg-deb": "dpkg",
    "perl": "perl-base",
}
_DEBIAN: Final = frozenset({"apt-get", "dpkg-deb"})
_ROOT: Final = Path(__file__).resolve().parent.parent
_PRIVILEGED: Final = "use a virtual machine or a container that may do it (such as `docker run --privileged`)"
_PROBE_SECONDS: Final = 20
_KERNEL: Final = {
    "veth": ("pairs of network interfaces", "VETH"),
    "bridge": ("network bridges", "BRIDGE"),
    "nat": ("address translation by nf_tables", "NF_TABLES, NFT_NAT and NFT_CHAIN_NAT"),
    "br_netfilter": ("packet filters within a bridge", "BRIDGE_NETFILTER"),
}


@dataclass(frozen=True)
class Obstacle:
    """Something that a real node needs and this machine lacks.

    Attributes:
        subject: what was looked at.
        problem: what is wrong.
        remedy: what to do.
    """

    subject: str
    problem: str
    remedy: str


def why_not_real(place: Path = _ROOT, *, room: bool = True) -> str | None:
    """Why this machine cannot carry a real node, as one sentence; None where it can.

    Args:
        place: where the node's files will be.
        room: whether memory and disk count; they do not for a node that is there already.
    """
    first = next(iter(obstacles(place, room=room)), None)
    return f"{first.subject}: {first.problem}; {first.remedy}." if first else None


def obstacles(place: Path = _ROOT, *, room: bool = True) -> tuple[Obstacle, ...]:
    """All that stands in the way of a real node, looked for once per process.

    Args:
        place: where the node's files will be.
        room: whether memory and disk count; they do not for a node that is there already.
    """
    found = _lasting(_existing(place))
    return (*found, *_room(_existing(place))) if room and sys.platform == "linux" else found


@cache
def _lasting(place: Path) -> tuple[Obstacle, ...]:
    if sys.platform != "linux":
        remedy = "use simulated nodes here, or run Rayfort in a Linux virtual machine"
        return (Obstacle("operating system", "a node needs Linux", remedy),)
    found = [*missing_tools()]
    groups = control_groups()
    found += missing_controllers(groups)
    prefix = as_root()
    if prefix is None:
        remedy = "become root, or allow yourself sudo without a password"
        found.append(Obstacle("rights", "only root can make a node", remedy))
    elif shutil.which("unshare"):
        found += probe(prefix, place, groups)
    if not found and (unknown := debian.unavailable()):
        found.append(
            Obstacle("images", unknown, "use a release of Debian or Ubuntu that is still maintained")
        )
    return tuple(found)


def as_root() -> tuple[str, ...] | None:
    """What to put before a command so that it runs as root; None where that cannot be."""
    if os.geteuid() == 0:
        return ()
    sudo = shutil.which("sudo")
    if sudo and _run([sudo, "-n", "true"]).returncode == 0:
        return (sudo, "-n")
    return None


def missing_tools() -> Iterator[Obstacle]:
    """The programs that are not there."""
    missing = [name for name in TOOLS if shutil.which(name) is None]
    if not missing:
        return
    packages = sorted({TOOLS[name] for name in missing})
    remedy = f"install {', '.join(packages)}"
    if _DEBIAN.intersection(missing):
        remedy = f"use Debian, Ubuntu or another system with apt, or {remedy}"
    yield Obstacle("tools", f"{', '.join(missing)} not found on PATH", remedy)


def control_groups(root: Path = Path("/sys/fs/cgroup")) -> list[Path]:
    """A control group to try, in each hierarchy that counts."""
    if not root.is_dir():
        return []
    group = ControlGroup(f"rayfort-probe-{os.getpid()}", root)
    if group.unified:
        return group.directories
    return [each for each in group.directories if CONTROLLERS.intersection(each.parent.name.split(","))]


def missing_controllers(groups: list[Path]) -> Iterator[Obstacle]:
    """What of the machine's resources cannot be limited.

    Args:
        groups: what `control_groups` found.
    """
    there: set[str] = set()
    for group in groups:
        listed = group.parent / "cgroup.controllers"  # version 2; version 1 has a directory for each
        there |= set(listed.read_text().split() if listed.exists() else group.parent.name.split(","))
    missing = sorted(CONTROLLERS - there)
    if missing:
        names = " ".join(f"cgroup_enable={name}" for name in missing)
        yield Obstacle(
            "control groups",
            f"{', '.join(missing)} cannot be limited",
            f"mount cgroup2 at /sys/fs/cgroup, or start the kernel with {names}",
        )


def probe(prefix: tuple[str, ...], place: Path, groups: list[Path]) -> list[Obstacle]:
    """Try what the kernel must do.

    Args:
        prefix: what makes a command run as root.
        place: where the node's files will be.
        groups: control groups to make and remove.
    """
    script = [sys.executable, "-I", str(Path(host_probe.__file__)), str(place), *map(str, groups)]
    done = _run([*prefix, "unshare", *NAMESPACES, "--", *script])
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["no reason given"]
        return [Obstacle("namespaces", f"they cannot be made ({said[-1]})", _PRIVILEGED)]
    return list(read_probe(json.loads(done.stdout), place))


def read_probe(tried: dict[str, str | None], place: Path) -> Iterator[Obstacle]:
    """What failed of all that was tried.

    Args:
        tried: what the probe printed.
        place: where it tried the overlay.
    """
    failed = {name: why for name, why in tried.items() if why is not None}
    for name, (what, option) in _KERNEL.items():
        if name in failed:
            # The kernel has it, and keeps it from us.
            forbidden = failed[name] == os.strerror(errno.EPERM)
            remedy = _PRIVILEGED if forbidden else f"load its module, or use a kernel with {option}"
            yield Obstacle("kernel", f"no {what} ({failed[name]})", remedy)
    extensions = [name.removeprefix("xt ") for name in failed if name.startswith("xt ")]
    if extensions and "nat" not in failed:
        remedy = "install the distribution's extra kernel modules, or use a kernel with NFT_COMPAT and these"
        yield Obstacle("kernel", f"iptables cannot use {', '.join(extensions)}", remedy)
    if "overlay" in failed:
        remedy = "put the sandbox on ext4 or xfs with RAYFORT_STATE=<directory>"
        yield Obstacle("kernel", f"no overlay of directories in {place} ({failed['overlay']})", remedy)
    if "proc" in failed:
        yield Obstacle("namespaces", f"no /proc of its own ({failed['proc']})", _PRIVILEGED)
    if "kmsg" in failed:
        problem = f"/dev/kmsg, which the kubelet reads, cannot be read ({failed['kmsg']})"
        yield Obstacle("kernel log", problem, _PRIVILEGED)
    groups = {name.removeprefix("cgroup "): why for name, why in failed.items() if name.startswith("cgroup ")}
    for directory, why in groups.items():
        yield Obstacle("control groups", f"none can be made in {directory} ({why})", _PRIVILEGED)


def _room(place: Path) -> Iterator[Obstacle]:
    memory = available_memory_gb()
    if memory < MEMORY_GB:
        problem = f"{memory:.1f} GB free, {MEMORY_GB:.0f} GB needed"
        yield Obstacle("memory", problem, "close other programs, or use a larger machine")
    disk = shutil.disk_usage(place).free / 1e9
    if disk < DISK_GB:
        problem = f"{disk:.1f} GB free at {place}, {DISK_GB:.0f} GB needed"
        yield Obstacle("disk", problem, "free some, or use a larger disk with RAYFORT_STATE=<directory>")


def _existing(place: Path) -> Path:
    return next(folder for folder in (place, *place.absolute().parents) if folder.exists())


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return subprocess.CompletedProcess(command, 1, "", str(error))
