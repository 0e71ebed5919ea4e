"""What a user says about a Ray cluster."""

from math import ceil
from typing import Annotated, Any, Final

from pydantic import AfterValidator, field_validator, model_validator

from rayfort import api_types, versions
from rayfort.metadata import Annotations, Labels
from rayfort.model import (
    Count,
    Cpus,
    DnsLabel,
    EnvName,
    ExtendedResource,
    ImageReference,
    JsonObject,
    Model,
    Quantity,
    Seconds,
    SemVer,
    Written,
    repeated,
)
from rayfort.ray import fault_tolerance, runtime_env_token
from rayfort.ray.auth import TokenAuth, check_environment, check_ray_version
from rayfort.ray.fault_tolerance import GcsFaultTolerance
from rayfort.ray.headless_service import SUFFIX
from rayfort.ray.image import check_image
from rayfort.ray.ports import NodeRole, RayPorts, Traffic, ray_start_params, with_workers_for
from rayfort.ray.secret_key import SecretKeyRef
from rayfort.tolerations import Toleration

# The longest name made from it, the headless Service's, is a DNS label of 63 characters.
MAX_CLUSTER_NAME: Final = 63 - len(SUFFIX)


def _cluster_name(value: str) -> str:
    if len(value) > MAX_CLUSTER_NAME:
        raise ValueError(
            f"is {len(value)} characters long; use at most {MAX_CLUSTER_NAME}, since the names of "
            "Services are made from it"
        )
    return value


# `ray start` parameters that Rayfort or KubeRay derives, beside those of the port table.
_OTHERWISE_DERIVED: Final = frozenset({"node-ip-address", "num-cpus", "worker-port-list", "head", "address"})

# KubeRay pastes both into one line of a shell.
StartParameter = Annotated[
    str, Written(r"[a-z][-a-z0-9]*", "is not a parameter of `ray start`; write it without the leading dashes")
]
OneLine = Annotated[str, Written(r"[^\r\n]*", "has a line break, which ends the command; remove it")]
ClusterName = Annotated[DnsLabel, AfterValidator(_cluster_name)]


class Resources(Model):
    """Requests and limits of a Ray container; both are set to the same values.

    Args:
        cpu: CPUs, such as ``2`` or ``500m``.
        memory: memory, such as ``8Gi``.
        gpu: number of GPUs; 0 for none.
        gpu_resource: the extended resource that counts them.
    """

    cpu: Cpus = "1"
    memory: Quantity = "4Gi"
    gpu: Count = 0
    gpu_resource: ExtendedResource = "nvidia.com/gpu"

    @property
    def quantities(self) -> dict[str, str]:
        """The resource list of a container."""
        gpus = {self.gpu_resource: str(self.gpu)} if self.gpu else {}
        return {"cpu": self.cpu, "memory": self.memory, **gpus}

    @property
    def ray_cpus(self) -> int:
        """CPUs that Ray schedules on: whole ones, at least one (Ray rounds fractions up)."""
        value = float(self.cpu[:-1]) / 1000 if self.cpu.endswith("m") else float(self.cpu)
        return max(1, ceil(value))


class RayNode(Model):
    """What head and workers have in common.

    Args:
        resources: requests and limits.
        num_cpus: CPUs that Ray schedules on; by default those of ``resources``. 0 keeps work off a node.
        ray_start_params: further parameters of ``ray start``; ports and node address are Rayfort's.
        env: environment variables (no secrets, and none of ``RAY_AUTH_*``).
        labels, annotations: for the Pod.
        node_pool: the node pool that the Pod runs on, by the name that the cluster's facts know it by; node
            selector, tolerations and accelerators follow from it.
        node_selector, tolerations, affinity: where the Pod may run.
        service_account: a service account that exists already; by default the workspace's own.
        pod_spec: anything else of the Pod's spec, laid over what Rayfort computes.
    """

    resources: Resources = Resources()
    num_cpus: Count | None = None
    ray_start_params: dict[StartParameter, OneLine] = {}
    env: dict[EnvName, str] = {}
    labels: Labels = {}
    annotations: Annotations = {}
    node_pool: DnsLabel | None = None
    node_selector: Labels = {}
    tolerations: tuple[Toleration, ...] = ()
    affinity: JsonObject | None = None
    service_account: DnsLabel | None = None
    pod_spec: JsonObject = {}

    @field_validator("env")
    @classmethod
    def _no_auth_variables(cls, value: dict[str, str]) -> dict[str, str]:
        check_environment(list(value))
        fault_tolerance.check_names("the variable", value, fault_tolerance.OWN_VARIABLES)
        if runtime_env_token.VARIABLE in value:
            raise ValueError(
                f"{runtime_env_token.VARIABLE} is a secret, which the Pod's spec would show; put "
                "it into a Secret and name that in `runtimeEnvToken` of the cluster"
            )
        return value

    @field_validator("annotations")
    @classmethod
    def _no_fault_tolerance(cls, value: dict[str, str]) -> dict[str, str]:
        fault_tolerance.check_names("the annotation", value, fault_tolerance.OWN_ANNOTATIONS)
        return value

    @field_validator("ray_start_params")
    @classmethod
    def _no_derived_params(cls, value: dict[str, str]) -> dict[str, str]:
        fault_tolerance.check_names("the parameter", value, fault_tolerance.OWN_PARAMETERS)
        derived = {*ray_start_params(RayPorts(), NodeRole.HEAD), *_OTHERWISE_DERIVED}
        for name in value:
            if name in derived:
                raise ValueError(
                    f"{name} is derived from `ports`, `traffic` or `numCpus`, so that Services and policies "
                    "agree with it; set it there"
                )
        return value

    @field_validator("pod_spec")
    @classmethod
    def _no_containers(cls, value: JsonObject) -> JsonObject:
        if "containers" in value:
            raise ValueError(
                "containers is computed (KubeRay takes the first container for Ray); use env, resources and "
                "annotations, or `initContainers` and `volumes` for additions"
            )
        for name in ("initContainers", "volumes"):
            entries = value.get(name, [])
            if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
                raise ValueError(f"{name} must be a list of objects with keys")
        for name in ("serviceAccountName", "serviceAccount"):
            if name in value:
                raise ValueError(
                    f"{name} is the Pod's identity in the mesh, which policies name; set `serviceAccount` of "
                    "the node instead"
                )
        return api_types.check(value, "core.v1.PodSpec")

    @field_validator("affinity")
    @classmethod
    def _affinity(cls, value: JsonObject | None) -> JsonObject | None:
        return api_types.check(value, "core.v1.Affinity") if value else value


