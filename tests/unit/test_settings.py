"""From a stack's configuration to settings, and what a stack weakens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rayfort.mesh.mtls import MtlsMode

from infra.problems import SettingsError
from infra.reading import decode, parse
from infra.settings import Settings
from infra.weakened import weakened
from tests.unit import samples

MINIMAL: dict[str, Any] = {"cluster": {"kubeconfig": samples.kubeconfig(), "context": samples.CONTEXT}}


def settings(**values: Any) -> Settings:
    return parse({**MINIMAL, **values})


def test_a_stack_needs_a_cluster_only() -> None:
    """Everything else has a secure default."""
    made = settings()
    assert made.istio is not None
    assert made.istio.mtls is MtlsMode.STRICT
    assert made.kbatch is None
    assert made.workspaces == ()
    assert weakened(made) == []


def test_values_are_read_as_pulumi_hands_them_over() -> None:
    """Text as text, everything else as JSON, and a null as nothing."""
    config = {
        "rayfort:rayImage": "mirror.example/ray",
        "rayfort:workspaces": '[{"name": "team"}]',
        "rayfort:mesh": '{"version": "1.30.3"}',
        "rayfort:kbatch": "",
        "kubernetes:context": "other",
        "pulumi:disable-default-providers": '["kubernetes"]',
    }
    assert decode(config) == {
        "rayImage": "mirror.example/ray",
        "workspaces": [{"name": "team"}],
        "mesh": {"version": "1.30.3"},
        "kbatch": None,
    }


def test_broken_json_names_its_key_and_not_its_content() -> None:
    """It may be an object that holds a secret."""
    with pytest.raises(SettingsError) as caught:
        decode({"rayfort:cluster": '{"kubeconfig": "topsecret"'})
    assert [problem.key for problem in caught.value.problems] == ["rayfort:cluster"]
    assert "topsecret" not in str(caught.value)


def test_a_null_leaves_kbatch_out() -> None:
    """`rayfort:kbatch: null` in a stack file says: none."""
    assert settings(kbatch=None).kbatch is None


@pytest.mark.parametrize("name", ["sandbox", "existing"])
def test_the_stack_files_of_the_repository_are_valid(name: str) -> None:
    """They are what a user copies."""
    values = samples.with_project_defaults(samples.stack_values(name))
    made = parse(decode(samples.encoded(values)))
    assert made.workspaces


@pytest.mark.parametrize("name", ["sandbox", "existing"])
def test_the_stack_files_refuse_default_providers(name: str) -> None:
    """A forgotten provider is then an error, and not a deployment to the ambient context."""
    assert samples.stack_values(name)["pulumi:disable-default-providers"] == ["kubernetes"]


def test_the_defaults_of_the_project_file_are_the_models() -> None:
    """Pulumi.yaml states some defaults again: they must not differ."""
    defaults = decode(samples.encoded(samples.with_project_defaults({})))
    assert parse({**MINIMAL, **defaults}) == settings()


def test_a_mesh_can_be_left_out() -> None:
    """Said aloud, since Ray's traffic is then plaintext."""
    made = settings(mesh={"enabled": False})
    assert made.istio is None
    assert [line.partition(":")[2].partition(":")[0] for line in weakened(made)] == ["mesh.enabled"]


def test_a_relative_kubeconfig_is_the_projects(tmp_path: Path) -> None:
    """Pulumi runs the program in `infra/`, where no user looks."""
    (tmp_path / "kubeconfig").write_text(samples.kubeconfig())
    made = settings(cluster={"kubeconfigPath": "kubeconfig", "context": samples.CONTEXT})
    assert samples.KUBECONFIG_TOKEN in made.cluster.read_kubeconfig(tmp_path).get_secret_value()


