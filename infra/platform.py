"""The composition root: which components a stack gets, and in which order."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
from rayfort.cluster import ExistingCluster, ExistingClusterArgs
from rayfort.mesh.istio import IstioMesh, IstioMeshArgs, sidecars
from rayfort.proxy.kbatch import KbatchProxy
from rayfort.ray.auth import TOKEN_KEY
from rayfort.ray.cluster import RayCluster
from rayfort.ray.operator import KubeRayOperator, KubeRayOperatorArgs
from rayfort.workspace import RayWorkspace, RayWorkspaceArgs, WorkspaceNamespace, WorkspaceSpec

from infra.settings import Settings, weakened


@dataclass(frozen=True)
class Platform:
    """What a stack has, for its outputs and for tests."""

    cluster: ExistingCluster
    mesh: IstioMesh | None
    operator: KubeRayOperator
    workspaces: Mapping[str, RayWorkspace]
    kbatch: KbatchProxy | None


def build(settings: Settings, root: Path) -> Platform:
    """Register everything that the settings ask for.

    Args:
        settings: the stack's settings.
        root: the project's directory, against which relative paths in the settings are resolved.

    Raises:
        SettingsError: if the kubeconfig cannot be read; nothing is registered then.
    """
    facts = settings.cluster.facts
    cluster = ExistingCluster(
        "cluster",
        ExistingClusterArgs(
            kubeconfig=settings.cluster.read_kubeconfig(root),
            context=settings.cluster.context,
            identifier=settings.cluster.identifier,
            facts=facts,
        ),
    )

    def on_cluster(*after: pulumi.Resource | None) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(
            providers=[cluster.provider], depends_on=[resource for resource in after if resource]
        )

    domain = facts.cluster_domain
    mesh = None
    if settings.istio:
        mesh = IstioMesh("mesh", _mesh_paths(settings.istio, root), on_cluster(), cluster_domain=domain)
    specs = {spec.name: _workspace(settings, spec) for spec in settings.workspaces}
    namespaces = {name: WorkspaceNamespace(name, args, on_cluster(mesh)) for name, args in specs.items()}
    operator = KubeRayOperator(
        "kuberay",
        _operator_paths(settings, root),
        # Its Pod gets a sidecar, which istiod must be there to inject; its Roles lie in what it watches.
        on_cluster(mesh, *namespaces.values()),
        sidecars=sidecars(settings.istio, facts),
        cluster_domain=domain,
    )
    workspaces = {
        name: RayWorkspace(name, args, on_cluster(mesh, operator), namespace=namespaces[name])
        for name, args in specs.items()
    }
    kbatch = None
    if settings.kbatch:
        args = settings.kbatch.model_copy(update={"in_mesh": settings.kbatch.in_mesh and mesh is not None})
        kbatch = KbatchProxy("kbatch", args, on_cluster(mesh), cluster_domain=domain)
    return Platform(cluster, mesh, operator, workspaces, kbatch)


def outputs(platform: Platform, settings: Settings) -> dict[str, Any]:
    """The stack's outputs: what a user needs next. Tokens are secret."""
    port_forwards = {
        workspace.name: {
            cluster.name: _access(
                platform.workspaces[workspace.name].clusters[cluster.name],
                workspace.namespace_name,
                cluster.effective_ports.dashboard,
            )
            for cluster in workspace.clusters
        }
        for workspace in settings.workspaces
    }
    tokens = {
        f"{workspace}/{name}": cluster.token
        for workspace, made in platform.workspaces.items()
        for name, cluster in made.clusters.items()
        if cluster.token is not None
    }
    kbatch = platform.kbatch
    return {
        "rayClusters": port_forwards,
        "rayTokens": pulumi.Output.secret(tokens),
        "versions": {
            "kuberay": settings.operator.version,
            "istio": settings.istio.version if settings.istio else None,
        },
        "weakened": weakened(settings),
        **({"kbatch": {"url": kbatch.url, "jupyterhubValues": kbatch.hub_values}} if kbatch else {}),
    }


def _access(cluster: RayCluster, namespace: str, dashboard_port: int) -> dict[str, pulumi.Output[str]]:
    """Addresses of one Ray cluster and the commands with which a person reaches it."""
    return {
        "address": cluster.address,
        "dashboard": cluster.dashboard_url,
        "tokenSecret": cluster.token_secret,
        "portForward": cluster.head_service.apply(
            lambda service: f"kubectl -n {namespace} port-forward svc/{service} {dashboard_port}"
        ),
        "readToken": cluster.token_secret.apply(
            lambda secret: (
                f"kubectl -n {namespace} get secret {secret} "
                f"--template='{{{{.data.{TOKEN_KEY} | base64decode}}}}'"
            )
        ),
    }


def _mesh_paths(args: IstioMeshArgs, root: Path) -> IstioMeshArgs:
    charts = {"base_chart": args.base_chart, "istiod_chart": args.istiod_chart}
    return args.model_copy(update={name: chart.under(root) for name, chart in charts.items() if chart})


def _operator_paths(settings: Settings, root: Path) -> KubeRayOperatorArgs:
    args = settings.operator
    update: dict[str, Any] = {"in_mesh": args.in_mesh and settings.istio is not None}
    if args.chart:
        update["chart"] = args.chart.under(root)
    if args.crd_chart:
        update["crd_chart"] = args.crd_chart.under(root)
    if args.crds:
        update["crds"] = tuple(crd if "://" in crd else str(root / crd) for crd in args.crds)
    return args.model_copy(update=update)


def _workspace(settings: Settings, spec: WorkspaceSpec) -> RayWorkspaceArgs:
    mesh = settings.istio
    in_mesh = {"mesh_namespace": mesh.namespace, "tracing": mesh.tracing} if mesh else {"mesh": False}
    return RayWorkspaceArgs(
        spec=spec,
        facts=settings.cluster.facts,
        operator_version=settings.operator.version,
        operator_namespace=settings.operator.namespace,
        image_repository=settings.ray_image,
        **in_mesh,
    )