class HeadNode(RayNode):
    """The head node."""


class WorkerGroup(RayNode):
    """A group of equal workers.

    Args:
        name: the group's name.
        replicas: how many workers to start with.
        min_replicas, max_replicas: bounds for the autoscaler; both default to ``replicas``.
    """

    name: DnsLabel
    replicas: Count = 1
    min_replicas: Count | None = None
    max_replicas: Count | None = None

    @model_validator(mode="after")
    def _bounds(self) -> "WorkerGroup":
        low, high = self.bounds
        if not low <= self.replicas <= high:
            raise ValueError(
                f"replicas ({self.replicas}) must be between minReplicas ({low}) and maxReplicas ({high})"
            )
        return self

    @property
    def bounds(self) -> tuple[int, int]:
        """The least and the greatest number of workers."""
        low = self.replicas if self.min_replicas is None else self.min_replicas
        high = self.replicas if self.max_replicas is None else self.max_replicas
        return low, high


class RayClusterSpec(Model):
    """A Ray cluster, as a workspace lists it.

    Args:
        name: the RayCluster's name.
        ray_version: the version of Ray in the image, 2.52.0 or newer. KubeRay never looks into the image, and
            the image's tag is this version unless ``image`` says otherwise.
        image: a whole image reference. Where its tag names a version, it must be ``ray_version``; where it
            names none, ``ray_version`` must be stated, and Pods look into the image before Ray starts.
        traffic: ``l4`` or ``l7``.
        ports: port numbers; where ``max_worker`` is left out, the worker range follows the CPUs of the
            largest node.
        head: the head node.
        worker_groups: the groups of workers, each name once.
        autoscaling: whether Ray's autoscaler changes ``replicas`` between the bounds.
        auth: token authentication.
        netrc: whether nodes mount the workspace's netrc Secret, where it has one.
        runtime_env_token: a Secret with a bearer token that Ray sends to every host from which a
            ``runtime_env`` takes files; Ray 2.55.0 or newer.
        gcs_fault_tolerance: a Redis that keeps Ray's state; by default it is lost with the head.
        wait_seconds: how long ``up`` waits for the cluster, in seconds.
    """

    name: ClusterName
    ray_version: SemVer = versions.RAY
    image: ImageReference | None = None
    traffic: Traffic = Traffic.L4
    ports: RayPorts | None = None
    head: HeadNode = HeadNode()
    worker_groups: tuple[WorkerGroup, ...] = ()
    autoscaling: bool = False
    auth: TokenAuth = TokenAuth()
    netrc: bool = True
    runtime_env_token: SecretKeyRef | None = None
    gcs_fault_tolerance: GcsFaultTolerance | None = None
    wait_seconds: Seconds = 900

    @field_validator("ray_version")
    @classmethod
    def _has_token_auth(cls, value: str) -> str:
        check_ray_version(value)
        return value

    @field_validator("worker_groups")
    @classmethod
    def _unique_groups(cls, value: tuple[WorkerGroup, ...]) -> tuple[WorkerGroup, ...]:
        if name := repeated(group.name for group in value):
            raise ValueError(f"worker group {name} stands twice; give each its own name")
        return value

    @model_validator(mode="after")
    def _ports_fit(self) -> "RayClusterSpec":
        _ = self.effective_ports
        return self

    @model_validator(mode="after")
    def _version_fits(self) -> "RayClusterSpec":
        if self.image:
            check_image(self.image, self.ray_version, stated="ray_version" in self.model_fields_set)
        runtime_env_token.check(self.runtime_env_token, self.ray_version)
        return self

    @property
    def effective_ports(self) -> RayPorts:
        """The ports in force: those given, or the defaults with a worker range for the largest node."""
        return with_workers_for(self.ports or RayPorts(), max(self._node_cpus))

    @property
    def _node_cpus(self) -> list[int]:
        nodes: list[RayNode] = [self.head, *self.worker_groups]
        return [node.num_cpus if node.num_cpus is not None else node.resources.ray_cpus for node in nodes]

    def image_reference(self, repository: str) -> str:
        """The image to run: the one given, or ``repository`` with the Ray version as its tag."""
        return self.image or f"{repository}:{self.ray_version}"


def stated(values: dict[str, Any]) -> dict[str, Any]:
    """Drop what is unset, so that a manifest says only what was meant."""
    return {key: value for key, value in values.items() if value not in (None, (), {}, [])}
