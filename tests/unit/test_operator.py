"""The KubeRay operator: its definitions, its chart's values and its place in the mesh."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from rayfort import KubeRayOperator, KubeRayOperatorArgs
from rayfort.chart import Chart
from rayfort.mesh.sidecars import Sidecars
from rayfort.ray.operator import chart_values, injects_init_containers

from tests.unit import samples
from tests.unit.recorder import CRDS, NAMESPACE_OBJECT, RELEASE, Run, record

INJECTION_OFF = {"name": "ENABLE_INIT_CONTAINER_INJECTION", "value": "false"}


def make(
    *,
    preview: bool = False,
    sidecars: Sidecars = Sidecars.NATIVE,
    metrics_namespaces: tuple[str, ...] = (),
    **settings: Any,
) -> Run:
    return record(
        lambda: KubeRayOperator(
            "kuberay",
            KubeRayOperatorArgs(**settings),
            samples.on_cluster(),
            sidecars=sidecars,
            metrics_namespaces=metrics_namespaces,
        ),
        preview=preview,
    )


def values(sidecars: Sidecars = Sidecars.NATIVE, **settings: Any) -> Any:
    return chart_values(KubeRayOperatorArgs(**settings), sidecars)


def test_workers_wait_for_the_head_unless_sidecars_are_classic() -> None:
    """Seed 002: a classic sidecar starts after init containers, whose traffic STRICT then refuses."""
    assert INJECTION_OFF in values(Sidecars.CLASSIC)["env"]
    for sidecars in (Sidecars.NATIVE, Sidecars.NONE):
        assert "env" not in values(sidecars)


@pytest.mark.parametrize("sidecars", list(Sidecars))
def test_the_operators_own_sidecar_does_not_decide_how_workers_start(sidecars: Sidecars) -> None:
    """The init container is in the workers' Pods, which are in the mesh whether the operator is or not."""
    inside, outside = (
        injects_init_containers(KubeRayOperatorArgs(in_mesh=in_mesh), sidecars) for in_mesh in (True, False)
    )
    assert inside == outside


@pytest.mark.parametrize("sidecars", list(Sidecars))
@pytest.mark.parametrize("stated", [True, False])
def test_a_stated_choice_of_the_init_container_wins(sidecars: Sidecars, stated: bool) -> None:
    """The recipe's variant stays reachable by configuration."""
    args = KubeRayOperatorArgs(init_container_injection=stated)
    assert injects_init_containers(args, sidecars) is stated


def test_the_operator_is_in_the_mesh() -> None:
    """Outside it cannot follow RayJobs and RayServices in a STRICT mesh."""
    assert values()["labels"] == {"sidecar.istio.io/inject": "true"}
    assert "labels" not in values(in_mesh=False)


def test_names_do_not_depend_on_the_releases_name() -> None:
    """Policies name the operator's service account."""
    assert values()["fullnameOverride"] == "kuberay-operator"


def test_values_of_the_user_win_key_by_key() -> None:
    """A chart's list is replaced as a whole, its objects are merged."""
    own = {"resources": {"limits": {"memory": "1Gi"}}, "labels": {"team": "platform"}}
    made = values(values=own)
    assert made["resources"] == {"limits": {"memory": "1Gi"}}
    assert made["labels"] == {"sidecar.istio.io/inject": "true", "team": "platform"}


def test_variables_of_the_user_do_not_push_rayforts_out() -> None:
    """Helm replaces a list: an `env` of the user's would bring the init container back, and the deadlock."""
    own = {"name": "ENABLE_PROBES_INJECTION", "value": "true"}
    assert values(Sidecars.CLASSIC, values={"env": [own]})["env"] == [INJECTION_OFF, own]
    stated = {"name": "ENABLE_INIT_CONTAINER_INJECTION", "value": "true"}
    assert values(Sidecars.CLASSIC, values={"env": [stated]})["env"] == [stated]


@pytest.mark.parametrize("env", [{"A": "b"}, ["A"], [{"value": "b"}], "A=b", None])
def test_variables_of_another_shape_are_refused(env: object) -> None:
    """They are added to Rayfort's own, so that they must be of the chart's shape."""
    with pytest.raises(ValidationError, match="each with `name` and `value`"):
        KubeRayOperatorArgs(values={"env": env})


def test_variables_are_text() -> None:
    """A boolean in `env` is refused by the API server."""
    for entry in chart_values(KubeRayOperatorArgs(), Sidecars.CLASSIC, "corp.example")["env"]:
        assert isinstance(entry["value"], str)


def test_watched_namespaces_get_roles_instead_of_a_cluster_role() -> None:
    """The operator caches every Secret that it may read."""
    made = values(watch_namespaces=("team-a", "team-b"))
    assert made["watchNamespace"] == ["team-a", "team-b"]
    assert made["singleNamespaceInstall"] is True
    assert made["crNamespacedRbacEnable"] is True
    assert "watchNamespace" not in values()


def test_the_image_can_come_from_a_mirror() -> None:
    """Only what is stated is set: the chart knows the rest."""
    assert values(image_repository="mirror.example/operator")["image"] == {
        "repository": "mirror.example/operator"
    }
    assert values(image_tag="v1.6.2")["image"] == {"tag": "v1.6.2"}
    assert "image" not in values()


