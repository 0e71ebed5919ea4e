"""Node pools: what a user says about one, and what of it cannot be."""

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field, field_validator, model_validator

from rayfort.cluster.gke import machines
from rayfort.cluster.gke.accelerators import GPUS, TPUS, TpuMachine, gpu_inside
from rayfort.cluster.gke.machines import Machine
from rayfort.cluster.gke.places import PoolName, Zone
from rayfort.metadata import Labels
from rayfort.model import Count, Model, Written

DiskType = Annotated[
    str, Written(r"[a-z][-a-z0-9]{0,62}", "is not a type of disk; write for example pd-balanced")
]
Reservation = Annotated[
    str,
    Written(
        r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?|projects/[-a-z0-9:.]{1,100}/reservations/[-a-z0-9]{1,63}",
        "is not a reservation; write its name, or projects/PROJECT/reservations/NAME for a shared one",
    ),
]
SMALLEST_DISK_GB: Final = 30
RESERVED_LABELS: Final = ("kubernetes.io/", "k8s.io/", "cloud.google.com/", "gke.io/", "google.com/")


class PoolRole(StrEnum):
    """What a pool is for.

    ``general``: anything. ``system``: Pods that GKE itself runs, and no other. ``workers``: Ray nodes that
    name the pool, and no other.
    """

    GENERAL = "general"
    SYSTEM = "system"
    WORKERS = "workers"


class GpuDriver(StrEnum):
    """The NVIDIA driver that GKE installs and signs: its default one, or the newest."""

    DEFAULT = "DEFAULT"
    LATEST = "LATEST"


class UpgradeStrategy(StrEnum):
    """How nodes are replaced: a few at a time, or by a second set of nodes."""

    SURGE = "SURGE"
    BLUE_GREEN = "BLUE_GREEN"


class PoolGpu(Model):
    """The GPUs of each node.

    Args:
        model: the model as GKE calls it, such as ``nvidia-l4``.
        count: how many each node has; by default as many as the machine has, or 1.
        driver: ``DEFAULT`` or ``LATEST``.
    """

    model: str
    count: Annotated[int, Field(ge=1, strict=True)] | None = None
    driver: GpuDriver = GpuDriver.DEFAULT

    @field_validator("model")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in GPUS:
            raise ValueError(f"{value} is no GPU that Rayfort knows; use one of {', '.join(sorted(GPUS))}")
        return value


class PoolUpgrade(Model):
    """How a pool's nodes are upgraded.

    Args:
        strategy: ``SURGE`` or ``BLUE_GREEN``.
        max_surge: with ``SURGE``, how many nodes more there may be meanwhile.
        max_unavailable: with ``SURGE``, how many nodes fewer.
        batch_percentage: with ``BLUE_GREEN``, the part of the old nodes that is drained at a time.
        soak_seconds: with ``BLUE_GREEN``, how long the old nodes stay in case of trouble, in seconds.
    """

    strategy: UpgradeStrategy = UpgradeStrategy.SURGE
    max_surge: Count = 1
    max_unavailable: Count = 0
    batch_percentage: Annotated[int, Field(ge=1, le=100, strict=True)] = 25
    soak_seconds: Annotated[int, Field(ge=0, le=604800, strict=True)] = 3600

    @model_validator(mode="after")
    def _moves(self) -> "PoolUpgrade":
        if self.strategy is UpgradeStrategy.SURGE and not self.max_surge + self.max_unavailable:
            raise ValueError("maxSurge and maxUnavailable are both 0: no node could be upgraded; raise one")
        return self


