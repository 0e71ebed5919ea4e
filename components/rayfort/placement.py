"""Ray nodes on node pools: Pods say what the pool's facts say, so that the two cannot drift apart."""

from collections.abc import Iterator, Mapping
from typing import Final

from rayfort.facts import ClusterFacts
from rayfort.node_pools import NodePoolFacts
from rayfort.ray.spec import RayClusterSpec, RayNode, Resources

_GIB: Final = 2**30
_UNITS: Final[Mapping[str, float]] = {
    **{f"{letter}i": 1024**power for power, letter in enumerate("KMGTPE", 1)},
    **{letter: 1000**power for power, letter in enumerate("kMGTPE", 1)},
    "m": 0.001,
}


def placed(cluster: RayClusterSpec, facts: ClusterFacts) -> RayClusterSpec:
    """The Ray cluster with each node on the pool that it names.

    Args:
        cluster: the cluster; `problem` must have nothing to say about it.
        facts: the facts of the Kubernetes cluster.
    """
    update = {
        "head": _place(cluster.head, facts),
        "worker_groups": tuple(_place(group, facts) for group in cluster.worker_groups),
    }
    return cluster.model_copy(update=update)


def problem(cluster: RayClusterSpec, facts: ClusterFacts) -> str | None:
    """Why a Pod of the Ray cluster could never start on the pool that it names; None where all can."""
    return next(_problems(cluster, facts), None)


def _problems(cluster: RayClusterSpec, facts: ClusterFacts) -> Iterator[str]:
    nodes = {f"worker group {group.name}": group for group in cluster.worker_groups}
    for name, node in {"head": cluster.head, **nodes}.items():
        if node.node_pool is None:
            continue
        pool = facts.node_pools.get(node.node_pool)
        if pool is None:
            known = ", ".join(sorted(facts.node_pools)) or "none"
            yield f"{name}: there is no node pool {node.node_pool} (there is {known}); name one that is there"
        elif text := _unfit(node, pool):
            yield f"{name}: {text}"


def _place(node: RayNode, facts: ClusterFacts) -> RayNode:
    if node.node_pool is None:
        return node
    pool = facts.node_pools[node.node_pool]
    resources = node.resources
    if pool.accelerator_resource:
        # A node that says nothing of accelerators gets all that a machine has.
        count = resources.gpu if "gpu" in resources.model_fields_set else pool.accelerators
        resources = resources.model_copy(update={"gpu": count, "gpu_resource": pool.accelerator_resource})
    return node.model_copy(
        update={
            "node_pool": None,
            "resources": resources,
            "node_selector": {**pool.labels, **node.node_selector},
            "tolerations": (*(taint.toleration for taint in pool.taints), *node.tolerations),
        }
    )


def _unfit(node: RayNode, pool: NodePoolFacts) -> str | None:
    name = node.node_pool
    if not pool.for_workers:
        return f"pool {name} is not for Ray's Pods; name another one"
    if pool.hosts_at_once > 1:
        return (
            f"pool {name} is a slice of {pool.hosts_at_once} machines, and Rayfort has nothing that places "
            "Ray on all of them at once; use a slice of one machine"
        )
    for label, value in pool.labels.items():
        asked = node.node_selector.get(label, value)
        if asked != value:
            return f"nodeSelector asks for {label}={asked}, and pool {name} has {value}; leave the label out"
    return _too_large(node.resources, pool, name)


def _too_large(asked: Resources, pool: NodePoolFacts, name: str | None) -> str | None:
    stated = "gpu_resource" in asked.model_fields_set
    if asked.gpu and stated and asked.gpu_resource != pool.accelerator_resource:
        has = pool.accelerator_resource or "no accelerators"
        return f"asks for {asked.gpu_resource}, and pool {name} has {has}; name another pool"
    if asked.gpu > pool.accelerators:
        there = pool.accelerators or "none"
        return f"asks for {asked.gpu} accelerators, and a node of pool {name} has {there}; ask for less"
    if pool.cpus is not None and amount(asked.cpu) >= pool.cpus:
        return (
            f"asks for {asked.cpu} CPUs, and a node of pool {name} has {pool.cpus}, of which the system "
            "takes some; ask for less"
        )
    if pool.memory_gib is not None and amount(asked.memory) >= pool.memory_gib * _GIB:
        return (
            f"asks for {asked.memory} of memory, and a node of pool {name} has {pool.memory_gib:g} GiB, of "
            "which the system takes some; ask for less"
        )
    return None


def amount(quantity: str) -> float:
    """The number that a Kubernetes quantity such as ``500m`` or ``4Gi`` stands for."""
    for unit, factor in _UNITS.items():
        if quantity.endswith(unit):
            return float(quantity.removesuffix(unit)) * factor
    return float(quantity)
