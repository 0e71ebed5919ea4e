"""What a ResourceQuota may limit, by the rules of Kubernetes' API server."""

from typing import Annotated, Final

from pydantic import AfterValidator

from rayfort.metadata import LabelName
from rayfort.model import Quantity

_COMPUTE: Final = ("cpu", "memory", "ephemeral-storage")
_COUNTED: Final = (
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "persistentvolumeclaims",
    "configmaps",
    "services.nodeports",
    "services.loadbalancers",
)
# Names without a domain; others (count/jobs.batch, requests.nvidia.com/gpu) are free.
_KNOWN: Final = frozenset(
    {
        *_COMPUTE,
        *_COUNTED,
        *(f"{bound}.{name}" for bound in ("requests", "limits") for name in _COMPUTE),
        "requests.storage",
    }
)
_PAGES: Final = ("hugepages-", "requests.hugepages-")


def _limited(value: str) -> str:
    if "/" not in value and value not in _KNOWN and not value.startswith(_PAGES):
        raise ValueError(
            "is nothing that a ResourceQuota limits; write for example requests.cpu, requests.memory, pods, "
            "count/jobs.batch or requests.nvidia.com/gpu"
        )
    return value


def _whole(value: dict[str, str]) -> dict[str, str]:
    for name, quantity in value.items():
        counted = name in _COUNTED or name.startswith("count/")
        if counted and not quantity.isdecimal():
            raise ValueError(f"{name} is counted; write a whole number and not {quantity}")
    return value


Limited = Annotated[LabelName, AfterValidator(_limited)]
Quota = Annotated[dict[Limited, Quantity], AfterValidator(_whole)]
