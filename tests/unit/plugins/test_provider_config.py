import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from pulumi.runtime import proto

from sandbox.plugins import kubeconfig, provider_config
from sandbox.plugins.kubeconfig import KubeconfigError
from sandbox.plugins.properties import UNKNOWN, marshal
from sandbox.plugins.server import InvalidRequest
from tests.unit.plugins.harness import Client, Failed, urn

PROVIDER = "pulumi:providers:kubernetes"


def config(server: str = "https://one", **context: str) -> dict[str, Any]:
    return {
        "current-context": "a",
        "contexts": [
            {"name": "a", "context": {"cluster": "one", "user": "u", **context}},
            {"name": "b", "context": {"cluster": "two", "user": "u"}},
        ],
        "clusters": [
            {"name": "one", "cluster": {"server": server}},
            {"name": "two", "cluster": {"server": "https://two"}},
        ],
        "users": [{"name": "u", "user": {"token": "secret-token"}}],
    }


def test_a_kubeconfig_comes_from_text_a_path_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(config()))
    other = tmp_path / "other"
    other.write_text(yaml.safe_dump(config("https://shadowed") | {"current-context": "b"}))
    monkeypatch.setenv("KUBECONFIG", f"{path}:{tmp_path / 'missing'}:{other}")
    for source in (json.dumps(config()), yaml.safe_dump(config()), str(path), None, ""):
        found = kubeconfig.load(source)
        assert kubeconfig.select(found, None, None)["clusters"][0]["cluster"]["server"] == "https://one"


def test_relative_paths_in_a_file_are_those_beside_it(tmp_path: Path) -> None:
    content = config()
    content["clusters"][0]["cluster"]["certificate-authority"] = "ca.crt"
    (tmp_path / "config").write_text(yaml.safe_dump(content))
    found = kubeconfig.load(str(tmp_path / "config"))
    assert found["clusters"][0]["cluster"]["certificate-authority"] == str(tmp_path / "ca.crt")


def test_one_context_is_chosen_and_nothing_else_stays() -> None:
    chosen = kubeconfig.select(config(), "b", None)
    assert chosen["current-context"] == "b"
    assert [entry["name"] for entry in chosen["clusters"]] == ["two"]
    assert kubeconfig.select(config(), "b", "one")["contexts"][0]["context"]["cluster"] == "one"
    assert kubeconfig.namespace(chosen) == "default"
    assert kubeconfig.namespace(kubeconfig.select(config(namespace="ns"), None, None)) == "ns"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{broken: [secret-token", "neither an existing file nor valid YAML"),
        ("/no/such/file", "neither an existing file nor a kubeconfig"),
        ("just text", "neither an existing file nor a kubeconfig"),
    ],
)
def test_what_is_no_kubeconfig_is_refused_without_showing_it(source: str, message: str) -> None:
    with pytest.raises(KubeconfigError, match=message) as failed:
        kubeconfig.load(source)
    assert "secret-token" not in str(failed.value)


def test_a_context_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(KubeconfigError, match=r"no context 'c' \(it has: a, b\)"):
        kubeconfig.select(config(), "c", None)


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"renderYamlToDirectory": "out"}, "renderYamlToDirectory"),
        ({"enableServerSideApply": "false"}, "enableServerSideApply"),
        ({"skipUpdateUnreachable": "true"}, "skipUpdateUnreachable"),
        ({"kubeconfg": "x"}, "kubeconfg"),
        ({"helmReleaseSettings": '{"driver": "secret", "colour": 1}'}, "helmReleaseSettings.colour"),
        ({"strictMode": "true", "context": "a"}, "kubeconfig"),
        ({"kubeClientSettings": "5"}, "kubeClientSettings"),
    ],
)
def test_a_setting_that_would_be_ignored_is_refused_by_name(
    plugin: Client, given: dict[str, Any], key: str
) -> None:
    request = proto.CheckRequest(urn=urn(PROVIDER), news=marshal(given))
    failures = {f.property: f.reason for f in plugin.call("CheckConfig", request).failures}
    assert list(failures) == [key]
    assert key.rpartition(".")[2] in failures[key]
    with pytest.raises(Failed, match=key.rpartition(".")[2]):
        plugin.configure(**given)


