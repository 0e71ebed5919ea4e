"""The composition root: which components a stack gets, and in which order."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pulumi
from rayfort.chart import Chart
from rayfort.mesh.gateway import GATEWAY, DashboardGateway, DashboardGatewayArgs
from rayfort.mesh.gateway_routes import HTTPS_PORT
from rayfort.mesh.istio import IstioMesh, IstioMeshArgs, sidecars
from rayfort.mesh.observability.component import MeshObservability, MeshObservabilityArgs
from rayfort.model import Model
from rayfort.proxy.jupyterhub import JupyterHub
from rayfort.proxy.kbatch import KbatchProxy
from rayfort.ray.auth import TOKEN_KEY
from rayfort.ray.cluster import RayCluster
from rayfort.ray.operator import KubeRayOperator, KubeRayOperatorArgs
from rayfort.workspace import RayWorkspace, RayWorkspaceArgs, WorkspaceNamespace, WorkspaceSpec

from infra import cluster as clusters
from infra import jupyterhub
from infra import kbatch as batch
from infra.cluster import AnyCluster
from infra.settings import Settings
from infra.weakened import weakened

_Args = TypeVar("_Args", bound=Model)


@dataclass(frozen=True)
class Platform:
    """What a stack has, for its outputs and for tests."""

    cluster: AnyCluster
    mesh: IstioMesh | None
    operator: KubeRayOperator | None
    workspaces: Mapping[str, RayWorkspace]
    kbatch: KbatchProxy | None
    jupyterhub: JupyterHub | None
    gateway: DashboardGateway | None
    observability: MeshObservability | None


def build(settings: Settings, root: Path) -> Platform:
    """Register everything that the settings ask for.

    Args:
        settings: the stack's settings.
        root: the project's directory, against which relative paths in the settings are resolved.

    Raises:
        SettingsError: if the kubeconfig cannot be read; nothing is registered then.
    """
    facts = settings.cluster.facts
    cluster = clusters.make(settings.cluster, root)
    if not settings.platform:
        return Platform(cluster, None, None, {}, None, None, None, None)

    def on_cluster(*after: pulumi.Resource | None) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(
            providers=[cluster.provider],
            depends_on=_there(*after),
            deleted_with=clusters.goes_with(cluster, settings.cluster),
        )

    domain = facts.cluster_domain
    revision = settings.istio.revision if settings.istio else None
    scrapers = settings.istio.metrics_namespaces if settings.istio else ()
    mesh = None
    if settings.istio:
        mesh = IstioMesh(
            "mesh",
            _paths(settings.istio, root),
            on_cluster(),
            cluster_domain=domain,
            istio_cni=facts.istio_cni,
        )
    specs = {spec.name: _workspace(settings, spec) for spec in settings.workspaces}
    namespaces = {name: WorkspaceNamespace(name, args, on_cluster(mesh)) for name, args in specs.items()}
    operator = None
    if settings.self_managed_operator:
        operator = KubeRayOperator(
            "kuberay",
            _operator(settings, root),
            # Its Roles lie in what it watches. Where that is everything, it need not wait for any of them.
            on_cluster(*_watched(settings, namespaces)),
            sidecars=sidecars(settings.istio, facts),
            cluster_domain=domain,
            istio_cni=facts.istio_cni,
            revision=revision,
            metrics_namespaces=scrapers,
            before_pods=_there(mesh),  # its Pod gets a sidecar, which istiod must be there to inject
        )
    workspaces = {
        name: RayWorkspace(name, args, on_cluster(), namespace=namespaces[name], before_pods=_there(operator))
        for name, args in specs.items()
    }
    hub = None
    if settings.jupyterhub:
        hub = JupyterHub(
            "jupyterhub",
            _paths(jupyterhub.in_mesh(settings, settings.jupyterhub), root),
            on_cluster(mesh),
            batch=jupyterhub.batch(settings),
            facts=facts,
            mesh_namespace=settings.istio.namespace if settings.istio else None,
            revision=revision,
            tracing=settings.istio.tracing if settings.istio else None,
        )
    kbatch = None
    if settings.batch:
        args = settings.batch.model_copy(update={"in_mesh": settings.batch.in_mesh and mesh is not None})
        if hub and hub.api_token is not None:
            args = args.model_copy(update={"hub_api_token": hub.api_token})
        kbatch = KbatchProxy(
            "kbatch",
            args,
            on_cluster(mesh),
            around=batch.surroundings(settings),
            rays=batch.rays(settings, workspaces),
        )
    gateway = None
    if settings.gateway and settings.istio:
        made = DashboardGatewayArgs(
            spec=_paths(settings.gateway, root),
            workspaces=settings.workspaces,
            mesh=settings.istio,
            facts=facts,
        )
        gateway = DashboardGateway("gateway", made, on_cluster(mesh))
    observability = None
    if settings.observability and settings.istio:
        seen = MeshObservabilityArgs(
            spec=_paths(settings.observability, root),
            namespaces=_meshed(settings),
            mesh=settings.istio,
            facts=facts,
        )
        # Kiali's and Prometheus' rights lie in the namespaces that they watch.
        after = on_cluster(mesh, operator, kbatch, hub, gateway, *namespaces.values())
        observability = MeshObservability("observability", seen, after)
    return Platform(cluster, mesh, operator, workspaces, kbatch, hub, gateway, observability)


def _there(*resources: pulumi.Resource | None) -> list[pulumi.Resource]:
    return [resource for resource in resources if resource]


def _watched(
    settings: Settings, namespaces: Mapping[str, WorkspaceNamespace]
) -> Iterator[WorkspaceNamespace]:
    """The namespaces in which the operator's chart makes Roles."""
    operator = settings.operator
    by_values = "watchNamespace" in operator.values  # laid over the setting
    return (each for each in namespaces.values() if by_values or each.namespace in operator.watch_namespaces)


