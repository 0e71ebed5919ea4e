"""Traffic to look at: 5000 small tasks, as in the guide to Istio for KubeRay.

Hand it to a Ray cluster as a job, for example through the dashboard's port-forward that the stack's outputs
name, with RAY_AUTH_TOKEN set to the cluster's token:

    ray job submit --address http://localhost:8265 --working-dir examples -- python traffic.py

Another number of tasks is an argument: `python traffic.py 100`.

Each task says on which node it ran. At the end one line says what came back: the sum of the numbers, the
nodes that worked, and those that were there.
"""

import json
import sys

import ray

TASKS = 5000


@ray.remote
def echo(number: int) -> tuple[int, str]:
    """The number, and the node that this ran on."""
    return number, ray.get_runtime_context().get_node_id()


def main(tasks: int) -> None:
    """Run the tasks, and print what came back."""
    ray.init(log_to_driver=False)
    done = ray.get([echo.remote(number) for number in range(tasks)])
    found = {
        "sum": sum(number for number, _ in done),
        "ran_on": sorted({node for _, node in done}),
        "alive": sorted(node["NodeID"] for node in ray.nodes() if node["Alive"]),
    }
    print("RESULT " + json.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else TASKS)
