"""What stands in a workspace, for the seed's recipe as written and for Rayfort's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from rayfort import labels
from rayfort.mesh import membership, mtls
from rayfort.model import JsonObject
from rayfort.ray import headless_service, manifest
from rayfort.ray.auth import TokenSource
from rayfort.ray.ports import RayPorts, Traffic
from rayfort.ray.spec import HeadNode, RayClusterSpec, Resources, WorkerGroup
from rayfort.workspace import (
    RayWorkspaceArgs,
    WorkspaceSpec,
    head_account,
    mesh_policies,
    namespace_labels,
    worker_account,
)

from infra.settings import Settings

# Seed 002, step 4: the port, its name and what the seed says is spoken on it.
SEED_CLUSTER: Final = "raycluster-istio"
SEED_PORTS: Final = (
    ("node-manager-port", 6380, "grpc"),
    ("object-manager-port", 6381, "grpc"),
    ("runtime-env-agent-port", 6382, "grpc"),
    ("dashboard-agent-grpc-port", 6383, "grpc"),
    ("dashboard-agent-listen-port", 52365, "http"),
    ("metrics-export-port", 8080, "http"),
    *((f"p{number}", number, "grpc") for number in range(10002, 10013)),
)
SEED_RAY: Final = "2.46.0"
OUR_CLUSTER: Final = "ray"
GROUP: Final = "small-group"
# Nothing runs, and hundreds of Pods have to fit on the simulated nodes.
_TINY: Final = {"cpu": "10m", "memory": "16Mi"}

Objects = Callable[[str, int], list[JsonObject]]


@dataclass(frozen=True)
class Recipe:
    """One way to put a Ray cluster into a mesh.

    Attributes:
        name: ``seed``, ``l4`` or ``l7``.
        title: for people.
        ours: whether it must stay flat.
        cluster: the name of the RayCluster.
        objects: everything in a namespace, in the order of its making, for a number of workers.
    """

    name: str
    title: str
    ours: bool
    cluster: str
    objects: Objects


def recipes(settings: Settings) -> tuple[Recipe, ...]:
    """The seed's recipe, and ours in both modes.

    Args:
        settings: of the platform on which they are put.
    """
    return (
        Recipe("seed", "seed 002 as written", False, SEED_CLUSTER, _seed(settings)),
        *(
            Recipe(traffic.value, f"Rayfort, {traffic.value}", True, OUR_CLUSTER, _ours(settings, traffic))
            for traffic in Traffic
        ),
    )


def _seed(settings: Settings) -> Objects:
    """Seed 002: a namespace that injects, STRICT, the headless Service with 17 ports, and a RayCluster.

    Its label is the one with which this platform's istiod takes note of a namespace.
    """

    def objects(namespace: str, workers: int) -> list[JsonObject]:
        return [
            _object(
                "v1", "Namespace", namespace, with_labels=membership.namespace_labels(settings.mesh.revision)
            ),
            _object(
                mtls.SECURITY_API,
                "PeerAuthentication",
                "default",
                namespace,
                spec={"mtls": {"mode": "STRICT"}},
            ),
            _object(
                "v1",
                "Service",
                f"{SEED_CLUSTER}-headless-svc",
                namespace,
                with_labels={"ray.io/headless-worker-svc": SEED_CLUSTER},
                spec={
                    "clusterIP": "None",
                    "selector": {"ray.io/cluster": SEED_CLUSTER},
                    "publishNotReadyAddresses": True,
                    "ports": [
                        {"name": name, "port": port, "appProtocol": protocol}
                        for name, port, protocol in SEED_PORTS
                    ],
                },
            ),
            _object(
                manifest.API_VERSION,
                manifest.KIND,
                SEED_CLUSTER,
                namespace,
                spec=_seed_cluster(namespace, workers),
            ),
        ]

    return objects


def _seed_cluster(namespace: str, workers: int) -> JsonObject:
    numbers = {name: str(port) for name, port, _ in SEED_PORTS if not name.startswith("p1")}
    address = "$(hostname -I | tr -d ' ' | sed 's/\\./-/g')"
    params = {
        "num-cpus": "1",
        **numbers,
        "max-worker-port": "10012",
        "node-ip-address": f"{address}.{SEED_CLUSTER}-headless-svc.{namespace}.svc.cluster.local",
    }

    def template(container: str) -> JsonObject:
        resources = {"requests": _TINY, "limits": _TINY}
        image = f"rayproject/ray:{SEED_RAY}"
        return {"spec": {"containers": [{"name": container, "image": image, "resources": resources}]}}

    return {
        "rayVersion": SEED_RAY,
        "headGroupSpec": {"rayStartParams": params, "template": template("ray-head")},
        "workerGroupSpecs": [
            {
                "groupName": GROUP,
                "replicas": workers,
                "minReplicas": workers,
                "maxReplicas": workers,
                "rayStartParams": params,
                "template": template("ray-worker"),
            }
        ],
    }


def _ours(settings: Settings, traffic: Traffic) -> Objects:
    """A workspace as Rayfort makes it, with the seed's 17 ports, without what a sidecar is never told of.

    That is NetworkPolicies, quota and Secrets.
    """

    def objects(namespace: str, workers: int) -> list[JsonObject]:
        cluster = _our_cluster(traffic, workers)
        args = RayWorkspaceArgs(
            spec=WorkspaceSpec(name=namespace, clusters=(cluster,)),
            facts=settings.cluster.facts,
            operator_version=settings.operator.version,
            operator_namespace=settings.operator.namespace,
            mesh_namespace=settings.mesh.namespace,
            mesh_revision=settings.mesh.revision,
            tracing=settings.mesh.tracing,
        )
        return [
            _object("v1", "Namespace", namespace, with_labels=namespace_labels(args)),
            *(
                _object("v1", "ServiceAccount", account(cluster.name), namespace)
                for account in (head_account, worker_account)
            ),
            *(
                _object(api_version, kind, name, namespace, spec=spec)
                for api_version, kind, name, spec in mesh_policies(args)
            ),
            _object(
                "v1",
                "Service",
                headless_service.service_name(cluster.name),
                namespace,
                with_labels={labels.RAY_HEADLESS_WORKER_SERVICE: cluster.name},
                spec=headless_service.service_spec(cluster.name, cluster.effective_ports, traffic),
            ),
            _object(
                manifest.API_VERSION,
                manifest.KIND,
                cluster.name,
                namespace,
                spec=manifest.ray_cluster_spec(cluster, _surroundings(args)),
            ),
        ]

    return objects


def _our_cluster(traffic: Traffic, workers: int) -> RayClusterSpec:
    tiny = Resources(**_TINY)
    return RayClusterSpec(
        name=OUR_CLUSTER,
        traffic=traffic,
        ports=RayPorts(min_worker=10002, max_worker=10012),
        head=HeadNode(resources=tiny),
        worker_groups=(WorkerGroup(name=GROUP, replicas=workers, resources=tiny),),
    )


def _surroundings(args: RayWorkspaceArgs) -> manifest.Surroundings:
    return manifest.Surroundings(
        namespace=args.spec.namespace_name,
        operator_version=args.operator_version,
        image_repository=args.image_repository,
        cluster_domain=args.facts.cluster_domain,
        token_source=TokenSource.OPERATOR,
        token_secret=None,
        netrc_secret=None,
        head_service_account=head_account(OUR_CLUSTER),
        worker_service_account=worker_account(OUR_CLUSTER),
        mesh_revision=args.revision,
    )


def _object(
    api_version: str,
    kind: str,
    name: str,
    namespace: str | None = None,
    *,
    with_labels: dict[str, str] | None = None,
    spec: Any = None,
) -> JsonObject:
    metadata = dict(_stated(name=name, namespace=namespace, labels=with_labels))
    return dict(_stated(apiVersion=api_version, kind=kind, metadata=metadata, spec=spec))


def _stated(**values: Any) -> Iterator[tuple[str, Any]]:
    return ((key, value) for key, value in values.items() if value is not None)
