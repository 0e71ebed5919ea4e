"""The node's own control group, in whichever hierarchies the machine has.

Everything that runs for the node is in it, so that one list says what is left to end.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sandbox.processes import SandboxError

ROOT: Final = Path("/sys/fs/cgroup")
CONTROLLERS: Final = ("cpuset", "cpu", "io", "memory", "pids")
_DAEMONS: Final = "daemons"
_POLL: Final = 0.1


@dataclass(frozen=True)
class ControlGroup:
    """A group of the same name in every hierarchy.

    Args:
        name: its name, directly below the root.
        root: where the hierarchies are mounted.
    """

    name: str
    root: Path = ROOT

    @property
    def unified(self) -> bool:
        """Whether the machine has version 2 alone."""
        return (self.root / "cgroup.controllers").exists()

    @property
    def directories(self) -> list[Path]:
        """The group in each hierarchy, there or not."""
        if self.unified:
            return [self.root / self.name]
        return [each / self.name for each in sorted(self.root.iterdir()) if (each / "cgroup.procs").exists()]

    @property
    def daemons(self) -> list[Path]:
        """The part for the node's own daemons; its containers have theirs beside it."""
        return [directory / _DAEMONS for directory in self.directories]

    def create(self) -> None:
        """Make the group.

        Raises:
            SandboxError: if the kernel does not let us.
        """
        try:
            if self.unified:
                self._delegate(self.root)
            for directory in self.directories:
                directory.mkdir(exist_ok=True)
                _inherit_cpus(directory)
                (directory / _DAEMONS).mkdir(exist_ok=True)
                _inherit_cpus(directory / _DAEMONS)
        except OSError as error:
            raise SandboxError(
                f"The control group {self.name} cannot be made below {self.root}: {error}. "
                "Run `./rayfort up --nodes simulated`, or free what holds it."
            ) from error

    def processes(self) -> set[int]:
        """Every process in it, however deep."""
        return {
            int(pid)
            for directory in self.directories
            for group in _below(directory)
            for pid in _read(group / "cgroup.procs").split()
        }

    def kill(self, seconds: float) -> None:
        """End every process in it, without asking.

        Raises:
            SandboxError: if some survive.
        """
        deadline = time.monotonic() + seconds
        while left := self.processes():
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if time.monotonic() > deadline:
                raise SandboxError(
                    f"Processes of the node do not end: {', '.join(map(str, sorted(left)))}. "
                    "Run `./rayfort down` again; if they stay, only a reboot helps."
                )
            time.sleep(_POLL)

    def remove(self) -> None:
        """Remove the group and all below it; it must be empty. Absent is a success."""
        for directory in self.directories:
            for each in sorted(_below(directory), key=lambda path: len(path.parts), reverse=True):
                # The kernel lets go of a group a moment after its last process.
                for _ in range(50):
                    try:
                        each.rmdir()
                    except FileNotFoundError:
                        break
                    except OSError:
                        time.sleep(_POLL)
                    else:
                        break

    @property
    def exists(self) -> bool:
        """Whether it is there in any hierarchy."""
        return any(directory.exists() for directory in self.directories)

    @staticmethod
    def _delegate(parent: Path) -> None:
        offered = (parent / "cgroup.controllers").read_text().split()
        wanted = " ".join(f"+{name}" for name in CONTROLLERS if name in offered)
        (parent / "cgroup.subtree_control").write_text(wanted)


def _inherit_cpus(directory: Path) -> None:
    """A new group of version 1 has no processors until it is told which."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        own = directory / name
        if own.exists() and not _read(own).strip() and not (directory / "cgroup.controllers").exists():
            own.write_text(_read(directory.parent / name))


def _below(directory: Path) -> Iterator[Path]:
    """A group and those below it; one that goes meanwhile, as a container's does, is passed over."""
    return (Path(path) for path, _, _ in os.walk(directory))


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
