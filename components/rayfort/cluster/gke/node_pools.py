"""Node pools as Google's API wants them."""

from math import ceil
from typing import Final

import pulumi
from pulumi_gcp import container

from rayfort.cluster.gke.children import Children
from rayfort.cluster.gke.firewall import node_tag
from rayfort.cluster.gke.placement import taints
from rayfort.cluster.gke.pools import NodePool, PoolUpgrade, UpgradeStrategy
from rayfort.cluster.gke.spec import GkeClusterArgs

# What nodes may do is decided by their service account's rights, as Google recommends.
SCOPES: Final = ("https://www.googleapis.com/auth/cloud-platform",)
IMAGE: Final = "COS_CONTAINERD"
ZONES_OF_A_REGION: Final = 3
# The autoscaler changes them, and a change of the first would replace the pool.
LEFT_TO_THE_AUTOSCALER: Final = ("initialNodeCount", "nodeCount")


def pool_args(
    args: GkeClusterArgs,
    pool: NodePool,
    cluster: pulumi.Input[str],
    account: pulumi.Input[str],
) -> container.NodePoolArgs:
    """One node pool."""
    zones = list(pool.zones or args.zones)
    spread = 1 if args.zonal and not pool.zones else len(zones) or ZONES_OF_A_REGION
    return container.NodePoolArgs(
        project=args.project,
        cluster=cluster,
        location=args.location,
        node_locations=zones or None,
        name=pool.name,
        initial_node_count=ceil(pool.min_nodes / spread),
        autoscaling=container.NodePoolAutoscalingArgs(
            total_min_node_count=pool.min_nodes,
            total_max_node_count=pool.max_nodes,
            # Spot VMs and GPUs are where they are; BALANCED would wait for them in every zone.
            location_policy="ANY" if pool.spot or pool.gpu or pool.tpu else "BALANCED",
        ),
        management=container.NodePoolManagementArgs(auto_repair=True, auto_upgrade=True),
        max_pods_per_node=args.pods_per_node,
        network_config=container.NodePoolNetworkConfigArgs(enable_private_nodes=True),
        upgrade_settings=upgrade_args(pool.upgrade),
        placement_policy=container.NodePoolPlacementPolicyArgs(type="COMPACT", tpu_topology=pool.tpu_topology)
        if pool.tpu_hosts > 1
        else None,
        node_config=node_args(args, pool, account),
    )


def upgrade_args(upgrade: PoolUpgrade) -> container.NodePoolUpgradeSettingsArgs:
    """How nodes are replaced."""
    if upgrade.strategy is UpgradeStrategy.SURGE:
        return container.NodePoolUpgradeSettingsArgs(
            strategy=upgrade.strategy.value,
            max_surge=upgrade.max_surge,
            max_unavailable=upgrade.max_unavailable,
        )
    return container.NodePoolUpgradeSettingsArgs(
        strategy=upgrade.strategy.value,
        blue_green_settings=container.NodePoolUpgradeSettingsBlueGreenSettingsArgs(
            node_pool_soak_duration=f"{upgrade.soak_seconds}s",
            standard_rollout_policy=container.NodePoolUpgradeSettingsBlueGreenSettingsStandardRolloutPolicyArgs(
                batch_percentage=upgrade.batch_percentage / 100
            ),
        ),
    )


def node_args(
    args: GkeClusterArgs, pool: NodePool, account: pulumi.Input[str]
) -> container.NodePoolNodeConfigArgs:
    """The nodes of a pool."""
    return container.NodePoolNodeConfigArgs(
        machine_type=pool.machine_type,
        service_account=account,
        oauth_scopes=list(SCOPES),
        image_type=IMAGE,
        disk_size_gb=pool.disk_gb,
        disk_type=pool.disk,
        spot=pool.spot,
        labels=pool.labels or None,
        resource_labels=args.labels or None,
        tags=[node_tag(args)],
        taints=[
            container.NodePoolNodeConfigTaintArgs(key=taint.key, value=taint.value, effect="NO_SCHEDULE")
            for taint in taints(pool)
            if not taint.automatic
        ],
        metadata={"disable-legacy-endpoints": "true"},
        shielded_instance_config=container.NodePoolNodeConfigShieldedInstanceConfigArgs(
            enable_secure_boot=True, enable_integrity_monitoring=True
        ),
        workload_metadata_config=container.NodePoolNodeConfigWorkloadMetadataConfigArgs(mode="GKE_METADATA"),
        kubelet_config=container.NodePoolNodeConfigKubeletConfigArgs(
            insecure_kubelet_readonly_port_enabled="FALSE"
        ),
        gcfs_config=container.NodePoolNodeConfigGcfsConfigArgs(enabled=args.image_streaming),
        gvnic=container.NodePoolNodeConfigGvnicArgs(enabled=True),
        guest_accelerators=gpu_args(pool),
        ephemeral_storage_local_ssd_config=container.NodePoolNodeConfigEphemeralStorageLocalSsdConfigArgs(
            local_ssd_count=pool.local_ssds
        )
        if pool.local_ssds
        else None,
        reservation_affinity=container.NodePoolNodeConfigReservationAffinityArgs(
            consume_reservation_type="SPECIFIC_RESERVATION",
            key="compute.googleapis.com/reservation-name",
            values=[pool.reservation],
        )
        if pool.reservation
        else None,
    )


def gpu_args(pool: NodePool) -> list[container.NodePoolNodeConfigGuestAcceleratorArgs] | None:
    """The GPUs of each node, with a driver that GKE installs: secure boot takes no other."""
    if pool.gpu is None:
        return None
    driver = container.NodePoolNodeConfigGuestAcceleratorGpuDriverInstallationConfigArgs(
        gpu_driver_version=pool.gpu.driver.value
    )
    return [
        container.NodePoolNodeConfigGuestAcceleratorArgs(
            type=pool.gpu.model, count=pool.gpu_count, gpu_driver_installation_config=driver
        )
    ]


def make(
    children: Children,
    cluster: container.Cluster,
    account: pulumi.Input[str],
    after: tuple[pulumi.Resource, ...],
) -> list[container.NodePool]:
    """Register the pools."""
    return [
        container.NodePool(
            f"{children.name}-{pool.name}",
            pool_args(children.args, pool, cluster.name, account),
            opts=children.options(*after, ignore_changes=list(LEFT_TO_THE_AUTOSCALER)),
        )
        for pool in children.args.node_pools
    ]
