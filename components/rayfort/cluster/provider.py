"""The Kubernetes provider of a cluster, the same for every kind of cluster."""

from collections.abc import Sequence

import pulumi
import pulumi_kubernetes as k8s

from rayfort.component import Component


def kubernetes_provider(
    cluster: Component,
    name: str,
    kubeconfig: pulumi.Input[str],
    identifier: pulumi.Input[str],
    *,
    depends_on: Sequence[pulumi.Resource] = (),
) -> k8s.Provider:
    """A provider for one cluster and no other.

    Args:
        cluster: the component that the provider belongs to.
        name: its name.
        kubeconfig: the content of a kubeconfig, never a path.
        identifier: a stable id of the cluster: Pulumi replaces everything on it only when this changes.
        depends_on: what must be there before anything is put on the cluster.
    """
    return k8s.Provider(
        name,
        kubeconfig=kubeconfig,
        cluster_identifier=identifier,
        # The netrc Secret has a fixed name that Pods mount: it is updated in place.
        enable_secret_mutable=True,
        # What somebody changed by hand is put back, not argued about: a policy for one.
        enable_patch_force=True,
        enable_config_map_mutable=True,
        opts=cluster.child(depends_on),
    )
