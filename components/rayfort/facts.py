"""What differs between clusters, as facts that components read instead of asking which cluster it is."""

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field

from rayfort import versions
from rayfort.model import Cidr, DnsLabel, DnsName, Model, SemVer
from rayfort.node_pools import NodePoolFacts

CLUSTER_DOMAIN: Final = "cluster.local"


# Before it stand the name of a Service, that of a namespace and, with `l7`, an IPv6 address in dashes.
ClusterDomain = Annotated[DnsName, Field(max_length=80)]


class ClusterDns(StrEnum):
    """The DNS server of a cluster; it decides whether a Pod has a name made of its address."""

    COREDNS = "coredns"
    KUBE_DNS = "kube-dns"
    CLOUD_DNS = "cloud-dns"

    @property
    def names_pods_by_address(self) -> bool:
        """Whether ``10-0-0-1.<service>.<namespace>.svc`` resolves.

        A habit of CoreDNS, not of the Kubernetes DNS specification: kube-dns names endpoints by a hash.
        """
        return self is ClusterDns.COREDNS


# Native sidecars: since the first, Kubernetes has them; since the second, Istio takes them by itself.
NATIVE_SIDECARS_POSSIBLE: Final = "1.29.0"
NATIVE_SIDECARS_CHOSEN: Final = "1.33.0"


class ClusterFacts(Model):
    """Facts of one cluster.

    Args:
        dns: the DNS server (``coredns``, ``kube-dns`` or ``cloud-dns``).
        cluster_domain: the DNS zone of Services.
        kubernetes_version: version of the oldest kubelet, ``MAJOR.MINOR.PATCH``.
        network_policy: whether NetworkPolicies are enforced.
        load_balancers: whether Services of type LoadBalancer get an address.
        workload_identity: whether Pods get cloud identities by their service account.
        istio_cni: whether nodes take Istio's CNI plugin, which then runs on them; Pods of the mesh need no
            NET_ADMIN and their namespaces are held to ``restricted``. Kind and GKE Standard nodes take it,
            GKE Autopilot does not, and of GKE's Dataplane V2 nobody has said or shown that it does.
        api_server_cidrs: addresses of the API server, for egress rules; empty means any address.
        dns_namespace: where the DNS server runs.
        dns_addresses: addresses outside the cluster at which Pods ask for names as well: GKE's Cloud DNS
            answers at 169.254.169.254.
        storage_classes: the storage classes that are there, the default one first; empty where nobody said.
        node_pools: the node pools that Ray nodes may name in ``nodePool``, by name.
    """

    dns: ClusterDns = ClusterDns.COREDNS
    cluster_domain: ClusterDomain = CLUSTER_DOMAIN
    kubernetes_version: SemVer = "1.33.0"
    network_policy: bool = True
    load_balancers: bool = False
    workload_identity: bool = False
    istio_cni: bool = False
    api_server_cidrs: tuple[Cidr, ...] = ()
    dns_namespace: DnsLabel = "kube-system"
    dns_addresses: tuple[Cidr, ...] = ()
    storage_classes: tuple[DnsName, ...] = ()
    node_pools: dict[DnsLabel, NodePoolFacts] = {}

    @property
    def native_sidecars(self) -> bool:
        """Whether every kubelet takes sidecars as init containers that go on running."""
        return self.kubelets_at_least(NATIVE_SIDECARS_POSSIBLE)

    def kubelets_at_least(self, version: str) -> bool:
        """Whether every kubelet is of ``version`` or newer."""
        return versions.at_least(self.kubernetes_version, version)
