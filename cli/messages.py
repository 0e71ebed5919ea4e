"""What the command line says about the sandbox."""

import json
from collections.abc import Iterator
from dataclasses import asdict

from rich.table import Table

from sandbox.environment import Environment, Report
from sandbox.progress import Progress


def progress() -> Progress:
    """Where long work is shown: on stderr."""
    return Progress()


def summary(report: Report, environment: Environment) -> str:
    """What an `up` ended with, and what to do next."""
    return "\n".join(_summary(report, environment))


def _summary(report: Report, environment: Environment) -> Iterator[str]:
    yield f"Platform: {report.changes.summary}."
    for cluster in report.clusters:
        yield (
            f"RayCluster {cluster.namespace}/{cluster.name}: {cluster.state}, {cluster.running} of "
            f"{cluster.pods} Pods running, {cluster.injected} with a sidecar"
        )
    yield (
        "Nodes are simulated: API server, scheduler, controllers, KubeRay operator, istiod and its sidecar "
        "injection are real; containers do not run, so Ray computes nothing here."
    )
    if report.stand_ins:
        yield (
            f"Pulumi's plugins for {' and '.join(report.stand_ins)} could not be downloaded; Rayfort's "
            "stand-ins served the same resources."
        )
    for line in report.outputs.get("weakened", []):
        yield f"Weakened: {line}"
    yield ""
    yield f"export KUBECONFIG={environment.kubeconfig}"
    for clusters in report.outputs.get("rayClusters", {}).values():
        for access in clusters.values():
            yield access["readToken"]


def status_json(environment: Environment) -> str:
    """Processes and Ray clusters as JSON."""
    return json.dumps(
        {
            "processes": [
                {**asdict(process), "log": str(process.log)} for process in environment.processes()
            ],
            "rayClusters": [
                {**asdict(cluster), "ready": cluster.ready} for cluster in environment.clusters()
            ],
        },
        indent=2,
    )


def status_table(environment: Environment) -> Table | str:
    """Processes and Ray clusters as a table."""
    processes = environment.processes()
    if not processes:
        return "The sandbox is not there. Run `./rayfort up`."
    table = Table(box=None, pad_edge=False)
    for column in ("NAME", "STATE", "PID", "PORT", "DETAIL"):
        table.add_column(column)
    for process in processes:
        table.add_row(
            process.name, process.state, str(process.pid or ""), str(process.port or ""), process.detail
        )
    for cluster in environment.clusters():
        detail = f"{cluster.running} of {cluster.pods} Pods running, {cluster.injected} with a sidecar"
        table.add_row(f"raycluster {cluster.namespace}/{cluster.name}", cluster.state, "", "", detail)
    return table
