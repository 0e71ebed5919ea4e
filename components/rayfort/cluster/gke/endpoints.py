"""The ways to the control plane, as Google's API wants them."""

from pulumi_gcp import container

from rayfort.cluster.gke.spec import GkeClusterArgs


def private_args(args: GkeClusterArgs) -> container.ClusterPrivateClusterConfigArgs:
    """Nodes without public addresses, and a control plane with an address in their network."""
    return container.ClusterPrivateClusterConfigArgs(
        enable_private_nodes=True,
        enable_private_endpoint=not args.access.public_ip,
        master_ipv4_cidr_block=args.network.control_plane,
        master_global_access_config=container.ClusterPrivateClusterConfigMasterGlobalAccessConfigArgs(
            enabled=False
        ),
    )


def endpoints_args(args: GkeClusterArgs) -> container.ClusterControlPlaneEndpointsConfigArgs:
    """The endpoints; behind the one with a name Kubernetes' own tokens and certificates count for nothing."""
    dns = container.ClusterControlPlaneEndpointsConfigDnsEndpointConfigArgs(
        allow_external_traffic=args.access.dns_endpoint,
        enable_k8s_tokens_via_dns=False,
        enable_k8s_certs_via_dns=False,
    )
    ip = container.ClusterControlPlaneEndpointsConfigIpEndpointsConfigArgs(enabled=args.access.ip_endpoint)
    return container.ClusterControlPlaneEndpointsConfigArgs(dns_endpoint_config=dns, ip_endpoints_config=ip)


def authorized_args(args: GkeClusterArgs) -> container.ClusterMasterAuthorizedNetworksConfigArgs:
    """From where the endpoints with addresses answer: nowhere, unless the user names networks."""
    return container.ClusterMasterAuthorizedNetworksConfigArgs(
        cidr_blocks=[
            container.ClusterMasterAuthorizedNetworksConfigCidrBlockArgs(
                cidr_block=network.cidr, display_name=network.name
            )
            for network in args.access.authorized_networks
        ],
        gcp_public_cidrs_access_enabled=False,
        private_endpoint_enforcement_enabled=True,
    )
