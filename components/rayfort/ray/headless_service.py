"""The headless Service from which Istio learns every port of a Ray node.

Source: seed 002. Without it Envoy treats Ray's ports as unknown, sends plaintext, and STRICT refuses it.
"""

from typing import Final, cast

import pulumi
import pulumi_kubernetes as k8s

from rayfort import labels
from rayfort.component import Component, meta
from rayfort.facts import CLUSTER_DOMAIN
from rayfort.model import DnsLabel, DnsName, JsonObject, Model
from rayfort.ray.ports import RayPorts, Traffic, headless_service_ports

SUFFIX: Final = "-headless-svc"
# Only Ray's nodes use it. In sidecars of other namespaces, the operator's for one, and in gateways it would
# be a listener for each port of each node; they all come through the head's Service.
HIDDEN: Final = {labels.EXPORT_TO: "."}


def service_name(cluster: str) -> str:
    """The Service's name."""
    return f"{cluster}{SUFFIX}"


def service_host(cluster: str, namespace: str, cluster_domain: str) -> str:
    """The Service's DNS name."""
    return f"{service_name(cluster)}.{namespace}.svc.{cluster_domain}"


def service_spec(cluster: str, ports: RayPorts, traffic: Traffic) -> JsonObject:
    """``spec`` of the Service.

    Addresses are published before Pods are ready: Ray nodes must find each other to become ready.
    """
    return {
        "clusterIP": "None",
        "publishNotReadyAddresses": True,
        "selector": {labels.RAY_CLUSTER: cluster},
        "ports": headless_service_ports(ports, traffic),
    }


class RayHeadlessServiceArgs(Model):
    """Arguments of `RayHeadlessService`.

    Args:
        cluster: the name of the RayCluster whose Pods are selected.
        namespace: its namespace.
        ports: its ports.
        traffic: how Istio sees them.
        cluster_domain: the DNS zone of Services.
    """

    cluster: DnsLabel
    namespace: DnsLabel
    ports: RayPorts = RayPorts()
    traffic: Traffic = Traffic.L4
    cluster_domain: DnsName = CLUSTER_DOMAIN


class RayHeadlessService(Component):
    """The headless Service of one Ray cluster; make it before the cluster.

    Attributes:
        service_name: the Service's name.
        hostname: its DNS name, under which ``l7`` names each node.
    """

    service_name: pulumi.Output[str]
    hostname: pulumi.Output[str]

    def __init__(
        self, name: str, args: RayHeadlessServiceArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__(
            name,
            {"cluster": args.cluster, "namespace": args.namespace, "traffic": args.traffic.value},
            opts,
        )
        service = k8s.core.v1.Service(
            name,
            metadata=meta(
                service_name(args.cluster),
                args.namespace,
                {labels.RAY_HEADLESS_WORKER_SERVICE: args.cluster},
                HIDDEN,
            ),
            spec=cast(
                "k8s.core.v1.ServiceSpecArgsDict", service_spec(args.cluster, args.ports, args.traffic)
            ),
            opts=self.child(),
        )
        host = service_host(args.cluster, args.namespace, args.cluster_domain)
        self.service_name = service.metadata.name
        self.hostname = service.metadata.name.apply(lambda _: host)
        self.register_outputs({"serviceName": self.service_name, "hostname": self.hostname})
