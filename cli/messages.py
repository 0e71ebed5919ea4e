"""What the command line says about the sandbox."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Final

from rich.table import Table

from sandbox.environment import Environment, Report
from sandbox.image_source import ImageSource
from sandbox.progress import Progress
from sandbox.ray_status import RayClusterStatus

JOB: Final = "import ray; ray.init(); print(ray.cluster_resources())"


def progress() -> Progress:
    """Where long work is shown: on stderr."""
    return Progress()


def summary(report: Report, environment: Environment) -> str:
    """What an `up` ended with, and what to do next."""
    return "\n".join(_summary(report, environment))


def _summary(report: Report, environment: Environment) -> Iterator[str]:
    yield f"Platform: {report.changes.summary}."
    yield from _nodes(report)
    for cluster in report.clusters:
        yield f"RayCluster {cluster.namespace}/{cluster.name}: {cluster.state}, {_pods(cluster)}"
    if report.stand_ins:
        yield (
            f"Pulumi's plugins for {' and '.join(report.stand_ins)} could not be downloaded; Rayfort's "
            "stand-ins served the same resources."
        )
    for line in report.outputs.get("weakened", []):
        yield f"Weakened: {line}"
    for line in report.changes.violations:
        yield f"Policy: {line}"
    yield ""
    yield f"export KUBECONFIG={environment.kubeconfig}"
    for cluster in report.clusters:
        yield from _access(cluster, report)
    yield from _hub(report)


def _nodes(report: Report) -> Iterator[str]:
    if report.nodes == "real":
        yield "Nodes are real: containers run, Istio's sidecars carry the traffic, and Ray computes."
        if report.images is ImageSource.REGISTRY:
            yield "The platform's images are the official ones, pulled from their registries."
        return
    if report.why_simulated:
        yield f"This machine cannot carry a real node. {report.why_simulated}"
    yield (
        "Nodes are simulated: API server, scheduler, controllers, KubeRay operator, istiod and its sidecar "
        "injection are real; containers do not run, so Ray computes nothing here."
    )


def _pods(cluster: RayClusterStatus) -> str:
    parts = [f"{cluster.running} of {cluster.pods} Pods running", f"{cluster.injected} with a sidecar"]
    if cluster.alive is not None:
        parts.append(f"{cluster.alive} alive in Ray's own view")
    if cluster.restarts:
        parts.append(f"{cluster.restarts} restarts" if cluster.restarts > 1 else "1 restart")
    return ", ".join(parts)


def _hub(report: Report) -> Iterator[str]:
    """How to reach JupyterHub, as commands to paste."""
    access = report.outputs.get("jupyterhub")
    if not access or report.nodes == "simulated":
        return
    yield ""
    yield f"# JupyterHub, then at {access['url']}"
    yield f"./rayfort {access['portForward']}"
    if password := access.get("readPassword"):
        yield "# the password, the same for all of its users"
        yield f"./rayfort {password}"


def _access(cluster: RayClusterStatus, report: Report) -> Iterator[str]:
    """How to reach a Ray cluster, as commands to paste."""
    known = (
        access
        for clusters in report.outputs.get("rayClusters", {}).values()
        for name, access in clusters.items()
        if name == cluster.name and access["portForward"].startswith(f"kubectl -n {cluster.namespace} ")
    )
    access = next(known, None)
    if report.nodes == "simulated":
        if access:
            yield f"./rayfort {access['readToken']}"
        return
    title = f"RayCluster {cluster.namespace}/{cluster.name}"
    choice = f" --namespace {cluster.namespace} --cluster {cluster.name}" if len(report.clusters) > 1 else ""
    yield ""
    if access:
        yield f"# {title}: the dashboard, then at http://127.0.0.1:{access['portForward'].rpartition(' ')[2]}"
        yield f"./rayfort {access['portForward']}"
        yield "# the token that it asks for"
        yield f"./rayfort {access['readToken']}"
    yield f"# a job on {title}"
    yield f"./rayfort ray{choice} job submit -- python -c '{JOB}'"


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
        detail = _pods(cluster) if cluster.ready else f"{_pods(cluster)}; {'; '.join(cluster.late)}"
        table.add_row(f"raycluster {cluster.namespace}/{cluster.name}", cluster.state, "", "", detail)
    return table
