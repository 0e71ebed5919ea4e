"""One team's fenced namespace with its Ray clusters."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Final

import pulumi
import pulumi_kubernetes as k8s
from pydantic import Field, field_validator, model_validator

from rayfort import fence, labels, network, placement, pod_security, versions
from rayfort.component import Component, meta
from rayfort.facts import ClusterFacts
from rayfort.mesh import authorization, istio, membership, mtls, scope
from rayfort.mesh.authorization import Identity
from rayfort.mesh.mtls import MtlsMode
from rayfort.mesh.telemetry import Tracing
from rayfort.model import (
    Cidr,
    DnsLabel,
    DnsName,
    ImageRepository,
    JsonObject,
    Model,
    Port,
    Revision,
    SemVer,
    repeated,
)
from rayfort.pod_security import PodSecurity
from rayfort.quota import Quota
from rayfort.ray import operator
from rayfort.ray.cluster import RayCluster, RayClusterArgs
from rayfort.ray.netrc import NetrcEntry, NetrcSecret, NetrcSecretArgs, check_unique_machines
from rayfort.ray.ports import NodeRole, Peer, Traffic
from rayfort.ray.spec import RayClusterSpec

WORKSPACE_POLICY: Final = "default"


class Client(Model):
    """A workload outside the workspace that may use its Ray clusters.

    Args:
        namespace: where it runs.
        service_account: its identity in the mesh.
    """

    namespace: DnsLabel
    service_account: DnsLabel


class Egress(Model):
    """Where Pods of the workspace may connect, beyond their own cluster, DNS and the mesh.

    Args:
        cidrs: address blocks, at least one. The clouds' metadata servers are cut out of every block; where
            Pods need them, for cloud identities, list ``169.254.169.254/32`` itself.
        ports: TCP ports, at least one.
    """

    # Never empty: to a NetworkPolicy an empty list is every address, or every port.
    cidrs: Annotated[tuple[Cidr, ...], Field(min_length=1)] = (network.ANYWHERE,)
    ports: Annotated[tuple[Port, ...], Field(min_length=1)] = (443,)


class WorkspaceSpec(Model):
    """A team's workspace, as a stack lists it.

    Args:
        name: the workspace's name.
        namespace: its namespace; by default its name.
        clusters: its Ray clusters, each name once.
        netrc: logins for private remote URIs; one Secret for the workspace.
        quota: hard limits of the namespace's ResourceQuota, such as ``requests.cpu``.
        clients: workloads of other namespaces that may reach the dashboards and Ray Client.
        metrics_namespaces: namespaces whose Pods may scrape metrics: Ray's from inside the mesh, and those
            of sidecars.
        egress: where Pods may connect outside; None for nowhere.
        mtls: ``PERMISSIVE`` takes plaintext, for a migration only.
        revision: the istiod that injects its Pods, while the mesh is upgraded by canary; by default the
            mesh's own.
        pod_security: the enforced level. By default the strictest at which its Pods start: ``restricted``
            where nodes take Istio's CNI plugin or there is no mesh, and ``privileged`` otherwise, since every
            sidecar's init container needs NET_ADMIN then, which ``baseline`` forbids too.
    """

    name: DnsLabel
    namespace: DnsLabel | None = None
    clusters: tuple[RayClusterSpec, ...] = ()
    netrc: tuple[NetrcEntry, ...] = ()
    quota: Quota = {}
    clients: tuple[Client, ...] = ()
    metrics_namespaces: tuple[DnsLabel, ...] = ()
    egress: Egress | None = Egress()
    mtls: MtlsMode = MtlsMode.STRICT
    revision: Revision | None = None
    pod_security: PodSecurity | None = None

    @field_validator("clusters")
    @classmethod
    def _unique_clusters(cls, value: tuple[RayClusterSpec, ...]) -> tuple[RayClusterSpec, ...]:
        if name := repeated(cluster.name for cluster in value):
            raise ValueError(f"cluster {name} stands twice; give each its own name")
        return value

    @field_validator("netrc")
    @classmethod
    def _unique_machines(cls, value: tuple[NetrcEntry, ...]) -> tuple[NetrcEntry, ...]:
        check_unique_machines(value)
        return value

    @model_validator(mode="after")
    def _namespace_of_its_own(self) -> "WorkspaceSpec":
        name = self.namespace_name
        if name == "default" or name.startswith("kube-"):
            raise ValueError(
                f"namespace {name} is Kubernetes' own, and a workspace fences its whole namespace; "
                "set `namespace` to a new one"
            )
        return self

    @property
    def namespace_name(self) -> str:
        """The namespace in force."""
        return self.namespace or self.name


class RayWorkspaceArgs(Model):
    """Arguments of `RayWorkspace`.

    Args:
        spec: the workspace.
        facts: what the cluster is like.
        operator_version: version of the KubeRay operator.
        operator_namespace: where the operator runs.
        mesh: whether there is an Istio mesh.
        mesh_namespace: the mesh's root namespace.
        mesh_revision: the mesh's own revision; None for the istiod without one.
        trust_domain: the mesh's trust domain.
        image_repository: where Ray's image comes from.
        tracing: where the mesh sends traces; None for no tracing.
        gateway: the gateway that exposes dashboards; None for none.
        exposed: the Ray clusters whose dashboards it may reach.
    """

    spec: WorkspaceSpec
    facts: ClusterFacts = ClusterFacts()
    operator_version: SemVer = versions.KUBERAY
    operator_namespace: DnsLabel = operator.NAMESPACE
    mesh: bool = True
    mesh_namespace: DnsLabel = istio.NAMESPACE
    mesh_revision: Revision | None = None
    trust_domain: DnsName = authorization.TRUST_DOMAIN
    image_repository: ImageRepository = versions.RAY_IMAGE
    tracing: Tracing | None = None
    gateway: Client | None = None
    exposed: tuple[DnsLabel, ...] = ()

    @model_validator(mode="after")
    def _fits_the_cluster(self) -> "RayWorkspaceArgs":
        for cluster in self.spec.clusters:
            check_fits(cluster, self.facts, self.operator_version)
        level, plugin = self.spec.pod_security, self.facts.istio_cni
        pod_security.check_level(level, sidecars=self.mesh, istio_cni=plugin)
        return self

    def gateways_of(self, cluster: str) -> list[Client]:
        """The gateway, where it exposes this cluster's dashboard."""
        return [self.gateway] if self.gateway and cluster in self.exposed else []

    @property
    def pod_security(self) -> PodSecurity:
        """The level in force."""
        plugin = self.facts.istio_cni
        return self.spec.pod_security or pod_security.strictest(sidecars=self.mesh, istio_cni=plugin)

    @property
    def revision(self) -> str | None:
        """The istiod that injects the workspace's Pods; None for the one without a revision."""
        return self.spec.revision or self.mesh_revision


