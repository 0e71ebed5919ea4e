"""A Ray cluster with its token, its headless Service and its netrc mount."""

from collections.abc import Sequence

import pulumi
import pulumi_kubernetes as k8s
from pydantic import field_validator

from rayfort import labels, versions
from rayfort.component import Component, meta, timeouts
from rayfort.facts import CLUSTER_DOMAIN
from rayfort.model import DnsLabel, DnsName, ImageRepository, Model, Revision, SemVer
from rayfort.ray import manifest
from rayfort.ray.auth_token import RayAuthToken, RayAuthTokenArgs
from rayfort.ray.headless_service import RayHeadlessService, RayHeadlessServiceArgs
from rayfort.ray.spec import RayClusterSpec


class RayClusterArgs(Model):
    """Arguments of `RayCluster`.

    Args:
        spec: the cluster.
        namespace: its namespace, which must exist.
        operator_version: the version of the KubeRay operator that will reconcile it.
        image_repository: where Ray's image comes from, where ``spec.image`` is unset.
        cluster_domain: the DNS zone of Services.
        netrc_secret: the name of a netrc Secret in the namespace; None for none.
        head_service_account, worker_service_account: service accounts in the namespace; None for KubeRay's
            own choice.
        mesh_revision: the istiod that injects its Pods; they are replaced when it changes. None for the one
            without a revision.
    """

    spec: RayClusterSpec
    namespace: DnsLabel
    operator_version: SemVer = versions.KUBERAY
    image_repository: ImageRepository = versions.RAY_IMAGE
    cluster_domain: DnsName = CLUSTER_DOMAIN
    netrc_secret: str | pulumi.Output[str] | None = None
    head_service_account: str | pulumi.Output[str] | None = None
    worker_service_account: str | pulumi.Output[str] | None = None
    mesh_revision: Revision | None = None

    @field_validator("spec")
    @classmethod
    def _placed(cls, value: RayClusterSpec) -> RayClusterSpec:
        for node in (value.head, *value.worker_groups):
            if node.node_pool:
                raise ValueError(
                    f"node pool {node.node_pool} says nothing without the cluster's facts; give what "
                    "`rayfort.placement.placed` makes of it, or use a RayWorkspace, which does"
                )
        return value


class RayCluster(Component):
    """A KubeRay RayCluster that asks for a token and passes a STRICT mesh.

    ``before_pods`` is what must be there before its first Pod; unlike ``depends_on``, its Service and its
    token do not wait for it.

    Attributes:
        head_service: the name of the head's Service.
        address: ``ray://`` address inside the cluster.
        dashboard_url: the dashboard inside the cluster.
        token_secret: the name of the Secret with the token.
        token: the token (secret); None where the operator makes it.

    Raises:
        ValueError: if the token source needs a newer operator.
    """

    head_service: pulumi.Output[str]
    address: pulumi.Output[str]
    dashboard_url: pulumi.Output[str]
    token_secret: pulumi.Output[str]
    token: pulumi.Output[str] | None

    def __init__(
        self,
        name: str,
        args: RayClusterArgs,
        opts: pulumi.ResourceOptions | None = None,
        *,
        before_pods: Sequence[pulumi.Resource] = (),
    ) -> None:
        spec = args.spec
        source = spec.auth.source_for(args.operator_version)
        super().__init__(
            name,
            {"cluster": spec.name, "namespace": args.namespace, "tokenSource": source.value},
            opts,
        )
        ports = spec.effective_ports
        service = RayHeadlessService(
            f"{name}-headless",
            RayHeadlessServiceArgs(
                cluster=spec.name,
                namespace=args.namespace,
                ports=ports,
                traffic=spec.traffic,
                cluster_domain=args.cluster_domain,
            ),
            opts=self.child(),
        )
        token = None
        if source.made_by_pulumi:
            token = RayAuthToken(
                f"{name}-auth",
                RayAuthTokenArgs(
                    namespace=args.namespace,
                    prefix=f"{spec.name}-auth",
                    rotation=spec.auth.rotation,
                    token=spec.auth.token,
                ),
                opts=self.child(),
            )
        around = manifest.Surroundings(
            namespace=args.namespace,
            operator_version=args.operator_version,
            image_repository=args.image_repository,
            cluster_domain=args.cluster_domain,
            token_source=source,
            token_secret=token.secret_name if token else None,
            netrc_secret=args.netrc_secret if spec.netrc else None,
            head_service_account=args.head_service_account,
            worker_service_account=args.worker_service_account,
            mesh_revision=args.mesh_revision,
        )
        cluster = k8s.apiextensions.CustomResource(
            name,
            api_version=manifest.API_VERSION,
            kind=manifest.KIND,
            metadata=meta(
                spec.name,
                args.namespace,
                # KubeRay refuses a bad spec by an event only; this waits until it has really provisioned it.
                annotations={labels.WAIT_FOR: "condition=RayClusterProvisioned"},
            ),
            spec=manifest.ray_cluster_spec(spec, around),
            opts=self.child(
                # Istio reads an inbound port's protocol from the oldest Service that has it: ours first.
                depends_on=[service, *([token] if token else []), *before_pods],
                ignore_changes=_autoscaled(spec),
                custom_timeouts=timeouts(spec.wait_seconds),
            ),
        )
        domain = f"{args.namespace}.svc.{args.cluster_domain}"
        # Through the cluster, so that whoever uses the name waits for it.
        self.head_service = cluster.urn.apply(lambda _: manifest.head_service(spec.name))
        self.address = self.head_service.apply(lambda host: f"ray://{host}.{domain}:{ports.client}")
        self.dashboard_url = self.head_service.apply(lambda host: f"http://{host}.{domain}:{ports.dashboard}")
        self.token = token.token if token else None
        # The operator names its own Secret after the cluster.
        self.token_secret = token.secret_name if token else pulumi.Output.from_input(spec.name)
        self.register_outputs(
            {
                "headService": self.head_service,
                "address": self.address,
                "dashboardUrl": self.dashboard_url,
                "tokenSecret": self.token_secret,
            }
        )


def _autoscaled(spec: RayClusterSpec) -> list[str]:
    """The fields that Ray's autoscaler writes, which Pulumi then leaves alone."""
    if not spec.autoscaling:
        return []
    return [
        f"spec.workerGroupSpecs[{index}].{field}"
        for index in range(len(spec.worker_groups))
        for field in ("replicas", "scaleStrategy")
    ]
