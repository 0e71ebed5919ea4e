"""Which level of Pod security a namespace is held to, and what Pods and the mesh do to reach it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from rayfort import (
    ClusterFacts,
    HeadNode,
    IstioMesh,
    IstioMeshArgs,
    KbatchProxy,
    KubeRayOperator,
    KubeRayOperatorArgs,
    RayCluster,
    RayClusterArgs,
    RayWorkspaceArgs,
    WorkerGroup,
)
from rayfort.chart import Chart
from rayfort.mesh.cni import CniPlugin
from rayfort.mesh.istio import istiod_values
from rayfort.pod_security import PodSecurity
from rayfort.proxy.kbatch_users import Surroundings
from rayfort.workspace import namespace_labels

from infra.problems import SettingsError
from infra.reading import parse
from sandbox.images import catalog
from sandbox.node import config
from sandbox.platform_images import images_of
from sandbox.stack import values
from tests.unit import samples
from tests.unit.recorder import NAMESPACE_OBJECT, RAY_CLUSTER, RELEASE, Recorded, Run, record

ENFORCE = "pod-security.kubernetes.io/enforce"
PLUGIN = ClusterFacts(istio_cni=True)
CLUSTER = {"kubeconfigPath": "~/.kube/config", "context": "c"}


def level(facts: ClusterFacts | None = None, *, mesh: bool = True, said: str | None = None) -> str:
    spec = samples.workspace_spec(pod_security=said)
    return namespace_labels(RayWorkspaceArgs(spec=spec, facts=facts or ClusterFacts(), mesh=mesh))[ENFORCE]


def stack(facts: dict[str, Any] | None = None, **laid_over: Any) -> Any:
    return parse({"cluster": {**CLUSTER, "facts": facts or {}}, **laid_over})


def problems(facts: dict[str, Any] | None = None, **laid_over: Any) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        stack(facts, **laid_over)
    return [str(problem) for problem in refused.value.problems]


def release(run: Run, name: str) -> Recorded:
    (found,) = [item for item in run.all(RELEASE) if item.inputs["name"] == name]
    return found


def mesh_run(args: IstioMeshArgs | None = None, *, istio_cni: bool, preview: bool = False) -> Run:
    return record(
        lambda: IstioMesh("mesh", args or IstioMeshArgs(), samples.on_cluster(), istio_cni=istio_cni),
        preview=preview,
    )


# --- the level


def test_namespaces_are_restricted_where_nodes_take_the_plugin() -> None:
    assert level(PLUGIN) == "restricted"


def test_without_the_plugin_only_the_weakest_level_works() -> None:
    """`istio-init` needs NET_ADMIN and NET_RAW, and `baseline` forbids both: nothing lies between."""
    assert level() == "privileged"


def test_without_a_mesh_nothing_needs_more() -> None:
    assert level(mesh=False) == "restricted"


@pytest.mark.parametrize("said", PodSecurity)
def test_a_level_that_pods_can_start_at_is_taken(said: PodSecurity) -> None:
    assert level(PLUGIN, said=said.value) == said.value
    assert level(mesh=False, said=said.value) == said.value


@pytest.mark.parametrize("said", ["baseline", "restricted"])
def test_a_level_at_which_no_pod_would_start_is_refused(said: str) -> None:
    """Kubernetes would take the namespace and refuse its Pods, and Ray clusters would wait for ever."""
    with pytest.raises(ValidationError, match=rf"{said} forbids NET_ADMIN and NET_RAW.*istioCni"):
        level(said=said)
    (problem,) = problems(workspaces=[{"name": "a"}, {"name": "b", "podSecurity": said}])
    assert problem.startswith("rayfort:workspaces[1].podSecurity")
    assert "cluster.facts.istioCni" in problem
    assert stack({"istioCni": True}, workspaces=[{"name": "b", "podSecurity": said}])
    assert stack(workspaces=[{"name": "b", "podSecurity": said}], mesh={"enabled": False})


@pytest.mark.parametrize("setting", ["hostNetwork", "hostPID", "hostIPC"])
def test_pods_that_their_namespace_would_refuse_are_refused_at_once(setting: str) -> None:
    workspace = {"name": "a", "clusters": [{"name": "ray", "head": {"podSpec": {setting: True}}}]}
    (problem,) = problems({"istioCni": True}, workspaces=[workspace])
    assert problem.startswith(f"rayfort:workspaces[0].clusters[0].head.podSpec.{setting}")
    assert "restricted forbids it" in problem
    assert stack(workspaces=[workspace])
    assert stack({"istioCni": True}, workspaces=[{**workspace, "podSecurity": "privileged"}])


@pytest.mark.parametrize(
    ("istio_cni", "in_mesh", "expected"),
    [
        (True, True, "restricted"),
        (False, False, "restricted"),
        (True, False, "restricted"),
        (False, True, "privileged"),
    ],
)
def test_the_platforms_own_namespaces_follow_the_same_rule(
    istio_cni: bool, in_mesh: bool, expected: str
) -> None:
    operator = record(
        lambda: KubeRayOperator(
            "kuberay", KubeRayOperatorArgs(in_mesh=in_mesh), samples.on_cluster(), istio_cni=istio_cni
        )
    )
    assert operator.one(NAMESPACE_OBJECT).inputs["metadata"]["labels"][ENFORCE] == expected
    proxy = record(
        lambda: KbatchProxy(
            "kbatch",
            samples.kbatch_args(in_mesh=in_mesh),
            samples.on_cluster(),
            around=Surroundings(facts=ClusterFacts(istio_cni=istio_cni)),
        )
    )
    levels = {
        item.object_name: item.inputs["metadata"]["labels"][ENFORCE] for item in proxy.all(NAMESPACE_OBJECT)
    }
    assert levels.pop("batch-system") == expected
    # Images of kbatch's users often run as root, which `restricted` refuses.
    assert set(levels.values()) == {"privileged" if expected == "privileged" else "baseline"}


# --- the Pods


def ray_cluster(**settings: Any) -> dict[str, Any]:
    spec = samples.ray_spec(**settings)
    args = RayClusterArgs(spec=spec, namespace="team")
    run = record(lambda: RayCluster("ray", args, samples.on_cluster()))
    found: dict[str, Any] = run.one(RAY_CLUSTER).inputs["spec"]
    return found


def meets_restricted(pod: dict[str, Any], container: dict[str, Any]) -> bool:
    """What `restricted` asks of a container, and what of it may stand at its Pod."""
    own = container.get("securityContext", {})
    either = {**pod.get("securityContext", {}), **own}
    return (
        own.get("allowPrivilegeEscalation") is False
        and own.get("capabilities", {}).get("drop") == ["ALL"]
        and not own.get("capabilities", {}).get("add")
        and either.get("runAsNonRoot") is True
        and either.get("seccompProfile", {}).get("type") in {"RuntimeDefault", "Localhost"}
    )


def test_every_container_meets_the_level() -> None:
    """KubeRay's own: the wait for the head takes Ray's context, the autoscaler the one of its options."""
    prepare = {"initContainers": [{"name": "prepare", "image": "example/prepare"}]}
    head = HeadNode(pod_spec=prepare)
    spec = ray_cluster(head=head, worker_groups=(WorkerGroup(name="w"),), autoscaling=True)
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        for container in (*pod["containers"], *pod.get("initContainers", [])):
            assert meets_restricted(pod, container), container["name"]
    head_pod = spec["headGroupSpec"]["template"]["spec"]
    assert meets_restricted(head_pod, spec["autoscalerOptions"])


def test_without_an_autoscaler_there_is_nothing_to_say_of_it() -> None:
    assert "autoscalerOptions" not in ray_cluster()


def test_what_a_users_init_container_says_holds() -> None:
    own = {"name": "prepare", "image": "example/prepare", "securityContext": {"readOnlyRootFilesystem": True}}
    pod = ray_cluster(head=HeadNode(pod_spec={"initContainers": [own]}))["headGroupSpec"]["template"]["spec"]
    assert pod["initContainers"] == [own]


# --- the plugin


def test_the_plugin_comes_before_istiod(preview: bool) -> None:
    """The other way round istiod injects Pods that look for a redirection which no node makes yet."""
    run = mesh_run(istio_cni=True, preview=preview)
    plugin, istiod = release(run, "istio-cni"), release(run, "istiod")
    assert plugin.urn in run.before(istiod)
    assert release(run, "istio-base").urn in run.before(plugin)


def test_the_plugin_is_istios_own_chart_in_the_meshs_version() -> None:
    inputs = release(mesh_run(IstioMeshArgs(version="1.31.0"), istio_cni=True), "istio-cni").inputs
    assert (inputs["chart"], inputs["version"]) == ("cni", "1.31.0")
    assert inputs["repositoryOpts"] == {"repo": "https://istio-release.storage.googleapis.com/charts"}
    assert inputs["namespace"] == "kube-system"  # where GKE admits its priority class


def test_settings_of_the_plugin_reach_its_chart() -> None:
    cni = CniPlugin(
        chart=Chart(chart="/charts/cni"),
        namespace="node-agents",
        bin_directory="/home/kubernetes/bin",
        values={"resourceQuotas": {"enabled": True}, "global": {"logAsJson": True}},
    )
    args = IstioMeshArgs(hub="mirror.example/istio", tag="1.30.3-distroless", cni=cni)
    inputs = release(mesh_run(args, istio_cni=True), "istio-cni").inputs
    assert (inputs["chart"], inputs["namespace"]) == ("/charts/cni", "node-agents")
    assert inputs["values"] == {
        "cniBinDir": "/home/kubernetes/bin",
        "resourceQuotas": {"enabled": True},
        "global": {"hub": "mirror.example/istio", "tag": "1.30.3-distroless", "logAsJson": True},
    }


def test_nothing_is_installed_where_nodes_do_not_take_it_or_have_it_already() -> None:
    names = {item.inputs["name"] for item in mesh_run(istio_cni=False).all(RELEASE)}
    assert names == {"istio-base", "istiod"}
    theirs = mesh_run(IstioMeshArgs(cni=CniPlugin(install=False)), istio_cni=True)
    assert {item.inputs["name"] for item in theirs.all(RELEASE)} == names
    assert release(theirs, "istiod").inputs["values"]["pilot"] == {"cni": {"enabled": True}}


def test_istiod_is_told_of_the_plugin_and_of_the_profile_that_restricted_asks_for() -> None:
    args = IstioMeshArgs(istiod_values={"pilot": {"replicaCount": 2}})
    found = istiod_values(args, "example.org", istio_cni=True)
    assert found["pilot"] == {"cni": {"enabled": True}, "replicaCount": 2}
    assert found["global"]["proxy"] == {
        "clusterDomain": "example.org",
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert "cni" not in istiod_values(args)["pilot"]
    assert "global" not in istiod_values(args)


@pytest.mark.parametrize("path", ["opt/cni/bin", "/opt/cni bin", ""])
def test_a_directory_of_the_node_is_an_absolute_path(path: str) -> None:
    with pytest.raises(ValidationError, match="absolute path"):
        CniPlugin(bin_directory=path)


# --- the sandbox


def sandbox(tmp_path: Path, **laid_over: Any) -> Any:
    return parse(values(samples.ROOT, tmp_path, None, laid_over))


def test_the_sandboxs_nodes_run_the_plugin(tmp_path: Path) -> None:
    settings = sandbox(tmp_path)
    assert settings.cluster.facts.istio_cni
    assert settings.mesh.cni.bin_directory == config.CNI_BINARIES
    image = catalog.istio_cni(settings.mesh.tag).reference
    assert image in {each.reference for each in images_of(settings)}


def test_the_agent_looks_into_no_process_of_the_machine(tmp_path: Path) -> None:
    """Process ids are the machine's: those of another sandbox are among them, with the same addresses."""
    plugin = sandbox(tmp_path).mesh.cni
    assert plugin.values["repair"] == {"repairPods": False, "deletePods": True}


def test_no_image_is_made_for_a_plugin_that_nobody_installs(tmp_path: Path) -> None:
    without: tuple[dict[str, Any], ...] = (
        {"cluster": {"facts": {"istioCni": False}}},
        {"mesh": {"cni": {"install": False}}},
        {"mesh": {"enabled": False}},
    )
    for each in without:
        assert not [image for image in images_of(sandbox(tmp_path, **each)) if "cni" in image.reference]
