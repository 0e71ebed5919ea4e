"""Clusters: where the platform runs."""

from typing import TYPE_CHECKING, Any

from rayfort.cluster.existing import ExistingCluster, ExistingClusterArgs
from rayfort.cluster.gke.spec import GkeClusterArgs
from rayfort.cluster.kind import KindCluster, KindClusterArgs, KindPort

if TYPE_CHECKING:
    from rayfort.cluster.gke.component import GkeCluster

__all__ = [
    "ExistingCluster",
    "ExistingClusterArgs",
    "GkeCluster",
    "GkeClusterArgs",
    "KindCluster",
    "KindClusterArgs",
    "KindPort",
]


def __getattr__(name: str) -> Any:
    """`GkeCluster`, on demand: Pulumi's classes for Google Cloud take seconds to import."""
    if name != "GkeCluster":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from rayfort.cluster.gke import component  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("pulumi_gcp"):
            raise
        raise ImportError("GkeCluster needs pulumi-gcp; install rayfort[gke]", name=error.name) from error
    return component.GkeCluster
