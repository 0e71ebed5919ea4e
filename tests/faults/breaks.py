"""What can break, each as a function of the stage that it breaks on."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.local_workload import program
from tests.faults.proxy import Moment, Plan
from tests.faults.running import Command, with_nobody
from tests.faults.world import Phase, World

ENGINE = "bin/pulumi "
KUBERNETES, RANDOM = "sandbox.plugins.kubernetes_provider", "sandbox.plugins.random_provider"
HELM = "helm "
PYTHON = ""


@dataclass
class Stage:
    """Where a fault happens.

    Attributes:
        world: the sandbox.
        phase: of the command.
        command: the one that is disturbed; set once it is started.
        disk: the disk that the state is on, where that is one of its own.
        said: what other commands said meanwhile.
        freed: set once a full disk is no longer to be filled.
    """

    world: World
    phase: Phase
    command: Command | None = None
    disk: Path | None = None
    said: list[str] = field(default_factory=list)
    freed: threading.Event = field(default_factory=threading.Event)

    @property
    def now(self) -> Command:
        """The command under way."""
        assert self.command
        return self.command


@dataclass(frozen=True)
class Break:
    """What breaks.

    Attributes:
        what: in words.
        plan: makes what the proxy is told.
        disk: whether the state needs a disk of its own.
        file_limit: bytes beyond which the command's files do not grow.
    """

    what: str
    plan: Callable[[Stage, Moment], Plan]
    disk: bool = False
    file_limit: int | None = None


def kill(word: str, what: str) -> Break:
    """Kill the processes of the command that have a word in their command line."""

    def plan(stage: Stage, moment: Moment) -> Plan:
        return Plan(moment, act=lambda: stage.now.kill(word), drop=True)

    return Break(f"kill -9 {what}", plan)


def power_loss() -> Break:
    """Kill the command with all its processes at once."""

    def plan(stage: Stage, moment: Moment) -> Plan:
        def act() -> None:
            stage.now.kill_all()

        return Plan(moment, act=act, drop=True)

    return Break("kill -9 everything", plan)


def kill_command() -> Break:
    """Kill the command, whose engine and plugins go on alone."""

    def plan(stage: Stage, moment: Moment) -> Plan:
        return Plan(moment, act=lambda: os.kill(stage.now.pid, signal.SIGKILL), drop=True)

    return Break("kill -9 the command itself", plan)


def kill_daemon(*names: str) -> Break:
    """Kill processes of the control plane."""
    return _kill(" and ".join(names), *names)


def _kill(what: str, *names: str) -> Break:
    def act(world: World) -> None:
        for name, record in {name: world.table.running(name) for name in names}.items():
            assert record, f"{name} does not run"
            with_nobody(lambda pid=record.pid: os.kill(pid, signal.SIGKILL))  # it may go with the one before
            world.table.wait_gone(name, 10)

    return Break(f"kill -9 {what}", lambda s, m: Plan(m, act=lambda: act(s.world)))


def kill_workload(name: str) -> Break:
    """Kill the operator or istiod; what stands in for its Deployment starts it again."""
    return _kill(name, program(name))


def end_workload(name: str) -> Break:
    """Kill the operator or istiod for good: nobody starts it again before the next `up`."""
    return _kill(f"{name} for good", name, program(name))


def freeze(name: str) -> Break:
    """Have the operator or istiod hang: it accepts connections and answers nothing."""

    def act(world: World) -> None:
        record = world.table.running(program(name))
        assert record, f"{name} does not run"
        os.kill(record.pid, signal.SIGSTOP)

    return Break(f"{name} hangs", lambda s, m: Plan(m, act=lambda: act(s.world)))


def answer(status: int, times: int = 1) -> Break:
    """Answer with an error instead of the API server."""
    return Break(f"{times} x HTTP {status}", lambda _, m: Plan(m, status=status, times=times))


def reset(times: int = 1) -> Break:
    """End connections without an answer; what the moment says decides whether the request was carried out."""
    return Break(f"{times} x connection reset", lambda _, m: Plan(m, drop=True, times=times))


def slow(seconds: float, times: int) -> Break:
    """Answer late."""
    return Break(f"{times} x {seconds:g} s late", lambda _, m: Plan(m, delay=seconds, times=times))


def refuse() -> Break:
    """Accept no connection any more."""
    return Break("connections refused", lambda s, m: Plan(m, act=s.world.proxy.refuse, drop=True))


def outage(seconds: float) -> Break:
    """Accept no connection for a while."""

    def act(world: World) -> None:
        world.proxy.refuse()
        time.sleep(seconds)
        world.proxy.serve_again()

    return Break(
        f"connections refused for {seconds:g} s", lambda s, m: Plan(m, act=lambda: act(s.world), drop=True)
    )


def stranger() -> Break:
    """Show a certificate of an authority that nobody knows."""

    def act(world: World) -> None:
        world.proxy.strange = True
        world.proxy.reset_all()

    return Break("certificate of a stranger", lambda s, m: Plan(m, act=lambda: act(s.world), drop=True))


def signalled(*numbers: signal.Signals, group: bool = True, pause: float = 1.0) -> Break:
    """Send signals, one after the other: to the whole group, as a terminal does, or to the command alone."""

    def act(command: Command) -> None:
        for index, number in enumerate(numbers):
            time.sleep(pause if index else 0)
            with_nobody(
                lambda number=number: (
                    os.killpg(command.pid, number) if group else os.kill(command.pid, number)
                )
            )
        time.sleep(0.2)

    whom = "" if group else " to the command alone"
    names = " and ".join(number.name for number in numbers)
    return Break(f"{names}{whom}", lambda s, m: Plan(m, act=lambda: act(s.now)))


def full_disk() -> Break:
    """Fill the disk that the state is on, and whatever becomes free on it, until `Stage.freed`."""

    def act(stage: Stage) -> None:
        assert stage.disk
        full = threading.Event()
        args = (stage.disk / "filler", full, stage.freed)
        threading.Thread(target=_fill, args=args, daemon=True).start()
        assert full.wait(30)

    return Break("disk full", lambda s, m: Plan(m, act=lambda: act(s)), disk=True)


def _fill(filler: Path, full: threading.Event, freed: threading.Event) -> None:
    with filler.open("wb", buffering=0) as file:
        while not freed.wait(0.002):
            try:
                while not freed.is_set():
                    file.write(bytes(4096))
            except OSError:
                full.set()


def read_only() -> Break:
    """Make the disk that the state is on read-only."""

    def act(stage: Stage) -> None:
        import subprocess

        subprocess.run(["mount", "-o", "remount,ro", str(stage.disk)], check=True)

    return Break("state read-only", lambda s, m: Plan(m, act=lambda: act(s)), disk=True)


def file_limit(kilobytes: int) -> Break:
    """Let no file of the command grow beyond a size."""
    return Break(
        f"no file above {kilobytes} KiB",
        lambda _, m: Plan(m),
        file_limit=kilobytes * 1024,
    )


def second(verb: Phase) -> Break:
    """Start another command meanwhile."""

    def act(stage: Stage) -> None:
        plan, requests = stage.world.proxy.plan, stage.world.proxy.requests
        other = stage.world.start(verb)
        stage.world.proxy.plan, stage.world.proxy.requests = plan, requests
        stage.world.extra.append(other)
        code = other.wait(120)
        stage.said.append(f"exit code {code}: {other.output}")

    return Break(f"a second {verb.value}", lambda s, m: Plan(m, act=lambda: act(s)))
