"""What a stack switched off of what protects it, for the preview and the stack's outputs."""

from collections.abc import Iterator, Mapping

from rayfort import versions
from rayfort.mesh.authorization import Identity
from rayfort.mesh.gateway import GatewaySpec
from rayfort.mesh.istio import IstioMeshArgs, istiod_values
from rayfort.mesh.mtls import MtlsMode, TlsVersion, has_tls_min_version
from rayfort.mesh.observability.spec import ObservabilitySpec
from rayfort.network import reaches_metadata
from rayfort.pod_security import PodSecurity
from rayfort.workspace import WorkspaceSpec, cluster_identities

from infra import jupyterhub, kbatch
from infra.cluster_settings import ClusterSettings, GkeClusterSettings
from infra.pod_settings import LOOSE, past_the_sidecar, pod_settings
from infra.problems import NAMESPACE, Problem
from infra.settings import Settings


def weakened(settings: Settings) -> list[str]:
    """What this stack switched off, each with its key, for the preview and the stack's outputs."""
    return [str(problem) for problem in _weakenings(settings)]


def _weakenings(settings: Settings) -> Iterator[Problem]:
    yield from _weakened_gke(settings.cluster)
    if settings.platform:
        yield from _weakened_platform(settings)


def _weakened_platform(settings: Settings) -> Iterator[Problem]:
    mesh = settings.istio
    if mesh is None:
        yield Problem(f"{NAMESPACE}:mesh.enabled", "no mesh: Ray's traffic is plaintext inside the cluster")
    else:
        if mesh.mtls is not MtlsMode.STRICT:
            yield Problem(f"{NAMESPACE}:mesh.mtls", f"{mesh.mtls.value}: plaintext is taken")
        weak = [f"{place} {tls}" for place, tls in _tls_in_force(mesh) if tls != TlsVersion.TLSV1_3]
        if weak:
            key = "meshConfig" if mesh.min_tls is TlsVersion.TLSV1_3 else "minTls"
            yield Problem(f"{NAMESPACE}:mesh.{key}", f"{', '.join(weak)}: TLS 1.2 is taken")
        for key, version in _istiod_versions(mesh) if mesh.min_tls is TlsVersion.TLSV1_3 else ():
            if not has_tls_min_version(version):
                yield Problem(
                    f"{NAMESPACE}:mesh.{key}",
                    f"{version}: istiod's own ports take TLS 1.2; with Istio "
                    f"{versions.ISTIO_TLS_MIN_VERSION_FLAG} or newer they do not",
                )
        if not settings.operator.in_mesh:
            yield Problem(
                f"{NAMESPACE}:operator.inMesh", "the operator cannot follow RayJobs in a STRICT mesh"
            )
    if not settings.cluster.facts.network_policy:
        yield Problem(f"{NAMESPACE}:cluster.facts.networkPolicy", "NetworkPolicies are not enforced")
    for index, workspace in enumerate(settings.workspaces):
        yield from _weakened_workspace(f"{NAMESPACE}:workspaces[{index}]", workspace)
    yield from _weakened_gateway(settings.gateway)
    yield from _weakened_observability(settings.observability)
    yield from jupyterhub.weakened(settings)
    yield from kbatch.weakened(settings)


def _weakened_gke(cluster: ClusterSettings) -> Iterator[Problem]:
    if not isinstance(cluster, GkeClusterSettings):
        return
    key = f"{NAMESPACE}:cluster"
    if cluster.access.public_ip:
        yield Problem(f"{key}.access.publicIp", "the control plane has a public address")
    if not cluster.network.flow_logs:
        yield Problem(f"{key}.network.flowLogs", "nobody can tell later who spoke with whom")
    if not cluster.deletion_protection:
        yield Problem(f"{key}.deletionProtection", "a destroy deletes the cluster and the key of its Secrets")
    if cluster.istio_cni:
        yield Problem(
            f"{key}.istioCni", "nobody has shown that Istio's CNI plugin works with GKE's Dataplane V2"
        )


def _weakened_gateway(gateway: GatewaySpec | None) -> Iterator[Problem]:
    if gateway and gateway.jwt and gateway.jwt.cookie:
        yield Problem(
            f"{NAMESPACE}:gateway.jwt.cookie",
            "the JWT reaches the Ray cluster, whose code can use it elsewhere",
        )


def _weakened_observability(spec: ObservabilitySpec | None) -> Iterator[Problem]:
    if spec and not spec.kiali.view_only:
        yield Problem(
            f"{NAMESPACE}:observability.kiali.viewOnly",
            "who logs in to Kiali changes Istio's objects there, with his own rights",
        )


def _istiod_versions(mesh: IstioMeshArgs) -> Iterator[tuple[str, str]]:
    """The version of every istiod, with the key that sets it."""
    yield "version", mesh.version
    if mesh.canary:
        yield "canary.version", mesh.canary.version


def _tls_in_force(mesh: IstioMeshArgs) -> Iterator[tuple[str, object]]:
    """The oldest TLS versions in the chart's values, where a user's may be laid over the setting."""
    for place in ("meshMTLS", "tlsDefaults"):
        value: object = istiod_values(mesh)
        for key in ("meshConfig", place, "minProtocolVersion"):
            value = value.get(key) if isinstance(value, Mapping) else None
        yield place, value


def _weakened_workspace(where: str, workspace: WorkspaceSpec) -> Iterator[Problem]:
    name = workspace.name
    if workspace.mtls is not MtlsMode.STRICT:
        yield Problem(f"{where}.mtls", f"{workspace.mtls.value}: workspace {name} takes plaintext")
    if workspace.pod_security is PodSecurity.PRIVILEGED:
        yield Problem(f"{where}.podSecurity", f"workspace {name} takes privileged Pods")
    for cidr in workspace.egress.cidrs if workspace.egress else ():
        if reaches_metadata(cidr):
            yield Problem(f"{where}.egress.cidrs", f"{cidr}: Pods reach the cloud's metadata server")
    for number, cluster in enumerate(workspace.clusters):
        if cluster.runtime_env_token:
            yield Problem(
                f"{where}.clusters[{number}].runtimeEnvToken",
                "Ray sends the token to every host that a runtime_env names",
            )
        redis = cluster.gcs_fault_tolerance
        if redis and redis.redis_cidrs and not redis.redis_address.startswith("rediss://"):
            yield Problem(
                f"{where}.clusters[{number}].gcsFaultTolerance.redisAddress",
                "no rediss://: Ray's state and Redis' password leave the cluster in plaintext",
            )
    owners: dict[Identity, str] = {}
    for number, cluster in enumerate(workspace.clusters):
        for identity in cluster_identities(workspace.namespace_name, cluster):
            first = owners.setdefault(identity, cluster.name)
            if first != cluster.name:
                yield Problem(
                    f"{where}.clusters[{number}]",
                    f"shares service account {identity.service_account} with cluster {first}: to the mesh "
                    "their Pods are one cluster, and reach each other on every port",
                )
    for key in pod_settings(workspace, LOOSE):
        yield Problem(f"{where}.{key}", "laid over the Pod's hardening")
    for key in past_the_sidecar(workspace):
        yield Problem(f"{where}.{key}", "traffic goes past the sidecar, without mTLS and policies")
