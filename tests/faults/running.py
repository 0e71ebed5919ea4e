"""Commands as processes of their own, and the processes that belong to them."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import resource
import signal
import time
from collections.abc import Callable, Mapping
from multiprocessing import forkserver
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# A command begins with everything imported: the suite starts hundreds.
_FORK = multiprocessing.get_context("forkserver")
_FORK.set_forkserver_preload(["tests.faults.command", "pulumi_random", "pydantic", "grpc"])
GONE_SECONDS = 30.0


class Command:
    """One command under way.

    Args:
        order: the program and the overrides, as `tests.faults.command` reads them.
        arguments: the command line after `rayfort`.
        environment: variables laid over those of the tests.
        log: where its output goes.
        file_limit: the size in bytes beyond which no file grows; None for no limit.
    """

    def __init__(
        self,
        order: Mapping[str, Any],
        arguments: list[str],
        environment: Mapping[str, str],
        log: Path,
        file_limit: int | None = None,
    ) -> None:
        self.log = log
        _ready_to_fork()
        self._process: ForkServerProcess = _FORK.Process(
            target=_run, args=(dict(order), arguments, dict(environment), str(log), file_limit)
        )
        self._process.start()
        assert self._process.pid
        self.pid = self._process.pid

    @property
    def output(self) -> str:
        """What it has said."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.is_alive()

    def wait(self, seconds: float) -> int:
        """Its exit code.

        Raises:
            AssertionError: if it does not end in time; it is killed then.
        """
        self._process.join(seconds)
        code = self._process.exitcode
        if code is None:
            stuck = [f"{each} {command_line(each)}" for each in self.members()]
            self.kill_all()
            raise AssertionError(f"not over in {seconds:.0f} s:\n{self.output}\n" + "\n".join(stuck))
        return code

    def members(self, word: str = "") -> list[int]:
        """Its processes that are alive and whose command line has the word; daemons have other sessions."""
        return [pid for pid in _session(self.pid) if word in command_line(pid)]

    def kill(self, word: str) -> None:
        """Kill those whose command line has the word.

        Raises:
            AssertionError: if there is none: then the fault would not be one.
        """
        found = self.members(word)
        assert found, f"no process of the command is a {word}: {[command_line(p) for p in self.members()]}"
        for pid in found:
            os.kill(pid, signal.SIGKILL)

    def kill_all(self) -> None:
        """Kill all of it, as a machine does that loses its power."""
        for pid in self.members():
            with_nobody(lambda pid=pid: os.kill(pid, signal.SIGKILL))

    def leftovers(self) -> list[str]:
        """What still runs of it after a while of patience."""
        deadline = time.monotonic() + GONE_SECONDS
        while (found := self.members()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return [f"{pid} {command_line(pid)}" for pid in found]


def _ready_to_fork() -> None:
    """Start what commands are forked from, where it does not run; it imports from this checkout."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = f"{ROOT}{os.pathsep}{ROOT / 'components'}"
    try:
        forkserver.ensure_running()
    finally:
        del os.environ["PYTHONPATH"]
        if before is not None:
            os.environ["PYTHONPATH"] = before


def with_nobody(act: Callable[[], None]) -> None:
    """Do something to a process that may be gone."""
    with contextlib.suppress(ProcessLookupError):
        act()


def command_line(pid: int) -> str:
    """The command line of a process; empty for none."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _session(leader: int) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader and fields[0] not in "ZX":
            found.append(int(entry.parent.name))
    return found


def _run(
    order: dict[str, Any], arguments: list[str], environment: dict[str, str], log: str, limit: int | None
) -> None:
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    os.environ.update(environment)
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    from tests.faults.command import run

    run(order, arguments)
