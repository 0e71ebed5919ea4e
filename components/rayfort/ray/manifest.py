"""What a RayCluster object says: pure functions from a `RayClusterSpec` to Kubernetes JSON.

Sources: seed 000 (netrc), seed 001 (token), seed 002 (ports, node address).
"""

from dataclasses import dataclass
from typing import Final

import pulumi

from rayfort import labels, pod_security, versions
from rayfort.mesh import membership
from rayfort.model import JsonObject, merge
from rayfort.ray import auth, netrc, runtime_env_token
from rayfort.ray.headless_service import service_host
from rayfort.ray.image import version_check
from rayfort.ray.ports import (
    NodeRole,
    RayPorts,
    Traffic,
    head_container_ports,
    ray_start_params,
    worker_container_ports,
)
from rayfort.ray.spec import RayClusterSpec, RayNode, WorkerGroup, stated

API_VERSION: Final = "ray.io/v1"
KIND: Final = "RayCluster"
# The official image's user "ray" and its group "users".
RAY_UID: Final = 1000
RAY_GID: Final = 100
HEAD_SERVICE_SUFFIX: Final = "-head-svc"


@dataclass(frozen=True)
class Surroundings:
    """What a RayCluster is put into.

    Attributes:
        namespace: its namespace.
        operator_version: the KubeRay operator's version.
        image_repository: where Ray's image comes from.
        cluster_domain: the DNS zone of Services.
        token_source: how it gets its token.
        token_secret: the name of the Secret with the token; None where the operator makes it.
        netrc_secret: the name of the netrc Secret; None for none.
        head_service_account, worker_service_account: the identities of its Pods.
        mesh_revision: the istiod that injects its Pods; None for the one without a revision.
    """

    namespace: str
    operator_version: str
    image_repository: str
    cluster_domain: str
    token_source: auth.TokenSource
    token_secret: pulumi.Input[str] | None
    netrc_secret: pulumi.Input[str] | None
    head_service_account: pulumi.Input[str] | None
    worker_service_account: pulumi.Input[str] | None
    mesh_revision: str | None = None


def head_service(cluster: str) -> str:
    """The name of the Service that KubeRay makes for the head."""
    return f"{cluster}{HEAD_SERVICE_SUFFIX}"


def ray_cluster_spec(spec: RayClusterSpec, around: Surroundings) -> JsonObject:
    """``spec`` of the RayCluster."""
    body: JsonObject = {
        "rayVersion": spec.ray_version,
        "headGroupSpec": {
            "rayStartParams": start_params(spec, spec.head, NodeRole.HEAD, around),
            "template": pod_template(spec, spec.head, NodeRole.HEAD, around),
        },
        "workerGroupSpecs": [_worker_group(spec, group, around) for group in spec.worker_groups],
    }
    options = auth.auth_options(around.token_source, around.token_secret)
    if options:
        body["authOptions"] = options
    if spec.gcs_fault_tolerance:
        body["gcsFaultToleranceOptions"] = spec.gcs_fault_tolerance.options
    if spec.autoscaling:
        body["enableInTreeAutoscaling"] = True
        # KubeRay hardens Ray's containers as the templates say, and the autoscaler's not at all.
        body["autoscalerOptions"] = {"securityContext": pod_security.container_security_context()}
    if versions.at_least(around.operator_version, versions.KUBERAY_UPGRADE_STRATEGY):
        # Without it a changed spec, a rotated token for one, does not reach running Pods.
        body["upgradeStrategy"] = {"type": "Recreate"}
    return body


def _worker_group(spec: RayClusterSpec, group: WorkerGroup, around: Surroundings) -> JsonObject:
    low, high = group.bounds
    return {
        "groupName": group.name,
        "replicas": group.replicas,
        "minReplicas": low,
        "maxReplicas": high,
        "rayStartParams": start_params(spec, group, NodeRole.WORKER, around),
        "template": pod_template(spec, group, NodeRole.WORKER, around),
    }


