"""Who can connect to the gateway, and where the gateway can connect: its Service and its NetworkPolicies."""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from ipaddress import ip_network
from typing import Final

from pydantic import model_validator

from rayfort import labels, network
from rayfort.mesh.gateway_routes import HTTPS_PORT, Route
from rayfort.mesh.istio import IstioMeshArgs
from rayfort.metadata import Annotations
from rayfort.model import Cidr, JsonObject, Model
from rayfort.ray.ports import NodeRole

# The gateway is no root, so it listens above 1023.
LISTEN_PORT: Final = 8443
HEALTH_PORT: Final = 15021
# By which a cloud makes a load balancer that only its own network reaches.
INTERNAL: Final = (
    ("networking.gke.io/load-balancer-type", "internal"),
    ("cloud.google.com/load-balancer-type", "internal"),
    ("service.beta.kubernetes.io/azure-load-balancer-internal", "true"),
    ("service.beta.kubernetes.io/aws-load-balancer-internal", "true"),
    ("service.beta.kubernetes.io/aws-load-balancer-scheme", "internal"),
)
PRIVATE: Final = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")


class ServiceType(StrEnum):
    """How the gateway's Service is reached: from inside the cluster, or by a load balancer as well."""

    CLUSTER_IP = "ClusterIP"
    LOAD_BALANCER = "LoadBalancer"


class GatewayService(Model):
    """The gateway's Service, and who may connect to it.

    Args:
        type: ``ClusterIP``, or ``LoadBalancer``, which needs ``sourceRanges`` or a cloud's annotation for
            an internal load balancer.
        source_ranges: addresses that may connect; never everybody. By default the cluster's Pods, with an
            internal load balancer private addresses too, and behind IAP Google's load balancers alone.
        annotations: annotations of the Service, such as a cloud's for load balancers.
    """

    type: ServiceType = ServiceType.CLUSTER_IP
    source_ranges: tuple[Cidr, ...] = ()
    annotations: Annotations = {}

    @model_validator(mode="after")
    def _never_open(self) -> "GatewayService":
        for block in self.source_ranges:
            if ip_network(block).prefixlen == 0:
                raise ValueError(
                    f"sourceRanges: {block} is everybody; list the networks from which people connect"
                )
        if self.type is ServiceType.LOAD_BALANCER and not self.source_ranges and not self.internal:
            raise ValueError(
                "type LoadBalancer is open to everybody; set `sourceRanges`, or your cloud's annotation for "
                "an internal load balancer, such as networking.gke.io/load-balancer-type: Internal"
            )
        return self

    @property
    def internal(self) -> bool:
        """Whether an annotation asks for an internal load balancer."""
        return any(self.annotations.get(name, "").lower() == value for name, value in INTERNAL)

    @property
    def values(self) -> JsonObject:
        """``service`` of the chart's values: HTTPS and nothing else."""
        balanced: JsonObject = {}
        if self.type is ServiceType.LOAD_BALANCER:
            # Local, so that NetworkPolicies see the addresses of clients and not those of nodes.
            balanced = {
                "externalTrafficPolicy": "Local",
                "loadBalancerSourceRanges": list(self.source_ranges),
            }
        port = {"name": "https", "protocol": "TCP", "port": HTTPS_PORT, "targetPort": LISTEN_PORT}
        return {"type": self.type.value, "ports": [port], "annotations": self.annotations, **balanced}


def policies(
    service: GatewayService,
    routes: Sequence[Route],
    mesh: IstioMeshArgs,
    dns_namespace: str,
    front_ends: Sequence[str] = (),
    *,
    dns_addresses: Sequence[str] = (),
) -> Iterator[tuple[str, JsonObject]]:
    """Names and specs of the NetworkPolicies of the gateway's namespace.

    Args:
        service: the gateway's Service.
        routes: where it leads.
        mesh: the mesh.
        dns_namespace: where the cluster's DNS runs.
        front_ends: addresses of a proxy that alone may connect; it checks the gateway's health as well.
        dns_addresses: addresses outside the cluster at which its DNS answers as well.
    """
    yield network.DEFAULT_DENY, network.default_deny_spec()
    yield "allow-dns", network.dns_spec(dns_namespace, dns_addresses)
    yield "allow-mesh", network.mesh_spec(mesh.namespace)
    if mesh.tracing and mesh.tracing.namespace:
        yield "allow-tracing", network.tracing_spec(mesh.tracing.namespace, mesh.tracing.port)
    if mesh.metrics_namespaces:
        scrapers = [_namespace(name) for name in mesh.metrics_namespaces]
        yield "allow-metrics", _ingress(scrapers, [network.SIDECAR_METRICS_PORT])
    if front_ends:
        yield "allow-clients", _ingress(_blocks(front_ends), [LISTEN_PORT, HEALTH_PORT])
    else:
        yield "allow-clients", _ingress(_clients(service), [LISTEN_PORT])
    yield "allow-heads", _heads(routes)


def _clients(service: GatewayService) -> list[JsonObject]:
    if service.source_ranges:
        return _blocks(service.source_ranges)
    pods: list[JsonObject] = [{"namespaceSelector": {}}]
    return [*pods, *_blocks(PRIVATE)] if service.internal else pods


def _heads(routes: Sequence[Route]) -> JsonObject:
    return {
        "podSelector": {},
        "policyTypes": ["Egress"],
        "egress": [
            {
                "to": [
                    {
                        **_namespace(route.namespace),
                        "podSelector": {
                            "matchLabels": {
                                labels.RAY_CLUSTER: route.cluster,
                                labels.RAY_NODE_TYPE: NodeRole.HEAD.value,
                            }
                        },
                    }
                ],
                "ports": [{"protocol": "TCP", "port": route.port}],
            }
            for route in routes
        ],
    }


def _ingress(peers: Sequence[JsonObject], ports: Sequence[int]) -> JsonObject:
    numbers = [{"protocol": "TCP", "port": port} for port in ports]
    return {
        "podSelector": {},
        "policyTypes": ["Ingress"],
        "ingress": [{"from": list(peers), "ports": numbers}],
    }


def _blocks(cidrs: Sequence[str]) -> list[JsonObject]:
    return [{"ipBlock": {"cidr": cidr}} for cidr in cidrs]


def _namespace(name: str) -> JsonObject:
    return {"namespaceSelector": {"matchLabels": {labels.NAMESPACE_NAME: name}}}
