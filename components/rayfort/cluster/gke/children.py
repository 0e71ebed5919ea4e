"""How the parts of a GKE cluster are registered: under the component, with its provider for Google Cloud."""

from dataclasses import dataclass

import pulumi
from pulumi_gcp.provider import Provider

from rayfort.cluster.gke.spec import GkeClusterArgs
from rayfort.component import Component


@dataclass(frozen=True)
class Children:
    """What every part needs.

    Attributes:
        name: the component's name, with which those of its parts begin.
        args: what the user says.
        component: the parent.
        google: the provider for Google Cloud; nothing is left to a default one.
    """

    name: str
    args: GkeClusterArgs
    component: Component
    google: Provider

    def options(
        self,
        *after: pulumi.Resource,
        protect: bool | None = None,
        ignore_changes: list[str] | None = None,
    ) -> pulumi.ResourceOptions:
        """Options of a part that is made after others."""
        own = pulumi.ResourceOptions(provider=self.google, protect=protect)
        return pulumi.ResourceOptions.merge(self.component.child(after, ignore_changes=ignore_changes), own)


def google_provider(component: Component, name: str, args: GkeClusterArgs) -> Provider:
    """The provider for the cluster's project and region, whatever a shell or gcloud points at."""
    return Provider(
        f"{name}-google",
        project=args.project,
        region=args.region,
        impersonate_service_account=args.impersonate,
        default_labels=args.labels or None,
        opts=component.child(),
    )
