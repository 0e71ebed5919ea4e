"""A Kind cluster as a component: the same face as every other cluster."""

import pulumi
import pulumi_kubernetes as k8s
from pulumi.dynamic import Resource

from rayfort.cluster.kind import provider
from rayfort.cluster.kind.document import document
from rayfort.cluster.kind.provider import KindProvider
from rayfort.cluster.kind.spec import KindClusterArgs
from rayfort.cluster.kubeconfig import check
from rayfort.cluster.provider import kubernetes_provider
from rayfort.component import Component
from rayfort.facts import ClusterFacts
from rayfort.model import as_secret


class _Cluster(Resource, module="rayfort", name="KindCluster"):
    """The cluster itself."""

    kubeconfig: pulumi.Output[str]
    identifier: pulumi.Output[str]


class KindCluster(Component):
    """A Kubernetes cluster in containers of this machine, made by ``kind``.

    For laptops and CI: one machine, no cloud, no load balancer. `up` makes it, another node image or
    configuration replaces it, `destroy` deletes it; the user's own kubeconfig is neither read nor written.

    Attributes:
        kubeconfig: the kubeconfig with the cluster's context (secret).
        provider: the Kubernetes provider that every other component is given.
        facts: the cluster's facts.
    """

    kubeconfig: pulumi.Output[str]
    provider: k8s.Provider
    facts: ClusterFacts

    def __init__(self, name: str, args: KindClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, {"context": args.context}, opts)
        self.facts = args.facts
        inputs = {
            provider.NAME: args.name,
            provider.RUNTIME: args.runtime,
            provider.CONFIG: document(args),
            provider.NODE_COUNT: args.nodes,
            provider.READY_SECONDS: args.ready_seconds,
        }
        cluster = _Cluster(
            KindProvider(),
            name,
            {**inputs, **dict.fromkeys(provider.OUTPUTS)},
            pulumi.ResourceOptions.merge(
                self.child(), pulumi.ResourceOptions(additional_secret_outputs=[provider.KUBECONFIG])
            ),
        )
        self.kubeconfig = as_secret(cluster.kubeconfig).apply(lambda content: check(content, args.context))
        # Another cluster of the same name is another cluster: nothing of the old one is on it.
        self.provider = kubernetes_provider(self, name, self.kubeconfig, cluster.identifier)
        self.register_outputs({"kubeconfig": self.kubeconfig})
