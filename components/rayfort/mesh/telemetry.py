"""Tracing: a provider in the mesh configuration and the Telemetry that uses it.

The seed's ``tracing.sampling`` alone sends nothing: Istio 1.22 dropped its built-in exporter.
"""

from typing import Final

from pydantic import Field

from rayfort.model import DnsName, JsonObject, Model, Port

TELEMETRY_API: Final = "telemetry.istio.io/v1"
TELEMETRY_NAME: Final = "mesh-default"


class Tracing(Model):
    """Where traces go.

    Args:
        provider: a name for the provider.
        service: DNS name of an OpenTelemetry collector's Service (``name.namespace.svc.…``).
        port: its gRPC port.
        sampling_percentage: share of requests that are traced, 0 to 100. The seed takes 100 to show it;
            a busy mesh wants 1 or less.
    """

    provider: str = Field(default="jaeger", min_length=1)
    service: DnsName = "jaeger-collector.istio-system.svc.cluster.local"
    port: Port = 4317
    sampling_percentage: float = Field(default=1.0, ge=0, le=100)

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
