"""Node pools that GKE makes by itself, as an option."""

from typing import Annotated

from pydantic import Field, field_validator

from rayfort.cluster.gke.accelerators import GPUS
from rayfort.model import Model

Limit = Annotated[int, Field(ge=1, strict=True)]


class AutoProvisioning(Model):
    """Bounds within which GKE makes node pools of its own for Pods that fit on no other.

    Args:
        max_cpus: CPUs of the whole cluster, those of its other pools included.
        max_memory_gb: memory of the whole cluster, in GB.
        max_gpus: GPUs by model; only these models are made.
    """

    max_cpus: Limit
    max_memory_gb: Limit
    max_gpus: dict[str, Limit] = {}

    @field_validator("max_gpus")
    @classmethod
    def _known(cls, value: dict[str, int]) -> dict[str, int]:
        for model in value:
            if model not in GPUS:
                raise ValueError(
                    f"{model} is no GPU that Rayfort knows; use one of {', '.join(sorted(GPUS))}"
                )
        return value