def test_a_kubeconfig_may_be_in_the_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example stack says `~/.kube/config`."""
    (tmp_path / "config").write_text(samples.kubeconfig())
    monkeypatch.setenv("HOME", str(tmp_path))
    made = settings(cluster={"kubeconfigPath": "~/config", "context": samples.CONTEXT})
    read = made.cluster.read_kubeconfig(tmp_path / "elsewhere")
    assert samples.KUBECONFIG_TOKEN in read.get_secret_value()


def test_settings_never_show_their_secrets() -> None:
    """A model in a traceback or a debugger prints itself."""
    made = settings(
        workspaces=[
            {
                "name": "team",
                "netrc": [{"machine": "a.example", "login": "b", "password": samples.NETRC_PASSWORD}],
            }
        ],
        kbatch={"hubApiToken": samples.HUB_TOKEN, "jobEnv": {"A": samples.JOB_VALUE}},
    )
    for secret in samples.GIVEN_SECRETS:
        assert secret not in repr(made)
        assert secret not in str(made)
        assert secret not in made.model_dump_json(exclude={"cluster": {"facts"}})


@pytest.mark.parametrize(
    ("values", "keys"),
    [
        ({"mesh": {"mtls": "PERMISSIVE"}}, ["mesh.mtls"]),
        ({"mesh": {"minTls": "TLSV1_2"}}, ["mesh.minTls"]),
        (
            {"mesh": {"meshConfig": {"meshMTLS": {"minProtocolVersion": "TLSV1_2"}}}},
            ["mesh.meshConfig"],
        ),
        (
            {"mesh": {"istiodValues": {"meshConfig": {"meshMTLS": {"minProtocolVersion": "TLSV1_2"}}}}},
            ["mesh.meshConfig"],
        ),
        ({"mesh": {"meshConfig": {"meshMTLS": None}}}, ["mesh.meshConfig"]),
        (
            {"mesh": {"meshConfig": {"tlsDefaults": {"minProtocolVersion": "TLSV1_2"}}}},
            ["mesh.meshConfig"],
        ),
        ({"mesh": {"version": "1.29.6"}}, ["mesh.version"]),
        (
            {"mesh": {"version": "1.30.3", "canary": {"version": "1.29.6", "revision": "old"}}},
            ["mesh.canary.version"],
        ),
        ({"mesh": {"istiodValues": {"meshConfig": "none"}}}, ["mesh.meshConfig"]),
        ({"operator": {"inMesh": False}}, ["operator.inMesh"]),
        (
            {"cluster": {**MINIMAL["cluster"], "facts": {"networkPolicy": False}}},
            ["cluster.facts.networkPolicy"],
        ),
        (
            {"workspaces": [{"name": "a"}, {"name": "b", "mtls": "PERMISSIVE"}]},
            ["workspaces[1].mtls"],
        ),
        ({"workspaces": [{"name": "a", "podSecurity": "privileged"}]}, ["workspaces[0].podSecurity"]),
        (
            {
                "workspaces": [
                    {
                        "name": "a",
                        "clusters": [
                            {"name": "one", "head": {"serviceAccount": "ours"}},
                            {"name": "two"},
                            {"name": "three", "head": {"serviceAccount": "ours"}},
                        ],
                    },
                    {"name": "b", "clusters": [{"name": "one", "head": {"serviceAccount": "ours"}}]},
                ]
            },
            ["workspaces[0].clusters[2]"],
        ),
        (
            {"workspaces": [{"name": "a", "egress": {"cidrs": ["169.254.169.254/32"]}}]},
            ["workspaces[0].egress.cidrs"],
        ),
        (
            {
                "workspaces": [
                    {
                        "name": "a",
                        "clusters": [
                            {
                                "name": "ray",
                                "head": {"podSpec": {"hostNetwork": True}},
                                "workerGroups": [{"name": "w", "podSpec": {"securityContext": {}}}],
                            }
                        ],
                    }
                ]
            },
            [
                "workspaces[0].clusters[0].head.podSpec.hostNetwork",
                "workspaces[0].clusters[0].workerGroups[0].podSpec.securityContext",
            ],
        ),
        (
            {
                "workspaces": [
                    {
                        "name": "a",
                        "clusters": [
                            {
                                "name": "ray",
                                "head": {
                                    "annotations": {
                                        "sidecar.istio.io/proxyCPU": "10m",
                                        "traffic.sidecar.istio.io/excludeInboundPorts": "8265",
                                    }
                                },
                                "workerGroups": [
                                    {"name": "w", "labels": {"sidecar.istio.io/inject": "false"}}
                                ],
                            }
                        ],
                    }
                ]
            },
            [
                "workspaces[0].clusters[0].head.annotations.traffic.sidecar.istio.io/excludeInboundPorts",
                "workspaces[0].clusters[0].workerGroups[0].labels.sidecar.istio.io/inject",
            ],
        ),
        ({"kbatch": {"inMesh": False, "cronJobs": True}}, ["kbatch.inMesh", "kbatch.cronJobs"]),
        ({"mesh": {"enabled": False}, "kbatch": {"inMesh": False}}, ["mesh.enabled"]),
    ],
)
def test_every_default_that_is_switched_off_is_said(values: dict[str, Any], keys: list[str]) -> None:
    """A preview that hides it would be signed off."""
    lines = weakened(settings(**values))
    assert [line.split(": ")[0] for line in lines] == [f"rayfort:{key}" for key in keys]
    assert all(line.partition(": ")[2] for line in lines)


def test_a_workspace_names_a_revision_that_is_there() -> None:
    """Its Pods would start without sidecars, in plaintext, and a STRICT mesh would not answer them."""
    mesh = {"version": "1.30.3", "revision": "1-30-3", "canary": {"version": "1.31.0", "revision": "1-31-0"}}
    for known in ("1-30-3", "1-31-0"):
        assert settings(mesh=mesh, workspaces=[{"name": "a", "revision": known}])
    with pytest.raises(SettingsError) as caught:
        settings(mesh=mesh, workspaces=[{"name": "a"}, {"name": "b", "revision": "1-29-0"}])
    (problem,) = caught.value.problems
    assert problem.key == "rayfort:workspaces[1].revision"
    assert "1-30-3, 1-31-0" in problem.text


def test_a_pod_spec_that_only_adds_is_no_weakening() -> None:
    """A warning that is always there is read by nobody."""
    clusters = [{"name": "ray", "head": {"podSpec": {"volumes": [], "priorityClassName": "high"}}}]
    assert weakened(settings(workspaces=[{"name": "a", "clusters": clusters}])) == []


def test_the_json_schema_names_every_setting() -> None:
    """Editors complete what the program takes."""
    schema = Settings.model_json_schema()
    assert set(schema["properties"]) == {
        *(
            "cluster",
            "platform",
            "mesh",
            "gateway",
            "observability",
            "operator",
            "workspaces",
            "kbatch",
            "jupyterhub",
            "rayImage",
        )
    }
    assert schema["additionalProperties"] is False
