"""The library's components in a program in YAML: Pulumi's engine asks for them, on a real API server."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from pulumi import automation
from rayfort.host import schema
from rayfort.host.hosted import names
from rayfort.ray import operator

from sandbox.control_plane import CONTEXT, ControlPlane
from sandbox.operator_chart import write_chart, write_definitions_chart
from sandbox.toolchain import Toolchain
from tests.sandbox.engine_site import ROOT, Site
from tests.sandbox.project import Project, host_components

pytestmark = pytest.mark.sandbox

EXAMPLE = ROOT / "examples" / "yaml" / "Pulumi.yaml"
PASSWORD = "netrc-password-4c1f9e"


def program(**resources: Any) -> dict[str, Any]:
    """A program with a cluster, its provider and further resources, which are put on it."""
    example: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text())
    del example["packages"], example["outputs"]
    kept = {name: example["resources"][name] for name in ("cluster", "kubernetes")}
    on_cluster = {"providers": ["${kubernetes}"]}
    made = {name: {"options": on_cluster, **each} for name, each in resources.items()}
    return {**example, "resources": {**kept, **made}}


def here(charts: Path, plane: ControlPlane, assets: Mapping[str, Path]) -> dict[str, Any]:
    """The example as it stands, with the charts and the webhooks' addresses of the sandbox."""
    version = "v1.6.2"
    chart = write_chart(assets["kuberay-crds"], assets["kuberay-rbac"], version, charts)
    definitions = write_definitions_chart(assets["kuberay-crds"], version, charts)
    local = plane.endpoints.local
    assert local is not None
    validation = {"base": {"validationURL": local.validation_url}}
    injection = {"istiodRemote": {"injectionURL": local.injection_url}}
    example: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text())
    del example["packages"]  # the host is on PATH
    resources = example["resources"]
    resources["mesh"]["properties"] = {
        "baseChart": {"chart": str(assets["istio-base-chart"])},
        "istiodChart": {"chart": str(assets["istio-istiod-chart"])},
        "hub": "docker.io/istio",
        "tag": "1.30.3",
        "baseValues": validation,
        "istiodValues": {**validation, **injection},
    }
    resources["operator"]["properties"] = {
        "chart": {"chart": str(chart)},
        "crdChart": {"chart": str(definitions)},
        "retainCrds": False,
    }
    return example


@pytest.mark.parametrize("language", ["nodejs", "go"])
def test_pulumis_generators_take_the_schema(toolchain: Toolchain, tmp_path: Path, language: str) -> None:
    """They check it against Pulumi's own first; `tests/languages` has compilers look at what they write."""
    subprocess.run([toolchain.ensure(["sdkgen"])["sdkgen"], language, schema.FILE, tmp_path], check=True)
    written = {file.stem.lower() for file in tmp_path.rglob("*.*")}
    assert {name.lower() for name in names()} <= written


@pytest.fixture(scope="module")
def hosted(site: Site, toolchain: Toolchain) -> Site:
    """The site, with the component host."""
    host_components(site, toolchain.ensure(["pulumi-language-yaml"])["pulumi-language-yaml"])
    return site


@pytest.fixture
def project(hosted: Site, tmp_path: Path) -> Project:
    return Project(
        hosted,
        tmp_path,
        program(),
        plain={"context": CONTEXT},
        secret={"kubeconfig": hosted.kubeconfig, "netrcPassword": PASSWORD},
    )


def test_a_platform_from_a_program_in_yaml(
    project: Project, hosted: Site, control_plane: ControlPlane, assets: Mapping[str, Path], tmp_path: Path
) -> None:
    project.write(here(tmp_path / "charts", control_plane, assets))
    assert project.preview()["create"] > 20
    outputs = project.up()

    cluster = hosted.get("raycluster", "ray", "--namespace", "research")
    assert cluster["spec"]["authOptions"]["mode"] == "token"
    assert cluster["spec"]["workerGroupSpecs"][0]["replicas"] == 1
    strict = hosted.get("peerauthentication", "default", "--namespace", "istio-system")
    assert strict["spec"]["mtls"]["mode"] == "STRICT"
    assert hosted.get("deployment", "kuberay-operator", "--namespace", operator.NAMESPACE)
    assert hosted.exists("secret", "netrc-secret", "--namespace", "research")
    assert outputs["address"] == "ray://ray-head-svc.research.svc.cluster.local:10001"
    assert len(outputs["token"]) >= 32

    key = next(line.split()[-1] for line in hosted.kubeconfig.splitlines() if "client-key" in line)
    for secret in (PASSWORD, key, outputs["token"]):
        assert secret not in project.stored()
        assert secret not in project.said
    project.expect_no_changes()
    project.destroy()
    assert not hosted.exists("namespace", "research")


def test_outputs_of_other_resources_are_inputs(project: Project, hosted: Site) -> None:
    token = {
        "type": "rayfort:RayAuthToken",
        "properties": {"namespace": "${team.namespace}", "prefix": "auth"},
    }
    netrc = {
        "type": "rayfort:NetrcSecret",
        "properties": {
            "namespace": "${team.namespace}",
            "secretName": "${token.secretName}-netrc",
            "entries": [{"machine": "git.example.com", "login": "robot", "password": "${token.token}"}],
        },
    }
    team = {"type": "rayfort:RayWorkspace", "properties": {"spec": {"name": "hosted"}, "mesh": False}}
    project.write(program(team=team, token=token, netrc=netrc))

    # Nobody knows the Secret's name before the token is made: the component stands there alone and says why.
    project.preview()
    assert "secretName is not known before the update" in project.said
    project.up()
    names = [each["metadata"]["name"] for each in hosted.get("secret", "--namespace", "hosted")["items"]]
    assert sorted(name.endswith("-netrc") for name in names) == [False, True]
    project.expect_no_changes()
    project.destroy()


@pytest.mark.parametrize(
    ("properties", "said"),
    [
        (
            {"spec": {"name": "Team", "clusters": [{"name": "ray", "rayVersion": "2.40.0"}]}},
            ["spec.name: is not a Kubernetes name", "spec.clusters[0].rayVersion:", "2 mistakes"],
        ),
        (
            {"spec": {"name": "team", "quota": {"requests.cpu": "${netrcPassword}"}}},
            ['spec.quota["requests.cpu"]: is a secret'],
        ),
        # Told by the language, out of the schema.
        ({"spec": {"name": "team"}, "facts": {"dns": "bind"}}, ["dns: Cannot assign", '("kube-dns")']),
    ],
    ids=["values", "a secret that would be shown", "an unknown choice"],
)
def test_mistakes_are_named(project: Project, properties: dict[str, Any], said: list[str]) -> None:
    project.write(program(team={"type": "rayfort:RayWorkspace", "properties": properties}))
    with pytest.raises(automation.CommandError) as failed:
        project.preview()
    for text in said:
        assert text in str(failed.value)
    assert PASSWORD not in str(failed.value)
