"""The KubeRay operator."""

from collections.abc import Mapping, Sequence
from typing import Final

import pulumi
import pulumi_kubernetes as k8s
from pydantic import Field, field_validator, model_validator

from rayfort import fence, labels, network, pod_security, versions
from rayfort.chart import Chart
from rayfort.component import Component, meta
from rayfort.facts import CLUSTER_DOMAIN
from rayfort.mesh import authorization, membership, mtls
from rayfort.mesh.sidecars import Sidecars
from rayfort.model import DnsLabel, ImageRepository, ImageTag, JsonObject, Model, Seconds, SemVer, merge
from rayfort.release import release

NAMESPACE: Final = "kuberay-system"
RELEASE: Final = "kuberay-operator"
CRD_RELEASE: Final = "kuberay-crds"
SERVICE_ACCOUNT: Final = "kuberay-operator"
METRICS_PORT: Final = 8080
INIT_CONTAINER_INJECTION: Final = "ENABLE_INIT_CONTAINER_INJECTION"


class KubeRayOperatorArgs(Model):
    """Arguments of `KubeRayOperator`.

    Args:
        version: the operator's version.
        chart: where its chart comes from; by default the official repository at ``version``.
        crds: paths or URLs of its CustomResourceDefinitions; by default the official ones of ``version``.
        crd_chart: instead, a chart whose templates are the definitions. One release then upgrades them all,
            and Pulumi's state stays small: as resources of their own they are most of it, and a backend
            that keeps state in files writes all of it at every step.
        retain_crds: keep the definitions, and so every RayCluster, when the stack is destroyed.
        namespace: where it runs.
        create_namespace: whether Rayfort makes the namespace.
        in_mesh: whether it gets a sidecar; without one it cannot follow RayJobs and RayServices in a STRICT
            mesh.
        init_container_injection: whether workers wait for the head in an init container. None chooses by
            the kind of sidecar: yes with native ones; no with classic ones, which start after init
            containers, so that the wait would never end (seed 002).
        image_repository, image_tag: the operator's image, where a mirror has it.
        watch_namespaces: the namespaces it may read and write, which must exist; empty for all. It gets
            Roles in them instead of a ClusterRole, and so reads their Secrets only.
        values: further chart values, laid over what Rayfort computes; variables in ``env`` are added.
        timeout_seconds: how long to wait for the release, in seconds.
    """

    version: SemVer = versions.KUBERAY
    chart: Chart | None = None
    crds: tuple[str, ...] | None = Field(default=None, min_length=1)
    crd_chart: Chart | None = None
    retain_crds: bool = True
    namespace: DnsLabel = NAMESPACE
    create_namespace: bool = True
    in_mesh: bool = True
    init_container_injection: bool | None = None
    image_repository: ImageRepository | None = None
    image_tag: ImageTag | None = None
    watch_namespaces: tuple[DnsLabel, ...] = ()
    values: JsonObject = {}
    timeout_seconds: Seconds = 300

    @field_validator("values")
    @classmethod
    def _variables(cls, value: JsonObject) -> JsonObject:
        entries = value.get("env", [])
        named = isinstance(entries, list) and all(
            isinstance(entry, dict) and isinstance(entry.get("name"), str) for entry in entries
        )
        if not named:
            raise ValueError("env must be a list of variables, each with `name` and `value`")
        return value

    @model_validator(mode="after")
    def _one_source_of_crds(self) -> "KubeRayOperatorArgs":
        if self.crds is not None and self.crd_chart is not None:
            raise ValueError("set either `crds` (files or URLs) or `crdChart`")
        return self

    @property
    def chart_source(self) -> Chart:
        """The chart in force."""
        return self.chart or Chart(
            chart=RELEASE, repository=versions.KUBERAY_CHART_REPOSITORY, version=self.version
        )

    @property
    def crd_files(self) -> list[str]:
        """The definitions in force."""
        if self.crds is not None:
            return list(self.crds)
        kinds = ["rayclusters", "rayjobs", "rayservices"]
        if versions.at_least(self.version, versions.KUBERAY_CRON_JOB):
            kinds.append("raycronjobs")
        return [
            versions.KUBERAY_CRD_URL.format(version=self.version, file=f"ray.io_{kind}.yaml")
            for kind in kinds
        ]


def pod_labels(args: KubeRayOperatorArgs) -> dict[str, str]:
    """The labels that its chart gives to the operator's Pod, and by which policies find it."""
    return {labels.NAME: str(args.values.get("nameOverride") or RELEASE)}


def injects_init_containers(args: KubeRayOperatorArgs, sidecars: Sidecars) -> bool:
    """Whether workers get KubeRay's init container that waits for the head."""
    if args.init_container_injection is not None:
        return args.init_container_injection
    return sidecars is not Sidecars.CLASSIC


def chart_values(
    args: KubeRayOperatorArgs,
    sidecars: Sidecars,
    cluster_domain: str = CLUSTER_DOMAIN,
    revision: str | None = None,
) -> JsonObject:
    """The values of the operator's chart."""
    variables: dict[str, str] = {}
    if not injects_init_containers(args, sidecars):
        variables[INIT_CONTAINER_INJECTION] = "false"
    if cluster_domain != CLUSTER_DOMAIN:
        variables["CLUSTER_DOMAIN"] = cluster_domain
    values: JsonObject = {"fullnameOverride": RELEASE}
    environment = _with_variables(variables, args.values.get("env", []))
    if environment:
        values["env"] = environment
    if args.in_mesh:
        values["labels"] = membership.pod_labels(revision)
    image = {"repository": args.image_repository, "tag": args.image_tag}
    if any(image.values()):
        values["image"] = {key: value for key, value in image.items() if value}
    if args.watch_namespaces:
        # Roles in each namespace instead of a ClusterRole: the operator reads the Secrets of these only.
        values["watchNamespace"] = list(args.watch_namespaces)
        values["singleNamespaceInstall"] = True
        values["crNamespacedRbacEnable"] = True
    return merge(values, {key: value for key, value in args.values.items() if key != "env"})