def test_settings_that_are_off_or_change_nothing_are_accepted(plugin: Client) -> None:
    given = {
        "kubeconfig": json.dumps(config()),
        "context": "a",
        "namespace": "team",
        "clusterIdentifier": "c",
        "enableServerSideApply": "true",
        "renderYamlToDirectory": "",
        "skipUpdateUnreachable": "false",
        "suppressDeprecationWarnings": "true",
        "kubeClientSettings": '{"burst": 10, "qps": 5.5, "timeout": 7}',
        "helmReleaseSettings": '{"driver": "configmap"}',
        "version": "4.34.2",
        "deleteUnreachable": UNKNOWN,
    }
    request = proto.CheckRequest(urn=urn(PROVIDER), news=marshal(given))
    assert not plugin.call("CheckConfig", request).failures
    found = provider_config.settings(given | {"deleteUnreachable": "true", "enableSecretMutable": True})
    assert found.default_namespace == "team"
    assert found.delete_unreachable
    assert found.mutable_secrets
    assert not found.mutable_config_maps
    assert found.read_seconds == 7
    assert found.helm_environment == {"HELM_DRIVER": "configmap"}


def test_the_environment_is_the_fallback_and_the_setting_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_K8S_DELETE_UNREACHABLE", "true")
    monkeypatch.setenv("PULUMI_K8S_ENABLE_SECRET_MUTABLE", "true")
    found = provider_config.settings({"kubeconfig": config(), "enableSecretMutable": "false"})
    assert found.delete_unreachable
    assert not found.mutable_secrets


def test_a_kubeconfig_that_cannot_be_used_is_no_error_until_it_is_needed() -> None:
    found = provider_config.settings({"kubeconfig": "nothing", "context": "a"})
    assert found.selected is None
    assert "kubeconfig" in found.problem
    with pytest.raises(InvalidRequest):
        provider_config.settings({"kubeconfig": "nothing", "unknown": 1})


@pytest.mark.parametrize(
    ("olds", "news", "replaces"),
    [
        ({"kubeconfig": config()}, {"kubeconfig": config("https://moved")}, ["kubeconfig"]),
        ({"kubeconfig": config()}, {"kubeconfig": config(namespace="ns")}, []),
        ({"kubeconfig": config()}, {"kubeconfig": config(), "context": "b"}, ["context"]),
        ({"kubeconfig": config()}, {"kubeconfig": UNKNOWN}, ["kubeconfig"]),
        ({"clusterIdentifier": "x"}, {"clusterIdentifier": "y"}, ["clusterIdentifier"]),
        ({"kubeconfig": config()}, {"kubeconfig": config(), "clusterIdentifier": "x"}, []),
        (
            {"kubeconfig": config(), "clusterIdentifier": "x"},
            {"kubeconfig": config("https://moved"), "clusterIdentifier": "x"},
            [],
        ),
        (
            {"kubeconfig": config(), "clusterIdentifier": "x"},
            {"kubeconfig": UNKNOWN, "clusterIdentifier": "x"},
            [],
        ),
        ({"namespace": "a"}, {"namespace": "b"}, []),
    ],
)
def test_only_another_cluster_replaces_what_is_in_it(
    plugin: Client, olds: dict[str, Any], news: dict[str, Any], replaces: list[str]
) -> None:
    request = proto.DiffRequest(urn=urn(PROVIDER), olds=marshal(olds), news=marshal(news))
    response = plugin.call("DiffConfig", request)
    assert response.changes == proto.DiffResponse.DIFF_SOME
    assert list(response.replaces) == replaces


def test_the_same_settings_are_no_change(plugin: Client) -> None:
    inputs = marshal({"kubeconfig": config(), "context": "a"})
    response = plugin.call("DiffConfig", proto.DiffRequest(urn=urn(PROVIDER), olds=inputs, news=inputs))
    assert response.changes == proto.DiffResponse.DIFF_NONE
