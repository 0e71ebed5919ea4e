"""Long child processes that can be stopped together, with their output in a log file."""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

GRACE_SECONDS = 5.0


class Cancelled(BaseException):
    """The command was stopped, or not even started, because the whole run is being given up.

    No failure of the command itself, so `except Exception` must not take it for one.
    """


class Processes:
    """Runs commands from any thread; `cancel` ends all of them and lets no new one start."""

    def __init__(self, grace: float = GRACE_SECONDS) -> None:
        """Start with none running.

        Args:
            grace: seconds that a child has between the request to end and its forced end.
        """
        self._grace = grace
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self._cancelled = False

    def run(
        self,
        command: Sequence[str | os.PathLike[str]],
        *,
        log: Path,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        on_line: Callable[[str], None] = lambda _line: None,
    ) -> int:
        """Run a command to its end.

        Args:
            command: the program and its arguments.
            log: file that gets everything the command says; the file is extended, not replaced.
            cwd: where to run it.
            env: its whole environment; this process's when not given.
            on_line: called with each line of output as it comes.

        Returns:
            The exit code.

        Raises:
            Cancelled: `cancel` was called before or meanwhile.
            OSError: the program could not be started.
        """
        with log.open("a") as out, self._start(command, cwd, env) as child:
            try:
                assert child.stdout is not None  # noqa: S101  (a pipe was asked for)
                for line in child.stdout:
                    out.write(line)
                    out.flush()
                    on_line(line.rstrip())
                code = child.wait()
            except BaseException:  # Ctrl-C in the calling thread
                self._end([child])
                raise
            finally:
                with self._lock:
                    self._running.discard(child)
        if self._cancelled:
            raise Cancelled
        return code

    def cancel(self) -> None:
        """End every running command with its children: first politely, then by force."""
        with self._lock:
            self._cancelled = True
            children = list(self._running)
        self._end(children)

    def _end(self, children: Sequence[subprocess.Popen[str]]) -> None:
        for child in children:
            _signal_group(child, signal.SIGTERM)
        for child in children:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(self._grace)
        # also where the leader has ended: its compilers may not have
        for child in children:
            _signal_group(child, signal.SIGKILL)

    def _start(
        self,
        command: Sequence[str | os.PathLike[str]],
        cwd: Path | None,
        env: Mapping[str, str] | None,
    ) -> subprocess.Popen[str]:
        with self._lock:  # so that `cancel` cannot miss a child that is just being born
            if self._cancelled:
                raise Cancelled
            child = subprocess.Popen(
                command,
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,  # a process group of its own: Ctrl-C reaches it through `cancel` only
            )
            self._running.add(child)
            return child


def _signal_group(child: subprocess.Popen[str], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, number)
