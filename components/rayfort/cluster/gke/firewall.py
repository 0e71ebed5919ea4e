"""The way from the control plane to admission webhooks on the nodes.

GKE opens 443 and 10250 by itself. Without the others no sidecar is injected:
https://cloud.google.com/kubernetes-engine/docs/how-to/private-clusters#add_firewall_rules.
"""

from typing import Final

import pulumi
from pulumi_gcp import compute

from rayfort.cluster.gke.children import Children
from rayfort.cluster.gke.spec import GkeClusterArgs
from rayfort.network import ISTIOD_WEBHOOK_PORT

# Where webhooks of most operators listen: 8443 and, for those made with controller-runtime, 9443.
WEBHOOK_PORTS: Final = (8443, 9443, ISTIOD_WEBHOOK_PORT)


def node_tag(args: GkeClusterArgs) -> str:
    """The network tag of the cluster's nodes."""
    return f"{args.name}-node"


def webhooks_args(args: GkeClusterArgs, network: pulumi.Input[str]) -> compute.FirewallArgs:
    """From the control plane's addresses alone, to the cluster's nodes alone."""
    return compute.FirewallArgs(
        project=args.project,
        name=f"{args.name}-webhooks",
        description="Admission webhooks: from the control plane to the nodes",
        network=network,
        direction="INGRESS",
        source_ranges=[args.network.control_plane],
        target_tags=[node_tag(args)],
        allows=[compute.FirewallAllowArgs(protocol="tcp", ports=[str(port) for port in WEBHOOK_PORTS])],
        log_config=compute.FirewallLogConfigArgs(metadata="INCLUDE_ALL_METADATA"),
    )


def make(children: Children, network: compute.Network) -> compute.Firewall:
    """Register the rule."""
    return compute.Firewall(
        f"{children.name}-webhooks",
        webhooks_args(children.args, network.id),
        opts=children.options(),
    )
