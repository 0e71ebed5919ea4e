"""The addresses of a cluster: nodes, Pods, Services and control plane."""

from ipaddress import IPv4Network
from itertools import combinations
from typing import Annotated, Final

from pydantic import Field, field_validator, model_validator

from rayfort.model import Cidr, Model

CONTROL_PLANE_PREFIX: Final = 28
# Google reserves four addresses of a subnet.
RESERVED_IN_SUBNET: Final = 4
# What nodes, Docker's bridge and the metadata server use themselves.
TAKEN: Final = {
    "127.0.0.0/8": "is the loopback",
    "169.254.0.0/16": "holds the metadata server",
    "172.17.0.0/16": "is Docker's bridge on the nodes",
    "224.0.0.0/4": "is multicast",
}


class GkeNetwork(Model):
    """The VPC network that is made for the cluster.

    Args:
        nodes: addresses of the nodes.
        pods: addresses of the Pods.
        services: addresses of the Services.
        control_plane: addresses of the control plane inside the network, a /28.
        flow_logs: whether the subnet keeps flow logs.
        flow_sampling: the part of the flows that is logged, from 0 to 1.
        nat_ports: the fewest ports that Cloud NAT keeps for each node; pulling many images takes more.
    """

    nodes: Cidr = "10.0.0.0/20"
    pods: Cidr = "10.4.0.0/14"
    services: Cidr = "10.8.0.0/20"
    control_plane: Cidr = "172.16.0.0/28"
    flow_logs: bool = True
    flow_sampling: Annotated[float, Field(ge=0, le=1)] = 0.5
    nat_ports: Annotated[int, Field(ge=64, le=65536, strict=True)] = 256

    @field_validator("nodes", "pods", "services", "control_plane")
    @classmethod
    def _usable(cls, value: str) -> str:
        try:
            block = IPv4Network(value)
        except ValueError:
            raise ValueError("is not a block of IPv4 addresses; write for example 10.0.0.0/20") from None
        for taken, why in TAKEN.items():
            if block.overlaps(IPv4Network(taken)):
                raise ValueError(f"{value} lies in {taken}, which {why}; use another block")
        return value

    @field_validator("control_plane")
    @classmethod
    def _of_one_size(cls, value: str) -> str:
        if IPv4Network(value).prefixlen != CONTROL_PLANE_PREFIX:
            raise ValueError(f"must be a /{CONTROL_PLANE_PREFIX}, which is what GKE takes; {value} is not")
        return value

    @model_validator(mode="after")
    def _apart(self) -> "GkeNetwork":
        blocks = {
            "nodes": self.nodes,
            "pods": self.pods,
            "services": self.services,
            "controlPlane": self.control_plane,
        }
        for (one, first), (other, second) in combinations(blocks.items(), 2):
            if IPv4Network(first).overlaps(IPv4Network(second)):
                raise ValueError(f"{one} ({first}) and {other} ({second}) overlap; give each its own block")
        return self

    @property
    def most_nodes(self) -> int:
        """How many nodes have addresses."""
        return IPv4Network(self.nodes).num_addresses - RESERVED_IN_SUBNET

    def most_nodes_with_pods(self, pods_per_node: int) -> int:
        """How many nodes get a block for their Pods, which has twice as many addresses as Pods may run."""
        block = 1 << (pods_per_node * 2 - 1).bit_length()
        return IPv4Network(self.pods).num_addresses // block
