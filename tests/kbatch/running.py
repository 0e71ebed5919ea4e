"""A program that runs on the loopback for as long as a block."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from sandbox.processes import die_with_parent

START_SECONDS = 240.0
STOP_SECONDS = 20.0


def bare(programs: Path, home: Path) -> dict[str, str]:
    """Variables for a program that shall know nothing of this machine's user."""
    return {
        "PATH": f"{programs}{os.pathsep}/usr/bin{os.pathsep}/bin",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "NO_PROXY": "127.0.0.1",
    }


@contextmanager
def running(
    command: Sequence[str], environment: Mapping[str, str], directory: Path, port: int, path: str
) -> Iterator[Path]:
    """Start a program, and wait until it answers.

    Args:
        command, environment: of the program.
        directory: where it runs and where its log is.
        port, path: of the loopback, where it answers.

    Yields:
        Its log.
    """
    log = directory / "log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            env=dict(environment),
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - tests that are killed leave nothing behind
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(port, path):
            said = log.read_text(errors="replace")[-4000:]
            assert process.poll() is None, f"{command[0]} ended:\n{said}"
            assert time.monotonic() < deadline, f"{command[0]} does not answer:\n{said}"
            time.sleep(0.2)
        yield log
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # with whatever it left behind
        process.wait()


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
