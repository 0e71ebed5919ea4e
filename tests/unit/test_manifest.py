"""What a RayCluster object says, and the component that makes it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from rayfort import RayCluster, RayClusterArgs, RayClusterSpec, Resources, TokenSource, Traffic, WorkerGroup
from rayfort.ray.headless_service import service_host, service_name
from rayfort.ray.manifest import Surroundings, head_service, ray_cluster_spec
from rayfort.ray.ports import RayPorts
from rayfort.ray.spec import MAX_CLUSTER_NAME

from tests.unit import samples
from tests.unit.recorder import RANDOM_PASSWORD, RAY_CLUSTER, SECRET_OBJECT, UNKNOWN, Recorded, Run, record

DNS_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")


def surroundings(**changed: Any) -> Surroundings:
    usual: dict[str, Any] = {
        "namespace": "team",
        "operator_version": "1.6.2",
        "image_repository": "docker.io/rayproject/ray",
        "cluster_domain": "cluster.local",
        "token_source": TokenSource.SECRET_NAME,
        "token_secret": "ray-auth-1a2b3c4d",
        "netrc_secret": None,
        "head_service_account": None,
        "worker_service_account": None,
    }
    return Surroundings(**{**usual, **changed})


def body(spec: RayClusterSpec | None = None, **around: Any) -> Any:
    return ray_cluster_spec(spec or samples.ray_spec(), surroundings(**around))


def nodes(manifest: Any) -> list[Any]:
    """The head group and every worker group."""
    return [manifest["headGroupSpec"], *manifest["workerGroupSpecs"]]


def containers(manifest: Any) -> list[Any]:
    return [node["template"]["spec"]["containers"][0] for node in nodes(manifest)]


def variables(container: Any) -> dict[str, Any]:
    return {entry["name"]: entry for entry in container.get("env", [])}


def make(
    *, preview: bool = False, operator: str = "1.6.2", spec: RayClusterSpec | None = None, **args: Any
) -> Run:
    return record(
        lambda: RayCluster(
            "ray",
            RayClusterArgs(
                spec=spec or samples.ray_spec(), namespace="team", operator_version=operator, **args
            ),
            samples.on_cluster(),
        ),
        preview=preview,
    )


def ray_cluster(**args: Any) -> Recorded:
    return make(**args).one(RAY_CLUSTER)


# What the object says.


def test_ray_runs_in_the_first_container_of_every_pod() -> None:
    """KubeRay takes the container with index 0 for Ray, whatever its name."""
    for node in nodes(body()):
        assert len(node["template"]["spec"]["containers"]) == 1
    assert [container["name"] for container in containers(body())] == ["ray-head", "ray-worker", "ray-worker"]


def test_the_image_is_of_the_stated_version() -> None:
    """KubeRay does not look into the image: the version must come from one value."""
    manifest = body(samples.ray_spec(ray_version="2.60.0"), image_repository="mirror.example/ray")
    assert manifest["rayVersion"] == "2.60.0"
    assert {container["image"] for container in containers(manifest)} == {"mirror.example/ray:2.60.0"}


def test_an_image_of_ones_own_is_taken_as_it_is() -> None:
    """A site builds its own image, pinned by digest."""
    image = "registry.example/team/ray@sha256:" + "0" * 64
    spec = samples.ray_spec(image=image, ray_version="2.60.0")
    assert {container["image"] for container in containers(body(spec))} == {image}


@pytest.mark.parametrize("operator", ["1.6.0", "1.6.2", "1.7.0"])
def test_changed_specs_reach_running_pods(operator: str) -> None:
    """Without `Recreate` a rotated token stays out of the Pods that run."""
    assert body(operator_version=operator)["upgradeStrategy"] == {"type": "Recreate"}


def test_operators_that_do_not_know_the_strategy_are_not_told() -> None:
    """The API server would drop or refuse an unknown field."""
    assert "upgradeStrategy" not in body(operator_version="1.5.1", token_source=TokenSource.OPERATOR)


def test_explicit_variables_are_on_head_and_every_worker_group() -> None:
    """Each Ray process checks the token for itself."""
    manifest = body(operator_version="1.4.2", token_source=TokenSource.ENV)
    assert "authOptions" not in manifest
    for container in containers(manifest):
        assert variables(container)["RAY_AUTH_MODE"]["value"] == "token"
        assert variables(container)["RAY_AUTH_TOKEN"]["valueFrom"]["secretKeyRef"] == {
            "name": "ray-auth-1a2b3c4d",
            "key": "auth_token",
        }


def test_node_addresses_are_names_in_layer_7_only() -> None:
    """Istio routes gRPC by name: a raw address would leave the mesh as plaintext."""
    host = "${POD_IP//[.:]/-}.ray-headless-svc.team.svc.cluster.local"
    for node in nodes(body(samples.ray_spec(traffic=Traffic.L7))):
        assert node["rayStartParams"]["node-ip-address"] == host
        container = node["template"]["spec"]["containers"][0]
        assert variables(container)["POD_IP"]["valueFrom"] == {"fieldRef": {"fieldPath": "status.podIP"}}
    for node in nodes(body()):
        assert "node-ip-address" not in node["rayStartParams"]
        assert "POD_IP" not in variables(node["template"]["spec"]["containers"][0])


def test_the_address_names_the_headless_service_in_the_clusters_zone() -> None:
    """The seed writes the namespace and cluster.local by hand."""
    manifest = body(samples.ray_spec(traffic=Traffic.L7), namespace="other", cluster_domain="corp.example")
    address = manifest["headGroupSpec"]["rayStartParams"]["node-ip-address"]
    assert address.endswith("." + service_host("ray", "other", "corp.example"))
    assert address.endswith(".ray-headless-svc.other.svc.corp.example")


def test_start_parameters_are_text() -> None:
    """KubeRay's rayStartParams map text to text; a number is refused by the API server."""
    for node in nodes(body()):
        assert all(isinstance(value, str) for value in node["rayStartParams"].values())


