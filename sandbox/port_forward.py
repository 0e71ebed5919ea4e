"""A local port that leads to a port of a Pod, for as long as it is needed.

It ends inside the Pod, at its own loopback address: a sidecar does not see it, so it passes a STRICT mesh.
"""

import contextlib
import os
import re
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import IO, Final, cast

from sandbox.processes import SandboxError
from sandbox.toolchain import Toolchain

OPEN_SECONDS: Final = 15.0
STOP_SECONDS: Final = 3.0
_LISTENS: Final = re.compile(r"^Forwarding from 127\.0\.0\.1:(\d+) ")
# kubectl ends with this process even where that is killed. It is asked for by a program in between: after
# the fork of a process with several threads, as this one is, no Python may run.
_WITH_PARENT: Final = (
    "import ctypes, os, signal, sys; "
    "sys.platform == 'linux' and ctypes.CDLL(None).prctl(1, signal.SIGTERM); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)


class ForwardFailed(SandboxError):
    """The Pod's port cannot be reached; the message says why."""


@contextlib.contextmanager
def to_pod(
    kubeconfig: Path, namespace: str, pod: str, port: int, *, kubectl: Path | None = None
) -> Iterator[int]:
    """Forward a port of this machine's loopback to a Pod's port while the block runs.

    Args:
        kubeconfig: of whom to be.
        namespace, pod: the Pod.
        port: its port.
        kubectl: the program; the sandbox's own when not given.

    Yields:
        The local port.

    Raises:
        ForwardFailed: if it cannot be opened.
    """
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(
            [
                *(sys.executable, "-I", "-c", _WITH_PARENT, str(kubectl or _kubectl())),
                *("port-forward", "-n", namespace, "--address", "127.0.0.1", f"pod/{pod}", f":{port}"),
            ],
            # Nothing of the caller's: a proxy that his variables name does not lead to the sandbox.
            # kubectl keeps what it learns of an API server in its user's home.
            env={"KUBECONFIG": str(kubeconfig), "PATH": os.defpath, "HOME": str(kubeconfig.parent)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            # Ctrl-C at the terminal is for the program that uses the port; this must outlive its good-byes.
            process_group=0,
        )
        output = cast("IO[bytes]", child.stdout)
        try:
            local = _local_port(output)
            if local is None:
                _stop(child)
                raise ForwardFailed(f"port {port} of Pod {namespace}/{pod}: {_reason(errors)}")
            yield local
        finally:
            _stop(child)
            output.close()


def _local_port(output: IO[bytes]) -> int | None:
    """The port that kubectl says it listens on; None if it ends, or says nothing in time."""
    deadline = time.monotonic() + OPEN_SECONDS
    said = b""
    with selectors.DefaultSelector() as ready:
        ready.register(output, selectors.EVENT_READ)
        while ready.select(max(0.0, deadline - time.monotonic())):
            part = os.read(output.fileno(), 4096)
            if not part:
                return None
            said += part
            if b"\n" in said:
                match = _LISTENS.match(said.decode(errors="replace"))
                return int(match[1]) if match else None
    return None


def _reason(errors: IO[bytes]) -> str:
    errors.seek(0)
    lines = errors.read().decode(errors="replace").strip().splitlines()
    return (
        lines[-1].removeprefix("error: ") if lines else f"kubectl did not forward it in {OPEN_SECONDS:.0f} s"
    )


def _stop(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


@cache
def _kubectl() -> Path:
    found = Toolchain().find("kubectl")
    if found is None:
        raise SandboxError("kubectl is not in the tool cache. Run `./rayfort up`, which builds it.")
    return found.path
