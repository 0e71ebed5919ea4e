"""Jaeger: traces, kept on a persistent volume.

Jaeger 2 is an OpenTelemetry collector with a storage and a query service; its configuration is a
collector's.
"""

from typing import Annotated, Final

from pydantic import AfterValidator

from rayfort import labels, pod_security, versions
from rayfort.chart import Chart
from rayfort.mesh import membership
from rayfort.mesh.observability.surroundings import Days, Surroundings, Volume, fingerprint, refuse
from rayfort.mesh.telemetry import COLLECTOR, OTLP_PORT
from rayfort.model import ImageRepository, ImageTag, JsonObject, Model, SemVer, merge

CHART: Final = "jaeger"
RELEASE: Final = "jaeger"
NAME: Final = COLLECTOR  # of its Service and service account: what the mesh's tracing points to
POD: Final = {labels.NAME: "jaeger", "app.kubernetes.io/instance": RELEASE}
CLAIM: Final = "jaeger-badger"
QUERY_GRPC_PORT: Final = 16685
UI_PORT: Final = 16686
# The chart's probes and annotations have these numbers.
_HEALTH_PORT: Final = 13133
_METRICS_PORT: Final = 8888
_DIRECTORY: Final = "/badger"
_USER: Final = 10001
_ANY: Final = "0.0.0.0"  # noqa: S104 - in the Pod
_STORE: Final = "badger"
_EXPOSING: Final = ("jaeger.ingress", "jaeger.httproute", "jaeger.service.type")


def _closed(values: JsonObject) -> JsonObject:
    return refuse(values, _EXPOSING, "Jaeger asks nobody for a login; reach it by port-forward or in Kiali")


class JaegerArgs(Model):
    """Settings of Jaeger.

    Args:
        version: the chart's version.
        chart: where the chart comes from; by default the official repository at ``version``.
        image_registry: registry of its image, where a mirror has it under the same name.
        image_tag: the image's tag.
        retention_days: how long traces are kept.
        volume: where they are kept.
        values: further chart values, laid over what Rayfort computes; none may publish it.
    """

    version: SemVer = versions.JAEGER_CHART
    chart: Chart | None = None
    image_registry: ImageRepository | None = None
    image_tag: ImageTag | None = None
    retention_days: Days = 7
    volume: Volume = Volume()
    values: Annotated[JsonObject, AfterValidator(_closed)] = {}

    @property
    def chart_source(self) -> Chart:
        """The chart in force."""
        return self.chart or Chart(
            chart=CHART, repository=versions.JAEGER_CHART_REPOSITORY, version=self.version
        )


def config(retention_days: int) -> JsonObject:
    """Jaeger's own configuration, on every address: policies say who gets there."""
    return {
        "service": {
            "extensions": ["jaeger_storage", "jaeger_query", "healthcheckv2"],
            "pipelines": {
                "traces": {
                    "receivers": ["otlp"],
                    "processors": ["batch"],
                    "exporters": ["jaeger_storage_exporter"],
                }
            },
            "telemetry": {
                "resource": {"service.name": "jaeger"},
                "metrics": {
                    "readers": [{"pull": {"exporter": {"prometheus": {"host": _ANY, "port": _METRICS_PORT}}}}]
                },
            },
        },
        "extensions": {
            "healthcheckv2": {"use_v2": True, "http": {"endpoint": f"{_ANY}:{_HEALTH_PORT}"}},
            "jaeger_query": {
                "storage": {"traces": _STORE},
                "http": {"endpoint": f"{_ANY}:{UI_PORT}"},
                "grpc": {"endpoint": f"{_ANY}:{QUERY_GRPC_PORT}"},
            },
            "jaeger_storage": {
                "backends": {
                    _STORE: {
                        "badger": {
                            "directories": {"keys": f"{_DIRECTORY}/keys", "values": f"{_DIRECTORY}/values"},
                            "ephemeral": False,
                            "ttl": {"spans": f"{24 * retention_days}h"},
                        }
                    }
                }
            },
        },
        "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": f"{_ANY}:{OTLP_PORT}"}}}},
        "processors": {"batch": {}},
        "exporters": {"jaeger_storage_exporter": {"trace_storage": _STORE}},
    }


def claim_spec(volume: Volume) -> JsonObject:
    """``spec`` of the PersistentVolumeClaim, which the chart does not make."""
    chosen = {"storageClassName": volume.storage_class} if volume.storage_class else {}
    return {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": volume.size}},
        **chosen,
    }


def values(args: JaegerArgs, around: Surroundings) -> JsonObject:
    """The values of its chart."""
    written = config(args.retention_days)
    jaeger: JsonObject = {
        "serviceAccount": {"automountServiceAccountToken": False},
        "podLabels": {
            **membership.pod_labels(around.revision),
            # The chart takes no annotations; a changed configuration restarts the Pod.
            "rayfort.dev/config": fingerprint({"config": written, "values": args.values}),
        },
        "podSecurityContext": pod_security.pod_security_context(_USER, _USER),
        "securityContext": pod_security.container_security_context(),
        "extraVolumes": [{"name": _STORE, "persistentVolumeClaim": {"claimName": CLAIM}}],
        "extraVolumeMounts": [{"name": _STORE, "mountPath": _DIRECTORY}],
    }
    if args.image_tag:
        jaeger["image"] = {"tag": args.image_tag}
    computed: JsonObject = {"fullnameOverride": NAME, "jaeger": jaeger, "userconfig": written}
    if args.image_registry:
        computed["global"] = {"imageRegistry": args.image_registry}
    return merge(computed, args.values)