def test_every_pod_is_hardened() -> None:
    """No root, no new privileges, no capabilities, the runtime's seccomp profile."""
    for node in nodes(body()):
        pod = node["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["containers"][0]["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }


def test_only_an_autoscaling_head_gets_a_token_of_the_api_server() -> None:
    """Users' code runs in these Pods and could use it."""
    still = [node["template"]["spec"]["automountServiceAccountToken"] for node in nodes(body())]
    scaling = [
        node["template"]["spec"]["automountServiceAccountToken"]
        for node in nodes(body(samples.ray_spec(autoscaling=True)))
    ]
    assert still == [False, False, False]
    assert scaling == [True, False, False]


def test_every_cluster_has_a_name_of_its_own_in_the_mesh() -> None:
    """KubeRay's label would show all clusters as one workload named kuberay."""
    for node in nodes(body()):
        assert node["template"]["metadata"]["labels"]["service.istio.io/canonical-name"] == "ray"


def test_prometheus_finds_ray_s_metrics() -> None:
    """In a mesh istiod reads them, and puts the port of the merged metrics in their place."""
    for node in nodes(body(samples.ray_spec(ports=RayPorts(metrics_export=9999)))):
        assert node["template"]["metadata"]["annotations"] == {
            "prometheus.io/scrape": "true",
            "prometheus.io/port": "9999",
            "prometheus.io/path": "/metrics",
        }


def test_pods_are_replaced_when_their_istiod_changes() -> None:
    """KubeRay looks at the template alone; the namespace's label would leave old sidecars where they are."""
    for node in nodes(body(mesh_revision="1-31-0")):
        assert node["template"]["metadata"]["labels"]["istio.io/rev"] == "1-31-0"
    for node in nodes(body()):
        assert "istio.io/rev" not in node["template"]["metadata"]["labels"]


def test_requests_equal_limits() -> None:
    """Ray counts what it was promised: a Pod that is squeezed later fails with its tasks."""
    spec = samples.ray_spec(
        worker_groups=(WorkerGroup(name="gpu", resources=Resources(cpu="8", memory="32Gi", gpu=2)),)
    )
    resources = containers(body(spec))[1]["resources"]
    assert resources["requests"] == resources["limits"]
    assert resources["limits"] == {"cpu": "8", "memory": "32Gi", "nvidia.com/gpu": "2"}


def test_additions_to_a_pod_keep_what_rayfort_computes() -> None:
    """A volume of the user's must not push the netrc volume out."""
    spec = samples.ray_spec(
        head={"pod_spec": {"volumes": [{"name": "data"}], "hostAliases": [{"ip": "10.0.0.1"}]}}
    )
    pod = nodes(body(spec, netrc_secret="netrc-secret"))[0]["template"]["spec"]
    assert [volume["name"] for volume in pod["volumes"]] == ["netrc-kuberay", "data"]
    assert pod["hostAliases"] == [{"ip": "10.0.0.1"}]
    assert pod["containers"][0]["name"] == "ray-head"


def test_identities_are_separate_for_head_and_workers() -> None:
    """The mesh knows Pods by their service account: a worker is no head."""
    manifest = body(head_service_account="ray-head", worker_service_account="ray-worker")
    accounts = [node["template"]["spec"]["serviceAccountName"] for node in nodes(manifest)]
    assert accounts == ["ray-head", "ray-worker", "ray-worker"]


@pytest.mark.parametrize(
    ("cpu", "cpus"), [("1", 1), ("500m", 1), ("1500m", 2), ("2.5", 3), ("8", 8), ("100m", 1)]
)
def test_ray_counts_whole_cpus(cpu: str, cpus: int) -> None:
    """The worker port range follows them."""
    assert Resources(cpu=cpu).ray_cpus == cpus


def test_bounds_default_to_the_replicas() -> None:
    """Without an autoscaler KubeRay wants both bounds."""
    groups = body()["workerGroupSpecs"]
    assert [(group["minReplicas"], group["replicas"], group["maxReplicas"]) for group in groups] == [
        (1, 1, 1),
        (2, 2, 2),
    ]


