"""The charts of a sandbox are those of the version that brings it up, whichever made it."""

from __future__ import annotations

from pathlib import Path

import yaml

from sandbox import platform_charts

ISTIO = ("base", "istiod", "cni", "gateway")


def assets(folder: Path, version: str) -> dict[str, Path]:
    """Charts and definitions of a version, small."""
    names = [*(f"istio-{name}-chart" for name in ISTIO), "kuberay-crds", "kuberay-rbac"]
    made = {name: folder / version / name for name in names}
    for name, path in made.items():
        (path / "templates").mkdir(parents=True)
        (path / f"only-{version}.yaml").write_text(f"of: {name}\n")
    rules = yaml.safe_dump({"metadata": {"name": "operator"}, "rules": []})
    for name in ("role.yaml", "leader_election_role.yaml"):
        (made["kuberay-rbac"] / name).write_text(rules)
    return made


def files(charts: Path) -> set[str]:
    return {str(path.relative_to(charts)) for path in charts.rglob("*") if path.is_file()}


def test_charts_of_an_earlier_version_are_replaced_whole(tmp_path: Path) -> None:
    charts = tmp_path / "charts"
    platform_charts.write(assets(tmp_path, "old"), "v1.5.2", charts)
    assert f"{ISTIO[1]}/only-old.yaml" in files(charts)
    new = assets(tmp_path, "new")
    platform_charts.write(new, "v1.6.2", charts)
    assert not [name for name in files(charts) if "only-old" in name]
    assert {f"{name}/only-new.yaml" for name in ISTIO} <= files(charts)
    platform_charts.write(new, "v1.6.2", tmp_path / "at once")
    assert files(charts) == files(tmp_path / "at once")