def check_fits(cluster: RayClusterSpec, facts: ClusterFacts, operator_version: str) -> None:
    """Refuse a Ray cluster that this Kubernetes cluster or operator cannot run.

    Raises:
        ValueError: naming the cluster, the setting and the remedy.
    """
    if cluster.traffic is Traffic.L7 and not facts.dns.names_pods_by_address:
        raise ValueError(
            f"cluster {cluster.name}: traffic 'l7' names nodes by their address, which "
            f"{facts.dns.value} does not resolve; use 'l4', or run CoreDNS"
        )
    if text := placement.problem(cluster, facts):
        raise ValueError(f"cluster {cluster.name}: {text}")
    try:
        cluster.auth.source_for(operator_version)
    except ValueError as error:
        raise ValueError(f"cluster {cluster.name}: {error}") from error


def head_account(cluster: str) -> str:
    """The service account of a cluster's head."""
    return f"{cluster}-head"


def worker_account(cluster: str) -> str:
    """The service account of a cluster's workers."""
    return f"{cluster}-worker"


def namespace_labels(args: RayWorkspaceArgs) -> dict[str, str]:
    """Labels of the workspace's namespace: sidecar injection and Pod security."""
    spec = args.spec
    return {
        labels.WORKSPACE: spec.name,
        **(membership.namespace_labels(args.revision) if args.mesh else {}),
        **pod_security.namespace_labels(args.pod_security),
    }