def outputs(platform: Platform, settings: Settings) -> dict[str, Any]:
    """The stack's outputs: what a user needs next. Tokens are secret."""
    reached = clusters.access(platform.cluster, settings.cluster)
    if not settings.platform:
        return {"cluster": reached, "weakened": weakened(settings)}
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
    kbatch, gateway = platform.kbatch, platform.gateway
    return {
        "rayClusters": port_forwards,
        "rayTokens": pulumi.Output.secret(tokens),
        "versions": {
            "kuberay": settings.operator_version,
            "istio": settings.istio.version if settings.istio else None,
        },
        "weakened": weakened(settings),
        **({"cluster": reached} if reached else {}),
        **({"kbatch": {"url": kbatch.url, "jupyterhubValues": kbatch.hub_values}} if kbatch else {}),
        **({"jupyterhub": platform.jupyterhub.access} if platform.jupyterhub else {}),
        **({"gateway": _gateway_access(gateway)} if gateway else {}),
        **({"observability": platform.observability.access} if platform.observability else {}),
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


def _gateway_access(gateway: DashboardGateway) -> dict[str, Any]:
    """Where the exposed dashboards are, and how people get there."""
    return {
        "urls": dict(gateway.urls),
        "jwtHeader": gateway.header,
        "service": gateway.service,
        "portForward": gateway.service.apply(
            lambda _: f"kubectl -n {gateway.namespace} port-forward svc/{GATEWAY} 8443:{HTTPS_PORT}"
        ),
    }


def _operator(settings: Settings, root: Path) -> KubeRayOperatorArgs:
    args = _paths(settings.operator, root)
    update: dict[str, Any] = {"in_mesh": args.in_mesh and settings.istio is not None}
    if args.crds:
        update["crds"] = tuple(crd if "://" in crd else str(root / crd) for crd in args.crds)
    return args.model_copy(update=update)


def _paths(args: _Args, root: Path) -> _Args:
    """The arguments with every chart's relative path resolved against ``root``."""
    update: dict[str, Any] = {}
    for name in type(args).model_fields:
        value = getattr(args, name)
        if isinstance(value, Chart):
            update[name] = value.under(root)
        elif isinstance(value, Model):
            update[name] = _paths(value, root)
    return args.model_copy(update=update)


def _in_mesh(mesh: IstioMeshArgs) -> dict[str, Any]:
    return {"mesh_namespace": mesh.namespace, "mesh_revision": mesh.revision, "tracing": mesh.tracing}


def _meshed(settings: Settings) -> tuple[str, ...]:
    """The namespaces of the mesh's workloads."""
    others = (
        settings.operator if settings.self_managed_operator and settings.operator.in_mesh else None,
        settings.kbatch if settings.kbatch and settings.kbatch.in_mesh else None,
        settings.jupyterhub if settings.jupyterhub and settings.jupyterhub.in_mesh else None,
        settings.gateway,
    )
    names = [workspace.namespace_name for workspace in settings.workspaces]
    return (*names, *(other.namespace for other in others if other))


def _workspace(settings: Settings, spec: WorkspaceSpec) -> RayWorkspaceArgs:
    mesh, spec = settings.istio, batch.with_users(settings, spec)
    if settings.observability:
        scrapers = dict.fromkeys([*spec.metrics_namespaces, settings.observability.namespace])
        spec = spec.model_copy(update={"metrics_namespaces": tuple(scrapers)})
    in_mesh = _in_mesh(mesh) if mesh else {"mesh": False}
    return RayWorkspaceArgs(
        spec=spec,
        facts=settings.cluster.facts,
        operator_version=settings.operator_version,
        operator_namespace=settings.operator_namespace,
        image_repository=settings.ray_image,
        gateway=settings.gateway.client if settings.gateway else None,
        exposed=settings.gateway.exposed_in(spec.name) if settings.gateway else (),
        **in_mesh,
    )
