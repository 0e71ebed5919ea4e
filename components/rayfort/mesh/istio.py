"""Istio with TLS 1.3 and STRICT mTLS.

Source: seed 002. Where it differs: Helm releases instead of ``istioctl``; STRICT for the whole mesh; no
``sanitize_te`` (Envoy removed it); tracing through a provider and a Telemetry.
"""

from enum import StrEnum
from typing import Final, cast

import pulumi
import pulumi_kubernetes as k8s
from pydantic import model_validator

from rayfort import network, versions
from rayfort.chart import Chart
from rayfort.component import Component, meta
from rayfort.facts import CLUSTER_DOMAIN, NATIVE_SIDECARS_CHOSEN, ClusterFacts
from rayfort.mesh import cni, membership
from rayfort.mesh.cni import CniPlugin
from rayfort.mesh.mtls import (
    DEFAULT_NAME,
    SECURITY_API,
    EcdhCurve,
    MtlsMode,
    TlsVersion,
    istiod_arguments,
    peer_authentication_spec,
    tls_defaults,
)
from rayfort.mesh.revisions import DEFAULT_TAG, Canary, Istiod, can_meet
from rayfort.mesh.sidecars import Sidecars
from rayfort.mesh.telemetry import (
    ROOT_NAMESPACE,
    TELEMETRY_API,
    TELEMETRY_NAME,
    Tracing,
    extension_provider,
    telemetry_spec,
)
from rayfort.model import (
    DnsLabel,
    ImageRepository,
    ImageTag,
    JsonObject,
    Model,
    Revision,
    Seconds,
    SemVer,
    merge,
)
from rayfort.release import release

NAMESPACE: Final = ROOT_NAMESPACE


class Discovery(StrEnum):
    """Of which namespaces istiod keeps the Services and Pods."""

    ALL = "all"
    LABELLED = "labelled"


class IstioMeshArgs(Model):
    """Arguments of `IstioMesh`.

    Args:
        version: Istio's version.
        base_chart, istiod_chart: where the charts come from; by default the official repository.
        namespace: the root namespace of the mesh.
        create_namespace: whether Rayfort makes it.
        mtls: ``STRICT`` or ``PERMISSIVE``, for the whole mesh.
        min_tls: the oldest TLS version that sidecars, gateways and istiod take.
        ecdh_curves: the key exchanges of gateways and of egress TLS, in order of preference; Envoy's own by
            default.
        post_quantum: whether every TLS connection of the mesh exchanges keys with X25519MLKEM768 alone.
            Clients of gateways must then speak it too.
        native_sidecars: None lets Istio choose by the nodes; True or False forces it.
        tracing: where traces go; None for no tracing.
        hub, tag: registry and tag of Istio's images, where a mirror has them.
        revision: the istiod's name, for a mesh that is upgraded by canary; none by default.
        canary: a second istiod of another revision, while the mesh is upgraded.
        discovery: ``all`` namespaces, or those alone that are ``labelled`` with ``istio-discovery: enabled``,
            which every namespace that Rayfort makes for the mesh is: istiod then keeps nothing of the others.
        metrics_namespaces: namespaces whose Pods may scrape istiod's metrics.
        cni: how Istio's CNI plugin gets onto the nodes, on a cluster whose fact ``istioCni`` says that they
            take it.
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
    ecdh_curves: tuple[EcdhCurve, ...] = ()
    post_quantum: bool = False
    native_sidecars: bool | None = None
    tracing: Tracing | None = None
    hub: ImageRepository | None = None
    tag: ImageTag | None = None
    revision: Revision | None = None
    canary: Canary | None = None
    discovery: Discovery = Discovery.ALL
    metrics_namespaces: tuple[DnsLabel, ...] = ()
    cni: CniPlugin = CniPlugin()
    mesh_config: JsonObject = {}
    base_values: JsonObject = {}
    istiod_values: JsonObject = {}
    timeout_seconds: Seconds = 300

    @model_validator(mode="after")
    def _canary_is_another(self) -> "IstioMeshArgs":
        if self.canary is None:
            return self
        if self.canary.revision in {self.revision, DEFAULT_TAG}:
            raise ValueError(
                f"canary.revision {self.canary.revision} is that of the mesh's own istiod; give the canary "
                "another, such as its version with dashes"
            )
        if not can_meet(self.version, self.canary.version):
            raise ValueError(
                f"canary.version {self.canary.version} is more than one minor version from {self.version}, "
                "which Istio does not support; go one minor version at a time"
            )
        return self

    @model_validator(mode="after")
    def _post_quantum_needs(self) -> "IstioMeshArgs":
        if self.post_quantum and self.min_tls is not TlsVersion.TLSV1_3:
            raise ValueError("postQuantum is TLS 1.3 alone; leave `minTls` out")
        if self.post_quantum and self.ecdh_curves:
            raise ValueError("postQuantum takes X25519MLKEM768 alone; leave `ecdhCurves` out")
        return self

    @property
    def base_chart_source(self) -> Chart:
        """The chart of the definitions: those of the newest istiod, which older ones understand."""
        version = versions.newest(self.version, *([self.canary.version] if self.canary else []))
        return self.base_chart or _official("base", version)

    @property
    def istiods(self) -> tuple[Istiod, ...]:
        """Every istiod, the mesh's own first."""
        chart = self.istiod_chart or _official("istiod", self.version)
        own = Istiod(self.version, self.revision, chart, self.hub, self.tag, default=True)
        canary = self.canary
        if canary is None:
            return (own,)
        chart = canary.istiod_chart or _official("istiod", canary.version)
        hub = canary.hub or self.hub
        return own, Istiod(canary.version, canary.revision, chart, hub, canary.tag, default=False)

    @property
    def revisions(self) -> frozenset[str]:
        """The revisions that a workspace can name."""
        return frozenset(istiod.revision for istiod in self.istiods if istiod.revision)


