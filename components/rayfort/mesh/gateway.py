"""An Istio gateway that exposes dashboards of Ray clusters: TLS 1.3, and nobody without a login."""

from collections.abc import Iterator, Mapping
from typing import Final

import pulumi
import pulumi_kubernetes as k8s
from pydantic import Field, field_validator, model_validator

from rayfort import fence, pod_security, versions
from rayfort.chart import Chart
from rayfort.component import Component, meta
from rayfort.facts import ClusterFacts
from rayfort.mesh import authorization, gateway_login, gateway_network, gateway_routes, membership
from rayfort.mesh.gateway_login import Claims, IapLogin, JwtLogin, Login
from rayfort.mesh.gateway_network import GatewayService, ServiceType
from rayfort.mesh.gateway_routes import ExposedCluster, GatewayTls, Route
from rayfort.mesh.istio import IstioMeshArgs
from rayfort.mesh.mtls import NETWORKING_API, SECURITY_API
from rayfort.mesh.revisions import Istiod
from rayfort.model import DnsLabel, DnsName, JsonObject, Model, Replicas, Revision, Seconds, merge
from rayfort.pod_security import PodSecurity
from rayfort.release import release
from rayfort.workspace import Client, WorkspaceSpec

NAMESPACE: Final = "istio-ingress"
# The name of the release, of what it installs, and of the service account.
GATEWAY: Final = "dashboard-gateway"
SELECTOR: Final[Mapping[str, str]] = {"istio": GATEWAY}
LOGIN: Final = "login"
# Values of the chart on which policies rest.
_OWN_VALUES: Final = frozenset({"service", "serviceAccount", "name", "labels", "revision", "networkGateway"})


class GatewaySpec(Model):
    """The gateway for dashboards, as a stack lists it.

    Set either ``jwt`` or ``iap``: no dashboard is exposed without a login. Ray still asks for its own
    token behind it.

    Args:
        expose: the Ray clusters whose dashboards it exposes.
        domain: what the default hosts end with.
        tls: its certificate.
        jwt: people come with a JWT of this issuer.
        iap: people come through Google's Identity-Aware Proxy.
        claims: what every JWT must say, whatever the host: for each claim, one of these values.
        service: its Service, and who may connect.
        namespace: where it runs; nothing else should.
        create_namespace: whether Rayfort makes it.
        replicas: number of Pods.
        revision: the istiod that it belongs to, while the mesh is upgraded; the mesh's own by default.
        chart: where Istio's ``gateway`` chart comes from; by default the official repository.
        values: further chart values, laid over what Rayfort computes; not those that policies rest on.
        timeout_seconds: how long to wait for the release, in seconds.
    """

    expose: tuple[ExposedCluster, ...] = Field(min_length=1)
    domain: DnsName | None = None
    tls: GatewayTls
    jwt: JwtLogin | None = None
    iap: IapLogin | None = None
    claims: Claims = {}
    service: GatewayService = GatewayService()
    namespace: DnsLabel = NAMESPACE
    create_namespace: bool = True
    replicas: Replicas = 2
    revision: Revision | None = None
    chart: Chart | None = None
    values: JsonObject = {}
    timeout_seconds: Seconds = 300

    @field_validator("namespace")
    @classmethod
    def _namespace_of_its_own(cls, value: str) -> str:
        if value == "default" or value.startswith("kube-"):
            raise ValueError(
                f"namespace {value} is Kubernetes' own, and the gateway fences its whole namespace; name "
                f"another, such as {NAMESPACE}"
            )
        return value

    @field_validator("values")
    @classmethod
    def _values_of_its_own(cls, value: JsonObject) -> JsonObject:
        for key in sorted(_OWN_VALUES & value.keys()):
            raise ValueError(
                f"{key} is set by Rayfort, since policies rest on it; leave it out"
                + (" and use the setting `service`" if key == "service" else "")
            )
        return value

    @model_validator(mode="after")
    def _one_login(self) -> "GatewaySpec":
        if (self.jwt is None) == (self.iap is None):
            raise ValueError(
                "set either `jwt` or `iap`: whoever reaches a dashboard runs code in the cluster, so that it "
                "is never exposed without a login"
            )
        if self.iap and self.service.type is ServiceType.LOAD_BALANCER:
            raise ValueError(
                "service.type LoadBalancer leads past IAP, which sits in Google's application load balancer; "
                "use ClusterIP, and name the gateway's Service as the backend of that load balancer"
            )
        if self.iap and self.service.source_ranges:
            raise ValueError(
                "service.sourceRanges: behind IAP only Google's load balancers may connect; leave it out"
            )
        return self

    @property
    def login(self) -> Login:
        """The login in force."""
        chosen = self.jwt or self.iap
        assert chosen is not None  # noqa: S101 - validated
        return chosen

    @property
    def client(self) -> Client:
        """Its identity, for the workspaces that let it in."""
        return Client(namespace=self.namespace, service_account=GATEWAY)

    def exposed_in(self, workspace: str) -> tuple[str, ...]:
        """The Ray clusters of a workspace that it exposes."""
        return tuple(item.cluster for item in self.expose if item.workspace == workspace)


