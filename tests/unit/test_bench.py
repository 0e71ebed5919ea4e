"""What the bench of the mesh puts into a namespace, and what it makes of its figures."""

from __future__ import annotations

import copy
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rayfort import labels
from rayfort.workspace import RayWorkspaceArgs, WorkspaceSpec, namespace_labels
from rich.console import Console

from bench.mesh import Plan, namespace
from bench.recipes import SEED_PORTS, Recipe, recipes
from bench.results import Column, Cost, Pushes, Results, Series, problems
from bench.tables import tables
from bench.testbed import BenchError, is_running, path_of
from infra.reading import parse
from sandbox.stack import values

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = parse(values(ROOT, Path("state"), None, {"workspaces": [], "kbatch": None, "jupyterhub": None}))
RECIPES = {recipe.name: recipe for recipe in recipes(SETTINGS)}


def of_kind(recipe: Recipe, kind: str, workers: int = 3) -> dict[str, object]:
    found = [each for each in recipe.objects("bench-0001", workers) if each["kind"] == kind]
    assert len(found) == 1, kind
    return dict(found[0])


def test_the_seed_has_no_scope_and_its_17_ports() -> None:
    kinds = [each["kind"] for each in RECIPES["seed"].objects("bench-0001", 3)]
    assert kinds == ["Namespace", "PeerAuthentication", "Service", "RayCluster"]
    service = of_kind(RECIPES["seed"], "Service")
    spec = service["spec"]
    assert isinstance(spec, dict)
    assert len(spec["ports"]) == len(SEED_PORTS) == 17
    assert {each["appProtocol"] for each in spec["ports"]} == {"grpc", "http"}
    assert "annotations" not in service["metadata"]  # no exportTo


@pytest.mark.parametrize(("name", "protocols"), [("l4", {"tcp"}), ("l7", {"grpc", "http"})])
def test_ours_is_what_the_library_says_on_the_same_ports(name: str, protocols: set[str]) -> None:
    recipe = RECIPES[name]
    service = of_kind(recipe, "Service")["spec"]
    assert isinstance(service, dict)
    assert [each["port"] for each in service["ports"]] == [port for _, port, _ in SEED_PORTS]
    assert {each["appProtocol"] for each in service["ports"]} == protocols
    scope = of_kind(recipe, "Sidecar")["spec"]
    assert isinstance(scope, dict)
    assert scope["egress"][0]["hosts"][0] == "./*"
    expected = namespace_labels(
        RayWorkspaceArgs(spec=WorkspaceSpec(name="bench-0001"), facts=SETTINGS.cluster.facts)
    )
    metadata = of_kind(recipe, "Namespace")["metadata"]
    assert isinstance(metadata, dict)
    assert metadata["labels"] == expected


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=lambda recipe: recipe.name)
def test_workers_are_as_many_as_asked_for_and_nothing_else_changes(recipe: Recipe) -> None:
    few, many = (recipe.objects("bench-0001", count) for count in (3, 4))
    assert [each for each in few if each not in many] == [few[-1]]
    group = few[-1]["spec"]["workerGroupSpecs"][0]
    assert (group["replicas"], many[-1]["spec"]["workerGroupSpecs"][0]["replicas"]) == (3, 4)
    changed = copy.deepcopy(many[-1])
    changed["spec"]["workerGroupSpecs"][0] |= {"replicas": 3, "minReplicas": 3, "maxReplicas": 3}
    assert changed == few[-1]


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=lambda recipe: recipe.name)
def test_every_object_has_a_path(recipe: Recipe) -> None:
    paths = [path_of(each) for each in recipe.objects("bench-0001", 3)]
    assert paths[0] == "/api/v1/namespaces/bench-0001"
    assert paths[-1] == f"/apis/ray.io/v1/namespaces/bench-0001/rayclusters/{recipe.cluster}"
    assert len(set(paths)) == len(paths)


