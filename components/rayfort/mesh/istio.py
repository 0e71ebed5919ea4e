"""Istio with TLS 1.3 and STRICT mTLS.

Source: seed 002. Where it differs: Helm releases instead of ``istioctl``; STRICT for the whole mesh; no
``sanitize_te`` (Envoy removed it); tracing through a provider and a Telemetry.
"""

from typing import Final

import pulumi
import pulumi_kubernetes as k8s

from rayfort import versions
from rayfort.chart import Chart
from rayfort.component import Component, meta
from rayfort.facts import CLUSTER_DOMAIN, NATIVE_SIDECARS_CHOSEN, ClusterFacts
from rayfort.mesh.mtls import (
    DEFAULT_NAME,
    SECURITY_API,
    MtlsMode,
    TlsVersion,
    istiod_arguments,
    peer_authentication_spec,
)
from rayfort.mesh.sidecars import Sidecars
from rayfort.mesh.telemetry import (
    TELEMETRY_API,
    TELEMETRY_NAME,
    Tracing,
    extension_provider,
    telemetry_spec,
)
from rayfort.model import DnsLabel, ImageRepository, ImageTag, JsonObject, Model, Seconds, SemVer, merge
from rayfort.release import release

NAMESPACE: Final = "istio-system"


class IstioMeshArgs(Model):
    """Arguments of `IstioMesh`.

    Args:
        version: Istio's version.
        base_chart, istiod_chart: where the charts come from; by default the official repository.
        namespace: the root namespace of the mesh.
        create_namespace: whether Rayfort makes it.
        mtls: ``STRICT`` or ``PERMISSIVE``, for the whole mesh.
        min_tls: the oldest TLS version that sidecars and istiod take.
        native_sidecars: None lets Istio choose by the nodes; True or False forces it.
        tracing: where traces go; None for no tracing.
        hub, tag: registry and tag of Istio's images, where a mirror has them.
        mesh_config: further mesh configuration (``meshConfig`` of the chart), laid over what Rayfort
            computes.
        base_values, istiod_values: further chart values, laid over what Rayfort computes.
        timeout_seconds: how long to wait for each release, in seconds.
    """

    version: SemVer = versions.ISTIO
    base_chart: Chart | None = None
    istiod_chart: Chart | None = None
    namespace: DnsLabel = NAMESPACE
    create_namespace: bool = True
    mtls: MtlsMode = MtlsMode.STRICT
    min_tls: TlsVersion = TlsVersion.TLSV1_3
    native_sidecars: bool | None = None
    tracing: Tracing | None = None
    hub: ImageRepository | None = None
    tag: ImageTag | None = None
    mesh_config: JsonObject = {}
    base_values: JsonObject = {}
    istiod_values: JsonObject = {}
    timeout_seconds: Seconds = 300

    def chart_source(self, name: str) -> Chart:
        """The chart in force for ``base`` or ``istiod``."""
        own = {"base": self.base_chart, "istiod": self.istiod_chart}[name]
        return own or Chart(chart=name, repository=versions.ISTIO_CHART_REPOSITORY, version=self.version)


def sidecars(args: IstioMeshArgs | None, facts: ClusterFacts) -> Sidecars:
    """Which sidecars Pods get from this mesh on this cluster.

    Args:
        args: the mesh; None for none.
        facts: the cluster's facts.
    """
    if args is None:
        return Sidecars.NONE
    chosen = versions.at_least(args.version, versions.ISTIO_NATIVE_SIDECARS_AUTO) and (
        facts.kubelets_at_least(NATIVE_SIDECARS_CHOSEN)
    )
    native = chosen if args.native_sidecars is None else args.native_sidecars
    return Sidecars.NATIVE if native else Sidecars.CLASSIC


def mesh_config(args: IstioMeshArgs) -> JsonObject:
    """``meshConfig``: what istiod tells every sidecar."""
    config: JsonObject = {
        "meshMTLS": {"minProtocolVersion": args.min_tls.value},
        # Gateways and egress TLS, which meshMTLS does not reach.
        "tlsDefaults": {"minProtocolVersion": args.min_tls.value},
    }
    if args.tracing:
        config["enableTracing"] = True
        config["extensionProviders"] = [extension_provider(args.tracing)]
    return merge(config, args.mesh_config)


def istiod_values(args: IstioMeshArgs, cluster_domain: str = CLUSTER_DOMAIN) -> JsonObject:
    """The values of the ``istiod`` chart."""
    values: JsonObject = {"meshConfig": mesh_config(args)}
    arguments = istiod_arguments(args.version, args.min_tls)
    if arguments:
        values["extraContainerArgs"] = arguments
    if args.native_sidecars is not None:
        values["env"] = {"ENABLE_NATIVE_SIDECARS": str(args.native_sidecars).lower()}
    settings: JsonObject = {key: value for key, value in (("hub", args.hub), ("tag", args.tag)) if value}
    if cluster_domain != CLUSTER_DOMAIN:
        settings["proxy"] = {"clusterDomain": cluster_domain}
    if settings:
        values["global"] = settings
    return merge(values, args.istiod_values)


class IstioMesh(Component):
    """Istio's two releases and the policies that hold for the whole mesh.

    Beside its arguments it takes ``cluster_domain``, the DNS zone of Services, which is the cluster's.

    Attributes:
        namespace: the root namespace.
        ready: resolves when istiod and the mesh-wide policies are there.
    """

    namespace: str
    ready: pulumi.Output[bool]

    def __init__(
        self,
        name: str,
        args: IstioMeshArgs,
        opts: pulumi.ResourceOptions | None = None,
        *,
        cluster_domain: str = CLUSTER_DOMAIN,
    ) -> None:
        super().__init__(
            name,
            {
                "version": args.version,
                "namespace": args.namespace,
                "mtls": args.mtls.value,
                "minTls": args.min_tls.value,
            },
            opts,
        )
        self.namespace = args.namespace
        before: list[pulumi.Resource] = []
        if args.create_namespace:
            before.append(k8s.core.v1.Namespace(name, metadata=meta(args.namespace), opts=self.child()))
        base = release(
            self,
            f"{name}-base",
            args.chart_source("base"),
            release_name="istio-base",
            namespace=args.namespace,
            values=args.base_values,
            timeout_seconds=args.timeout_seconds,
            depends_on=before,
        )
        istiod = release(
            self,
            f"{name}-istiod",
            args.chart_source("istiod"),
            release_name="istiod",
            namespace=args.namespace,
            values=istiod_values(args, cluster_domain),
            timeout_seconds=args.timeout_seconds,
            depends_on=[base],
        )
        policies: list[pulumi.Resource] = [
            k8s.apiextensions.CustomResource(
                f"{name}-mtls",
                api_version=SECURITY_API,
                kind="PeerAuthentication",
                metadata=meta(DEFAULT_NAME, args.namespace),
                spec=peer_authentication_spec(args.mtls),
                opts=self.child(depends_on=[istiod]),
            )
        ]
        if args.tracing:
            policies.append(
                k8s.apiextensions.CustomResource(
                    f"{name}-telemetry",
                    api_version=TELEMETRY_API,
                    kind="Telemetry",
                    metadata=meta(TELEMETRY_NAME, args.namespace),
                    spec=telemetry_spec(args.tracing),
                    opts=self.child(depends_on=[istiod]),
                )
            )
        self.ready = pulumi.Output.all(*[policy.urn for policy in policies]).apply(lambda _: True)
        self.register_outputs({"namespace": args.namespace, "ready": self.ready})
