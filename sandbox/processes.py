"""Local daemons that outlive the command that started them, and that only their owner may stop.

A process is known by its pid *and* the moment the kernel started it, so that a pid which the kernel
has given to somebody else since is never mistaken for ours, and never signalled.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

STOP_GRACE: Final = 5.0  # seconds between SIGTERM and SIGKILL
MARKER: Final = "RAYFORT_PROCESS"  # in every daemon's environment: which state directory and name it serves
_OLD_LOGS: Final = 3
_PR_SET_PDEATHSIG: Final = 1
_POLL: Final = 0.05


class SandboxError(RuntimeError):
    """Something in the sandbox failed; the message names it, says what is wrong and what to do."""


class ProcessDied(SandboxError):
    """A daemon ended while it was expected to run; the message ends with the last lines of its log."""


@dataclass(frozen=True)
class ProcessSpec:
    """What to run.

    `argv[0]` is an absolute path. `env` is the whole environment: daemons inherit nothing, so no secret
    of the user's shell reaches them. `inputs` are files that the program reads only when it starts: when
    one changes, the running process is out of date.
    """

    name: str
    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str]
    inputs: tuple[Path, ...] = ()

    def fingerprint(self) -> str:
        """A hash that changes when a restart is needed for the specification to take effect."""
        digest = hashlib.sha256()
        fixed = [list(self.argv), str(self.cwd), sorted(self.env.items())]
        digest.update(json.dumps(fixed).encode())
        for path in self.inputs:
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()


@dataclass(frozen=True)
class Record:
    """A daemon that was started: the content of `run/<name>.json`."""

    name: str
    pid: int
    started: str
    fingerprint: str
    log: str


# The daemons of this very process. Somebody has to reap them, or they stay as zombies, which look alive.
_children: dict[int, subprocess.Popen[bytes]] = {}


def started_at(pid: int) -> str | None:
    """When the kernel started `pid`, as an opaque text that no other process shares, not even after a
    reboot; None if there is no such process or it is a zombie."""
    child = _children.get(pid)
    if child is not None and child.poll() is not None:
        return None
    if sys.platform == "linux":
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return None
        # The second field is the program's name in parentheses and may hold blanks and parentheses.
        state, *fields = stat.rpartition(")")[2].split()
        # The first thread of a dying process is a zombie while others still hold its files and ports.
        if state in "ZX" and _threads(pid) <= 1:
            return None
        return f"{_boot_id()}:{fields[18]}"
    shown = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.split()
    if not shown or shown[0].startswith("Z"):
        return None
    return " ".join(shown[1:])


def _threads(pid: int) -> int:
    try:
        return len(list(Path(f"/proc/{pid}/task").iterdir()))
    except OSError:
        return 0


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def die_with_parent() -> None:
    """Ask the kernel (Linux only) to end the calling process when its parent ends, however it ends.

    For use between fork and exec.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class ProcessTable:
    """The daemons of one state directory: records in `<state>/run`, logs in `<state>/logs`."""

    def __init__(self, state: Path) -> None:
        self.state = state.absolute()
        self.run_dir = self.state / "run"
        self.log_dir = self.state / "logs"

    def log(self, name: str) -> Path:
        """Where the daemon's output goes; a child named `<daemon>.<part>` shares the daemon's log."""
        return self.log_dir / f"{name.partition('.')[0]}.log"

    def record(self, name: str) -> Record | None:
        """What is noted about the daemon, whether it still runs or not; None if never started or stopped."""
        try:
            return Record(**json.loads(self._record_path(name).read_text()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError):
            return None  # cut off in the middle of a write by a crash: as good as absent

    def running(self, name: str) -> Record | None:
        """The daemon's record if that very process is alive."""
        record = self.record(name)
        if record is None or started_at(record.pid) != record.started:
            return None
        return record

    def up_to_date(self, spec: ProcessSpec) -> bool:
        """Whether the daemon runs, and as specified."""
        current = self.running(spec.name)
        return current is not None and current.fingerprint == spec.fingerprint()

    def start(self, spec: ProcessSpec, *, own_log: bool = True, with_parent: bool = False) -> bool:
        """Make the daemon run as specified: start it, or replace it if it runs with another specification.

        `own_log`: begin a new log and keep the old ones; otherwise append to the shared one.
        `with_parent`: the daemon ends with the calling process instead of outliving it.
        Returns True if a process was started, False if it was running already.
        Raises SandboxError if the program cannot be executed.
        """
        if self.up_to_date(spec):
            return False
        self.stop(spec.name)
        self._stop_unrecorded(spec.name)
        for directory in (self.state, self.run_dir, self.log_dir, spec.cwd):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        log = self.log(spec.name)
        if own_log:
            _rotate(log)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            child = subprocess.Popen(
                spec.argv,
                cwd=spec.cwd,
                env={**spec.env, MARKER: self._marker(spec.name)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=die_with_parent if with_parent else None,  # noqa: PLW1509 - callers have one thread
            )
        except OSError as error:
            raise SandboxError(
                f"{spec.name}: cannot run {spec.argv[0]}: {error.strerror}. "
                "Run `./rayfort doctor` to see which tool is missing."
            ) from error
        finally:
            os.close(output)
        _children[child.pid] = child
        record = Record(spec.name, child.pid, started_at(child.pid) or "ended", spec.fingerprint(), str(log))
        write_private(self._record_path(spec.name), json.dumps(asdict(record)))
        return True

    def stop(self, name: str, grace: float = STOP_GRACE) -> bool:
        """End the daemon: SIGTERM, after `grace` seconds SIGKILL, and forget its record.

        Returns True if it was running. A daemon that is not there is a quiet success.
        """
        record = self.running(name)
        if record is not None:
            self.terminate(name)
            if not self.wait_gone(name, grace):
                # The daemon leads its own session, so its helpers go with it.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(record.pid, signal.SIGKILL)
                self.wait_gone(name, grace)
        self._record_path(name).unlink(missing_ok=True)
        return record is not None

    def terminate(self, name: str) -> None:
        """Ask the daemon to end, without waiting for it."""
        record = self.running(name)
        if record is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(record.pid, signal.SIGTERM)

    def wait_gone(self, name: str, seconds: float) -> bool:
        """Wait until the daemon has ended; False if it still runs after `seconds`."""
        deadline = time.monotonic() + seconds
        while self.running(name) is not None:
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL)
        return True

    def died(self, name: str) -> ProcessDied:
        """The error to raise for a daemon that ended although it should run."""
        record = self.record(name)
        child = _children.get(record.pid) if record else None
        code = child.poll() if child else None
        how = "" if code is None else f" (signal {-code})" if code < 0 else f" (exit code {code})"
        log = self.log(name)
        return ProcessDied(f"{name} ended unexpectedly{how}. The last lines of {log}:\n{tail(log)}")

    def _record_path(self, name: str) -> Path:
        return self.run_dir / f"{name}.json"

    def _marker(self, name: str) -> str:
        return f"{self.state}:{name}"

    def _stop_unrecorded(self, name: str) -> None:
        """End a daemon that an interrupted start left behind before its record was written."""
        wanted = f"{MARKER}={self._marker(name)}".encode()
        for environ in Path("/proc").glob("[0-9]*/environ"):
            pid = int(environ.parent.name)
            with contextlib.suppress(OSError):
                if pid != os.getpid() and wanted in environ.read_bytes().split(b"\0"):
                    os.kill(pid, signal.SIGKILL)


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log, indented; a word about it if there is nothing."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - 16_384))
            text = stream.read().decode(errors="replace").strip()
    except OSError:
        text = ""
    return "\n".join(f"  {line}" for line in text.splitlines()[-lines:]) or "  (the log is empty)"


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
        stream.write(text)
    draft.replace(path)


def _rotate(log: Path) -> None:
    for age in range(_OLD_LOGS, 0, -1):
        older = log.with_name(f"{log.name}.{age}")
        newer = log if age == 1 else log.with_name(f"{log.name}.{age - 1}")
        if newer.exists():
            newer.replace(older)