def network_policies(args: RayWorkspaceArgs) -> Iterator[tuple[str, JsonObject]]:
    """Names and specs of the workspace's NetworkPolicies."""
    spec, facts = args.spec, args.facts
    yield network.DEFAULT_DENY, network.default_deny_spec()
    yield "allow-dns", network.dns_spec(facts.dns_namespace, facts.dns_addresses)
    if args.mesh:
        yield "allow-mesh", network.mesh_spec(args.mesh_namespace)
        if args.tracing and args.tracing.namespace:
            yield "allow-tracing", network.tracing_spec(args.tracing.namespace, args.tracing.port)
    if spec.egress:
        yield "allow-egress", network.egress_spec(spec.egress.cidrs, spec.egress.ports)
    callers = {
        Peer.OPERATOR: [args.operator_namespace],
        Peer.CLIENT: sorted({client.namespace for client in spec.clients}),
    }
    for cluster in spec.clusters:
        ports = cluster.effective_ports
        yield f"{cluster.name}-nodes", network.intra_cluster_spec(cluster.name)
        gateways = [client.namespace for client in args.gateways_of(cluster.name)]
        yield (
            f"{cluster.name}-head",
            network.head_ingress_spec(cluster.name, ports, {**callers, Peer.GATEWAY: gateways}),
        )
        if redis := cluster.gcs_fault_tolerance:
            yield (
                f"{cluster.name}-redis",
                network.redis_spec(cluster.name, redis.redis_namespace, redis.redis_cidrs, redis.port),
            )
        if cluster.autoscaling:
            yield (
                f"{cluster.name}-api-server",
                network.api_server_spec(cluster.name, facts.api_server_cidrs),
            )
        if spec.metrics_namespaces:
            yield (
                f"{cluster.name}-metrics",
                network.metrics_spec(cluster.name, ports, spec.metrics_namespaces),
            )


def mesh_policies(args: RayWorkspaceArgs) -> Iterator[tuple[str, str, str, JsonObject]]:
    """API version, kind, name and spec of the workspace's Istio objects."""
    spec, namespace, trust = args.spec, args.spec.namespace_name, args.trust_domain
    networking, security = mtls.NETWORKING_API, mtls.SECURITY_API
    yield security, "PeerAuthentication", mtls.DEFAULT_NAME, mtls.peer_authentication_spec(spec.mtls)
    yield (
        networking,
        "DestinationRule",
        WORKSPACE_POLICY,
        mtls.destination_rule_spec(namespace, args.facts.cluster_domain),
    )
    traces = args.tracing.namespace if args.tracing else None
    states = [redis.redis_namespace for each in spec.clusters if (redis := each.gcs_fault_tolerance)]
    known = dict.fromkeys([args.mesh_namespace, *([traces] if traces else []), *filter(None, states)])
    yield networking, "Sidecar", WORKSPACE_POLICY, scope.sidecar_spec(list(known))
    yield security, "AuthorizationPolicy", authorization.ALLOW_NOTHING, authorization.allow_nothing_spec()
    callers = [
        (Peer.OPERATOR, [Identity(args.operator_namespace, operator.SERVICE_ACCOUNT)]),
        (Peer.CLIENT, [Identity(client.namespace, client.service_account) for client in spec.clients]),
    ]
    for cluster in spec.clusters:
        gateways = [
            Identity(client.namespace, client.service_account) for client in args.gateways_of(cluster.name)
        ]
        yield (
            security,
            "AuthorizationPolicy",
            f"{cluster.name}-nodes",
            authorization.intra_cluster_spec(cluster.name, cluster_identities(namespace, cluster), trust),
        )
        yield (
            security,
            "AuthorizationPolicy",
            f"{cluster.name}-head",
            authorization.head_spec(
                cluster.name, cluster.effective_ports, [*callers, (Peer.GATEWAY, gateways)], trust
            ),
        )
        if spec.metrics_namespaces:
            yield (
                security,
                "AuthorizationPolicy",
                f"{cluster.name}-metrics",
                authorization.metrics_spec(cluster.name, cluster.effective_ports, spec.metrics_namespaces),
            )


def cluster_identities(namespace: str, cluster: RayClusterSpec) -> list[Identity]:
    """The identities of a cluster's Pods, each once."""
    head = cluster.head.service_account or head_account(cluster.name)
    workers = [group.service_account or worker_account(cluster.name) for group in cluster.worker_groups]
    return [Identity(namespace, account) for account in dict.fromkeys([head, *workers])]