def _with_variables(variables: Mapping[str, str], own: Sequence[JsonObject]) -> list[JsonObject]:
    """A chart's ``env``: what Rayfort sets and what the user adds, who wins where both name a variable."""
    taken = {entry["name"] for entry in own}
    return [
        *({"name": name, "value": value} for name, value in variables.items() if name not in taken),
        *own,
    ]


class KubeRayOperator(Component):
    """The operator's CustomResourceDefinitions and its Helm release.

    The definitions are managed apart from the operator's chart, since Helm installs those of a chart once and
    never upgrades them: each as a resource, or all by a release of their own.
    Beside its arguments it takes facts: ``sidecars``, how Ray's Pods get theirs, ``cluster_domain``, the DNS
    zone of Services, ``istio_cni``, whether nodes take Istio's CNI plugin, ``revision``, the mesh's own, and
    ``metrics_namespaces``, which scrape its metrics. Nobody else calls it, and nobody else gets through.
    ``before_pods`` is what must be there before its Pod, such as the mesh; unlike ``depends_on``, the
    definitions do not wait for it.

    Attributes:
        version: the operator's version.
        namespace: where it runs.
        ready: resolves when the release is deployed; depend on the component to wait for it.
    """

    version: str
    namespace: str
    ready: pulumi.Output[bool]

    def __init__(
        self,
        name: str,
        args: KubeRayOperatorArgs,
        opts: pulumi.ResourceOptions | None = None,
        *,
        sidecars: Sidecars = Sidecars.NATIVE,
        cluster_domain: str = CLUSTER_DOMAIN,
        istio_cni: bool = False,
        revision: str | None = None,
        metrics_namespaces: Sequence[str] = (),
        before_pods: Sequence[pulumi.Resource] = (),
    ) -> None:
        super().__init__(name, {"version": args.version, "namespace": args.namespace}, opts)
        self.version = args.version
        self.namespace = args.namespace
        before: list[pulumi.Resource] = []
        if args.create_namespace:
            level = pod_security.strictest(sidecars=args.in_mesh, istio_cni=istio_cni)
            discovered = membership.DISCOVERED if args.in_mesh else {}
            namespace_labels = {**discovered, **pod_security.namespace_labels(level)}
            metadata = meta(args.namespace, extra_labels=namespace_labels)
            before.append(k8s.core.v1.Namespace(name, metadata=metadata, opts=self.child()))
        fenced = self._fence(name, args, metrics_namespaces, before, before_pods)
        definitions: pulumi.Resource
        if args.crd_chart:
            definitions = release(
                self,
                f"{name}-crds",
                args.crd_chart,
                release_name=CRD_RELEASE,
                namespace=args.namespace,
                values={},
                timeout_seconds=args.timeout_seconds,
                depends_on=before,
                retain=args.retain_crds,
            )
        else:
            retain = pulumi.ResourceOptions(transforms=[_retain] if args.retain_crds else [])
            definitions = k8s.yaml.v2.ConfigGroup(
                f"{name}-crds",
                files=args.crd_files,
                opts=pulumi.ResourceOptions.merge(self.child(), retain),
            )
        operator = release(
            self,
            name,
            args.chart_source,
            release_name=RELEASE,
            namespace=args.namespace,
            values=chart_values(args, sidecars, cluster_domain, revision),
            timeout_seconds=args.timeout_seconds,
            depends_on=[*before, *fenced, definitions, *before_pods],
            skip_crds=True,
        )
        self.ready = operator.status.apply(lambda _: True)
        self.register_outputs({"version": args.version, "namespace": args.namespace, "ready": self.ready})

    def _fence(
        self,
        name: str,
        args: KubeRayOperatorArgs,
        scrapers: Sequence[str],
        before: Sequence[pulumi.Resource],
        mesh: Sequence[pulumi.Resource],
    ) -> list[pulumi.Resource]:
        """Close the operator's Pod to everybody but who scrapes its metrics."""
        prefix, pod = f"{name}-", pod_labels(args)
        open_ports = [METRICS_PORT, network.SIDECAR_METRICS_PORT]
        policy = network.access_spec(pod, scrapers, open_ports)
        fenced = fence.network_policies(self, prefix, args.namespace, [(RELEASE, policy)], before)
        if args.in_mesh:
            access = authorization.access_spec(pod, scrapers, [METRICS_PORT])
            kind = (mtls.SECURITY_API, "AuthorizationPolicy", RELEASE, access)
            fenced += fence.mesh_objects(self, prefix, args.namespace, [kind], [*before, *mesh])
        return fenced


def _retain(args: pulumi.ResourceTransformArgs) -> pulumi.ResourceTransformResult:
    """Keep the definitions on destroy: deleting one deletes every object of its kind in the cluster."""
    return pulumi.ResourceTransformResult(
        props=args.props,
        opts=pulumi.ResourceOptions.merge(args.opts, pulumi.ResourceOptions(retain_on_delete=True)),
    )
