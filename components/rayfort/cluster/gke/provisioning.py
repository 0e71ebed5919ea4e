"""The cluster's autoscaler, and the pools that it may make, as Google's API wants them."""

from typing import Final

import pulumi
from pulumi_gcp import container

from rayfort.cluster.gke.node_pools import IMAGE, SCOPES
from rayfort.cluster.gke.spec import GkeClusterArgs

# Nodes that Ray has left go soon; BALANCED, the default, keeps them longer.
PROFILE: Final = "OPTIMIZE_UTILIZATION"


def autoscaling_args(
    args: GkeClusterArgs, account: pulumi.Input[str]
) -> container.ClusterClusterAutoscalingArgs:
    """The autoscaler's profile and, as an option, the bounds and the nodes of pools that it makes."""
    limits = args.auto_provisioning
    if limits is None:
        return container.ClusterClusterAutoscalingArgs(enabled=False, autoscaling_profile=PROFILE)
    most = {"cpu": limits.max_cpus, "memory": limits.max_memory_gb, **limits.max_gpus}
    return container.ClusterClusterAutoscalingArgs(
        enabled=True,
        autoscaling_profile=PROFILE,
        auto_provisioning_locations=list(args.zones) or None,
        resource_limits=[
            container.ClusterClusterAutoscalingResourceLimitArgs(
                resource_type=name, minimum=0, maximum=maximum
            )
            for name, maximum in most.items()
        ],
        auto_provisioning_defaults=container.ClusterClusterAutoscalingAutoProvisioningDefaultsArgs(
            service_account=account,
            oauth_scopes=list(SCOPES),
            image_type=IMAGE,
            disk_type="pd-balanced",
            management=container.ClusterClusterAutoscalingAutoProvisioningDefaultsManagementArgs(
                auto_repair=True, auto_upgrade=True
            ),
            shielded_instance_config=(
                container.ClusterClusterAutoscalingAutoProvisioningDefaultsShieldedInstanceConfigArgs(
                    enable_secure_boot=True, enable_integrity_monitoring=True
                )
            ),
            upgrade_settings=container.ClusterClusterAutoscalingAutoProvisioningDefaultsUpgradeSettingsArgs(
                strategy="SURGE", max_surge=1, max_unavailable=0
            ),
        ),
    )
