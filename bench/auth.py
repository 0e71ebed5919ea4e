"""What Ray's token authentication costs: a Ray that asks for a token against one that asks for nothing."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Final

from rayfort import versions

from bench.auth_results import AuthResults, Rates, Round, order
from bench.local_ray import ADDRESS, LocalRay, local_ray
from bench.testbed import BenchError
from sandbox import ray_client
from sandbox.progress import Progress

_DRIVER: Final = Path(__file__).with_name("auth_driver.py")
UNAUTHORIZED: Final = 401
OK: Final = 200


def run(rounds: int, seconds: float, progress: Progress) -> AuthResults:
    """Measure two Rays of one node each, which run side by side and are asked in turn.

    Args:
        rounds: how often each is asked; at least 2.
        seconds: for each figure in each round.
        progress: where the rounds are shown.

    Raises:
        BenchError: if a Ray does not start or fails, or asks for a token where it should not.
    """
    if rounds < 2 or seconds <= 0:
        raise BenchError(
            "--rounds: give at least 2; --seconds: more than 0. Otherwise there is no spread to see."
        )
    load = os.getloadavg()[0]
    program = ray_client.ensure(versions.RAY, progress)
    token = secrets.token_hex(32)
    with ExitStack() as stack:
        with progress.step("Start a Ray with a token and one without"):
            guarded = stack.enter_context(local_ray(program, token))
            open_to_all = stack.enter_context(local_ray(program, None))
            _check(guarded, open_to_all)
            drivers = {
                True: stack.enter_context(_driver(guarded, seconds)),
                False: stack.enter_context(_driver(open_to_all, seconds)),
            }
        measured = []
        with progress.step("Measure them in turn") as step:
            for number, turn in enumerate(order(rounds), start=1):
                step.note(f"round {number} of {rounds}")
                rates = {which: _rates(drivers[which]) for which in turn}
                measured.append(Round(rates[True], rates[False]))
    return AuthResults(versions.RAY, os.cpu_count() or 1, load, seconds, tuple(measured))


def _check(guarded: LocalRay, open_to_all: LocalRay) -> None:
    """That one asks for its token and the other does not: otherwise the bench would compare equals."""
    found = (guarded.status(None), guarded.status(guarded.token), open_to_all.status(None))
    if found != (UNAUTHORIZED, OK, OK):
        raise BenchError(
            f"Ray {versions.RAY} does not ask for its token as it should (without, with, and where there is "
            f"none: {found}), so that there is nothing to compare."
        )


@contextmanager
def _driver(ray: LocalRay, seconds: float) -> Iterator[subprocess.Popen[str]]:
    """A driver of that Ray, warm and waiting."""
    command = [str(ray.ray.with_name("python")), str(_DRIVER), f"{ADDRESS}:{ray.gcs_port}", ADDRESS]
    errors = ray.root / "driver"
    with errors.open("w") as output:
        process = subprocess.Popen(
            [*command, str(ray.dashboard_port), str(seconds)],
            env=ray.environment,
            cwd=ray.root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
        )
    try:
        _line(process, "READY", errors)
        yield process
    finally:
        process.kill()
        process.wait()


def _rates(driver: subprocess.Popen[str]) -> Rates:
    stdin = _pipe(driver.stdin)
    stdin.write("measure\n")
    stdin.flush()
    return dict(json.loads(_line(driver, "RATES ")))


def _line(driver: subprocess.Popen[str], prefix: str, errors: Path | None = None) -> str:
    """The rest of the next line with this prefix; Ray prints others."""
    for line in _pipe(driver.stdout):
        if line.startswith(prefix):
            return line.removeprefix(prefix)
    said = errors.read_text(errors="replace")[-2000:] if errors else ""
    raise BenchError(f"The driver of a Ray ended while it was measured. Run the bench again.\n{said}".strip())


def _pipe(stream: IO[str] | None) -> IO[str]:
    if stream is None:
        raise BenchError("The driver has no pipe.")
    return stream
