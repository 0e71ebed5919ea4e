"""Tracing: a provider in the mesh configuration and the Telemetry that uses it.

The seed's ``tracing.sampling`` alone sends nothing: Istio 1.22 dropped its built-in exporter.
"""

from typing import Annotated, Final

from pydantic import Field

from rayfort.facts import CLUSTER_DOMAIN
from rayfort.model import DnsName, JsonObject, Model, Port, Written

TELEMETRY_API: Final = "telemetry.istio.io/v1"
TELEMETRY_NAME: Final = "mesh-default"
ROOT_NAMESPACE: Final = "istio-system"
COLLECTOR: Final = "jaeger-collector"
OTLP_PORT: Final = 4317
ProviderName = Annotated[
    str,
    Written(
        r"[A-Za-z0-9]([-._A-Za-z0-9]{0,61}[A-Za-z0-9])?",
        "is not a provider's name; use at most 63 letters, digits, '-', '_' and '.'",
    ),
]


def collector_host(namespace: str, cluster_domain: str) -> str:
    """The DNS name of the collector that `MeshObservability` makes in this namespace."""
    return f"{COLLECTOR}.{namespace}.svc.{cluster_domain}"


class Tracing(Model):
    """Where traces go.

    Args:
        provider: a name for the provider.
        service: DNS name of an OpenTelemetry collector's Service (``name.namespace.svc.…``); by default the
            one that `MeshObservability` makes.
        port: its gRPC port.
        sampling_percentage: share of requests that are traced, 0 to 100. The seed takes 100 to show it;
            a busy mesh wants 1 or less.
    """

    provider: ProviderName = "jaeger"
    service: DnsName = collector_host(ROOT_NAMESPACE, CLUSTER_DOMAIN)
    port: Port = OTLP_PORT
    sampling_percentage: float = Field(default=1.0, ge=0, le=100, allow_inf_nan=False)

    @property
    def namespace(self) -> str | None:
        """The collector's namespace; None where it is no Service of the cluster."""
        _, *rest = self.service.split(".")
        return rest[0] if rest[1:2] == ["svc"] else None


def extension_provider(tracing: Tracing) -> JsonObject:
    """The provider's entry in ``meshConfig.extensionProviders``."""
    return {"name": tracing.provider, "opentelemetry": {"service": tracing.service, "port": tracing.port}}


def telemetry_spec(tracing: Tracing) -> JsonObject:
    """``spec`` of the mesh's Telemetry."""
    return {
        "tracing": [
            {
                "providers": [{"name": tracing.provider}],
                "randomSamplingPercentage": tracing.sampling_percentage,
            }
        ]
    }
