"""The table of docs/gke.md says what the code sets, field by field, and leaves none out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import pytest

from cli.offline import Plan, plan
from cli.plan import to_json
from cli.stacks import load
from tests.unit import samples

DOCUMENT: Final = (samples.ROOT / "docs" / "gke.md").read_text()
ROW: Final = re.compile(r"^\| `(?P<field>[A-Z]\w+\.[^`]+)` \| `(?P<value>[^`]+)` \|(?P<others>.+)\|$", re.M)
# Names, places, sizes and what follows from them: no matter of hardening.
OTHER: Final = re.compile(
    r"""\w+\.(
        name|project|location|region|network|subnetwork|cluster|description|router|member|keyRing|cryptoKeyId
        |accountId|displayName|labels\..*|resourceLabels\..*|ipCidrRange|secondaryIpRanges|subnetworks
        |sourceRanges|targetTags|nodeLocations|initialNodeCount|autoscaling\..*|upgradeSettings\..*
        |ipAllocationPolicy\..*RangeName|databaseEncryption\.keyName|privateClusterConfig\.masterIpv4CidrBlock
        |maintenancePolicy\.(maintenanceExclusions|recurringWindow\.(start|end)Time)
        |(nodeConfig|nodePoolAutoConfig\.networkTags)\.tags
        |nodeConfig\.(serviceAccount|machineType|disk.*|spot|taints|resourceLabels\..*|guestAccelerators
        |ephemeralStorageLocalSsdConfig\..*)
    )""",
    re.VERBOSE,
)
DOCUMENTED: Final = {
    "Network",
    "Subnetwork",
    "RouterNat",
    "Firewall",
    "IAMMember",
    "CryptoKey",
    "CryptoKeyIAMMember",
    "Cluster",
    "NodePool",
}


def leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from leaves(item, f"{path}.{key}")
    else:
        yield path, value


@pytest.fixture(scope="module")
def prod() -> Plan:
    return plan(load(samples.ROOT, "gke-prod"))


@pytest.fixture(scope="module")
def fields(prod: Plan) -> dict[str, list[Any]]:
    """What the plan's JSON says of each field, for every resource of a kind."""
    found: dict[str, list[Any]] = {}
    for resource in json.loads(to_json(prod))["resources"]:
        kind = resource["type"].rpartition(":")[2]
        if resource["type"].startswith("gcp:") and kind in DOCUMENTED:
            for path, value in leaves(resource["inputs"], kind):
                found.setdefault(path, []).append(value)
    return found


def rows() -> dict[str, str]:
    return {row["field"]: row["value"] for row in ROW.finditer(DOCUMENT)}


def test_the_table_is_read() -> None:
    """A change of its form must not empty the tests below."""
    assert len(rows()) > 80
    assert len(rows()) == len(ROW.findall(DOCUMENT))
    for row in ROW.finditer(DOCUMENT):
        assert len(row["others"].split("|")) == 3, row["field"]


@pytest.mark.parametrize("field", rows())
def test_a_row_says_what_the_code_sets(field: str, fields: dict[str, list[Any]]) -> None:
    """On every resource of the kind: no pool is softer than the others."""
    expected = json.loads(rows()[field])
    assert fields[field]
    assert all(value == expected for value in fields[field]), fields[field]


def test_no_field_is_left_out(fields: dict[str, list[Any]]) -> None:
    """What a review does not see it cannot judge."""
    assert sorted(field for field in fields if field not in rows() and not OTHER.fullmatch(field)) == []


@pytest.mark.parametrize("stack", ["gke-dev", "gke-prod"])
def test_the_plan_is_whole_and_offline(stack: str) -> None:
    """It is what a review reads before there is a cluster."""
    made = plan(load(samples.ROOT, stack))
    assert made.problems == ()
    kinds = {resource.kind for resource in made.resources}
    assert kinds >= {*DOCUMENTED, "GkeCluster", "IstioMesh", "KubeRayOperator", "RayWorkspace", "RayCluster"}
    [provider] = [item for item in made.resources if item.type == "pulumi:providers:kubernetes"]
    assert provider.unknown_keys == ("kubeconfig",)
    assert "kubeconfig" in made.outputs["cluster"]


def test_production_is_protected_and_weakens_nothing(prod: Plan) -> None:
    assert prod.weakened == ()
    protected = {resource.kind for resource in prod.resources if resource.options.get("protect")}
    assert protected == {"Cluster", "CryptoKey", "KeyRing"}


@pytest.mark.parametrize("stack", ["gke-dev", "gke-prod"])
def test_no_provider_is_left_to_chance(stack: str) -> None:
    """A forgotten provider is then an error, and not a change in whatever project gcloud points at."""
    assert samples.stack_values(stack)["pulumi:disable-default-providers"] == ["kubernetes", "gcp"]


def test_ray_groups_run_on_the_pools_that_they_name(prod: Plan) -> None:
    """Selectors, tolerations and GPUs come from the model that made the pool."""
    [ray] = [item for item in prod.resources if item.type == "kubernetes:ray.io/v1:RayCluster"]
    groups = {
        group["groupName"]: group["template"]["spec"] for group in ray.inputs["spec"]["workerGroupSpecs"]
    }
    gpu = groups["gpu"]
    assert gpu["nodeSelector"] == {
        "cloud.google.com/gke-nodepool": "gpu-l4",
        "cloud.google.com/gke-accelerator": "nvidia-l4",
    }
    assert {(item["key"], item["value"]) for item in gpu["tolerations"]} == {
        ("rayfort.dev/pool", "gpu-l4"),
        ("nvidia.com/gpu", "present"),
    }
    assert gpu["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert groups["cpu"]["nodeSelector"]["cloud.google.com/gke-spot"] == "true"
    pools = {item.inputs["name"]: item for item in prod.resources if item.kind == "NodePool"}
    for group in groups.values():
        pool = pools[group["nodeSelector"]["cloud.google.com/gke-nodepool"]].inputs["nodeConfig"]
        borne = {(item["key"], item["value"]) for item in group["tolerations"]}
        assert {(taint["key"], taint["value"]) for taint in pool["taints"]} <= borne
