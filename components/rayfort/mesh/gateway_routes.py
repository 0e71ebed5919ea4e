"""Which Ray clusters the gateway exposes, under which hosts, and how it leads there."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from rayfort.mesh.gateway_login import Claims
from rayfort.mesh.mtls import TlsVersion
from rayfort.model import MAX_DNS_NAME, DnsLabel, DnsName, JsonObject, Model
from rayfort.ray import manifest
from rayfort.workspace import WorkspaceSpec

HTTPS_PORT: Final = 443
HSTS: Final = "max-age=31536000"
_LONGEST_LABEL: Final = 63


class ServerTls(StrEnum):
    """Whether the gateway asks clients for a certificate (MUTUAL) or not (SIMPLE)."""

    SIMPLE = "SIMPLE"
    MUTUAL = "MUTUAL"


class GatewayTls(Model):
    """The gateway's certificate.

    Args:
        credential_name: the TLS Secret with it, in the gateway's namespace; Rayfort does not make it.
        mode: ``MUTUAL`` also asks clients for a certificate, of an authority in the Secret's ``ca.crt``.
    """

    credential_name: DnsName
    mode: ServerTls = ServerTls.SIMPLE


class ExposedCluster(Model):
    """A Ray cluster whose dashboard the gateway exposes.

    Args:
        workspace: the workspace's name.
        cluster: the Ray cluster's name in it.
        host: the host name; by default ``<cluster>-<workspace>.<domain>``.
        claims: what a JWT must say beyond its issuer and audience: for each claim, one of these values.
    """

    workspace: DnsLabel
    cluster: DnsLabel
    host: DnsName | None = None
    claims: Claims = {}

    @property
    def label(self) -> str:
        """The default host without the domain."""
        return f"{self.cluster}-{self.workspace}"

    def host_in(self, domain: str | None) -> str | None:
        """The host in force; None where there is neither a host nor a domain."""
        return self.host or (f"{self.label}.{domain}" if domain else None)


@dataclass(frozen=True)
class Route:
    """A host and what it leads to.

    Attributes:
        workspace, cluster: names of the workspace and of its Ray cluster.
        namespace: the workspace's namespace.
        host: the host.
        port: the dashboard's port.
        claims: what a JWT must say.
    """

    workspace: str
    cluster: str
    namespace: str
    host: str
    port: int
    claims: Claims

    @property
    def url(self) -> str:
        """Where a person finds the dashboard."""
        return f"https://{self.host}"


def routes(
    exposed: Sequence[ExposedCluster], domain: str | None, workspaces: Sequence[WorkspaceSpec]
) -> list[Route]:
    """What each host leads to; `problems` tells of those that lead nowhere."""
    known = _known(workspaces)
    return [
        Route(
            workspace=item.workspace,
            cluster=item.cluster,
            namespace=known[item.workspace].namespace_name,
            host=host,
            port=cluster.effective_ports.dashboard,
            claims=item.claims,
        )
        for item in exposed
        if item.workspace in known and (host := item.host_in(domain))
        for cluster in known[item.workspace].clusters
        if cluster.name == item.cluster
    ]


def problems(
    exposed: Sequence[ExposedCluster], domain: str | None, workspaces: Sequence[WorkspaceSpec]
) -> Iterator[tuple[int, str]]:
    """What is wrong with the list: the position of an entry, and what is wrong with it and what to do."""
    known = _known(workspaces)
    hosts: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    for index, item in enumerate(exposed):
        name = f"{item.workspace}/{item.cluster}"
        if item.workspace not in known:
            yield index, f"there is no workspace {item.workspace}; name one of the stack's workspaces"
        elif item.cluster not in {cluster.name for cluster in known[item.workspace].clusters}:
            yield index, f"workspace {item.workspace} has no Ray cluster {item.cluster}; name one of its own"
        if (item.workspace, item.cluster) in seen:
            yield index, f"{name} stands twice; expose it once"
        seen.add((item.workspace, item.cluster))
        host = item.host_in(domain)
        if host is None:
            yield index, f"{name} has no host; set `host`, or the gateway's `domain`"
            continue
        if "." not in host:
            yield index, f"host {host} is not a full name; write for example {host}.example.com"
        if not item.host and len(item.label) > _LONGEST_LABEL:
            yield index, f"{item.label} is longer than {_LONGEST_LABEL} letters, too long for DNS; set `host`"
        if len(host) > MAX_DNS_NAME:
            yield index, f"{item.label} under the domain is longer than {MAX_DNS_NAME} letters; set `host`"
        if host in hosts and hosts[host] != name:
            yield index, f"host {host} already leads to {hosts[host]}; set another `host`"
        hosts.setdefault(host, name)


def _known(workspaces: Sequence[WorkspaceSpec]) -> Mapping[str, WorkspaceSpec]:
    return {workspace.name: workspace for workspace in workspaces}


def gateway_spec(selector: Mapping[str, str], tls: GatewayTls, hosts: Sequence[str]) -> JsonObject:
    """``spec`` of the Gateway: HTTPS for these hosts (``*`` for any); plain HTTP has no door at all.

    Only the gateway's own namespace can say where its hosts lead.
    """
    return {
        "selector": dict(selector),
        "servers": [
            {
                "port": {"number": HTTPS_PORT, "name": "https", "protocol": "HTTPS"},
                "hosts": [f"./{host}" for host in hosts],
                "tls": {
                    "mode": tls.mode.value,
                    "credentialName": tls.credential_name,
                    "minProtocolVersion": TlsVersion.TLSV1_3.value,
                },
            }
        ],
    }


def virtual_service_spec(gateway: str, route: Route, cluster_domain: str) -> JsonObject:
    """``spec`` of the VirtualService of one host.

    Without retries, which Istio does by default: a job would be handed in twice.
    """
    head = f"{manifest.head_service(route.cluster)}.{route.namespace}.svc.{cluster_domain}"
    return {
        "hosts": [route.host],
        "gateways": [gateway],
        "exportTo": ["."],
        "http": [
            {
                "route": [{"destination": {"host": head, "port": {"number": route.port}}}],
                "retries": {"attempts": 0},
                # Ray, which is asked without TLS here, does not mark the cookie with its token as secure.
                "headers": {"response": {"set": {"strict-transport-security": HSTS}}},
            }
        ],
    }
