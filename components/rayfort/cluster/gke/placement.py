"""A node pool as a fact: what GKE sets on its nodes, from the same model that makes the pool."""

from dataclasses import dataclass
from typing import Final

from rayfort.cluster.gke.accelerators import GPU_RESOURCE, TPU_RESOURCE
from rayfort.cluster.gke.pools import NodePool, PoolRole
from rayfort.node_pools import NodePoolFacts, PoolTaint

POOL_LABEL: Final = "cloud.google.com/gke-nodepool"
GPU_LABEL: Final = "cloud.google.com/gke-accelerator"
TPU_LABEL: Final = "cloud.google.com/gke-tpu-accelerator"
TPU_TOPOLOGY_LABEL: Final = "cloud.google.com/gke-tpu-topology"
SPOT_LABEL: Final = "cloud.google.com/gke-spot"
SYSTEM_TAINT: Final = "components.gke.io/gke-managed-components"
WORKERS_TAINT: Final = "rayfort.dev/pool"


@dataclass(frozen=True)
class Taint:
    """What keeps Pods away from a node: none starts there without a toleration.

    Attributes:
        key, value: its name and value.
        automatic: whether GKE sets it by itself, so that the pool must not.
    """

    key: str
    value: str
    automatic: bool = False


def taints(pool: NodePool) -> tuple[Taint, ...]:
    """The taints of a pool's nodes."""
    found: list[Taint] = []
    if pool.role is PoolRole.SYSTEM:
        found.append(Taint(SYSTEM_TAINT, "true"))
    if pool.role is PoolRole.WORKERS:
        found.append(Taint(WORKERS_TAINT, pool.name))
    if pool.spot:
        found.append(Taint(SPOT_LABEL, "true"))
    if pool.gpu:
        found.append(Taint(GPU_RESOURCE, "present", automatic=True))
    if pool.tpu:
        found.append(Taint(TPU_RESOURCE, "present", automatic=True))
    return tuple(found)


def node_labels(pool: NodePool) -> dict[str, str]:
    """The labels by which Pods find a pool's nodes; GKE sets all of them by itself."""
    labels = {POOL_LABEL: pool.name}
    if pool.gpu:
        labels[GPU_LABEL] = pool.gpu.model
    if pool.tpu and pool.tpu_topology:
        labels |= {TPU_LABEL: pool.tpu.accelerator, TPU_TOPOLOGY_LABEL: pool.tpu_topology}
    if pool.spot:
        labels[SPOT_LABEL] = "true"
    return labels


def pool_facts(pool: NodePool) -> NodePoolFacts:
    """What Pods must say to run on a pool's nodes, and what they find there.

    CPUs and memory are the machine's own; what the system takes of them differs from version to version.
    """
    resource = TPU_RESOURCE if pool.tpu else GPU_RESOURCE
    return NodePoolFacts(
        labels=node_labels(pool),
        taints=tuple(PoolTaint(key=taint.key, value=taint.value) for taint in taints(pool)),
        accelerator_resource=resource if pool.gpu or pool.tpu else None,
        accelerators=pool.tpu.chips if pool.tpu else pool.gpu_count,
        cpus=pool.machine.cpus,
        memory_gib=pool.machine.memory_gib,
        for_workers=pool.role is not PoolRole.SYSTEM,
        hosts_at_once=max(pool.tpu_hosts, 1),
    )
