"""What shows the mesh: Prometheus, Kiali and Jaeger as Helm releases, and who may reach them."""

from collections.abc import Mapping, Sequence
from typing import cast

import pulumi
import pulumi_kubernetes as k8s
import pulumi_random as random

from rayfort import fence, labels, pod_security
from rayfort.component import Component, meta
from rayfort.facts import ClusterFacts
from rayfort.mesh import authorization, membership
from rayfort.mesh.istio import IstioMeshArgs
from rayfort.mesh.observability import access, jaeger, kiali, prometheus
from rayfort.mesh.observability.spec import ObservabilitySpec
from rayfort.mesh.observability.surroundings import Surroundings
from rayfort.model import DnsLabel, DnsName, Model, as_secret
from rayfort.ray.auth_token import secret_name
from rayfort.release import release


class MeshObservabilityArgs(Model):
    """Arguments of `MeshObservability`.

    Args:
        spec: the three.
        namespaces: the namespaces of the mesh's workloads, which must exist. Kiali and Prometheus may read
            the Pods and Istio's objects of these, and of no others; from these alone Jaeger takes traces.
        mesh: the mesh that they observe.
        facts: what the cluster is like.
        trust_domain: the mesh's trust domain.
    """

    spec: ObservabilitySpec = ObservabilitySpec()
    namespaces: tuple[DnsLabel, ...] = ()
    mesh: IstioMeshArgs = IstioMeshArgs()
    facts: ClusterFacts = ClusterFacts()
    trust_domain: DnsName = authorization.TRUST_DOMAIN

    @property
    def surroundings(self) -> Surroundings:
        """What the three are put into."""
        mesh, facts = self.mesh, self.facts
        return Surroundings(
            namespace=self.spec.namespace,
            watched=tuple(sorted({*self.namespaces, mesh.namespace, self.spec.namespace})),
            mesh_namespace=mesh.namespace,
            revision=mesh.revision,
            cluster_domain=facts.cluster_domain,
            trust_domain=self.trust_domain,
            dns_namespace=facts.dns_namespace,
            dns_addresses=facts.dns_addresses,
            api_server_cidrs=facts.api_server_cidrs,
        )


