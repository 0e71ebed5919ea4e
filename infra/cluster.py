"""The cluster of a stack: made, or taken as it is; and what a user needs to reach it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pulumi
import rayfort
from rayfort.cluster import ExistingCluster, ExistingClusterArgs, KindCluster

from infra.cluster_settings import ClusterSettings, GkeClusterSettings, KindClusterSettings

if TYPE_CHECKING:
    from rayfort.cluster import GkeCluster

AnyCluster: TypeAlias = "ExistingCluster | GkeCluster | KindCluster"
NAME = "cluster"


def make(settings: ClusterSettings, root: Path) -> AnyCluster:
    """Register the cluster.

    Args:
        settings: what the stack says about it.
        root: the project's directory, against which the kubeconfig's path is resolved.

    Raises:
        SettingsError: if the kubeconfig of an existing cluster cannot be read; nothing is registered then.
    """
    if isinstance(settings, GkeClusterSettings):
        # By its package, which imports Pulumi's classes for Google Cloud only for this.
        return rayfort.GkeCluster(NAME, settings)
    if isinstance(settings, KindClusterSettings):
        return KindCluster(NAME, settings)
    return ExistingCluster(
        NAME,
        ExistingClusterArgs(
            kubeconfig=settings.read_kubeconfig(root),
            context=settings.context,
            identifier=settings.identifier,
            facts=settings.facts,
        ),
    )


def goes_with(cluster: AnyCluster, settings: ClusterSettings) -> pulumi.Resource | None:
    """With what everything on the cluster goes, so that nothing is asked of a cluster that is being deleted.

    It is the provider and not the cluster: where a cluster is replaced, Pulumi's engine (3.220) tells the two
    apart by the provider alone, whose plugin it has ended by then. A GKE cluster's objects are deleted one by
    one, since some of them own disks and load balancers.
    """
    return cluster.provider if isinstance(settings, KindClusterSettings) else None


def access(cluster: AnyCluster, settings: ClusterSettings) -> dict[str, Any]:
    """How a person reaches a cluster that the stack made; nothing for one that was there."""
    if isinstance(settings, GkeClusterSettings):
        endpoint = " --dns-endpoint" if settings.access.dns_endpoint else ""
        return {
            "context": settings.context,
            "id": settings.identifier,
            "kubeconfig": cluster.kubeconfig,
            "getCredentials": (
                f"gcloud container clusters get-credentials {settings.name} --project {settings.project} "
                f"--location {settings.location}{endpoint}"
            ),
        }
    if isinstance(settings, KindClusterSettings):
        return {"context": settings.context, "kubeconfig": pulumi.Output.secret(cluster.kubeconfig)}
    return {}
