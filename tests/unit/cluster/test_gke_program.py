"""The program on a GKE cluster: what changes for the rest of the platform, and what it tells."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from rayfort import network

from infra.program import main
from infra.reading import decode, parse
from infra.weakened import weakened
from tests.unit import samples
from tests.unit.cluster import gke_samples
from tests.unit.recorder import Run, record

ADDON = {"version": "1.6.0"}
OFFICE = {"cidr": "203.0.113.0/24", "name": "office"}


def values(**cluster: Any) -> dict[str, Any]:
    return {
        "cluster": {**gke_samples.SMALL, "kind": "gke", **cluster},
        "workspaces": [{"name": "team", "clusters": [{"name": "ray"}]}],
    }


def run(settings: dict[str, Any], *, preview: bool) -> Run:
    config = samples.encoded({f"rayfort:{key}": value for key, value in settings.items()})
    return record(lambda: main(Path()), config=config, preview=preview)


def test_googles_operator_takes_the_place_of_ours(preview: bool) -> None:
    ran = run({**values(rayOperatorAddon=ADDON), "mesh": {"enabled": False}}, preview=preview)
    assert not ran.all("KubeRayOperator")
    assert not ran.all("Release")
    assert ran.one("RayCluster", "ray")
    assert ran.outputs["versions"]["kuberay"] == "1.6.0"
    let_in = ran.one("NetworkPolicy", "ray-head").inputs["spec"]["ingress"]
    assert "kube-system" in str(let_in)


def test_a_permissive_mesh_with_native_sidecars_takes_googles_operator() -> None:
    """It speaks plaintext, which is then taken; both are told."""
    settings = {
        **values(rayOperatorAddon=ADDON),
        "mesh": {"mtls": "PERMISSIVE", "nativeSidecars": True},
        "workspaces": [{"name": "team", "mtls": "PERMISSIVE"}],
    }
    ran = run(settings, preview=True)
    assert ran.all("IstioMesh")
    assert not ran.all("KubeRayOperator")


def test_how_to_reach_the_cluster_is_an_output_without_secrets() -> None:
    ran = run(values(), preview=False)
    reached = ran.outputs["cluster"]
    assert reached["getCredentials"] == (
        "gcloud container clusters get-credentials small --project my-project-1 --location us-west1-b "
        "--dns-endpoint"
    )
    assert reached["id"] == "projects/my-project-1/locations/us-west1-b/clusters/small"
    assert ran.raw_outputs["cluster"]["kubeconfig"] == reached["kubeconfig"]  # nothing is wrapped


def test_pods_ask_cloud_dns_for_names_and_the_metadata_server_for_nothing() -> None:
    """Both are at one address."""
    policy = run(values(), preview=True).one("NetworkPolicy", "allow-dns").inputs["spec"]["egress"]
    peers, ports = policy[0]["to"], {port["port"] for port in policy[0]["ports"]}
    assert {"ipBlock": {"cidr": "169.254.169.254/32"}} in peers
    assert ports == {53}
    assert len(network.dns_spec("kube-system")["egress"][0]["to"]) == 1
    kube_dns = run(values(dns="kube-dns"), preview=True).one("NetworkPolicy", "allow-dns")
    assert "ipBlock" not in str(kube_dns.inputs)


def test_pods_find_the_api_server_at_the_control_planes_addresses() -> None:
    settings = values()
    settings["workspaces"][0]["clusters"][0]["autoscaling"] = True
    policy = run(settings, preview=True).one("NetworkPolicy", "ray-api-server").inputs["spec"]
    assert policy["egress"][0]["to"] == [{"ipBlock": {"cidr": "172.16.0.0/28"}}]


@pytest.mark.parametrize(
    ("cluster", "keys"),
    [
        ({}, []),
        ({"deletionProtection": False}, ["deletionProtection"]),
        ({"network": {"flowLogs": False}}, ["network.flowLogs"]),
        ({"istioCni": True}, ["istioCni"]),
        (
            {"access": {"ipEndpoint": True, "publicIp": True, "authorizedNetworks": [OFFICE]}},
            ["access.publicIp"],
        ),
    ],
)
def test_what_a_stack_switches_off_is_told(cluster: dict[str, Any], keys: list[str]) -> None:
    config = {f"rayfort:{key}": value for key, value in values(**cluster).items()}
    told = weakened(parse(decode(samples.encoded(config))))
    assert [line.partition(":")[2].partition(":")[0] for line in told] == [f"cluster.{key}" for key in keys]


def examples(language: str) -> list[str]:
    document = (samples.ROOT / "docs" / "gke.md").read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", document, re.MULTILINE | re.DOTALL)


def test_the_documents_example_of_the_library_runs() -> None:
    """Somebody pastes it."""
    [code] = examples("python")
    assert record(lambda: exec(code, {}), preview=True).one("GkeCluster")


def test_the_documents_settings_are_settings() -> None:
    access, pools, maker, user = (yaml.safe_load(text) for text in examples("yaml"))
    settings = values(**access)
    settings["cluster"]["nodePools"] = [
        *gke_samples.SMALL["nodePools"],
        *pools["rayfort:cluster"]["nodePools"],
    ]
    settings["workspaces"] = pools["rayfort:workspaces"]
    ran = run(settings, preview=True)
    group = ran.one("RayCluster", "ray").inputs["spec"]["workerGroupSpecs"][0]["template"]["spec"]
    assert len(group["tolerations"]) == 3
    assert len(group["nodeSelector"]) == 3

    def told(file: dict[str, Any]) -> dict[str, Any]:
        return {key.removeprefix("rayfort:"): value for key, value in file["config"].items()}

    alone = told(maker)
    assert not parse({**alone, "cluster": {**gke_samples.SMALL, **alone["cluster"]}}).platform
    assert parse(told(user)).cluster.stack == "organization/rayfort/gke-prod-cluster"
