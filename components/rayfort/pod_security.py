"""Pod security: to which of Kubernetes' levels a namespace is held, and what a Pod needs for the strictest.

The level follows from how traffic gets into the sidecars. Istio's CNI plugin redirects it from the node.
Without the plugin the init container ``istio-init`` does so inside the Pod, with NET_ADMIN and NET_RAW, which
``baseline`` forbids as ``restricted`` does: there is no level between them and ``privileged``.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from rayfort import labels
from rayfort.model import JsonObject

SECCOMP: Final[Mapping[str, str]] = {"type": "RuntimeDefault"}


class PodSecurity(StrEnum):
    """Levels of Kubernetes' Pod Security Standards."""

    PRIVILEGED = "privileged"
    BASELINE = "baseline"
    RESTRICTED = "restricted"


def strictest(*, sidecars: bool, istio_cni: bool) -> PodSecurity:
    """The strictest level at which hardened Pods start.

    Args:
        sidecars: whether Pods of the namespace get sidecars.
        istio_cni: whether nodes take Istio's CNI plugin.
    """
    return PodSecurity.PRIVILEGED if sidecars and not istio_cni else PodSecurity.RESTRICTED


def check_level(level: PodSecurity | None, *, sidecars: bool, istio_cni: bool) -> None:
    """Refuse a level at which no Pod with a sidecar would ever start.

    Raises:
        ValueError: with the reason and the remedy.
    """
    if level in (None, PodSecurity.PRIVILEGED):
        return
    if strictest(sidecars=sidecars, istio_cni=istio_cni) is PodSecurity.PRIVILEGED:
        raise ValueError(
            f"{level} forbids NET_ADMIN and NET_RAW, which the init container of every sidecar needs without "
            "Istio's CNI plugin, so that no Pod would start; set cluster.facts.istioCni where the nodes take "
            "the plugin, or leave podSecurity out"
        )


def namespace_labels(level: PodSecurity) -> dict[str, str]:
    """Labels of a namespace: what is enforced, and that everything below ``restricted`` is audited."""
    return {
        f"{labels.POD_SECURITY}/enforce": level.value,
        f"{labels.POD_SECURITY}/audit": PodSecurity.RESTRICTED.value,
    }


def pod_security_context(user: int, group: int) -> JsonObject:
    """``securityContext`` of a Pod for ``restricted``, with its user and group."""
    return {
        "runAsNonRoot": True,
        "runAsUser": user,
        "runAsGroup": group,
        "fsGroup": group,
        "seccompProfile": dict(SECCOMP),
    }


def container_security_context() -> JsonObject:
    """``securityContext`` of a container for ``restricted``, in a Pod with `pod_security_context`."""
    return {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
