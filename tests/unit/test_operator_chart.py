"""The operator's chart as text: what is written, and what helm makes of it (with helm: tests/sandbox)."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from sandbox.operator_chart import write_chart
from sandbox.processes import SandboxError


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """The two directories of an operator's module, small."""
    crds, rbac = tmp_path / "crds", tmp_path / "rbac"
    crds.mkdir()
    rbac.mkdir()
    (crds / "ray.io_rayclusters.yaml").write_text("kind: CustomResourceDefinition\n")
    rule = {"apiGroups": ["ray.io"], "resources": ["rayclusters"], "verbs": ["get"]}
    for file, name in (
        ("role", "kuberay-operator"),
        ("leader_election_role", "kuberay-operator-leader-election"),
        ("ray_rayjob_viewer_role", "rayjob-viewer-role"),
    ):
        role = {"kind": "ClusterRole", "metadata": {"name": name}, "rules": [rule]}
        (rbac / f"{file}.yaml").write_text(yaml.safe_dump(role))
    return tmp_path


def content(chart: Path) -> dict[str, bytes]:
    return {str(p.relative_to(chart)): p.read_bytes() for p in sorted(chart.rglob("*")) if p.is_file()}


def test_the_same_input_gives_the_same_bytes(module: Path, tmp_path: Path) -> None:
    one = write_chart(module / "crds", module / "rbac", "1.6.2", tmp_path / "one")
    other = write_chart(module / "crds", module / "rbac", "v1.6.2", tmp_path / "other")
    assert content(one) == content(other)


def test_the_chart_has_the_operators_version_definitions_and_rights(module: Path, tmp_path: Path) -> None:
    chart = write_chart(module / "crds", module / "rbac", "v1.6.2", tmp_path / "out")
    assert chart == tmp_path / "out" / "kuberay-operator"
    meta = yaml.safe_load((chart / "Chart.yaml").read_text())
    assert (meta["name"], meta["version"], meta["appVersion"]) == ("kuberay-operator", "1.6.2", "1.6.2")
    assert (chart / "crds" / "ray.io_rayclusters.yaml").exists()
    for name in ("operator-rules", "leader-election-rules", "user-roles/rayjob-viewer-role"):
        rules = yaml.safe_load((chart / "files" / f"{name}.yaml").read_text())
        assert rules["rules"][0]["resources"] == ["rayclusters"]


def test_a_chart_that_is_there_is_replaced_whole(module: Path, tmp_path: Path) -> None:
    chart = write_chart(module / "crds", module / "rbac", "1.6.1", tmp_path / "out")
    (chart / "crds" / "gone.yaml").write_text("of the version before")
    again = write_chart(module / "crds", module / "rbac", "1.6.2", tmp_path / "out")
    assert not (again / "crds" / "gone.yaml").exists()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["kuberay-operator"]


@pytest.mark.parametrize(
    "missing", ["crds/ray.io_rayclusters.yaml", "rbac/role.yaml", "rbac/leader_election_role.yaml"]
)
def test_an_incomplete_module_is_named_and_changes_nothing(
    module: Path, tmp_path: Path, missing: str
) -> None:
    chart = write_chart(module / "crds", module / "rbac", "1.6.2", tmp_path / "out")
    before = content(chart)
    (module / missing).unlink()
    with pytest.raises(SandboxError, match="fetches it again"):
        write_chart(module / "crds", module / "rbac", "1.6.3", tmp_path / "out")
    assert content(chart) == before


def test_the_value_names_are_the_official_charts() -> None:
    values = yaml.safe_load(
        (Path(__file__).parents[2] / "sandbox/charts/kuberay-operator/values.yaml").read_text()
    )
    assert " ".join(sorted(values)) == (
        "affinity annotations batchScheduler componentOverride configuration "
        "crNamespacedRbacEnable env featureGates fullnameOverride hostUsers image "
        "imagePullSecrets kubeClient labels leaderElectionEnabled livenessProbe logging metrics "
        "nameOverride nodeSelector operatorCommand podSecurityContext priorityClassName "
        "rbacEnable readinessProbe reconcileConcurrency replicas resources securityContext "
        "service serviceAccount singleNamespaceInstall tolerations watchNamespace"
    )
