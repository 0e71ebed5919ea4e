"""Checks of what a Kind cluster needs of this machine: a container runtime, `kind`, room."""

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from rayfort.cluster import KindClusterArgs
from rayfort.cluster.kind import process
from rayfort.cluster.kind.errors import KindError

from cli.checks import Check, State
from cli.checks.cluster import INSTALL_PULUMI

DYNAMIC: Final = "pulumi-resource-pulumi-python"
# The platform with one small Ray cluster, and what each node of Kubernetes takes beside it.
PLATFORM_MEMORY_GB: Final = 4.0
NODE_MEMORY_GB: Final = 0.7
# What Kind's documentation asks for; a kubelet and containerd watch many files.
INOTIFY: Final = {"max_user_watches": 524288, "max_user_instances": 512}
_PROC: Final = Path("/proc/sys/fs/inotify")


def checks(args: KindClusterArgs) -> Iterator[Check]:
    """The checks of a stack with a Kind cluster.

    Args:
        args: what the stack says about it.
    """
    runtime = _told(args.runtime, lambda: process.runtime_version(args.runtime))
    yield runtime
    yield _told("kind", process.kind_version)
    yield dynamic_provider()
    if runtime.state is State.OK:
        yield _told("memory", lambda: memory(process.runtime_memory(args.runtime), args.nodes))
    if sys.platform == "linux":
        yield inotify(_PROC)


def dynamic_provider() -> Check:
    """What runs the part of the program that makes the cluster; it comes with Pulumi."""
    path = shutil.which(DYNAMIC)
    if not path and (pulumi := shutil.which("pulumi")):
        path = shutil.which(DYNAMIC, path=str(Path(pulumi).resolve().parent))
    if path:
        return Check("dynamic providers", State.OK, path)
    return Check("dynamic providers", State.MISSING, f"{DYNAMIC} is not on PATH", INSTALL_PULUMI)


def memory(total_bytes: int, nodes: int) -> Check:
    """Memory that containers may use.

    Args:
        total_bytes: what the runtime says it has; on macOS that of its virtual machine.
        nodes: how many nodes the cluster has.
    """
    needed, total = PLATFORM_MEMORY_GB + nodes * NODE_MEMORY_GB, total_bytes / 1e9
    text = f"{total:.1f} GB for containers, {needed:.1f} GB needed by {nodes} nodes with the platform"
    if total >= needed:
        return Check("memory", State.OK, text)
    return Check("memory", State.WARN, text, "give the container runtime more, or use fewer nodes")


def inotify(directory: Path) -> Check:
    """The kernel's limits on watched files, by whose default several nodes do not start.

    Args:
        directory: where the kernel shows them.
    """
    low = {}
    for name, wanted in INOTIFY.items():
        try:
            value = int((directory / name).read_text())
        except (OSError, ValueError):
            continue
        if value < wanted:
            low[name] = (value, wanted)
    if not low:
        return Check("inotify limits", State.OK, "as Kind asks for")
    text = ", ".join(f"fs.inotify.{name} is {value}" for name, (value, _) in low.items())
    settings = " ".join(f"fs.inotify.{name}={wanted}" for name, (_, wanted) in low.items())
    return Check("inotify limits", State.WARN, text, f"sudo sysctl {settings}")


def _told(subject: str, ask: Callable[[], str | Check]) -> Check:
    try:
        answer = ask()
    except KindError as error:
        problem, _, remedy = " ".join(str(error).split()).partition(" what to do: ")
        return Check(subject, State.MISSING, problem.rstrip("."), remedy)
    return answer if isinstance(answer, Check) else Check(subject, State.OK, answer)
