"""Prometheus: the metrics of sidecars, istiod and Ray.

It scrapes the sidecars' port 15020 and istiod's 15014, which are outside mTLS, and Ray's own metrics inside
it, with the certificate of its sidecar: no workload has to take plaintext for it.

Source: Istio's guide to Prometheus (merged metrics, TLS settings).
"""

import json
from typing import Annotated, Final

from pydantic import AfterValidator

from rayfort import labels, pod_security, versions
from rayfort.chart import Chart
from rayfort.mesh import membership
from rayfort.mesh.observability.surroundings import Days, Surroundings, Volume, fingerprint, refuse
from rayfort.model import ImageRepository, ImageTag, JsonObject, Model, Seconds, SemVer, merge

CHART: Final = "prometheus"
NAME: Final = "prometheus"  # of its release, Service and service account
PORT: Final = 9090
POD: Final = {labels.NAME: "prometheus", "app.kubernetes.io/instance": NAME}
ROLE: Final = "rayfort-prometheus"
CERTIFICATES: Final = "/etc/istio-output-certs"
_USER: Final = 65534  # what the image calls nobody
_VOLUME: Final = "istio-certs"
# Of the chart, with Pods of its own or rights in the whole cluster.
_PARTS: Final = ("alertmanager", "kube-state-metrics", "prometheus-node-exporter", "prometheus-pushgateway")
_JOBS: Final = (
    "kubernetes-api-servers",
    "kubernetes-nodes",
    "kubernetes-nodes-cadvisor",
    "kubernetes-pods-slow",
    "kubernetes-service-endpoints",
    "kubernetes-service-endpoints-slow",
    "kubernetes-services",
    "prometheus-pushgateway",
)
_EXPOSING: Final = ("server.ingress", "server.route", "server.service.type", "server.hostNetwork")


def _closed(values: JsonObject) -> JsonObject:
    return refuse(values, _EXPOSING, "Prometheus asks nobody for a login; reach it by port-forward")


class PrometheusArgs(Model):
    """Settings of Prometheus.

    Args:
        version: the chart's version.
        chart: where the chart comes from; by default the official repository at ``version``.
        image_repository, image_tag: its image, where a mirror has it.
        retention_days: how long metrics are kept.
        volume: where they are kept.
        scrape_seconds: how often every Pod is asked, in seconds.
        values: further chart values, laid over what Rayfort computes; none may publish it.
    """

    version: SemVer = versions.PROMETHEUS_CHART
    chart: Chart | None = None
    image_repository: ImageRepository | None = None
    image_tag: ImageTag | None = None
    retention_days: Days = 15
    volume: Volume = Volume()
    scrape_seconds: Seconds = 30
    values: Annotated[JsonObject, AfterValidator(_closed)] = {}

    @property
    def chart_source(self) -> Chart:
        """The chart in force."""
        return self.chart or Chart(
            chart=CHART, repository=versions.PROMETHEUS_CHART_REPOSITORY, version=self.version
        )


def role_rules() -> list[JsonObject]:
    """What it may do in each namespace that it watches: find Pods."""
    return [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}]


def scrape_configs(watched: tuple[str, ...]) -> JsonObject:
    """The chart's scrape jobs: what is annotated (sidecars, istiod), and Ray."""
    pods = [{"role": "pod", "namespaces": {"names": list(watched)}}]
    return {
        **{job: {"enabled": False} for job in _JOBS},
        # Else the chart's own job: by the annotations prometheus.io, which injection sets to the sidecar's
        # merged metrics.
        "kubernetes-pods": {"kubernetes_sd_configs": pods},
        "ray": {
            "kubernetes_sd_configs": pods,
            "scheme": "https",
            # A sidecar offers HTTP/2 also for an opaque TCP port, where Ray then speaks HTTP/1.1.
            "enable_http2": False,
            "tls_config": {
                "ca_file": f"{CERTIFICATES}/root-cert.pem",
                "cert_file": f"{CERTIFICATES}/cert-chain.pem",
                "key_file": f"{CERTIFICATES}/key.pem",
                # The mesh's certificates name a SPIFFE identity and no host; the sidecar checks who asks.
                "insecure_skip_verify": True,
            },
            "relabel_configs": [
                _keep("pod_label_ray_io_cluster", ".+"),
                _keep("pod_container_port_name", "metrics"),
                _keep("pod_phase", "Running"),
                _label("namespace", "namespace"),
                _label("pod_name", "pod"),
                _label("pod_label_ray_io_cluster", "ray_io_cluster"),
                _label("pod_label_ray_io_node_type", "ray_io_node_type"),
            ],
        },
    }


def values(args: PrometheusArgs, around: Surroundings) -> JsonObject:
    """The values of its chart."""
    jobs = scrape_configs(around.watched)
    image = {"repository": args.image_repository, "tag": args.image_tag}
    volume = {"size": args.volume.size, "storageClass": args.volume.storage_class}
    server: JsonObject = {
        "fullnameOverride": NAME,
        # A RoleBinding in each namespace, instead of rights in the whole cluster.
        "useExistingClusterRoleName": ROLE,
        "namespaces": list(around.watched),
        "extraFlags": [],  # without the chart's web.enable-lifecycle: nobody stops it by HTTP
        "global": {"scrape_interval": f"{args.scrape_seconds}s"},
        "retention": f"{args.retention_days}d",
        "service": {"servicePort": PORT},
        "persistentVolume": {key: value for key, value in volume.items() if value},
        "enableServiceLinks": False,
        "podLabels": membership.pod_labels(around.revision),
        "podAnnotations": {
            # It asks every Pod by address, and inside the mesh with the certificate by itself.
            "traffic.sidecar.istio.io/includeOutboundIPRanges": "",
            "proxy.istio.io/config": json.dumps({"proxyMetadata": {"OUTPUT_CERTS": CERTIFICATES}}),
            "sidecar.istio.io/userVolumeMount": json.dumps([{"name": _VOLUME, "mountPath": CERTIFICATES}]),
            "rayfort.dev/config": fingerprint({"jobs": jobs, "values": args.values}),
        },
        "extraVolumes": [{"name": _VOLUME, "emptyDir": {"medium": "Memory"}}],
        "extraVolumeMounts": [{"name": _VOLUME, "mountPath": CERTIFICATES, "readOnly": True}],
        "securityContext": pod_security.pod_security_context(_USER, _USER),
        "containerSecurityContext": {
            **pod_security.container_security_context(),
            "readOnlyRootFilesystem": True,
        },
    }
    if any(image.values()):
        server["image"] = {key: value for key, value in image.items() if value}
    computed: JsonObject = {
        **{part: {"enabled": False} for part in _PARTS},
        # A changed configuration restarts the Pod, by the annotation.
        "configmapReload": {"prometheus": {"enabled": False}},
        "server": server,
        "scrapeConfigs": jobs,
    }
    return merge(computed, args.values)


def _keep(source: str, regex: str) -> JsonObject:
    return {"source_labels": [f"__meta_kubernetes_{source}"], "action": "keep", "regex": regex}


def _label(source: str, target: str) -> JsonObject:
    return {"source_labels": [f"__meta_kubernetes_{source}"], "target_label": target}