class NodePool(Model):
    """Equal nodes.

    Args:
        name: the pool's name; worker groups refer to it.
        role: ``general``, ``system`` or ``workers``.
        machine_type: the machine, such as ``e2-standard-4``.
        gpu: the GPUs of each node; none where it is left out.
        tpu_topology: for machines with TPUs, the slice, such as ``2x4``.
        spot: whether nodes are spot VMs, which cost less and go at any moment.
        min_nodes, max_nodes: bounds for the autoscaler, for all zones together; 0 lets the pool vanish.
        zones: the zones of the nodes; by default the cluster's.
        disk_gb: size of the boot disk in GB.
        disk_type: its type; by default Balanced, persistent disk or Hyperdisk as the machine takes.
        local_ssds: local SSDs for ephemeral storage, where Ray spills objects to.
        reservation: a reservation that the nodes come out of.
        labels: labels of the nodes.
        upgrade: how nodes are upgraded.
    """

    name: PoolName
    role: PoolRole = PoolRole.GENERAL
    machine_type: str
    gpu: PoolGpu | None = None
    tpu_topology: str | None = None
    spot: bool = False
    min_nodes: Count = 0
    max_nodes: Annotated[int, Field(ge=1, le=1000, strict=True)]
    zones: tuple[Zone, ...] = ()
    disk_gb: Annotated[int, Field(ge=SMALLEST_DISK_GB, le=65536, strict=True)] = 100
    disk_type: DiskType | None = None
    local_ssds: Count = 0
    reservation: Reservation | None = None
    labels: Labels = {}
    upgrade: PoolUpgrade = PoolUpgrade()

    @field_validator("machine_type")
    @classmethod
    def _is_a_node(cls, value: str) -> str:
        machines.parse(value)
        return value

    @field_validator("labels")
    @classmethod
    def _own_labels(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            if any(f"{prefix}" in f"{name.partition('/')[0]}/" for prefix in RESERVED_LABELS):
                raise ValueError(f"{name} belongs to Kubernetes or GKE; use a prefix of your own")
        return value

    @model_validator(mode="after")
    def _possible(self) -> "NodePool":
        if self.min_nodes > self.max_nodes:
            raise ValueError(f"minNodes ({self.min_nodes}) is above maxNodes ({self.max_nodes})")
        self._check_role()
        self._check_gpu()
        self._check_tpu()
        self._check_disk()
        if self.spot and self.reservation:
            raise ValueError("spot VMs cannot come out of a reservation; leave spot or reservation out")
        return self

    def _check_role(self) -> None:
        if self.role is not PoolRole.SYSTEM:
            return
        if self.spot:
            raise ValueError("a system pool holds what the cluster cannot do without; leave spot out")
        if self.gpu or self.tpu:
            raise ValueError("a system pool has no use for accelerators; set role to workers")
        if not self.min_nodes:
            raise ValueError("a system pool is always needed; set minNodes to at least 1")

    def _check_gpu(self) -> None:
        inside = gpu_inside(self.machine_type)
        if self.gpu is None:
            if inside:
                raise ValueError(f"{self.machine_type} has {inside[1]} {inside[0]}; say so in gpu.model")
            if self.machine.family in machines.GPU_FAMILIES:
                raise ValueError(f"{self.machine_type} is no machine of this family; correct machineType")
            return
        model = GPUS[self.gpu.model]
        if inside:
            if inside[0] != model.name:
                raise ValueError(
                    f"{model.name} is not offered with {self.machine_type}, which has {inside[0]}"
                )
            if self.gpu.count not in (None, inside[1]):
                raise ValueError(f"{self.machine_type} has {inside[1]} GPUs, and not {self.gpu.count}")
            return
        if not self.machine.attaches_gpus or not model.attachable:
            offered = ", ".join(sorted(model.built_in)) or "N1 machines"
            raise ValueError(f"{model.name} is not offered with {self.machine_type}; use {offered}")
        if self.gpu_count not in model.attachable:
            counts = ", ".join(map(str, model.attachable))
            raise ValueError(f"{model.name} is attached in numbers of {counts}, and not {self.gpu_count}")
        most = model.attachable[self.gpu_count]
        if self.machine.cpus and self.machine.cpus > most:
            raise ValueError(
                f"{self.gpu_count} {model.name} go with at most {most} vCPUs, and {self.machine_type} has "
                f"{self.machine.cpus}; use a smaller machine, or more GPUs"
            )

    def _check_tpu(self) -> None:
        machine = self.tpu
        if machine is None:
            if self.machine.family in machines.TPU_FAMILIES:
                known = ", ".join(sorted(TPUS))
                raise ValueError(f"{self.machine_type} is no machine with TPUs; use one of {known}")
            if self.tpu_topology:
                raise ValueError(f"{self.machine_type} has no TPUs; leave tpuTopology out")
            return
        if self.tpu_topology not in machine.topologies:
            raise ValueError(
                f"tpuTopology of {machine.name} is one of {', '.join(machine.topologies)}; set it to one"
            )
        hosts = self.tpu_hosts
        if hosts > 1 and (self.max_nodes != hosts or self.min_nodes not in (0, hosts)):
            raise ValueError(
                f"a slice of {self.tpu_topology} is {hosts} machines at once; set maxNodes to {hosts} and "
                f"minNodes to 0 or {hosts}"
            )

    def _check_disk(self) -> None:
        hyperdisk = self.disk_type is not None and self.disk_type.startswith("hyperdisk-")
        if self.disk_type and self.machine.boots_from_hyperdisk and not hyperdisk:
            raise ValueError(
                f"{self.machine_type} boots from Hyperdisk, and not from {self.disk_type}; leave diskType out"
            )
        if self.local_ssds and self.machine.family not in machines.LOCAL_SSD_FAMILIES:
            raise ValueError(f"{self.machine_type} takes no local SSDs; leave localSsds out, or use n2")

    @property
    def machine(self) -> Machine:
        """What is known of the machine."""
        return machines.parse(self.machine_type)

    @property
    def gpu_count(self) -> int:
        """GPUs of each node."""
        if self.gpu is None:
            return 0
        inside = gpu_inside(self.machine_type)
        return self.gpu.count or (inside[1] if inside else 1)

    @property
    def tpu(self) -> TpuMachine | None:
        """The machine with TPUs, if it is one."""
        return TPUS.get(self.machine_type)

    @property
    def tpu_hosts(self) -> int:
        """Machines of one TPU slice; 0 for none."""
        return self.tpu.topologies[self.tpu_topology] if self.tpu and self.tpu_topology else 0

    @property
    def disk(self) -> str:
        """The boot disk's type in force."""
        return self.disk_type or (
            "hyperdisk-balanced" if self.machine.boots_from_hyperdisk else "pd-balanced"
        )