class DashboardGatewayArgs(Model):
    """Arguments of `DashboardGateway`.

    Args:
        spec: the gateway.
        workspaces: the workspaces whose Ray clusters it may expose.
        mesh: the mesh that it is part of.
        facts: what the cluster is like.
    """

    spec: GatewaySpec
    workspaces: tuple[WorkspaceSpec, ...]
    mesh: IstioMeshArgs = IstioMeshArgs()
    facts: ClusterFacts = ClusterFacts()

    @model_validator(mode="after")
    def _leads_somewhere(self) -> "DashboardGatewayArgs":
        for key, problem in gateway_problems(self.spec, self.workspaces, self.mesh, self.facts):
            raise ValueError(f"{key}: {problem}")
        return self

    @property
    def routes(self) -> list[Route]:
        """Every host and what it leads to."""
        return gateway_routes.routes(self.spec.expose, self.spec.domain, self.workspaces)

    @property
    def istiod(self) -> Istiod:
        """The istiod that it belongs to."""
        own, *others = self.mesh.istiods
        named = (istiod for istiod in others if istiod.revision == self.spec.revision)
        return next(named, own)

    @property
    def chart_source(self) -> Chart:
        """The chart in force: that of the istiod's version."""
        return self.spec.chart or Chart(
            chart="gateway", repository=versions.ISTIO_CHART_REPOSITORY, version=self.istiod.version
        )


def gateway_problems(
    spec: GatewaySpec, workspaces: tuple[WorkspaceSpec, ...], mesh: IstioMeshArgs, facts: ClusterFacts
) -> Iterator[tuple[str, str]]:
    """Mistakes that only show between the gateway and what is around it: the key in the gateway, and what is
    wrong and what to do.
    """
    for index, problem in gateway_routes.problems(spec.expose, spec.domain, workspaces):
        yield f"expose[{index}]", problem
    if spec.service.type is ServiceType.LOAD_BALANCER and not facts.load_balancers:
        yield (
            "service.type",
            "the cluster gives no addresses to load balancers, so that `up` would wait in vain; use "
            "ClusterIP, or set cluster.facts.loadBalancers",
        )
    if spec.revision and spec.revision not in mesh.revisions:
        yield "revision", f"the mesh has no revision {spec.revision}; name one of its own, or leave it out"


def namespace_labels(args: DashboardGatewayArgs) -> dict[str, str]:
    """Labels of the gateway's namespace: a gateway has no init container that would need rights."""
    return {
        **membership.namespace_labels(args.istiod.revision),
        **pod_security.namespace_labels(PodSecurity.RESTRICTED),
    }


def gateway_values(args: DashboardGatewayArgs) -> JsonObject:
    """The values of the ``gateway`` chart."""
    spec = args.spec
    values: JsonObject = {
        "name": GATEWAY,
        "labels": dict(SELECTOR),
        "serviceAccount": {"create": True, "name": GATEWAY},
        "service": spec.service.values,
        "replicaCount": spec.replicas,
        # The chart's image is "auto", which istiod replaces; a name without a tag would be pulled every time.
        "imagePullPolicy": "IfNotPresent",
        "autoscaling": {"enabled": False},
        "securityContext": {"runAsNonRoot": True, "seccompProfile": dict(pod_security.SECCOMP)},
    }
    if spec.replicas > 1:
        values["podDisruptionBudget"] = {"maxUnavailable": 1}
    if args.istiod.revision:
        values["revision"] = args.istiod.revision
    return merge(values, spec.values)


