"""Real Ray nodes on the loopback, started with what the operator put into Pods of simulated nodes."""

from __future__ import annotations

import contextlib
import http.client
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.local_ray import ADDRESS, MARK, OBJECT_STORE_BYTES, bare, end, free_block, marked, short_directory
from tests.ray import pods
from tests.ray.pods import Container

START_SECONDS = 300.0
BLOCK = 64  # ports for one node
MOST_STARTS = 8  # of one Ray
# What Ray prints when it gives up after 30 seconds: a node, which ends, or the dashboard, and then it stays.
TOO_SLOW = "The current node timed out during startup"
NO_DASHBOARD = "failed to start. Timeout after"
_HEAD = re.compile(r"[a-z0-9-]+-head-svc[a-z0-9.-]*:\d+")


@dataclass
class Node:
    """A Ray node that was started.

    Attributes:
        container: what it was started with.
        process: `ray start --block`.
        home: its directory.
        ports: by the name of their parameter.
    """

    container: Container
    process: subprocess.Popen[bytes]
    home: Path
    ports: Mapping[str, int]

    @property
    def output(self) -> str:
        """What `ray start` printed."""
        return (self.home / "output").read_text(errors="replace")

    @property
    def netrc(self) -> Path:
        """The netrc file that its variable names."""
        (path,) = [path for path in self.container.files if path.endswith("/.netrc")]
        return Path(f"{self.home}{path}")

    def ended(self, seconds: float) -> int | None:
        """The exit code, if it ends by itself in that time."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None


@dataclass
class Loopback:
    """Ray nodes of one cluster on this machine.

    Attributes:
        ray: the `ray` program, in the version of the cluster.
        root: where its files go; short, since Ray puts sockets below it.
        extra: variables for every node, beside those of its Pod.
        nodes: those that were started and shall live, the head first.
    """

    ray: Path
    root: Path
    extra: Mapping[str, str] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    _started: list[Node] = field(default_factory=list)

    def start(self, container: Container) -> Node:
        """Start a node, the head first, with Ray's container of a Pod that the operator made."""
        self.nodes.append(self.attempt(container))
        return self.nodes[-1]

    def attempt(self, container: Container, **changed: str | None) -> Node:
        """Start a node that may fail.

        Args:
            container: Ray's, of a Pod that the operator made.
            changed: variables to set to another value, or with None to leave out.
        """
        head = self.nodes[0] if self.nodes else None
        home = self.root / f"n{len(self._started)}"
        home.mkdir(parents=True)
        line, ports = pods.moved(container.command[-1], free_block(BLOCK))
        line = line.replace("--dashboard-host=0.0.0.0", f"--dashboard-host={ADDRESS}")
        line += f" --node-ip-address={ADDRESS} --object-store-memory={OBJECT_STORE_BYTES} "
        # Of its own for each node, as every Pod has it: otherwise they would share what they download.
        line += f"--temp-dir={home / 't'} "
        gcs = f"{ADDRESS}:{(head.ports if head else ports)['port']}"
        environment = {
            **bare(self.ray),
            **_redirected(container, home),
            "RAY_ADDRESS": gcs,
            "HOME": str(home),
            MARK: str(self.root),
            **self.extra,
        }
        for name, value in changed.items():
            environment.pop(name, None)
            if value is not None:
                environment[name] = value
        with (home / "output").open("wb") as output:
            process = subprocess.Popen(
                [*container.command[:-1], _HEAD.sub(gcs, line)],
                env=environment,
                cwd=home,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._started.append(Node(container, process, home, ports))
        return self._started[-1]

    @property
    def head(self) -> Node:
        return self.nodes[0]

    @property
    def dashboard(self) -> str:
        """The dashboard's address."""
        return f"http://{ADDRESS}:{self.head.ports['dashboard-port']}"

    @property
    def gcs(self) -> str:
        """For `ray.init` of a driver."""
        return f"{ADDRESS}:{self.head.ports['port']}"

    @property
    def client(self) -> str:
        """For `ray.init` of Ray Client."""
        return f"ray://{ADDRESS}:{self.head.ports['ray-client-server-port']}"

    def ask(self, path: str, headers: Mapping[str, str], body: str | None = None) -> tuple[int, str]:
        """A request to the dashboard: the status, and what was said. Nothing is added to the headers."""
        connection = http.client.HTTPConnection(ADDRESS, self.head.ports["dashboard-port"], timeout=60)
        try:
            method = "GET" if body is None else "POST"
            connection.request(method, path, body, {"Content-Type": "application/json", **headers})
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        finally:
            connection.close()

    def await_ready(self) -> None:
        """Until the dashboard answers and every node that was started is alive in Ray's own view."""
        token = self.head.container.environment.get("RAY_AUTH_TOKEN", "")

        def alive() -> bool:
            for index, node in enumerate(self.nodes):
                if node.process.poll() is not None or NO_DASHBOARD in node.output:
                    self._again(index)
            with contextlib.suppress(OSError, http.client.HTTPException):
                status, said = self.ask("/api/v0/nodes", {"Authorization": f"Bearer {token}"})
                return status == 200 and said.count('"ALIVE"') == len(self.nodes)
            return False

        until(alive, START_SECONDS, lambda: "\n".join(node.output[-2000:] for node in self.nodes))

    def _again(self, index: int) -> None:
        """Start a node anew that Ray gave up after 30 seconds, as a kubelet does on a busy machine."""
        node = self.nodes.pop(index)
        slow = TOO_SLOW in node.output or NO_DASHBOARD in node.output
        assert slow and len(self._started) < MOST_STARTS, node.output
        node.process.terminate()
        node.process.wait(60)
        self.nodes.insert(index, self.attempt(node.container))

    def run(
        self, command: Sequence[str], token: Mapping[str, str], seconds: float = 180.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a program with this Ray, outside of the cluster: it knows only what it is told here."""
        return subprocess.run(
            command,
            env={**bare(self.ray), MARK: str(self.root), "HOME": str(self.root), **token},
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
            check=False,
        )

    def python(self, program: str, *arguments: str, **token: str) -> subprocess.CompletedProcess[str]:
        """Run a Python program outside of the cluster."""
        return self.run([str(self.ray.with_name("python")), "-c", program, *arguments], token)

    def submit(self, program: str, *options: str, **token: str) -> subprocess.CompletedProcess[str]:
        """`ray job submit`, and follow the job."""
        command = [str(self.ray), "job", "submit", "--address", self.dashboard, *options]
        return self.run([*command, "--", "python", "-c", program], token)

    def traces_of(self, text: str) -> list[str]:
        """Where a value stands: in files, but for those of the Pods' volumes, in names of files and
        directories, and in arguments of programs."""
        volumes = {f"{node.home}{path}" for node in self._started for path in node.container.files}
        kept = [path for path in self.root.rglob("*") if str(path) not in volumes]
        found = [str(path) for path in kept if text in str(path) or _holds(path, text.encode())]
        commands = (Path(f"/proc/{pid}/cmdline") for pid in marked(self.root))
        return found + [str(path) for path in commands if _holds(path, text.encode())]

    def stop(self) -> None:
        """End every node, and whatever it left behind."""
        end([node.process for node in reversed(self._started)], self.root)


@contextmanager
def loopback(ray: Path, extra: Mapping[str, str] | None = None) -> Iterator[Loopback]:
    """A place for Ray nodes, which are gone with their files in the end."""
    root = short_directory()
    made = Loopback(ray, root, dict(extra or {}))
    try:
        yield made
    finally:
        made.stop()
        shutil.rmtree(root, ignore_errors=True)


def until(condition: Callable[[], Any], seconds: float, what: Callable[[], str]) -> None:
    """Return as soon as it is true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what()}"
        time.sleep(0.2)


def _redirected(container: Container, home: Path) -> dict[str, str]:
    """The container's variables, with its files below `home` and paths to them changed to that."""
    for path, file in container.files.items():
        target = home / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.content)
        target.chmod(file.mode)
    places = {str(Path(path).parent) for path in container.files}
    return {
        name: f"{home}{value}" if any(value.startswith(place) for place in places) else value
        for name, value in container.environment.items()
    }


def _holds(path: Path, text: bytes) -> bool:
    with contextlib.suppress(OSError):
        return path.is_file() and text in path.read_bytes()
    return False
