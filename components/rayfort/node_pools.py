"""A cluster's node pools, as facts: what a Pod says to run on one, and what it finds there."""

from typing import Annotated

from pydantic import Field

from rayfort.metadata import LabelName, Labels, LabelValue
from rayfort.model import Count, ExtendedResource, Model
from rayfort.tolerations import Effect, Operator, Toleration


class PoolTaint(Model):
    """A taint of a pool's nodes, with the effect ``NoSchedule``.

    Args:
        key, value: its name and value.
    """

    key: LabelName
    value: LabelValue = ""

    @property
    def toleration(self) -> Toleration:
        """What a Pod says to start there nevertheless."""
        return Toleration(key=self.key, operator=Operator.EQUAL, value=self.value, effect=Effect.NO_SCHEDULE)


class NodePoolFacts(Model):
    """What is true of a node pool.

    Args:
        labels: labels by which its nodes are found.
        taints: what keeps other Pods away.
        accelerator_resource: the extended resource that counts its accelerators; none where it is left out.
        accelerators: accelerators of each node.
        cpus, memory_gib: the size of a node, which the system takes some of; unknown where it is left out.
        for_workers: whether Ray's Pods may run there at all.
        hosts_at_once: nodes that only make sense together: 1, or the machines of a TPU slice.
    """

    labels: Annotated[Labels, Field(min_length=1)]
    taints: tuple[PoolTaint, ...] = ()
    accelerator_resource: ExtendedResource | None = None
    accelerators: Count = 0
    cpus: Annotated[int, Field(ge=1, strict=True)] | None = None
    memory_gib: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    for_workers: bool = True
    hosts_at_once: Annotated[int, Field(ge=1, strict=True)] = 1