def test_names_are_equally_long() -> None:
    assert len({len(namespace(index)) for index in (1, 10, 100, 1000)}) == 1


def test_a_pod_runs_when_it_has_an_address_and_a_sidecar() -> None:
    pod = {
        "metadata": {"labels": {labels.RAY_NODE_TYPE: "head"}},
        "spec": {"containers": [{"name": "ray-head"}, {"name": "istio-proxy"}]},
        "status": {"phase": "Running", "podIPs": [{"ip": "10.10.0.1"}]},
    }
    assert is_running(pod)
    assert not is_running({**pod, "spec": {"containers": [{"name": "ray-head"}]}})
    assert not is_running({**pod, "status": {"phase": "Pending"}})
    assert not is_running({**pod, "metadata": {"deletionTimestamp": "now"}})


@pytest.mark.parametrize(
    ("workspaces", "workers", "key"),
    [
        ((1,), (), "--workspaces"),
        ((10, 1), (), "--workspaces"),
        ((0, 1), (), "--workspaces"),
        ((1, 2), (3, 2), "--workers"),
    ],
)
def test_a_plan_that_shows_nothing_is_refused(
    workspaces: tuple[int, ...], workers: tuple[int, ...], key: str
) -> None:
    with pytest.raises(BenchError, match=key):
        Plan(workspaces, workers)


def column(workspaces: int, size: int) -> Column:
    cost = Cost(listeners=29, clusters=46, routes=19, bytes=size)
    return Column(workspaces, cost, workspaces * 4, 110.0, 115.0)


OURS = Series("l4", "Rayfort, l4", True, (column(1, 1000), column(100, 1050)), Pushes(0, 0, 3))
SEED = Series("seed", "seed 002", False, (column(1, 1000), column(100, 9000)), Pushes(2, 500, 2))


def results(ours: Series = OURS, seed: Series = SEED) -> Results:
    return Results("1.31.0", 2, 3, (seed, ours))


def test_as_promised_is_no_problem() -> None:
    assert list(problems(results())) == []


@pytest.mark.parametrize(
    ("ours", "seed", "message"),
    [
        (replace(OURS, columns=(column(1, 1000), column(100, 1051))), SEED, "bytes .* from 1000 to 1051"),
        (replace(OURS, pushes=Pushes(1, 10, 3)), SEED, "Rayfort, l4: a worker .* caused 1 pushes"),
        (replace(OURS, pushes=Pushes(0, 0, 0)), SEED, "told nobody"),
        (OURS, replace(SEED, columns=OURS.columns), "seed 002: one sidecar did not grow either"),
        (OURS, replace(SEED, pushes=Pushes(0, 0, 2)), "seed 002: .* no push either"),
    ],
    ids=["growth", "push", "nothing told", "control is flat", "control is quiet"],
)
def test_what_is_not_as_promised_is_said(ours: Series, seed: Series, message: str) -> None:
    (problem,) = problems(results(ours, seed))
    assert re.search(message, problem)


def test_the_tables_show_ratios_against_the_first_column() -> None:
    grown = replace(
        OURS, by_workers=((2, OURS.columns[0].cost), (50, replace(OURS.columns[0].cost, bytes=4096)))
    )
    console = Console(width=200, record=True, file=io.StringIO())
    for table in tables(results(ours=grown)):
        console.print(table)
    text = console.export_text()
    assert "9 (9.00x)" in text
    assert "4 (4.10x)" in text
    assert "with 4, 400 sidecars" in text


def test_the_json_holds_every_figure_and_every_problem() -> None:
    wrong = replace(OURS, pushes=Pushes(1, 10, 3))
    data = json.loads(json.dumps(results(wrong).as_json()))
    assert data["series"][1]["columns"][1]["cost"]["bytes"] == 1050
    assert data["series"][1]["pushes"]["elsewhere"] == 1
    assert len(data["problems"]) == 1
