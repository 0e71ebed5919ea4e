"""The cluster itself, as Google's API wants it: what is not a choice is stated, whatever its default."""

from dataclasses import dataclass
from typing import Final

import pulumi
from pulumi_gcp import container

from rayfort.cluster.gke import endpoints, telemetry
from rayfort.cluster.gke.firewall import node_tag
from rayfort.cluster.gke.network import PODS, SERVICES
from rayfort.cluster.gke.node_pools import IMAGE, SCOPES
from rayfort.cluster.gke.provisioning import autoscaling_args
from rayfort.cluster.gke.spec import GkeClusterArgs
from rayfort.facts import ClusterDns

# GKE makes a pool with the cluster, which is deleted at once; what it was is compared to nothing.
FIRST_POOL: Final = ("initialNodeCount", "nodeConfig", "nodePools")


@dataclass(frozen=True)
class Surroundings:
    """What the cluster is put into.

    Attributes:
        network, subnet: where it is.
        key: the key for Secrets.
        account: the nodes' service account.
    """

    network: pulumi.Input[str]
    subnet: pulumi.Input[str]
    key: pulumi.Input[str]
    account: pulumi.Input[str]


def cluster_args(args: GkeClusterArgs, around: Surroundings) -> container.ClusterArgs:
    """The cluster."""
    group = args.security_group
    return container.ClusterArgs(
        project=args.project,
        name=args.name,
        location=args.location,
        node_locations=list(args.zones) or None,
        resource_labels=args.labels or None,
        deletion_protection=args.deletion_protection,
        # Network
        network=around.network,
        subnetwork=around.subnet,
        networking_mode="VPC_NATIVE",
        ip_allocation_policy=container.ClusterIpAllocationPolicyArgs(
            cluster_secondary_range_name=PODS, services_secondary_range_name=SERVICES, stack_type="IPV4"
        ),
        default_max_pods_per_node=args.pods_per_node,
        datapath_provider="ADVANCED_DATAPATH",
        enable_intranode_visibility=True,
        dns_config=dns_args(args),
        service_external_ips_config=container.ClusterServiceExternalIpsConfigArgs(enabled=False),
        # Who reaches it
        private_cluster_config=endpoints.private_args(args),
        control_plane_endpoints_config=endpoints.endpoints_args(args),
        master_authorized_networks_config=endpoints.authorized_args(args),
        # Who may do what
        master_auth=container.ClusterMasterAuthArgs(
            client_certificate_config=container.ClusterMasterAuthClientCertificateConfigArgs(
                issue_client_certificate=False
            )
        ),
        enable_legacy_abac=False,
        anonymous_authentication_config=container.ClusterAnonymousAuthenticationConfigArgs(mode="LIMITED"),
        rbac_binding_config=container.ClusterRbacBindingConfigArgs(
            enable_insecure_binding_system_authenticated=False,
            enable_insecure_binding_system_unauthenticated=False,
        ),
        authenticator_groups_config=container.ClusterAuthenticatorGroupsConfigArgs(security_group=group)
        if group
        else None,
        workload_identity_config=container.ClusterWorkloadIdentityConfigArgs(
            workload_pool=f"{args.project}.svc.id.goog"
        ),
        # Data and images
        database_encryption=container.ClusterDatabaseEncryptionArgs(state="ENCRYPTED", key_name=around.key),
        binary_authorization=container.ClusterBinaryAuthorizationArgs(
            evaluation_mode="PROJECT_SINGLETON_POLICY_ENFORCE" if args.binary_authorization else "DISABLED"
        ),
        security_posture_config=container.ClusterSecurityPostureConfigArgs(
            mode="BASIC",
            vulnerability_mode="VULNERABILITY_ENTERPRISE"
            if args.vulnerability_scanning
            else "VULNERABILITY_DISABLED",
        ),
        confidential_nodes=container.ClusterConfidentialNodesArgs(enabled=args.confidential_nodes),
        # Versions
        release_channel=container.ClusterReleaseChannelArgs(channel=args.channel.value),
        min_master_version=minor_version(args.kubernetes_version),
        maintenance_policy=maintenance_args(args),
        # Nodes
        enable_shielded_nodes=True,
        remove_default_node_pool=True,
        initial_node_count=1,
        node_config=first_pool_args(args, around.account),
        node_pool_defaults=container.ClusterNodePoolDefaultsArgs(
            node_config_defaults=container.ClusterNodePoolDefaultsNodeConfigDefaultsArgs(
                insecure_kubelet_readonly_port_enabled="FALSE",
                gcfs_config=container.ClusterNodePoolDefaultsNodeConfigDefaultsGcfsConfigArgs(
                    enabled=args.image_streaming
                ),
            )
        ),
        node_pool_auto_config=container.ClusterNodePoolAutoConfigArgs(
            node_kubelet_config=container.ClusterNodePoolAutoConfigNodeKubeletConfigArgs(
                insecure_kubelet_readonly_port_enabled="FALSE"
            ),
            network_tags=container.ClusterNodePoolAutoConfigNetworkTagsArgs(tags=[node_tag(args)]),
        ),
        cluster_autoscaling=autoscaling_args(args, around.account),
        # What comes with it
        addons_config=addons_args(args),
        logging_config=telemetry.logging_args(),
        monitoring_config=telemetry.monitoring_args(),
        cost_management_config=container.ClusterCostManagementConfigArgs(enabled=True),
    )