def start_params(spec: RayClusterSpec, node: RayNode, role: NodeRole, around: Surroundings) -> dict[str, str]:
    """``rayStartParams`` of a node: ports, address and CPUs, then what the user added."""
    params = ray_start_params(spec.effective_ports, role)
    if node.num_cpus is not None:
        params["num-cpus"] = str(node.num_cpus)
    if role is NodeRole.HEAD:
        params["dashboard-host"] = "0.0.0.0"  # noqa: S104 - the Service and the policies say who gets there
    if spec.traffic is Traffic.L7:
        host = service_host(spec.name, around.namespace, around.cluster_domain)
        # Pasted into bash by KubeRay. The seed's `hostname -I` gives two addresses on dual-stack Pods and
        # leaves the colons of IPv6; the downward API gives the one address.
        params["node-ip-address"] = f"${{POD_IP//[.:]/-}}.{host}"
    return params | node.ray_start_params


def pod_template(spec: RayClusterSpec, node: RayNode, role: NodeRole, around: Surroundings) -> JsonObject:
    """The Pod template of a node; its first container is Ray's, which KubeRay relies on."""
    # Without a canonical name of its own every cluster would be "kuberay" in Kiali.
    own = {labels.CANONICAL_NAME: spec.name, **membership.revision_label(around.mesh_revision)}
    pod_labels = labels.common(**own) | node.labels
    pod_spec: JsonObject = stated(
        {
            "serviceAccountName": _service_account(node, role, around),
            # Only the autoscaler, which runs beside the head, talks to the API server.
            "automountServiceAccountToken": role is NodeRole.HEAD and spec.autoscaling,
            "securityContext": pod_security.pod_security_context(RAY_UID, RAY_GID),
            "nodeSelector": node.node_selector,
            "tolerations": [each.written for each in node.tolerations],
            "affinity": node.affinity,
            "volumes": [netrc.volume(around.netrc_secret)] if around.netrc_secret is not None else [],
            "initContainers": _version_check(spec, around),
            "containers": [ray_container(spec, node, role, around)],
        }
    )
    return {
        "metadata": {"labels": pod_labels, "annotations": _scraped(spec.effective_ports) | node.annotations},
        "spec": _with_additions(pod_spec, node.pod_spec),
    }


def _scraped(ports: RayPorts) -> dict[str, str]:
    """Where Prometheus finds Ray's metrics. The sidecar's agent merges them into its own, on a port outside
    of mTLS, so that a scraper needs neither a sidecar nor a hole in STRICT."""
    return {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(ports.metrics_export),
        "prometheus.io/path": "/metrics",
    }


def _version_check(spec: RayClusterSpec, around: Surroundings) -> list[JsonObject]:
    check = version_check(spec.image_reference(around.image_repository), spec.ray_version)
    return [check] if check else []


def _with_additions(pod_spec: JsonObject, extra: JsonObject) -> JsonObject:
    merged = merge(pod_spec, extra)
    if "volumes" in extra and "volumes" in pod_spec:
        merged["volumes"] = [*pod_spec["volumes"], *extra["volumes"]]
    if "initContainers" in extra:
        # As hardened as Ray's own, or the namespace would refuse the Pod; what they say themselves holds.
        hardened = {"securityContext": pod_security.container_security_context()}
        added = [{**hardened, **container} for container in extra["initContainers"]]
        merged["initContainers"] = [*pod_spec.get("initContainers", ()), *added]
    return merged


def _service_account(node: RayNode, role: NodeRole, around: Surroundings) -> pulumi.Input[str] | None:
    own = around.head_service_account if role is NodeRole.HEAD else around.worker_service_account
    return node.service_account or own


def ray_container(spec: RayClusterSpec, node: RayNode, role: NodeRole, around: Surroundings) -> JsonObject:
    """The container that runs Ray."""
    head = role is NodeRole.HEAD
    ports = spec.effective_ports
    return stated(
        {
            "name": f"ray-{role.value}",
            "image": spec.image_reference(around.image_repository),
            "resources": {"requests": node.resources.quantities, "limits": node.resources.quantities},
            "ports": head_container_ports(ports) if head else worker_container_ports(ports),
            "env": _environment(spec, node, around),
            "volumeMounts": [netrc.volume_mount()] if around.netrc_secret is not None else [],
            "securityContext": pod_security.container_security_context(),
        }
    )


def _environment(spec: RayClusterSpec, node: RayNode, around: Surroundings) -> list[JsonObject]:
    address = [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]
    return [
        *(address if spec.traffic is Traffic.L7 else []),
        *([netrc.environment()] if around.netrc_secret is not None else []),
        *runtime_env_token.environment(spec.runtime_env_token),
        *auth.environment(around.token_source, around.token_secret),
        *({"name": name, "value": value} for name, value in node.env.items()),
    ]
