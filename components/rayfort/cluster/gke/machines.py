"""What the name of a machine type says about the machine, and which of them can be nodes.

Source: https://cloud.google.com/compute/docs/machine-resource.
"""

import re
from dataclasses import dataclass
from typing import Final

from rayfort.cluster.gke.accelerators import ATTACHABLE_FAMILY, TPUS

GENERAL_FAMILIES: Final = frozenset(
    {"c2", "c2d", "c3", "c3d", "c4", "c4d", "e2", "n1", "n2", "n2d", "n4", "t2d", "z3", "m1", "m3"}
)
GPU_FAMILIES: Final = frozenset({"a2", "a3", "a4", "g2", "g4"})
TPU_FAMILIES: Final = frozenset(machine.partition("-")[0] for machine in TPUS)
ARM_FAMILIES: Final = frozenset({"a4x", "c4a", "n4a", "t2a"})
FAMILIES: Final = GENERAL_FAMILIES | GPU_FAMILIES | TPU_FAMILIES
# These boot from Hyperdisk only.
HYPERDISK_FAMILIES: Final = frozenset({"a4", "c4", "c4d", "g4", "n4", "ct6e"})
HYPERDISK_MACHINES: Final = frozenset({"a3-ultragpu-8g"})
# To these a number of local SSDs can be attached; others have none, or as many as their name says.
LOCAL_SSD_FAMILIES: Final = frozenset({"c2", "c2d", "g2", "n1", "n2", "n2d", "a2", "m1", "m3"})
PROTECTED_VM_FAMILIES: Final = frozenset({"n2d", "c2d", "c3d"})  # AMD SEV

_SHAPE: Final = re.compile(r"(?P<family>[a-z]+[0-9]+[a-z]*)-(?P<kind>[a-z]+)(-(?P<size>[0-9]+))?")
_GIB_PER_CPU: Final = {"standard": 4.0, "highmem": 8.0, "highcpu": 2.0}
_RATIOS: Final = {("n1", "standard"): 3.75, ("n1", "highmem"): 6.5, ("n1", "highcpu"): 0.9}
_HIGHCPU_ONE: Final = frozenset({"e2", "n2", "n2d"})


@dataclass(frozen=True)
class Machine:
    """What is known of a machine type.

    Attributes:
        name: the machine type.
        family: its family, such as ``e2``.
        cpus: vCPUs; None where the name does not say.
        memory_gib: memory in GiB; None where the name does not say.
    """

    name: str
    family: str
    cpus: int | None
    memory_gib: float | None

    @property
    def boots_from_hyperdisk(self) -> bool:
        """Whether it takes no other boot disk."""
        return self.family in HYPERDISK_FAMILIES or self.name in HYPERDISK_MACHINES

    @property
    def attaches_gpus(self) -> bool:
        """Whether GPUs are attached to it, instead of being part of it."""
        return self.family == ATTACHABLE_FAMILY


def parse(name: str) -> Machine:
    """The machine of a type.

    Raises:
        ValueError: if GKE has no nodes of this type, or Rayfort's images do not run on it.
    """
    shape = _SHAPE.match(name)
    family = shape["family"] if shape else name.partition("-")[0]
    if family in ARM_FAMILIES:
        raise ValueError(f"{name} is an Arm machine, and Rayfort's images are for amd64; use e2, n2 or c3")
    if shape is None or family not in FAMILIES:
        raise ValueError(f"{name} is no machine type that Rayfort knows; use e2-standard-4 or g2-standard-8")
    cpus = int(shape["size"]) if shape["size"] and family in GENERAL_FAMILIES | {"g2", "g4"} else None
    memory = None
    if cpus and (ratio := _ratio(family, shape["kind"])):
        memory = cpus * ratio
    return Machine(name, family, cpus, memory)


def _ratio(family: str, kind: str) -> float | None:
    if kind == "highcpu" and family in _HIGHCPU_ONE:
        return 1.0
    if family in {"g4", "c3d", "c4d"} or kind not in _GIB_PER_CPU:
        return None
    return _RATIOS.get((family, kind), _GIB_PER_CPU[kind])