def mesh_policies(args: DashboardGatewayArgs) -> Iterator[tuple[str, str, str, JsonObject]]:
    """API version, kind, name and spec of the policies that stand before the gateway does."""
    spec = args.spec
    hosts = [(route.host, [spec.claims, route.claims]) for route in args.routes]
    yield SECURITY_API, "AuthorizationPolicy", authorization.ALLOW_NOTHING, authorization.allow_nothing_spec()
    yield (
        SECURITY_API,
        "RequestAuthentication",
        LOGIN,
        gateway_login.request_authentication_spec(SELECTOR, spec.login),
    )
    yield (
        SECURITY_API,
        "AuthorizationPolicy",
        LOGIN,
        gateway_login.authorization_spec(SELECTOR, spec.login, hosts),
    )


def network_policies(args: DashboardGatewayArgs) -> Iterator[tuple[str, JsonObject]]:
    """Names and specs of the NetworkPolicies of the gateway's namespace."""
    front_ends = gateway_login.IAP_SOURCES if args.spec.iap else ()
    return gateway_network.policies(
        args.spec.service,
        args.routes,
        args.mesh,
        args.facts.dns_namespace,
        front_ends,
        dns_addresses=args.facts.dns_addresses,
    )


def doors(args: DashboardGatewayArgs) -> Iterator[tuple[str, str, str, JsonObject]]:
    """API version, kind, name and spec of the Gateway and of a VirtualService for each host."""
    # Google's load balancers name no host in the TLS handshake; whatever it is, the policies look at it.
    hosts = ["*"] if args.spec.iap else [route.host for route in args.routes]
    yield NETWORKING_API, "Gateway", GATEWAY, gateway_routes.gateway_spec(SELECTOR, args.spec.tls, hosts)
    for route in args.routes:
        # Neither part holds a dot, so that no two routes give the same name.
        name = f"{route.workspace}.{route.cluster}"
        domain = args.facts.cluster_domain
        yield (
            NETWORKING_API,
            "VirtualService",
            name,
            gateway_routes.virtual_service_spec(GATEWAY, route, domain),
        )


class DashboardGateway(Component):
    """A gateway in a fenced namespace of its own, with a host for each exposed Ray cluster.

    The workspaces must let it in: `RayWorkspaceArgs.gateway`.

    Attributes:
        namespace: where it runs.
        service: its address inside the cluster; what a load balancer or a port-forward leads to.
        header: the request header for the JWT.
        urls: the dashboards, by ``workspace/cluster``.
    """

    namespace: str
    service: pulumi.Output[str]
    header: str
    urls: Mapping[str, pulumi.Output[str]]

    def __init__(
        self, name: str, args: DashboardGatewayArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        spec, domain = args.spec, args.facts.cluster_domain
        routes = args.routes
        super().__init__(name, {"namespace": spec.namespace, "hosts": [route.host for route in routes]}, opts)
        self.namespace, self.header = spec.namespace, spec.login.header
        before: list[pulumi.Resource] = []
        if spec.create_namespace:
            metadata = meta(spec.namespace, extra_labels=namespace_labels(args))
            before.append(k8s.core.v1.Namespace(name, metadata=metadata, opts=self.child()))
        prefix = f"{name}."
        fenced = [
            *fence.network_policies(self, prefix, spec.namespace, network_policies(args), before),
            *fence.mesh_objects(self, prefix, spec.namespace, mesh_policies(args), before),
        ]
        installed = release(
            self,
            name,
            args.chart_source,
            release_name=GATEWAY,
            namespace=spec.namespace,
            values=gateway_values(args),
            timeout_seconds=spec.timeout_seconds,
            depends_on=fenced,
        )
        opened = fence.mesh_objects(self, prefix, spec.namespace, doors(args), [installed])
        # Through what opens them, so that whoever uses an address waits for it.
        ready = pulumi.Output.all(*[item.urn for item in opened])
        self.service = ready.apply(lambda _: f"{GATEWAY}.{spec.namespace}.svc.{domain}")
        urls = {f"{route.workspace}/{route.cluster}": route.url for route in routes}
        self.urls = {
            key: pulumi.Output.all(ready, url).apply(lambda both: both[1]) for key, url in urls.items()
        }
        self.register_outputs({"service": self.service, "urls": dict(self.urls)})
