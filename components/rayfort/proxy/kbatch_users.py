"""One user's namespace: who may do what in it, and where its jobs may connect. Pure functions."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import pulumi

from rayfort import labels, network, pod_security
from rayfort.facts import ClusterFacts
from rayfort.mesh import authorization, istio, membership, mtls, scope
from rayfort.mesh.mtls import MtlsMode
from rayfort.mesh.telemetry import Tracing
from rayfort.model import JsonObject
from rayfort.pod_security import PodSecurity
from rayfort.proxy import kbatch_config as config
from rayfort.proxy.kbatch_spec import KbatchProxyArgs
from rayfort.ray.ports import RayPorts

# Ports of the hub's proxy and of its API, in zero-to-jupyterhub's Pods.
HUB_PORTS: Final = (8000, 8081)
SCOPE: Final = "default"


@dataclass(frozen=True)
class Surroundings:
    """What a proxy and its users' jobs run in.

    Attributes:
        facts: what the cluster is like.
        mesh_namespace: the mesh's root namespace.
        revision: the istiod that injects Pods; None for the one without a revision.
        trust_domain: the mesh's trust domain.
        native_sidecars: whether jobs with sidecars end: with classic ones they never do.
        tracing: where sidecars send traces; None for nowhere.
    """

    facts: ClusterFacts = field(default_factory=ClusterFacts)
    mesh_namespace: str = istio.NAMESPACE
    revision: str | None = None
    trust_domain: str = authorization.TRUST_DOMAIN
    native_sidecars: bool = True
    tracing: Tracing | None = None


@dataclass(frozen=True)
class RayAccess:
    """A Ray cluster that jobs may use.

    Attributes:
        namespace: its namespace.
        head_service: the name of its head's Service.
        cluster: the RayCluster's name.
        ports: its ports.
        address: the address of its dashboard, where jobs are submitted.
        token: its token (secret).
    """

    namespace: str
    cluster: str
    head_service: str
    ports: RayPorts
    address: pulumi.Input[str]
    token: pulumi.Input[str]


def jobs_in_mesh(args: KbatchProxyArgs, around: Surroundings) -> bool:
    """Whether users' jobs get sidecars."""
    return args.in_mesh and around.native_sidecars and not args.dynamic_users


def level(args: KbatchProxyArgs, around: Surroundings) -> PodSecurity:
    """The level to which users' namespaces are held.

    ``restricted`` asks for images that do not run as root, which most of kbatch's users do not have.
    """
    strictest = pod_security.strictest(sidecars=jobs_in_mesh(args, around), istio_cni=around.facts.istio_cni)
    loosest = PodSecurity.PRIVILEGED if strictest is PodSecurity.PRIVILEGED else PodSecurity.BASELINE
    return args.jobs.pod_security or loosest


def namespace_labels(args: KbatchProxyArgs, around: Surroundings) -> dict[str, str]:
    """Labels of a user's namespace, by which the admission rules find it as well."""
    injected = membership.namespace_labels(around.revision) if jobs_in_mesh(args, around) else {}
    return {
        labels.MANAGED_BY: "kbatch",
        labels.KBATCH: args.namespace,
        **injected,
        **pod_security.namespace_labels(level(args, around)),
    }


def limit_range_spec() -> JsonObject:
    """``spec`` of a LimitRange: small requests for containers that state none.

    A quota on requests refuses every Pod with a container that states none, such as the one that kbatch
    adds to unpack a job's code.
    """
    return {"limits": [{"type": "Container", "defaultRequest": {"cpu": "100m", "memory": "128Mi"}}]}


def network_policies(
    args: KbatchProxyArgs, around: Surroundings, ray: RayAccess | None
) -> Iterator[tuple[str, JsonObject]]:
    """Names and specs of a user's NetworkPolicies: nobody calls jobs, and they call what is listed."""
    facts = around.facts
    yield network.DEFAULT_DENY, network.default_deny_spec()
    yield "allow-dns", network.dns_spec(facts.dns_namespace, facts.dns_addresses)
    if jobs_in_mesh(args, around):
        yield "allow-mesh", network.mesh_spec(around.mesh_namespace)
        if around.tracing and around.tracing.namespace:
            yield "allow-tracing", network.tracing_spec(around.tracing.namespace, around.tracing.port)
    if egress := args.jobs.egress:
        yield "allow-egress", network.public_egress_spec(egress.cidrs, egress.ports)
    if args.jobs.hub_access:
        yield "allow-hub", network.namespace_egress_spec(args.hub_namespace, HUB_PORTS)
    if ray:
        yield "allow-ray", network.head_egress_spec(ray.namespace, ray.cluster, ray.ports)


def mesh_policies(
    args: KbatchProxyArgs, around: Surroundings, ray: RayAccess | None
) -> Iterator[tuple[str, str, str, JsonObject]]:
    """API version, kind, name and spec of a user's Istio objects; none where jobs are not in the mesh."""
    if not jobs_in_mesh(args, around):
        return
    networking, security = mtls.NETWORKING_API, mtls.SECURITY_API
    yield security, "PeerAuthentication", mtls.DEFAULT_NAME, mtls.peer_authentication_spec(MtlsMode.STRICT)
    yield security, "AuthorizationPolicy", authorization.ALLOW_NOTHING, authorization.allow_nothing_spec()
    traces = around.tracing.namespace if around.tracing else None
    hub = args.hub_namespace if args.jobs.hub_access else None
    known = dict.fromkeys(name for name in (around.mesh_namespace, traces, hub) if name)
    head = (
        [f"{ray.namespace}/{ray.head_service}.{ray.namespace}.svc.{around.facts.cluster_domain}"]
        if ray
        else []
    )
    yield networking, "Sidecar", SCOPE, scope.sidecar_spec(list(known), head)


def job_environment(ray: RayAccess) -> dict[str, pulumi.Input[str]]:
    """The content of the Secret from which a user's jobs get their Ray.

    The start module refers to each key; kbatch's own variables would be one cluster's for everybody.
    """
    return dict(zip(config.JOB_ENVIRONMENT, (ray.address, "token", ray.token), strict=True))
