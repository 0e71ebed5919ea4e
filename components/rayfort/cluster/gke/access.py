"""Who reaches the control plane, and by which way."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from rayfort.model import Cidr, Model


class AuthorizedNetwork(Model):
    """Addresses from which the control plane's IP endpoint answers.

    Args:
        cidr: the addresses.
        name: what they are, for people.
    """

    cidr: Cidr
    name: Annotated[str, Field(min_length=1)]

    @field_validator("cidr")
    @classmethod
    def _not_everybody(cls, value: str) -> str:
        if value.endswith("/0"):
            raise ValueError(
                f"{value} is everybody; name your own addresses, or leave ipEndpoint out and use the DNS "
                "endpoint, where IAM decides"
            )
        return value


class PluginCredentials(StrEnum):
    """Whose credentials ``gke-gcloud-auth-plugin`` uses: those of gcloud, or the application default ones."""

    GCLOUD = "gcloud"
    APPLICATION_DEFAULT = "application-default"


class ControlPlaneAccess(Model):
    """Ways to the control plane.

    Args:
        dns_endpoint: the endpoint with a name, where IAM decides before a request reaches the cluster; it is
            reachable from everywhere and needs no bastion.
        ip_endpoint: the endpoints with addresses.
        public_ip: whether the IP endpoint has a public address as well.
        authorized_networks: addresses from which the IP endpoint answers.
        credentials: whose credentials the kubeconfig uses, ``gcloud`` or ``application-default``. gcloud
            itself refuses the second for the DNS endpoint.
    """

    dns_endpoint: bool = True
    ip_endpoint: bool = False
    public_ip: bool = False
    authorized_networks: tuple[AuthorizedNetwork, ...] = ()
    credentials: PluginCredentials = PluginCredentials.GCLOUD

    @model_validator(mode="after")
    def _agrees(self) -> "ControlPlaneAccess":
        if not self.dns_endpoint and not self.ip_endpoint:
            raise ValueError("dnsEndpoint and ipEndpoint are both false: nobody could reach the cluster")
        if self.public_ip and not self.ip_endpoint:
            raise ValueError("publicIp is part of the IP endpoint; set ipEndpoint, or leave publicIp out")
        if self.ip_endpoint and not self.authorized_networks:
            raise ValueError(
                "ipEndpoint answers addresses in authorizedNetworks only, and there are none; name them, or "
                "leave ipEndpoint out"
            )
        if self.authorized_networks and not self.ip_endpoint:
            raise ValueError(
                "authorizedNetworks are of the IP endpoint, which is off; set ipEndpoint, or leave them out"
            )
        if self.dns_endpoint and self.credentials is PluginCredentials.APPLICATION_DEFAULT:
            raise ValueError(
                "gcloud refuses application default credentials for the DNS endpoint; leave credentials out, "
                "or use the IP endpoint alone (dnsEndpoint: false)"
            )
        return self
