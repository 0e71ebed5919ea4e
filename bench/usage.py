"""How much memory and processor this process and what it starts use, by what they are."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

# What a process is, by a word of its command line; the first that is found. The engine names the others.
PARTS: Final = {
    "sandbox.plugins.kubernetes_provider": "plugin",
    "sandbox.plugins.random_provider": "random plugin",
    "engine/bin/pulumi ": "engine",
    "pulumi.policy": "policies",
    "helm": "helm",
}
PROGRAM: Final = "program"
_PROC: Final = Path("/proc")  # without it, as on macOS, nothing is known
_SAMPLE: Final = 1.0  # seconds; a look at every process of the machine is not free
_KIB_IN_MIB: Final = 1024
# Of the fields after a process' name in its `stat`: its parent, and its ticks for itself and in the kernel.
_PARENT, _USER, _SYSTEM = 1, 11, 12


class Usage:
    """Looks on while the block runs.

    The kernel keeps each process' peak and ticks, so that looking seldom is enough; what a process does after
    the last look before its end is lost.
    """

    def __init__(self) -> None:
        self._peaks: dict[tuple[str, int], float] = {}
        self._ticks: dict[tuple[str, int], int] = {}
        self._before = ticks(_read(os.getpid(), "stat"))
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()
        self._look()

    @property
    def peaks(self) -> dict[str, float]:
        """The peak of each part in MiB, `PROGRAM` for this process; of several processes, the largest."""
        found: dict[str, float] = {}
        for (part, _), peak in self._peaks.items():
            found[part] = max(peak, found.get(part, 0.0))
        return found

    @property
    def processor(self) -> dict[str, float]:
        """The seconds of a processor that each part used while the block ran."""
        found: defaultdict[str, float] = defaultdict(float)
        for (part, _), count in self._ticks.items():
            found[part] += count / os.sysconf("SC_CLK_TCK")
        found[PROGRAM] -= self._before / os.sysconf("SC_CLK_TCK")
        return dict(found)

    def _watch(self) -> None:
        while not self._stopped.wait(_SAMPLE):
            self._look()

    def _look(self) -> None:
        self._note(PROGRAM, os.getpid())
        for pid in _descendants(os.getpid()):
            if part := part_of(_read(pid, "cmdline").replace("\0", " ")):
                self._note(part, pid)

    def _note(self, part: str, pid: int) -> None:
        key = part, pid
        self._peaks[key] = max(peak_mib(_read(pid, "status")), self._peaks.get(key, 0.0))
        self._ticks[key] = max(ticks(_read(pid, "stat")), self._ticks.get(key, 0))


def part_of(command: str) -> str | None:
    """What a process with this command line is; None for what is not of the engine."""
    return next((part for word, part in PARTS.items() if word in command), None)


def peak_mib(status: str) -> float:
    """The peak in what the kernel says about a process; 0 where it says nothing."""
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / _KIB_IN_MIB
    return 0.0


def ticks(stat: str) -> int:
    """The processor's ticks in what the kernel says about a process; 0 where it says nothing."""
    fields = _fields(stat)
    return int(fields[_USER]) + int(fields[_SYSTEM]) if len(fields) > _SYSTEM else 0


def _fields(stat: str) -> list[str]:
    return stat.rpartition(")")[2].split()  # the name, in parentheses, may hold anything


def _read(pid: int, name: str) -> str:
    with contextlib.suppress(OSError):  # it has ended
        return (_PROC / str(pid) / name).read_text(errors="replace")
    return ""


def _descendants(pid: int) -> Iterator[int]:
    children = defaultdict(list)
    for entry in _PROC.glob("[0-9]*"):
        fields = _fields(_read(int(entry.name), "stat"))
        if len(fields) > _PARENT:
            children[int(fields[_PARENT])].append(int(entry.name))
    todo = children[pid]
    while todo:
        found = todo.pop()
        yield found
        todo.extend(children[found])
