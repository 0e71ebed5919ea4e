"""The cluster of a stack: made, or taken as it is; and what a user needs to reach it."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import pulumi
import rayfort
from rayfort.cluster import ExistingCluster, ExistingClusterArgs, KindCluster

from infra.cluster_settings import (
    ClusterSettings,
    ExistingClusterSettings,
    GkeClusterSettings,
    KindClusterSettings,
)
from infra.problems import NAMESPACE

if TYPE_CHECKING:
    from rayfort.cluster import GkeCluster

AnyCluster: TypeAlias = "ExistingCluster | GkeCluster | KindCluster"
NAME: Final = "cluster"


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
            kubeconfig=_of_stack(settings) if settings.stack else settings.read_kubeconfig(root),
            context=settings.context,
            identifier=settings.identifier,
            facts=settings.facts,
        ),
    )


def _of_stack(settings: ExistingClusterSettings) -> pulumi.Output[str]:
    """The kubeconfig of a cluster that another stack makes (secret), where the facts are as it says."""
    made = pulumi.StackReference(str(settings.stack)).get_output(NAME)
    return pulumi.Output.secret(made.apply(lambda told: handed_over(told, settings)))


def handed_over(told: Any, settings: ExistingClusterSettings) -> str:
    """The kubeconfig in what a stack tells of its cluster.

    Args:
        told: the stack's output ``cluster``, as `access` made it.
        settings: what the platform's stack says of the cluster.

    Raises:
        pulumi.RunError: if the stack makes no cluster, or one of other facts than the settings name: they
            decide what is put on it, before its outputs can be asked.
    """
    key = f"{NAMESPACE}:cluster"
    if not isinstance(told, Mapping) or not isinstance(told.get("kubeconfig"), str):
        raise pulumi.RunError(
            f"{key}.stack: {settings.stack} has no cluster among its outputs; run `pulumi up` of it first, "
            "or name the stack that makes the cluster"
        )
    stated = facts_of(settings)
    wrong = [name for name, value in (told.get("facts") or {}).items() if stated[name] != value]
    if wrong:
        raise pulumi.RunError(
            f"{key}.facts: {', '.join(wrong)} {'are' if len(wrong) > 1 else 'is'} not what {settings.stack} "
            f"says; write what `pulumi stack output cluster --stack {settings.stack}` shows under `facts`"
        )
    return str(told["kubeconfig"])


def facts_of(settings: ClusterSettings) -> dict[str, Any]:
    """The facts of a cluster, as a stack file writes them."""
    return settings.facts.model_dump(mode="json", by_alias=True)


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
            "facts": facts_of(settings),
            "kubeconfig": cluster.kubeconfig,
            "getCredentials": (
                f"gcloud container clusters get-credentials {settings.name} --project {settings.project} "
                f"--location {settings.location}{endpoint}"
            ),
        }
    if isinstance(settings, KindClusterSettings):
        return {
            "context": settings.context,
            "facts": facts_of(settings),
            "kubeconfig": pulumi.Output.secret(cluster.kubeconfig),
        }
    return {}