@given(
    st.integers(1, MAX_CLUSTER_NAME).flatmap(
        lambda size: st.from_regex(rf"[a-z][a-z0-9]{{{size - 1}}}", fullmatch=True)
    )
)
def test_names_made_from_a_clusters_name_are_valid_services(name: str) -> None:
    """Kubernetes refuses a Service whose name is no DNS label of 63 characters."""
    spec = RayClusterSpec(name=name)
    for made in (service_name(spec.name), head_service(spec.name)):
        assert DNS_LABEL.fullmatch(made)
        assert len(made) <= 63


def test_the_longest_name_is_the_limit() -> None:
    """One more, and the headless Service could not be made; KubeRay cuts names of Pods after 50."""
    assert len(service_name("a" * MAX_CLUSTER_NAME)) == 63
    assert MAX_CLUSTER_NAME <= 50
    with pytest.raises(ValidationError, match="use at most 50"):
        RayClusterSpec(name="a" * (MAX_CLUSTER_NAME + 1))


# The component.


def test_other_namespaces_do_not_see_the_headless_service() -> None:
    """The operator's sidecar and gateways would else keep a listener for each port of each team's nodes."""
    services = make().all("Service")
    assert [service.inputs["metadata"]["annotations"] for service in services] == [
        {"networking.istio.io/exportTo": "."}
    ]


def test_token_and_headless_service_precede_the_cluster(preview: bool) -> None:
    """Pods refer to the Secret, and Istio takes a port's protocol from its oldest Service."""
    run = make(preview=preview)
    before = run.before(run.one(RAY_CLUSTER))
    for needed in (run.one(SECRET_OBJECT), run.one("Service"), run.one(RANDOM_PASSWORD)):
        assert needed.urn in before


@pytest.mark.parametrize(
    ("operator", "options"), [("1.5.1", {"mode": "token"}), ("1.5.2", {"mode": "token"}), ("1.4.2", None)]
)
def test_older_operators_get_their_recipe(preview: bool, operator: str, options: object) -> None:
    """1.5.1 makes the Secret itself; before, variables name a Secret that Pulumi makes."""
    run = make(preview=preview, operator=operator)
    assert run.one(RAY_CLUSTER).inputs["spec"].get("authOptions") == options
    assert len(run.all(SECRET_OBJECT)) == (0 if options else 1)


def test_the_cluster_refers_to_the_secret_by_its_name(preview: bool) -> None:
    """The name is known once the token is; until then the preview leaves it open."""
    run = make(preview=preview)
    name = run.one(SECRET_OBJECT).object_name
    assert run.one(RAY_CLUSTER).inputs["spec"]["authOptions"] == {"mode": "token", "secretName": name}
    assert (name == UNKNOWN) == preview


def test_a_rotated_token_changes_the_cluster() -> None:
    """A RayCluster that stays as it is keeps its Pods, with the old token."""
    specs = [
        ray_cluster(spec=samples.ray_spec(auth={"rotation": rotation})).inputs["spec"]
        for rotation in ("1", "2")
    ]
    assert specs[0] != specs[1]


def test_the_update_waits_until_the_cluster_is_provisioned() -> None:
    """KubeRay refuses a bad spec by an event only: without waiting `up` would succeed."""
    cluster = ray_cluster()
    assert cluster.inputs["metadata"]["annotations"] == {
        "pulumi.com/waitFor": "condition=RayClusterProvisioned"
    }
    assert cluster.request.customTimeouts.create == "900s"


def test_what_the_autoscaler_writes_is_left_alone() -> None:
    """Otherwise every `up` would undo its scaling."""
    scaling = ray_cluster(spec=samples.ray_spec(autoscaling=True))
    assert set(scaling.request.ignoreChanges) == {
        f"spec.workerGroupSpecs[{index}].{field}"
        for index in (0, 1)
        for field in ("replicas", "scaleStrategy")
    }
    assert scaling.inputs["spec"]["enableInTreeAutoscaling"] is True
    assert not ray_cluster().request.ignoreChanges


def test_a_source_that_the_operator_cannot_do_registers_nothing() -> None:
    """A component that fails half-way leaves half of itself behind."""
    run = record(
        lambda: RayCluster(
            "ray",
            RayClusterArgs(
                spec=samples.ray_spec(auth={"source": "secret-name"}),
                namespace="team",
                operator_version="1.5.1",
            ),
        ),
        catch=True,
    )
    assert isinstance(run.error, ValueError)
    assert not run.resources


def test_addresses_are_those_of_kuberays_head_service() -> None:
    """Users connect to what KubeRay makes."""
    run = make()
    outputs = next(value for urn, value in run.registered_outputs.items() if urn.endswith("RayCluster::ray"))
    assert outputs["headService"] == "ray-head-svc"
    assert outputs["address"] == "ray://ray-head-svc.team.svc.cluster.local:10001"
    assert outputs["dashboardUrl"] == "http://ray-head-svc.team.svc.cluster.local:8265"


def test_the_service_of_the_operators_own_secret_is_named() -> None:
    """Where the operator makes the Secret, it is named after the cluster."""
    run = make(operator="1.5.1")
    outputs = next(value for urn, value in run.registered_outputs.items() if urn.endswith("RayCluster::ray"))
    assert outputs["tokenSecret"] == "ray"