class MeshObservability(Component):
    """Prometheus, Kiali and Jaeger, closed to everybody who does not need them.

    All three have sidecars: Jaeger takes traces, and Prometheus and Jaeger answer Kiali, by mTLS alone.
    The mesh must send its traces there: `ObservabilitySpec.observed` gives the arguments of such a mesh.

    Attributes:
        namespace: where they run.
        access: for each of the three the command that reaches its user interface, and the address then.
        ready: resolves when all three releases are deployed.
    """

    namespace: str
    access: Mapping[str, Mapping[str, str]]
    ready: pulumi.Output[bool]

    def __init__(
        self, name: str, args: MeshObservabilityArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        spec, around = args.spec, args.surroundings
        super().__init__(name, {"namespace": spec.namespace}, opts)
        self.namespace = spec.namespace
        before: list[pulumi.Resource] = []
        if spec.namespace != args.mesh.namespace:
            level = pod_security.strictest(sidecars=True, istio_cni=args.facts.istio_cni)
            own = membership.namespace_labels(around.revision) | pod_security.namespace_labels(level)
            metadata = meta(spec.namespace, extra_labels=own)
            before.append(k8s.core.v1.Namespace(name, metadata=metadata, opts=self.child()))
        self._fence = [*before, *self._policies(name, spec, around, before)]
        releases = [
            self._prometheus(name, spec, around),
            self._jaeger(name, spec, around),
            self._kiali(name, spec, around),
        ]
        self.access = _access(spec.namespace, openid=spec.kiali.openid is not None)
        statuses = [each.status for each in releases]
        self.ready = pulumi.Output.all(*statuses).apply(lambda _: True)
        self.register_outputs({"namespace": self.namespace, "access": self.access, "ready": self.ready})

    def _policies(
        self,
        name: str,
        spec: ObservabilitySpec,
        around: Surroundings,
        before: Sequence[pulumi.Resource],
    ) -> list[pulumi.Resource]:
        packets = access.network_policies(around, openid=spec.kiali.openid is not None)
        return [
            *fence.network_policies(self, f"{name}-", around.namespace, packets, before),
            *fence.mesh_objects(self, f"{name}-", around.namespace, access.mesh_policies(around), before),
        ]

    def _prometheus(self, name: str, spec: ObservabilitySpec, around: Surroundings) -> k8s.helm.v3.Release:
        role = k8s.rbac.v1.ClusterRole(
            f"{name}-prometheus",
            metadata=meta(prometheus.ROLE),
            rules=cast("list[k8s.rbac.v1.PolicyRuleArgsDict]", prometheus.role_rules()),
            opts=self.child(),
        )
        return release(
            self,
            f"{name}-prometheus",
            spec.prometheus.chart_source,
            release_name=prometheus.NAME,
            namespace=spec.namespace,
            values=prometheus.values(spec.prometheus, around),
            timeout_seconds=spec.timeout_seconds,
            depends_on=[*self._fence, role],
        )

    def _jaeger(self, name: str, spec: ObservabilitySpec, around: Surroundings) -> k8s.helm.v3.Release:
        claim = k8s.core.v1.PersistentVolumeClaim(
            f"{name}-jaeger",
            # Most storage classes bind a volume when the first Pod asks for it, which waits for the claim.
            metadata=meta(jaeger.CLAIM, spec.namespace, annotations={labels.SKIP_AWAIT: "true"}),
            spec=cast("k8s.core.v1.PersistentVolumeClaimSpecArgsDict", jaeger.claim_spec(spec.jaeger.volume)),
            opts=self.child(depends_on=self._fence),
        )
        return release(
            self,
            f"{name}-jaeger",
            spec.jaeger.chart_source,
            release_name=jaeger.RELEASE,
            namespace=spec.namespace,
            values=jaeger.values(spec.jaeger, around),
            timeout_seconds=spec.timeout_seconds,
            depends_on=[*self._fence, claim],
        )

    def _kiali(self, name: str, spec: ObservabilitySpec, around: Surroundings) -> k8s.helm.v3.Release:
        signing = random.RandomPassword(
            f"{name}-kiali",
            length=kiali.SIGNING_KEY_LENGTH,
            special=False,
            keepers={"rotation": spec.kiali.rotation},
            opts=self.child(),
        )
        key: pulumi.Output[str] = pulumi.Output.secret(signing.result)
        by_hash = pulumi.Output.unsecret(key.apply(lambda value: secret_name(kiali.SIGNING_SECRET, value)))
        secret = k8s.core.v1.Secret(
            f"{name}-kiali",
            metadata=meta(by_hash, spec.namespace),
            type="Opaque",
            immutable=True,
            string_data={kiali.SIGNING_KEY: key},
            opts=self.child(depends_on=self._fence),
        )
        needed: list[pulumi.Resource] = [*self._fence, secret]
        if spec.kiali.openid and spec.kiali.openid.client_secret is not None:
            client_secret = as_secret(spec.kiali.openid.client_secret)
            needed.append(
                k8s.core.v1.Secret(
                    f"{name}-kiali-openid",
                    metadata=meta(kiali.OPENID_SECRET, spec.namespace),
                    type="Opaque",
                    string_data={kiali.OPENID_KEY: client_secret},
                    opts=self.child(depends_on=self._fence),
                )
            )
        name_of_secret = pulumi.Output.unsecret(secret.metadata.name)
        signing_key = pulumi.Output.concat("secret:", name_of_secret, ":", kiali.SIGNING_KEY)
        return release(
            self,
            f"{name}-kiali",
            spec.kiali.chart_source,
            release_name=kiali.NAME,
            namespace=spec.namespace,
            values=kiali.values(spec.kiali, around, signing_key),
            timeout_seconds=spec.timeout_seconds,
            depends_on=needed,
        )


def _access(namespace: str, *, openid: bool) -> dict[str, dict[str, str]]:
    """How a person reaches each user interface."""
    login = {} if openid else {"loginToken": f"kubectl -n {namespace} create token {kiali.NAME}"}
    return {
        "prometheus": _forwarded(namespace, prometheus.NAME, prometheus.PORT),
        "kiali": {**_forwarded(namespace, kiali.NAME, kiali.PORT, kiali.PATH), **login},
        "jaeger": _forwarded(namespace, jaeger.NAME, jaeger.UI_PORT),
    }


def _forwarded(namespace: str, service: str, port: int, path: str = "") -> dict[str, str]:
    return {
        "portForward": f"kubectl -n {namespace} port-forward svc/{service} {port}",
        "url": f"http://localhost:{port}{path}",
    }