class WorkspaceNamespace(Component):
    """The namespace of a workspace, for those who need it before the workspace's contents.

    An operator that watches certain namespaces must find them; the workspace's Ray clusters in turn need
    the operator.

    Attributes:
        namespace: the namespace's name.
    """

    namespace: str

    def __init__(self, name: str, args: RayWorkspaceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, {"namespace": args.spec.namespace_name}, opts)
        self.namespace = args.spec.namespace_name
        k8s.core.v1.Namespace(
            name, metadata=meta(self.namespace, extra_labels=namespace_labels(args)), opts=self.child()
        )
        self.register_outputs({"namespace": self.namespace})


class RayWorkspace(Component):
    """A namespace with its mesh and network policies, quota, identities, credentials and Ray clusters.

    Children are named ``<workspace>.<object>``: no Kubernetes name holds a dot, so that no two workspaces
    give a child the same name. A `WorkspaceNamespace` that was made before is taken; otherwise the workspace
    makes its own. ``before_pods`` is what must be there before its first Pod, such as the operator; unlike
    ``depends_on``, nothing else of the workspace waits for it.

    Attributes:
        namespace: the namespace's name.
        clusters: the Ray clusters by name.
    """

    namespace: str
    clusters: Mapping[str, RayCluster]

    def __init__(
        self,
        name: str,
        args: RayWorkspaceArgs,
        opts: pulumi.ResourceOptions | None = None,
        *,
        namespace: WorkspaceNamespace | None = None,
        before_pods: Sequence[pulumi.Resource] = (),
    ) -> None:
        spec = args.spec
        super().__init__(name, {"namespace": spec.namespace_name, "mtls": spec.mtls.value}, opts)
        self.namespace = spec.namespace_name
        self._inside = [namespace or WorkspaceNamespace(name, args, self.child())]
        prefix, policies = f"{name}.", mesh_policies(args) if args.mesh else ()
        fenced = [
            *fence.network_policies(self, prefix, self.namespace, network_policies(args), self._inside),
            *fence.mesh_objects(self, prefix, self.namespace, policies, self._inside),
            *self._quota(name, spec),
        ]
        netrc = None
        if spec.netrc:
            netrc = NetrcSecret(
                f"{name}-netrc",
                NetrcSecretArgs(namespace=self.namespace, entries=spec.netrc),
                opts=self.child(depends_on=self._inside),
            )
        self.clusters = {
            cluster.name: RayCluster(
                f"{name}.{cluster.name}",
                RayClusterArgs(
                    spec=placement.placed(cluster, args.facts),
                    namespace=self.namespace,
                    operator_version=args.operator_version,
                    image_repository=args.image_repository,
                    cluster_domain=args.facts.cluster_domain,
                    netrc_secret=netrc.secret_name if netrc else None,
                    head_service_account=self._account(name, cluster, NodeRole.HEAD),
                    worker_service_account=self._account(name, cluster, NodeRole.WORKER),
                    mesh_revision=args.revision,
                ),
                opts=self.child(depends_on=self._inside),
                before_pods=[*fenced, *before_pods],
            )
            for cluster in spec.clusters
        }
        self.register_outputs({"namespace": self.namespace})

    def _quota(self, name: str, spec: WorkspaceSpec) -> list[pulumi.Resource]:
        if not spec.quota:
            return []
        return [
            k8s.core.v1.ResourceQuota(
                name,
                metadata=meta(WORKSPACE_POLICY, self.namespace),
                spec=k8s.core.v1.ResourceQuotaSpecArgs(hard=spec.quota),
                opts=self.child(depends_on=self._inside),
            )
        ]

    def _account(self, name: str, cluster: RayClusterSpec, role: NodeRole) -> pulumi.Output[str] | None:
        """A service account of its own for each role: the mesh knows Pods by it."""
        account = head_account(cluster.name) if role is NodeRole.HEAD else worker_account(cluster.name)
        return k8s.core.v1.ServiceAccount(
            f"{name}.{account}",
            metadata=meta(account, self.namespace),
            automount_service_account_token=False,
            opts=self.child(depends_on=self._inside),
        ).metadata.name
