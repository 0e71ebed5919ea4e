"""Ray jobs, and how they are handed in."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

DASHBOARD = 8265
TASKS = 5000
RESULT = "RESULT "
# What Ray says of itself over HTTP.
VIEWS = (
    "/api/jobs/",
    "/api/v0/nodes?detail=1",
    "/api/v0/runtime_envs?detail=1",
    "/api/v0/tasks?detail=1",
    "/api/v0/workers?detail=1",
    "/nodes?view=summary",
    "/api/cluster_status",
)

# The seed's: one task for each number. Each also says where it ran.
MANY_TASKS = Path(__file__).resolve().parents[2].joinpath("examples", "traffic.py").read_text()

# On every node: take a marked object from the driver, and give one back.
MOVED_BYTES = 8_000_000
MOVE_DATA = f"""
import json, ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On
ray.init(log_to_driver=False)
marker = bytes.fromhex("%s")
blob = ray.put(marker * ({MOVED_BYTES} // len(marker)))

@ray.remote(num_cpus=0)
def turn(data):
    return data[::-1][::-1]

nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
back = ray.get([turn.options(scheduling_strategy=On(node, soft=False)).remote(blob) for node in nodes])
print("{RESULT}" + json.dumps({{"bytes": [len(data) for data in back]}}))
"""


def move_data(marker: bytes) -> str:
    """The job that moves data which holds a marker, here written in another way."""
    return MOVE_DATA % marker.hex()


def entrypoint(program: str) -> tuple[str, ...]:
    """The command of a job that runs a Python program, free of anything that a shell would read."""
    packed = base64.b64encode(program.encode()).decode()
    return ("python", "-c", f"import base64;exec(base64.b64decode('{packed}'))")


def submit(
    program: str, *options: str, address: str | None = f"http://127.0.0.1:{DASHBOARD}"
) -> tuple[str, ...]:
    """The arguments of `ray` that hand a job in and follow it."""
    where = ("--address", address) if address else ()
    return ("job", "submit", *where, *options, "--", *entrypoint(program))


def result(output: str) -> Any:
    """What a job printed as its result."""
    lines = [line for line in output.splitlines() if line.startswith(RESULT)]
    assert len(lines) == 1, output
    return json.loads(lines[0].removeprefix(RESULT))


def assert_many_tasks(output: str, nodes: int = 2) -> None:
    """All of `MANY_TASKS` ran, and every node of the cluster took part."""
    said = result(output)
    assert said["sum"] == sum(range(TASKS))
    assert len(said["alive"]) == nodes
    assert said["ran_on"] == said["alive"]
