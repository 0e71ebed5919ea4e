"""A cluster that somebody else made."""

import pulumi
import pulumi_kubernetes as k8s
from pydantic import Field

from rayfort.cluster.kubeconfig import check
from rayfort.cluster.provider import kubernetes_provider
from rayfort.component import Component
from rayfort.facts import ClusterFacts
from rayfort.model import Model, SecretInput, as_secret


class ExistingClusterArgs(Model):
    """Arguments of `ExistingCluster`.

    Args:
        kubeconfig: the content of a kubeconfig (a secret), never a path and never the ambient one.
        context: the context in it that is used; always explicit, so that nothing is deployed to whatever
            cluster a shell points at.
        identifier: a stable id of the cluster. Pulumi replaces everything on the cluster only when this
            changes, so credentials may rotate. Defaults to the context.
        facts: what the cluster is like.
    """

    kubeconfig: SecretInput
    context: str = Field(min_length=1)
    identifier: str | None = Field(default=None, min_length=1)
    facts: ClusterFacts = ClusterFacts()


class ExistingCluster(Component):
    """Access to a cluster that Rayfort did not make: a provider and the cluster's facts.

    Attributes:
        kubeconfig: the kubeconfig with the chosen context as the current one (secret).
        provider: the Kubernetes provider that every other component is given.
        facts: the cluster's facts.

    Raises:
        KubeconfigError: if a kubeconfig given as text lacks the context.
    """

    kubeconfig: pulumi.Output[str]
    provider: k8s.Provider
    facts: ClusterFacts

    def __init__(
        self, name: str, args: ExistingClusterArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        # Text is checked now, before anything is registered; an output when it is known.
        if not isinstance(args.kubeconfig, pulumi.Output):
            check(args.kubeconfig.get_secret_value(), args.context)
        super().__init__(name, {"context": args.context}, opts)
        self.facts = args.facts
        self.kubeconfig = as_secret(args.kubeconfig).apply(lambda content: check(content, args.context))
        self.provider = kubernetes_provider(self, name, self.kubeconfig, args.identifier or args.context)
        self.register_outputs({"kubeconfig": self.kubeconfig})