def dns_args(args: GkeClusterArgs) -> container.ClusterDnsConfigArgs:
    """The DNS of the cluster; its names are known inside of it only."""
    if args.dns is ClusterDns.CLOUD_DNS:
        return container.ClusterDnsConfigArgs(cluster_dns="CLOUD_DNS", cluster_dns_scope="CLUSTER_SCOPE")
    return container.ClusterDnsConfigArgs(cluster_dns="KUBE_DNS")


def minor_version(version: str | None) -> str | None:
    """A version as GKE takes it: with its patch only where one is asked for, since GKE's have a suffix."""
    if version is None:
        return None
    return version.removesuffix(".0") if version.count(".") == 2 else version


def maintenance_args(args: GkeClusterArgs) -> container.ClusterMaintenancePolicyArgs:
    """When Google may upgrade."""
    start, end = args.maintenance.first
    return container.ClusterMaintenancePolicyArgs(
        recurring_window=container.ClusterMaintenancePolicyRecurringWindowArgs(
            start_time=start, end_time=end, recurrence=args.maintenance.recurrence
        ),
        maintenance_exclusions=[
            container.ClusterMaintenancePolicyMaintenanceExclusionArgs(
                exclusion_name=exclusion.name,
                start_time=exclusion.start,
                end_time=exclusion.end,
                exclusion_options=(
                    container.ClusterMaintenancePolicyMaintenanceExclusionExclusionOptionsArgs(
                        scope=exclusion.scope.value
                    )
                ),
            )
            for exclusion in args.maintenance.exclusions
        ],
    )


def first_pool_args(args: GkeClusterArgs, account: pulumi.Input[str]) -> container.ClusterNodeConfigArgs:
    """The pool that GKE insists on, for the minutes that it lives: as safe as the others."""
    return container.ClusterNodeConfigArgs(
        service_account=account,
        oauth_scopes=list(SCOPES),
        image_type=IMAGE,
        tags=[node_tag(args)],
        shielded_instance_config=container.ClusterNodeConfigShieldedInstanceConfigArgs(
            enable_secure_boot=True, enable_integrity_monitoring=True
        ),
        workload_metadata_config=container.ClusterNodeConfigWorkloadMetadataConfigArgs(mode="GKE_METADATA"),
        kubelet_config=container.ClusterNodeConfigKubeletConfigArgs(
            insecure_kubelet_readonly_port_enabled="FALSE"
        ),
    )


def addons_args(args: GkeClusterArgs) -> container.ClusterAddonsConfigArgs:
    """GKE's add-ons: disks, buckets as file systems, and Google's Ray operator as an option."""
    addon = args.ray_operator_addon
    operators = [
        container.ClusterAddonsConfigRayOperatorConfigArgs(
            enabled=True,
            ray_cluster_logging_config=container.ClusterAddonsConfigRayOperatorConfigRayClusterLoggingConfigArgs(
                enabled=addon.logging
            ),
            ray_cluster_monitoring_config=(
                container.ClusterAddonsConfigRayOperatorConfigRayClusterMonitoringConfigArgs(
                    enabled=addon.monitoring
                )
            ),
        )
        if addon
        else container.ClusterAddonsConfigRayOperatorConfigArgs(enabled=False)
    ]
    return container.ClusterAddonsConfigArgs(
        gce_persistent_disk_csi_driver_config=container.ClusterAddonsConfigGcePersistentDiskCsiDriverConfigArgs(
            enabled=True
        ),
        gcs_fuse_csi_driver_config=container.ClusterAddonsConfigGcsFuseCsiDriverConfigArgs(enabled=True),
        http_load_balancing=container.ClusterAddonsConfigHttpLoadBalancingArgs(disabled=False),
        ray_operator_configs=operators,
    )
