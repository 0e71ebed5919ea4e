"""A real Ray on this machine's loopback, without any of its user's settings."""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rayfort.ray.auth import MODE_VARIABLE, TOKEN_VARIABLE

from bench.testbed import BenchError
from sandbox.ports import is_free

# Ray puts the machine's own address in the place of 127.0.0.1, so that strangers would reach it.
ADDRESS: Final = "127.0.0.2" if sys.platform == "linux" else "127.0.0.1"
OBJECT_STORE_BYTES: Final = 80_000_000  # Ray takes no less than 75 MB
START_SECONDS: Final = 120.0
STOP_SECONDS: Final = 30.0
MARK: Final = "RAYFORT_LOCAL_RAY"  # in the environment of whatever is started, so that it can be found
# Below the ends of outgoing connections, above the 1001 ports that Ray Client takes for its servers.
_FIRST, _LAST = 24_100, 32_000
# All that have a default which a second Ray would take as well.
_PORTS: Final = (
    *("port", "dashboard-port", "ray-client-server-port", "node-manager-port", "object-manager-port"),
    *("dashboard-agent-listen-port", "dashboard-agent-grpc-port", "runtime-env-agent-port"),
    "metrics-export-port",
)
_VARIABLES: Final = ("AUTOSCALER_METRIC_PORT", "DASHBOARD_METRIC_PORT")


@dataclass(frozen=True)
class LocalRay:
    """A Ray that runs.

    Attributes:
        ray: the `ray` program.
        root: where its files are.
        gcs_port, dashboard_port: its ports.
        token: what it asks for; None for nothing.
    """

    ray: Path
    root: Path
    gcs_port: int
    dashboard_port: int
    token: str | None

    @property
    def environment(self) -> dict[str, str]:
        """For programs that use it."""
        own = (
            {MODE_VARIABLE: "token", TOKEN_VARIABLE: self.token}
            if self.token
            else {MODE_VARIABLE: "disabled"}
        )
        return {**bare(self.ray), **own, "HOME": str(self.root), MARK: str(self.root)}

    def status(self, token: str | None) -> int | None:
        """The status with which the dashboard answers who has this token; None where it does not answer."""
        connection = http.client.HTTPConnection(ADDRESS, self.dashboard_port, timeout=60)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            connection.request("GET", "/api/jobs/", headers=headers)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()


@contextmanager
def local_ray(ray: Path, token: str | None) -> Iterator[LocalRay]:
    """A Ray with one node and one CPU, which is gone with its files in the end.

    Raises:
        BenchError: if it does not start.
    """
    root = short_directory()
    first = free_block(len(_PORTS) + len(_VARIABLES))
    ports = {name: first + index for index, name in enumerate(_PORTS)}
    others = {name: str(first + len(_PORTS) + index) for index, name in enumerate(_VARIABLES)}
    made = LocalRay(ray, root, ports["port"], ports["dashboard-port"], token)
    command = [
        *(str(ray), "start", "--head", "--block", "--num-cpus=1", "--include-dashboard=true"),
        *(f"--{name}={port}" for name, port in ports.items()),
        *(f"--node-ip-address={ADDRESS}", f"--dashboard-host={ADDRESS}"),
        *(f"--temp-dir={root / 't'}", f"--object-store-memory={OBJECT_STORE_BYTES}"),
    ]
    log = root / "output"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env={**made.environment, **others},
            cwd=root,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while made.status(token) != 200:
            if process.poll() is not None or time.monotonic() > deadline:
                raise BenchError(f"Ray does not start:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.2)
        yield made
    finally:
        end([process], root)
        shutil.rmtree(root, ignore_errors=True)


def bare(ray: Path) -> dict[str, str]:
    """The variables of this machine, without any that Ray or a proxy would read."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("RAY", "PYTHON", "VIRTUAL_ENV")) and not name.lower().endswith("_proxy")
    }
    return {
        **kept,
        "PATH": f"{ray.parent}{os.pathsep}{os.environ['PATH']}",
        "NETRC": os.devnull,
        "RAY_USAGE_STATS_ENABLED": "0",
    }


def short_directory() -> Path:
    """A directory for Ray: the path of a socket is at most 107 bytes long, and Ray's take 70."""
    return Path(tempfile.mkdtemp(prefix="rf", dir="/tmp"))


def free_block(count: int) -> int:
    """The first of so many free ports in a row.

    Raises:
        BenchError: if there are none.
    """
    for _ in range(500):
        first = random.randrange(_FIRST, _LAST - count)  # noqa: S311
        if all(is_free(port) for port in range(first, first + count)):
            return first
    raise BenchError(f"No {count} ports in a row are free between {_FIRST} and {_LAST}.")


def end(processes: Sequence[subprocess.Popen[bytes]], root: Path) -> None:
    """End `ray start` of one or more nodes, and whatever they left behind.

    Each is told once: told again while it ends, it hangs.
    """
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
    for process in processes:
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    for pid in marked(root):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def marked(root: Path) -> Iterator[int]:
    """Every process that was started with this directory; where there is no /proc, none is known."""
    needle = f"{MARK}={root}\0".encode()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if needle in (process / "environ").read_bytes():
                yield int(process.name)
