"""The library as another team has it: a wheel in an environment of its own, and programs that use it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sandbox.control_plane import CONTEXT
from sandbox.operator_chart import write_chart, write_definitions_chart
from tests import empty_environment
from tests.sandbox.engine_site import ROOT, Site

pytestmark = pytest.mark.sandbox

EXAMPLES = ROOT / "examples" / "python"
PASSWORD = "netrc-password-77d0b1"
# Hundreds of thousands of lines, of which nothing is checked here.
NOT_FOLLOWED = "[mypy-pulumi_kubernetes.*]\nfollow_imports = skip\n"


@dataclass(frozen=True)
class Environment:
    """The environment.

    Attributes:
        python: its interpreter.
        scratch: a folder for files.
    """

    python: Path
    scratch: Path

    def types(self, program: Path) -> subprocess.CompletedProcess[str]:
        """Check a program's types, with what the environment's packages say of theirs."""
        settings = self.scratch / "mypy.ini"
        settings.write_text(f"[mypy]\nstrict = true\n{NOT_FOLLOWED}")
        options = ["--config-file", str(settings), "--python-executable", str(self.python)]
        options += ["--cache-dir", str(self.scratch / "mypy")]
        return subprocess.run(
            [sys.executable, "-m", "mypy", *options, str(program)],
            cwd=self.scratch,  # away from the library's sources
            env={name: value for name, value in os.environ.items() if name != "MYPYPATH"},
            capture_output=True,
            text=True,
            check=False,
        )

    def preview(self, site: Site, example: str, config: Mapping[str, Any]) -> dict[str, Any]:
        """What an example would make on a site."""
        values = {"kubeconfig": site.kubeconfig, "context": CONTEXT, "netrcPassword": PASSWORD}
        texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()}
        done = subprocess.run(
            [
                self.python,
                Path(__file__).with_name("preview.py"),
                EXAMPLES / example,
                site.directory / "engine",
            ],
            input=json.dumps({"config": values | texts, "secrets": ["kubeconfig", "netrcPassword"]}),
            env={**os.environ, **site.environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        made: dict[str, Any] = json.loads(done.stdout)
        return made


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    scratch = tmp_path_factory.mktemp("library")
    wheel, _ = empty_environment.build(scratch / "dist")
    return Environment(empty_environment.install(scratch / "venv", wheel), scratch)


def test_type_checkers_see_the_librarys_types(environment: Environment) -> None:
    example = EXAMPLES / "three-components" / "__main__.py"
    right = environment.types(example)
    assert right.returncode == 0, right.stdout
    wrong = environment.scratch / "wrong.py"
    wrong.write_text(example.read_text().replace("name=", "nmae=").replace(".address)", ".adress)"))
    said = environment.types(wrong).stdout
    assert 'Unexpected keyword argument "nmae" for "WorkspaceSpec"' in said
    assert '"RayCluster" has no attribute "adress"; maybe "address"?' in said


def test_ten_lines_make_three_components(
    environment: Environment, site: Site, assets: Mapping[str, Path]
) -> None:
    charts = environment.scratch / "charts"
    operator = write_chart(assets["kuberay-crds"], assets["kuberay-rbac"], "v1.6.2", charts)
    definitions = write_definitions_chart(assets["kuberay-crds"], "v1.6.2", charts)
    # In Python, settings have Python's names; those of stack files are taken as well.
    config = {
        "mesh": {
            "base_chart": {"chart": str(assets["istio-base-chart"])},
            "istiodChart": {"chart": str(assets["istio-istiod-chart"])},
        },
        "operator": {"chart": {"chart": str(operator)}, "crdChart": {"chart": str(definitions)}},
    }
    made = environment.preview(site, "three-components", config)
    assert made["library"].startswith(str(environment.python.parents[1]))
    for name in ("IstioMesh", "KubeRayOperator", "RayWorkspace"):
        assert made["made"].count(f"rayfort:index:{name}") == 1
    assert "kubernetes:ray.io/v1:RayCluster" in made["made"]
    program = (EXAMPLES / "three-components" / "__main__.py").read_text().partition("config = ")[2]
    # As many as the README says, without what reads the configuration and exports the address.
    assert len([line for line in program.splitlines()[1:] if not line.startswith("pulumi.export")]) <= 10


def test_a_workspace_alone_needs_nothing_of_the_platform(environment: Environment, site: Site) -> None:
    made = environment.preview(site, "workspace-only", {})
    components = {kind for kind in made["made"] if kind.startswith("rayfort:")}
    assert "rayfort:index:RayWorkspace" in components
    assert not components & {"rayfort:index:IstioMesh", "rayfort:index:KubeRayOperator"}
    assert "kubernetes:helm.sh/v3:Release" not in made["made"]
    assert PASSWORD not in made["said"]
