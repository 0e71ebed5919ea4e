"""The kubeconfig of a GKE cluster: no credential in it, and a Kubernetes client gets one by it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.client import Configuration
from kubernetes.config.kube_config import load_kube_config_from_dict
from rayfort.cluster.gke.access import PluginCredentials
from rayfort.cluster.gke.kubeconfig import INSTALL_HINT, PLUGIN, kubeconfig
from rayfort.cluster.kubeconfig import check

CONTEXT = "gke_my-project_us-west1-b_small"
TOKEN = "token-of-the-plugin-71ac"
# What the real plugin prints, with whatever it was asked for in the token.
STAND_IN = f"""#!/bin/sh
cat <<END
{{"kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1beta1",
  "status": {{"token": "{TOKEN}$*"}}}}
END
"""


def written(**settings: Any) -> Any:
    given = {"context": CONTEXT, "endpoint": "gke-1.gke.goog", "certificate_authority": None, **settings}
    return yaml.safe_load(kubeconfig(**given))


def test_it_is_a_kubeconfig_with_one_context() -> None:
    made = kubeconfig(CONTEXT, "gke-1.gke.goog", None)
    assert yaml.safe_load(check(made, CONTEXT)) == yaml.safe_load(made)
    assert written()["current-context"] == CONTEXT


def test_it_holds_the_name_of_a_program_and_no_credential() -> None:
    """It is a plain output of the stack."""
    [user] = written()["users"]
    assert set(user["user"]) == {"exec"}
    assert user["user"]["exec"] == {
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "command": PLUGIN,
        "installHint": INSTALL_HINT,
        "interactiveMode": "IfAvailable",
        "provideClusterInfo": True,
    }


def test_a_name_is_vouched_for_by_public_authorities_and_an_address_by_the_clusters_own() -> None:
    """gcloud writes none for the DNS endpoint either."""
    assert written()["clusters"][0]["cluster"] == {"server": "https://gke-1.gke.goog"}
    own = written(endpoint="172.16.0.2", certificate_authority="Q0E=")["clusters"][0]["cluster"]
    assert own == {"server": "https://172.16.0.2", "certificate-authority-data": "Q0E="}
    assert "insecure-skip-tls-verify" not in str(written())


@pytest.mark.parametrize(
    ("settings", "arguments"),
    [
        ({}, None),
        ({"credentials": PluginCredentials.APPLICATION_DEFAULT}, ["--use_application_default_credentials"]),
        ({"impersonate": "a@p.iam"}, ["--impersonate_service_account=a@p.iam"]),
    ],
)
def test_the_plugin_is_told_whose_credentials_to_use(
    settings: dict[str, Any], arguments: list[str] | None
) -> None:
    assert written(**settings)["users"][0]["user"]["exec"].get("args") == arguments


def test_a_cluster_without_the_endpoint_is_an_error() -> None:
    """An empty address would be this machine."""
    with pytest.raises(ValueError, match=f"{CONTEXT} has no endpoint"):
        kubeconfig(CONTEXT, "", None)


def test_a_kubernetes_client_runs_the_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client is real; the program on PATH stands in for Google's."""
    program = tmp_path / PLUGIN
    program.write_text(STAND_IN)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    configuration = Configuration()
    load_kube_config_from_dict(
        written(credentials=PluginCredentials.APPLICATION_DEFAULT), client_configuration=configuration
    )
    assert configuration.host == "https://gke-1.gke.goog"
    bearer = configuration.get_api_key_with_prefix("BearerToken")
    assert bearer == f"Bearer {TOKEN}--use_application_default_credentials"
