"""Measure one Ray, again and again: a program of its own, for Ray's Python.

Arguments: GCS's address, the dashboard's host and port, and seconds for each figure. For each line on its
standard input it prints one line: a JSON object with how many of each were done in a second. The token is
in its environment.
"""

# Ray is no dependency of this workspace, so that nothing is known of its types.
# mypy: ignore-errors

import http.client
import json
import os
import sys
import time
from collections.abc import Callable

import ray

BATCH = 100


@ray.remote
def nothing() -> None:
    """A task that does nothing."""


@ray.remote(num_cpus=0)
class Actor:
    """An actor that does nothing."""

    def nothing(self) -> None:
        """Do nothing."""


def rate(batch: Callable[[], int], seconds: float) -> float:
    """How many of what a batch does are done in a second."""
    began = time.perf_counter()
    done = 0
    while (spent := time.perf_counter() - began) < seconds:
        done += batch()
    return done / spent


def main(gcs: str, host: str, port: int, seconds: float) -> None:
    """Measure at every line."""
    ray.init(gcs, log_to_driver=False)
    actor = Actor.remote()
    dashboard = http.client.HTTPConnection(host, port, timeout=60)
    token = os.environ.get("RAY_AUTH_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}

    def tasks() -> int:
        ray.get([nothing.remote() for _ in range(BATCH)])
        return BATCH

    def calls() -> int:
        ray.get([actor.nothing.remote() for _ in range(BATCH)])
        return BATCH

    def round_trips() -> int:
        ray.get(actor.nothing.remote())
        return 1

    def requests() -> int:
        dashboard.request("GET", "/api/jobs/", headers=headers)
        answer = dashboard.getresponse()
        answer.read()
        if answer.status != 200:
            raise RuntimeError(f"the dashboard answered {answer.status}")
        return 1

    figures = {"tasks": tasks, "calls": calls, "round_trips": round_trips, "requests": requests}
    for batch in figures.values():
        rate(batch, seconds)  # until everything is warm
    print("READY", flush=True)
    for _ in sys.stdin:
        print(
            "RATES " + json.dumps({name: rate(batch, seconds) for name, batch in figures.items()}), flush=True
        )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
