"""A stack that makes the cluster alone, and one that puts the platform on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from rich.console import Console

from cli.plan import plan
from infra.cluster import facts_of, handed_over
from infra.cluster_settings import ExistingClusterSettings
from infra.problems import SettingsError
from infra.program import main
from infra.reading import parse
from infra.weakened import weakened
from tests.unit import samples
from tests.unit.cluster import gke_samples
from tests.unit.recorder import Run, record

GKE = {**gke_samples.SMALL, "kind": "gke"}
MAKER = "organization/rayfort/gke-cluster"
USER = {"kind": "existing", "stack": MAKER, "context": "gke_small"}
KUBECONFIG = "apiVersion: v1\n"


def run(settings: dict[str, Any], *, preview: bool) -> Run:
    config = samples.encoded({f"rayfort:{key}": value for key, value in settings.items()})
    return record(lambda: main(Path()), config=config, preview=preview)


def mistakes(**settings: Any) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        parse(settings)
    return [problem.key for problem in refused.value.problems]


def taker(**facts: Any) -> ExistingClusterSettings:
    return ExistingClusterSettings.model_validate({**USER, "facts": facts})


def test_a_cluster_alone_has_no_platform_on_it(preview: bool) -> None:
    ran = run({"cluster": GKE, "platform": False}, preview=preview)
    assert ran.all("GkeCluster")
    kinds = {item.type for item in ran.resources if item.type.startswith("kubernetes:")}
    assert not kinds
    assert ran.outputs["cluster"]["facts"]["dns"] == "cloud-dns"
    assert set(ran.outputs) == {"cluster", "weakened"}


def test_settings_of_the_platform_are_refused_in_a_stack_without_one() -> None:
    """They would do nothing there, and whoever wrote them thinks otherwise."""
    keys = mistakes(cluster=GKE, platform=False, mesh={"mtls": "STRICT"}, workspaces=[{"name": "a"}])
    assert keys == ["rayfort:mesh", "rayfort:workspaces"]
    existing = {"kind": "existing", "kubeconfig": KUBECONFIG, "context": "a"}
    assert mistakes(cluster=existing, platform=False) == ["rayfort:platform"]


def test_what_only_a_platform_weakens_is_not_said_of_a_cluster_alone() -> None:
    settings = parse({"cluster": {"kind": "kind"}, "platform": False})
    assert weakened(settings) == []


def test_a_kubeconfig_has_one_source() -> None:
    both = {**USER, "kubeconfigPath": "kubeconfig"}
    assert mistakes(cluster=both) == ["rayfort:cluster"]
    for name in ("gke-cluster", "rayfort/gke-cluster", "a/b/c/d", "a//c"):
        assert mistakes(cluster={**USER, "stack": name}) == ["rayfort:cluster.stack"]


def test_the_makers_kubeconfig_is_taken_where_the_facts_agree() -> None:
    settings = taker(dns="cloud-dns", kubernetesVersion="1.34.0")
    told = {"kubeconfig": KUBECONFIG, "facts": facts_of(settings)}
    assert handed_over(told, settings) == KUBECONFIG
    # A maker of an older version may not know every fact.
    told["facts"].pop("nodePools")
    assert handed_over(told, settings) == KUBECONFIG


def test_other_facts_than_the_makers_are_refused() -> None:
    """They decide whether sidecars are native, and which names Pods have."""
    told = {"kubeconfig": KUBECONFIG, "facts": facts_of(taker(dns="cloud-dns", istioCni=True))}
    with pytest.raises(
        pulumi.RunError, match=r"facts: dns, istioCni are not what .*gke-cluster says"
    ) as wrong:
        handed_over(told, taker())
    assert f"pulumi stack output cluster --stack {MAKER}" in str(wrong.value)


@pytest.mark.parametrize("told", [None, {}, "text", {"facts": {}}, {"kubeconfig": None}])
def test_a_stack_without_a_cluster_is_named(told: Any) -> None:
    with pytest.raises(pulumi.RunError, match=rf"{MAKER} has no cluster among its outputs"):
        handed_over(told, taker())


def test_a_plan_asks_no_other_stack(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is offline: what the other stack says is unknown."""
    (tmp_path / "stacks").mkdir()
    (tmp_path / "Pulumi.yaml").write_text((samples.ROOT / "Pulumi.yaml").read_text())
    stack = {"config": {"rayfort:cluster": USER, "rayfort:workspaces": [{"name": "team"}]}}
    (tmp_path / "stacks" / "Pulumi.user.yaml").write_text(yaml.safe_dump(stack))
    assert plan(tmp_path, "user", json_output=False, manifests=None, force=False, console=Console()) == 0
    said = capsys.readouterr().out
    assert f"an output of stack {MAKER}" in " ".join(said.split())
    assert "RayWorkspace" in said
