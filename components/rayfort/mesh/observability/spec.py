"""What a stack says of observability, and what the mesh gets of it."""

from rayfort.mesh.istio import IstioMeshArgs
from rayfort.mesh.observability.jaeger import JaegerArgs
from rayfort.mesh.observability.kiali import KialiArgs
from rayfort.mesh.observability.prometheus import PrometheusArgs
from rayfort.mesh.telemetry import OTLP_PORT, ROOT_NAMESPACE, Tracing, collector_host
from rayfort.model import DnsLabel, JsonObject, Model, Seconds


class ObservabilitySpec(Model):
    """Prometheus, Kiali and Jaeger, as a stack lists them.

    Args:
        namespace: where all three run; by default the mesh's root namespace, as in the seed. Any other is
            made.
        prometheus: metrics.
        kiali: the picture of the mesh.
        jaeger: traces.
        timeout_seconds: how long to wait for each release, in seconds.
    """

    namespace: DnsLabel = ROOT_NAMESPACE
    prometheus: PrometheusArgs = PrometheusArgs()
    kiali: KialiArgs = KialiArgs()
    jaeger: JaegerArgs = JaegerArgs()
    timeout_seconds: Seconds = 300

    def observed(self, mesh: IstioMeshArgs, cluster_domain: str) -> IstioMeshArgs:
        """The mesh with what this needs of it: sidecars send traces to Jaeger, istiod lets Prometheus in.

        Args:
            mesh: the mesh as its own settings say.
            cluster_domain: the DNS zone of Services.
        """
        tracing = (mesh.tracing or Tracing()).model_copy(update=self._collector(cluster_domain))
        scrapers = tuple(dict.fromkeys([*mesh.metrics_namespaces, self.namespace]))
        return mesh.model_copy(update={"tracing": tracing, "metrics_namespaces": scrapers})

    def tracing_problem(self, mesh: IstioMeshArgs, cluster_domain: str) -> str | None:
        """Why this Jaeger would get no traces, and what to do; None where it gets them.

        Args:
            mesh: the mesh as its own settings say.
            cluster_domain: the DNS zone of Services.
        """
        tracing, ours = mesh.tracing, self._collector(cluster_domain)
        for field in sorted(tracing.model_fields_set & ours.keys()) if tracing else []:
            if getattr(tracing, field) != ours[field]:
                return (
                    f"{field} is {getattr(tracing, field)}, and observability brings a Jaeger at "
                    f"{ours['service']}:{ours['port']}, which would get no traces; leave {field} out"
                )
        return None

    def _collector(self, cluster_domain: str) -> JsonObject:
        return {"service": collector_host(self.namespace, cluster_domain), "port": OTLP_PORT}