def _official(chart: str, version: str) -> Chart:
    return Chart(chart=chart, repository=versions.ISTIO_CHART_REPOSITORY, version=version)


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
        "tlsDefaults": tls_defaults(args.min_tls, args.ecdh_curves),
    }
    if args.discovery is Discovery.LABELLED:
        config["discoverySelectors"] = [{"matchLabels": membership.DISCOVERED}]
    if args.tracing:
        config["enableTracing"] = True
        # By the canonical name, which tells Ray clusters apart: by labels they are all called "kuberay".
        config["defaultConfig"] = {"tracingServiceName": "CANONICAL_NAME_AND_NAMESPACE"}
        config["extensionProviders"] = [extension_provider(args.tracing)]
    return merge(config, args.mesh_config)


def base_values(args: IstioMeshArgs) -> JsonObject:
    """The values of the ``base`` chart."""
    default = {"defaultRevision": args.revision} if args.revision else {}
    return merge(default, args.base_values)


def istiod_values(
    args: IstioMeshArgs,
    cluster_domain: str = CLUSTER_DOMAIN,
    istiod: Istiod | None = None,
    *,
    istio_cni: bool = False,
) -> JsonObject:
    """The values of the ``istiod`` chart.

    Args:
        args: the mesh.
        cluster_domain: the DNS zone of Services.
        istiod: which of the mesh's istiods; its own by default.
        istio_cni: whether nodes take Istio's CNI plugin.
    """
    istiod = istiod or args.istiods[0]
    values: JsonObject = {"meshConfig": mesh_config(args), **istiod.values}
    arguments = istiod_arguments(istiod.version, args.min_tls)
    if arguments:
        values["extraContainerArgs"] = arguments
    variables: dict[str, str] = {}
    if args.native_sidecars is not None:
        variables["ENABLE_NATIVE_SIDECARS"] = str(args.native_sidecars).lower()
    if args.post_quantum:
        variables["COMPLIANCE_POLICY"] = "pqc"  # the injector hands it to sidecars and gateways
    if variables:
        values["env"] = variables
    settings: JsonObject = {key: value for key, value in (("hub", istiod.hub), ("tag", istiod.tag)) if value}
    if cluster_domain != CLUSTER_DOMAIN:
        settings["proxy"] = {"clusterDomain": cluster_domain}
    if settings:
        values["global"] = settings
    return merge(merge(values, cni.istiod_values() if istio_cni else {}), args.istiod_values)


class IstioMesh(Component):
    """Istio's releases and the policies that hold for the whole mesh.

    Beside its arguments it takes two facts of the cluster: ``cluster_domain``, the DNS zone of Services, and
    ``istio_cni``, whether nodes take Istio's CNI plugin.

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
        istio_cni: bool = False,
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
            metadata = meta(args.namespace, extra_labels=membership.DISCOVERED)
            before.append(k8s.core.v1.Namespace(name, metadata=metadata, opts=self.child()))
        base = release(
            self,
            f"{name}-base",
            args.base_chart_source,
            release_name="istio-base",
            namespace=args.namespace,
            values=base_values(args),
            timeout_seconds=args.timeout_seconds,
            depends_on=before,
        )
        # Before istiod: no Pod gets a sidecar then that looks for redirection before a node can do it.
        plugin = [self._plugin(name, args, base)] if istio_cni and args.cni.install else []
        # Named by their revision, so that the canary stays what it is when it becomes the mesh's own.
        istiods = [
            release(
                self,
                f"{name}-{istiod.release_name}",
                istiod.chart,
                release_name=istiod.release_name,
                namespace=args.namespace,
                values=istiod_values(args, cluster_domain, istiod, istio_cni=istio_cni),
                timeout_seconds=args.timeout_seconds,
                depends_on=[base, *plugin],
            )
            for istiod in args.istiods
        ]
        policies: list[pulumi.Resource] = [
            k8s.networking.v1.NetworkPolicy(
                f"{name}-istiod",
                metadata=meta("istiod", args.namespace),
                spec=cast(
                    "k8s.networking.v1.NetworkPolicySpecArgsDict",
                    network.istiod_spec(args.metrics_namespaces),
                ),
                opts=self.child(depends_on=before),
            ),
            k8s.apiextensions.CustomResource(
                f"{name}-mtls",
                api_version=SECURITY_API,
                kind="PeerAuthentication",
                metadata=meta(DEFAULT_NAME, args.namespace),
                spec=peer_authentication_spec(args.mtls),
                opts=self.child(depends_on=istiods),
            ),
        ]
        if args.tracing:
            policies.append(
                k8s.apiextensions.CustomResource(
                    f"{name}-telemetry",
                    api_version=TELEMETRY_API,
                    kind="Telemetry",
                    metadata=meta(TELEMETRY_NAME, args.namespace),
                    spec=telemetry_spec(args.tracing),
                    opts=self.child(depends_on=istiods),
                )
            )
        self.ready = pulumi.Output.all(*[policy.urn for policy in policies]).apply(lambda _: True)
        self.register_outputs({"namespace": args.namespace, "ready": self.ready})

    def _plugin(self, name: str, args: IstioMeshArgs, base: pulumi.Resource) -> pulumi.Resource:
        """The release of the CNI plugin, one for all revisions."""
        return release(
            self,
            f"{name}-cni",
            args.cni.chart_source(args.version),
            release_name=cni.RELEASE,
            namespace=args.cni.namespace,
            values=cni.chart_values(args.cni, args.hub, args.tag),
            timeout_seconds=args.timeout_seconds,
            depends_on=[base],
        )
