"""A hardened GKE cluster with its network, its key and its nodes."""

import pulumi
import pulumi_kubernetes as k8s
from pulumi_gcp import container

from rayfort.cluster.gke import control_plane, firewall, identity, kms, network, node_pools, services
from rayfort.cluster.gke.children import Children, google_provider
from rayfort.cluster.gke.control_plane import Surroundings
from rayfort.cluster.gke.kubeconfig import kubeconfig
from rayfort.cluster.gke.spec import GkeClusterArgs
from rayfort.cluster.provider import kubernetes_provider
from rayfort.component import Component
from rayfort.facts import ClusterFacts


class GkeCluster(Component):
    """A private GKE cluster of the standard mode, in a network of its own.

    Recipe: Google's hardening guide and its golden path; `docs/gke.md` puts each field beside GKE's default.
    Everything of Google's goes through one provider, made from the arguments' project and region.

    Attributes:
        kubeconfig: how to reach the cluster; it holds no credential, but the name of the program that gets
            one.
        provider: the Kubernetes provider that every other component is given; it waits for the nodes.
        facts: the cluster's facts.
        cluster_id: what Google calls the cluster.
        node_account: the nodes' service account, for rights of your own.
    """

    kubeconfig: pulumi.Output[str]
    provider: k8s.Provider
    facts: ClusterFacts
    cluster_id: pulumi.Output[str]
    node_account: pulumi.Output[str]

    def __init__(self, name: str, args: GkeClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        where = {"project": args.project, "location": args.location, "cluster": args.name}
        super().__init__(name, where, opts)
        self.facts = args.facts
        children = Children(name, args, self, google_provider(self, name, args))
        apis = services.enable(children)
        net = network.make(children, apis)
        webhooks = firewall.make(children, net.network)
        account, rights = identity.node_account(children, apis)
        key = kms.make(children, apis)
        cluster = container.Cluster(
            name,
            control_plane.cluster_args(
                args, Surroundings(net.network.id, net.subnet.id, key.id, account.email)
            ),
            opts=children.options(
                *apis,
                *key.ready,
                *rights,
                *net.ready,
                protect=args.deletion_protection,
                ignore_changes=list(control_plane.FIRST_POOL),
            ),
        )
        pools = node_pools.make(children, cluster, account.email, (*rights, *net.ready))
        self.cluster_id = cluster.id
        self.node_account = account.email
        self.kubeconfig = _kubeconfig(args, cluster)
        # Whatever is put on the cluster finds nodes, and webhooks that answer.
        self.provider = kubernetes_provider(
            self, name, self.kubeconfig, args.identifier, depends_on=[*pools, webhooks]
        )
        self.register_outputs(
            {"kubeconfig": self.kubeconfig, "clusterId": self.cluster_id, "nodeAccount": self.node_account}
        )


def _kubeconfig(args: GkeClusterArgs, cluster: container.Cluster) -> pulumi.Output[str]:
    # Values are taken out of Google's objects before they are put together: `Output.all` makes mere
    # dictionaries of objects.
    if args.access.dns_endpoint:
        endpoint = cluster.control_plane_endpoints_config.apply(_dns_name)
        authority = pulumi.Output.from_input("")
    else:
        endpoint = cluster.endpoint
        authority = cluster.master_auth.apply(lambda auth: auth.cluster_ca_certificate or "")
    # The id is unknown until the cluster is there. The endpoints are settings with an address in them, and a
    # preview may take the settings for all that there is.
    return pulumi.Output.all(cluster.id, endpoint, authority).apply(
        lambda known: kubeconfig(
            args.context, known[1], known[2] or None, args.access.credentials, args.impersonate
        )
    )


def _dns_name(endpoints: container.outputs.ClusterControlPlaneEndpointsConfig) -> str:
    found = endpoints.dns_endpoint_config
    return (found.endpoint if found else None) or ""