@pytest.mark.parametrize(
    ("version", "kinds"),
    [
        ("1.5.1", ["rayclusters", "rayjobs", "rayservices"]),
        ("1.6.0", ["rayclusters", "rayjobs", "rayservices", "raycronjobs"]),
    ],
)
def test_definitions_are_those_of_the_version(version: str, kinds: list[str]) -> None:
    """A definition that is older than the operator lacks the fields that it needs."""
    files = KubeRayOperatorArgs(version=version).crd_files
    assert [file.rpartition("/")[2] for file in files] == [f"ray.io_{kind}.yaml" for kind in kinds]
    assert all(f"/v{version}/" in file for file in files)


def test_definitions_precede_the_release_which_leaves_them_alone(preview: bool) -> None:
    """Helm installs a chart's definitions once and never upgrades them."""
    run = make(preview=preview)
    operator = run.one(RELEASE)
    assert operator.inputs["skipCrds"] is True
    assert {run.one(CRDS).urn, run.one(NAMESPACE_OBJECT).urn} <= run.before(operator)


def test_definitions_can_be_files(preview: bool) -> None:
    """A site without internet has them on disk."""
    run = make(preview=preview, crds=("/crds/*.yaml",))
    assert run.one(CRDS).inputs["files"] == ["/crds/*.yaml"]


def test_definitions_can_be_a_chart_which_one_release_upgrades(preview: bool) -> None:
    """As resources they are most of Pulumi's state, which file backends write at every step."""
    run = make(preview=preview, crd_chart={"chart": "/charts/kuberay-crds"})
    assert not run.all(CRDS)
    definitions = next(item for item in run.all(RELEASE) if item.inputs["name"] == "kuberay-crds")
    operator = next(item for item in run.all(RELEASE) if item.inputs["name"] == "kuberay-operator")
    assert definitions.inputs["chart"] == "/charts/kuberay-crds"
    assert definitions.request.retainOnDelete is True
    assert definitions.urn in run.before(operator)
    assert run.one(NAMESPACE_OBJECT).urn in run.before(definitions)


def test_definitions_survive_a_destroy_unless_told_otherwise() -> None:
    """Deleting a definition deletes every object of its kind in the cluster."""
    assert len(make().one(CRDS).request.transforms) == 1
    assert not make(retain_crds=False).one(CRDS).request.transforms


def test_the_chart_is_the_official_one_at_the_operators_version() -> None:
    """Pinned: an unpinned chart is another one tomorrow."""
    inputs = make().one(RELEASE).inputs
    assert (inputs["chart"], inputs["version"]) == ("kuberay-operator", "1.6.2")
    assert inputs["repositoryOpts"] == {"repo": "https://ray-project.github.io/kuberay-helm/"}


def test_the_chart_can_be_a_path() -> None:
    """The sandbox's chart is a directory."""
    inputs = make(chart=Chart(chart="/charts/kuberay-operator")).one(RELEASE).inputs
    assert inputs["chart"] == "/charts/kuberay-operator"
    assert "repositoryOpts" not in inputs


def test_a_failed_release_leaves_nothing_behind() -> None:
    """Helm otherwise refuses the next attempt: the name is still in use."""
    release = make().one(RELEASE)
    assert release.inputs["atomic"] is True
    assert release.inputs["cleanupOnFail"] is True
    assert int(release.request.customTimeouts.create.rstrip("s")) > release.inputs["timeout"]


def test_a_namespace_that_is_there_is_not_made() -> None:
    """Pulumi's create fails for an object that exists."""
    assert not make(create_namespace=False).all(NAMESPACE_OBJECT)


def test_nobody_calls_the_operator_but_who_scrapes_it(preview: bool) -> None:
    """Its Pod holds a token that reads Secrets; what it serves is metrics and health."""
    run = make(preview=preview)
    assert run.one("NetworkPolicy").inputs["spec"] == {
        "podSelector": {"matchLabels": {"app.kubernetes.io/name": "kuberay-operator"}},
        "policyTypes": ["Ingress"],
        "ingress": [],
    }
    assert "rules" not in run.one("AuthorizationPolicy").inputs["spec"]
    scraped = make(preview=preview, metrics_namespaces=("monitoring",))
    ports = {port["port"] for port in scraped.one("NetworkPolicy").inputs["spec"]["ingress"][0]["ports"]}
    assert ports == {8080, 15020}
    (rule,) = scraped.one("AuthorizationPolicy").inputs["spec"]["rules"]
    assert rule["from"] == [{"source": {"namespaces": ["monitoring"]}}]


def test_outside_the_mesh_it_has_the_networks_fence_alone() -> None:
    """A policy of Istio's would be an object of a kind that the cluster may not know."""
    run = make(in_mesh=False)
    assert not run.all("AuthorizationPolicy")
    assert run.all("NetworkPolicy")


def test_policies_follow_the_charts_name() -> None:
    """The chart's `nameOverride` is the label by which they find the Pod."""
    run = make(values={"nameOverride": "ours"})
    assert run.one("AuthorizationPolicy").inputs["spec"]["selector"] == {
        "matchLabels": {"app.kubernetes.io/name": "ours"}
    }
