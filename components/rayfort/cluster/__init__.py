"""Clusters: where the platform runs."""

from rayfort.cluster.existing import ExistingCluster, ExistingClusterArgs

__all__ = ["ExistingCluster", "ExistingClusterArgs"]
