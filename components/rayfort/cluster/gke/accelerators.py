"""Which GPUs and TPUs Google Cloud offers with which machines: one catalogue for node pools and Pods.

Sources: https://cloud.google.com/compute/docs/gpus and
https://cloud.google.com/kubernetes-engine/docs/concepts/plan-tpus. Where a model is offered, and whether a
project has quota for it, only Google can say.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

GPU_RESOURCE: Final = "nvidia.com/gpu"
TPU_RESOURCE: Final = "google.com/tpu"
ATTACHABLE_FAMILY: Final = "n1"


@dataclass(frozen=True)
class Gpu:
    """A model of GPU.

    Attributes:
        name: what GKE calls it, in node pools and in the node label ``cloud.google.com/gke-accelerator``.
        built_in: machine types that have it, with the number that each has.
        attachable: for N1 machines, to which it is attached: the numbers on offer, each with the most vCPUs
            that a machine may have with it.
        quota: the name of the regional quota that counts it; with ``PREEMPTIBLE_`` before it for spot.
    """

    name: str
    built_in: Mapping[str, int] = field(default_factory=dict)
    attachable: Mapping[int, int] = field(default_factory=dict)
    quota: str = ""


@dataclass(frozen=True)
class TpuMachine:
    """A machine with TPU chips.

    Attributes:
        name: the machine type.
        accelerator: the node label ``cloud.google.com/gke-tpu-accelerator``.
        chips: chips of one machine.
        topologies: the slices on offer, each with the number of machines that it takes.
    """

    name: str
    accelerator: str
    chips: int
    topologies: Mapping[str, int]


def _numbered(prefix: str, suffix: str, counts: Mapping[int, int]) -> dict[str, int]:
    return {f"{prefix}{size}{suffix}": gpus for size, gpus in counts.items()}


_ALL: Final = (
    Gpu(
        "nvidia-l4",
        _numbered("g2-standard-", "", {4: 1, 8: 1, 12: 1, 16: 1, 24: 2, 32: 1, 48: 4, 96: 8}),
        quota="NVIDIA_L4_GPUS",
    ),
    Gpu("nvidia-rtx-pro-6000", _numbered("g4-standard-", "", {48: 1, 96: 2, 192: 4, 384: 8})),
    Gpu(
        "nvidia-tesla-a100",
        {**_numbered("a2-highgpu-", "g", {1: 1, 2: 2, 4: 4, 8: 8}), "a2-megagpu-16g": 16},
        quota="NVIDIA_A100_GPUS",
    ),
    Gpu(
        "nvidia-a100-80gb",
        _numbered("a2-ultragpu-", "g", {1: 1, 2: 2, 4: 4, 8: 8}),
        quota="NVIDIA_A100_80GB_GPUS",
    ),
    Gpu(
        "nvidia-h100-80gb",
        _numbered("a3-highgpu-", "g", {1: 1, 2: 2, 4: 4, 8: 8}),
        quota="NVIDIA_H100_GPUS",
    ),
    Gpu("nvidia-h100-mega-80gb", {"a3-megagpu-8g": 8}, quota="NVIDIA_H100_MEGA_GPUS"),
    Gpu("nvidia-h200-141gb", {"a3-ultragpu-8g": 8}),
    Gpu("nvidia-b200", {"a4-highgpu-8g": 8}),
    Gpu("nvidia-tesla-t4", attachable={1: 48, 2: 48, 4: 96}, quota="NVIDIA_T4_GPUS"),
    Gpu("nvidia-tesla-p4", attachable={1: 24, 2: 48, 4: 96}, quota="NVIDIA_P4_GPUS"),
    Gpu("nvidia-tesla-p100", attachable={1: 16, 2: 32, 4: 64}, quota="NVIDIA_P100_GPUS"),
    Gpu("nvidia-tesla-v100", attachable={1: 12, 2: 24, 4: 48, 8: 96}, quota="NVIDIA_V100_GPUS"),
)
GPUS: Final[Mapping[str, Gpu]] = {gpu.name: gpu for gpu in _ALL}

_FLAT: Final = {"2x2": 1, "2x4": 2, "4x4": 4, "4x8": 8, "8x8": 16, "8x16": 32, "16x16": 64}
_CUBE: Final = {"2x2x1": 1, "2x2x2": 2, "2x2x4": 4, "2x4x4": 8, "4x4x4": 16, "4x4x8": 32, "4x8x8": 64}
_TPUS: Final = (
    TpuMachine("ct4p-hightpu-4t", "tpu-v4-podslice", 4, _CUBE),
    TpuMachine("ct5p-hightpu-4t", "tpu-v5p-slice", 4, _CUBE),
    TpuMachine("ct5lp-hightpu-1t", "tpu-v5-lite-podslice", 1, {"1x1": 1}),
    TpuMachine("ct5lp-hightpu-4t", "tpu-v5-lite-podslice", 4, _FLAT),
    TpuMachine("ct5lp-hightpu-8t", "tpu-v5-lite-podslice", 8, {"2x4": 1}),
    TpuMachine("ct6e-standard-1t", "tpu-v6e-slice", 1, {"1x1": 1}),
    TpuMachine("ct6e-standard-4t", "tpu-v6e-slice", 4, _FLAT),
    TpuMachine("ct6e-standard-8t", "tpu-v6e-slice", 8, {"2x4": 1}),
)
TPUS: Final[Mapping[str, TpuMachine]] = {machine.name: machine for machine in _TPUS}


def gpu_inside(machine_type: str) -> tuple[str, int] | None:
    """The GPUs that a machine type always has: the model and the number; None for none."""
    for gpu in GPUS.values():
        if machine_type in gpu.built_in:
            return gpu.name, gpu.built_in[machine_type]
    return None
