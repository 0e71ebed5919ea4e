"""The cluster's VPC network: one subnet, and Cloud NAT for nodes that have no public addresses."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pulumi
from pulumi_gcp import compute

from rayfort.cluster.gke.children import Children
from rayfort.cluster.gke.spec import GkeClusterArgs

PODS: Final = "pods"
SERVICES: Final = "services"


@dataclass(frozen=True)
class ClusterNetwork:
    """What a cluster is put into.

    Attributes:
        network, subnet: where it is.
        ready: what must be there before nodes start: without NAT they pull no image.
    """

    network: compute.Network
    subnet: compute.Subnetwork
    ready: tuple[pulumi.Resource, ...]


def network_args(args: GkeClusterArgs) -> compute.NetworkArgs:
    """The network, without Google's default subnet in every region."""
    return compute.NetworkArgs(
        project=args.project, name=args.name, auto_create_subnetworks=False, routing_mode="REGIONAL"
    )


def subnet_args(args: GkeClusterArgs, network: pulumi.Input[str]) -> compute.SubnetworkArgs:
    """The subnet of the nodes, with ranges for Pods and Services."""
    ranges = {PODS: args.network.pods, SERVICES: args.network.services}
    logs = compute.SubnetworkLogConfigArgs(
        aggregation_interval="INTERVAL_5_SEC",
        flow_sampling=args.network.flow_sampling,
        metadata="INCLUDE_ALL_METADATA",
    )
    return compute.SubnetworkArgs(
        project=args.project,
        name=args.name,
        region=args.region,
        network=network,
        ip_cidr_range=args.network.nodes,
        private_ip_google_access=True,
        secondary_ip_ranges=[
            compute.SubnetworkSecondaryIpRangeArgs(range_name=name, ip_cidr_range=cidr)
            for name, cidr in ranges.items()
        ],
        log_config=logs if args.network.flow_logs else None,
    )


def router_args(args: GkeClusterArgs, network: pulumi.Input[str]) -> compute.RouterArgs:
    """The router that NAT is part of."""
    return compute.RouterArgs(project=args.project, name=args.name, region=args.region, network=network)


def nat_args(
    args: GkeClusterArgs, router: pulumi.Input[str], subnet: pulumi.Input[str]
) -> compute.RouterNatArgs:
    """NAT for this subnet alone, with addresses that Google chooses."""
    return compute.RouterNatArgs(
        project=args.project,
        name=args.name,
        region=args.region,
        router=router,
        nat_ip_allocate_option="AUTO_ONLY",
        source_subnetwork_ip_ranges_to_nat="LIST_OF_SUBNETWORKS",
        subnetworks=[
            compute.RouterNatSubnetworkArgs(name=subnet, source_ip_ranges_to_nats=["ALL_IP_RANGES"])
        ],
        min_ports_per_vm=args.network.nat_ports,
        log_config=compute.RouterNatLogConfigArgs(enable=True, filter="ERRORS_ONLY"),
    )


def make(children: Children, after: Sequence[pulumi.Resource]) -> ClusterNetwork:
    """Register the network."""
    name, args = children.name, children.args
    network = compute.Network(f"{name}-network", network_args(args), opts=children.options(*after))
    subnet = compute.Subnetwork(f"{name}-subnet", subnet_args(args, network.id), opts=children.options())
    router = compute.Router(f"{name}-router", router_args(args, network.id), opts=children.options())
    nat = compute.RouterNat(f"{name}-nat", nat_args(args, router.name, subnet.id), opts=children.options())
    return ClusterNetwork(network, subnet, (nat,))
