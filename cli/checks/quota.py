"""How much of a region's quota a GKE cluster takes: at least, and when all its pools are full."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from rayfort.cluster import GkeClusterArgs
from rayfort.cluster.gke.accelerators import GPUS
from rayfort.cluster.gke.pools import NodePool

from cli.checks import Check, State

# Families whose CPUs have a quota of their own; those of e2 and n1 count as CPUS.
OWN_CPUS: Final = {
    "a2": "A2_CPUS",
    "c2": "C2_CPUS",
    "c2d": "C2D_CPUS",
    "c3": "C3_CPUS",
    "n2": "N2_CPUS",
    "n2d": "N2D_CPUS",
    "t2d": "T2D_CPUS",
}
SHARED_CPUS: Final = {"e2": "CPUS", "n1": "CPUS"}
REMEDY: Final = "ask for more at https://console.cloud.google.com/iam-admin/quotas, or make the pools smaller"


def needs(cluster: GkeClusterArgs) -> dict[str, tuple[float, float]]:
    """By the quota's name: what the pools take with their fewest nodes, and with their most.

    Only what Compute Engine counts for a region under a name that is known here.
    """
    found: defaultdict[str, list[float]] = defaultdict(lambda: [0, 0])
    for pool in cluster.node_pools:
        for metric, each in _of_a_node(pool):
            found[metric][0] += each * pool.min_nodes
            found[metric][1] += each * pool.max_nodes
    return {metric: (least, most) for metric, (least, most) in found.items()}


def _of_a_node(pool: NodePool) -> Iterator[tuple[str, float]]:
    spot = "PREEMPTIBLE_" if pool.spot else ""
    cpus = {**OWN_CPUS, **SHARED_CPUS}.get(pool.machine.family)
    if cpus and pool.machine.cpus and not spot:
        yield cpus, pool.machine.cpus
    if pool.gpu and GPUS[pool.gpu.model].quota:
        yield f"{spot}{GPUS[pool.gpu.model].quota}", pool.gpu_count
    if pool.disk in {"pd-balanced", "pd-ssd"}:
        yield "SSD_TOTAL_GB", pool.disk_gb


def judge(quotas: Iterable[Mapping[str, Any]], wanted: Mapping[str, tuple[float, float]]) -> Iterator[Check]:
    """What of a region's quotas is too small.

    Args:
        quotas: as Compute Engine lists them: ``metric``, ``limit`` and ``usage``.
        wanted: what `needs` says.
    """
    free = {str(item.get("metric")): item.get("limit", 0) - item.get("usage", 0) for item in quotas}
    known = {metric: needed for metric, needed in wanted.items() if metric in free}
    enough = True
    for metric, (least, most) in sorted(known.items()):
        if free[metric] < most:
            enough = False
            state = State.MISSING if free[metric] < least else State.WARN
            text = f"{metric}: {free[metric]:g} are free, and the pools take {least:g} to {most:g}"
            yield Check("quota", state, text, REMEDY)
    if enough:
        names = ", ".join(sorted(known)) or "nothing that Compute Engine counts"
        yield Check("quota", State.OK, f"enough for full pools: {names}")
