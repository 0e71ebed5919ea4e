"""One operation of the engine, in a process of its own, and what it took.

    python -m bench.measure < ORDER

`ORDER` is an `Order` as JSON. The last line of the standard output is a `Taken` as JSON. The process ends
after one operation, so that its memory is that of the program in it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from bench import null_program
from bench.plane import Plane
from bench.testbed import BenchError
from bench.usage import Usage
from sandbox.progress import Progress

# What the control plane does in any case: watches, and proofs of life.
_IDLE: Final = re.compile(r'verb="(WATCH|CONNECT)"|resource="leases"')
_COUNTED: Final = re.compile(r"^apiserver_request_total\{(.*)\} ([0-9.e+]+)$", re.MULTILINE)


@dataclass(frozen=True)
class Order:
    """What to measure.

    Attributes:
        root: the checkout.
        state: the sandbox's directory.
        verb: ``preview``, ``up``, ``destroy``, ``start`` or ``stop``.
        overrides: laid over the stack file's values.
        blanks: the file with a null program that runs in the place of the platform's; None for the platform.
        checkpoints: see `Plane`.
    """

    root: str
    state: str
    verb: str
    overrides: dict[str, Any] = field(default_factory=dict)
    blanks: str | None = None
    checkpoints: bool = True


@dataclass(frozen=True)
class Taken:
    """What it took.

    Attributes:
        seconds: of the operation by itself, without getting ready for it.
        cpu: seconds of a processor that each kind of process used; ``program`` also follows the engine.
        memory: the peak of each kind of process in MiB, see `Usage`.
        requests: that the API server answered meanwhile, from everybody, without watches and leases.
        state_bytes: the size of the state afterwards.
        counts: resources by kind of change.
    """

    seconds: float
    cpu: dict[str, float]
    memory: dict[str, float]
    requests: int
    state_bytes: int
    counts: dict[str, int]


def ask(order: Order, limit: float) -> Taken:
    """Have an operation done by a process of its own.

    Args:
        order: the operation.
        limit: seconds after which it has failed.

    Raises:
        BenchError: with what the process said.
    """
    command = [sys.executable, "-P", "-m", "bench.measure"]
    try:
        done = subprocess.run(
            command,
            input=json.dumps(asdict(order)),
            cwd=order.root,
            env=_environment(order.root),
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BenchError(
            f"{order.verb} took more than {limit:.0f} seconds; give fewer workspaces, or a machine of its own"
        ) from None
    if done.returncode:
        raise BenchError(f"{order.verb} failed:\n{done.stderr.strip()[-3000:]}")
    return Taken(**json.loads(done.stdout.splitlines()[-1]))


def _environment(root: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": root}


class _Times(Progress):
    """Knows how long the last step took, and tells nobody."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[Any]:
        started = time.perf_counter()
        yield _Silent()
        self.seconds = time.perf_counter() - started


class _Silent:
    def note(self, text: str) -> None:
        """Nobody listens."""


def requests(metrics: str) -> int:
    """How many requests an API server has answered, by its metrics, without watches and leases."""
    return round(sum(float(n) for labels, n in _COUNTED.findall(metrics) if not _IDLE.search(labels)))


def _answered(plane: Plane) -> int:
    kubectl = [str(plane.tool("kubectl")), "--kubeconfig", str(plane.kubeconfig), "get", "--raw", "/metrics"]
    return requests(subprocess.run(kubectl, capture_output=True, text=True, check=True).stdout)


def carry_out(order: Order) -> Taken:
    """Do what an order says, in this process."""
    root, state, times = Path(order.root), Path(order.state), _Times()
    program = None
    if order.blanks:
        found = null_program.read(Path(order.blanks).read_text())
        program = null_program.program(found, (state / "kubeconfig").read_text())
    plane = Plane(
        root, times, state=state, overrides=order.overrides, program=program, checkpoints=order.checkpoints
    )
    running = order.verb not in {"start", "stop"}
    if running:
        plane.start()
    before, counts = _answered(plane) if running else 0, {}
    with Usage() as usage:
        started = time.perf_counter()
        match order.verb:
            case "preview":
                counts = plane.preview().counts
                seconds = times.seconds
            case "up":
                counts = plane.provision().counts
                seconds = times.seconds
            case "destroy":
                plane.delete()
                seconds = times.seconds
            case "start":
                plane.start()
                seconds = time.perf_counter() - started
            case "stop":
                plane.stop()
                seconds = time.perf_counter() - started
            case _:
                raise BenchError(f"{order.verb} is nothing that can be measured")
    cpu = {part: round(used, 2) for part, used in usage.processor.items()}
    answered = _answered(plane) - before if running else 0
    peaks = {part: round(peak, 1) for part, peak in usage.peaks.items()}
    return Taken(round(seconds, 3), cpu, peaks, answered, plane.state_bytes, counts)


if __name__ == "__main__":
    print(json.dumps(asdict(carry_out(Order(**json.load(sys.stdin))))))
