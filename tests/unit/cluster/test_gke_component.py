"""What a GKE cluster registers, in a preview and in an update: order, providers, protection, fields."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import yaml
from rayfort import ClusterDns, GkeCluster, GkeClusterArgs

from tests.unit.cluster import gke_samples
from tests.unit.recorder import GKE_CLUSTER, PROVIDER, UNKNOWN, Recorded, Run, record

NODE_POOL = "gcp:container/nodePool:NodePool"
GOOGLE = "pulumi:providers:gcp"
NAT = "gcp:compute/routerNat:RouterNat"
GRANT = "gcp:kms/cryptoKeyIAMMember:CryptoKeyIAMMember"
FIREWALL = "gcp:compute/firewall:Firewall"
SUBNET = "gcp:compute/subnetwork:Subnetwork"
SERVICE = "gcp:projects/service:Service"
RIGHT = "gcp:projects/iAMMember:IAMMember"
READER = "gcp:artifactregistry/repositoryIamMember:RepositoryIamMember"


@functools.cache
def usual(*, preview: bool) -> Run:
    return record(lambda: GkeCluster("cluster", gke_samples.small()), preview=preview)


def make(args: GkeClusterArgs | None = None, *, preview: bool = False) -> Run:
    if args is None:
        return usual(preview=preview)
    return record(lambda: GkeCluster("cluster", args), preview=preview)


def cluster(args: GkeClusterArgs | None = None) -> Any:
    return make(args).one(GKE_CLUSTER).inputs


def google(run: Run) -> list[Recorded]:
    return [item for item in run.resources if item.type.startswith("gcp:")]


@pytest.mark.parametrize("stack", ["gke-dev", "gke-prod"])
def test_everything_of_googles_uses_the_clusters_own_provider(stack: str, preview: bool) -> None:
    """A default provider works in whatever project gcloud points at."""
    run = make(gke_samples.of_stack(stack), preview=preview)
    provider = run.one(GOOGLE)
    owner = run.one("rayfort:index:GkeCluster")
    args = gke_samples.of_stack(stack)
    assert provider.inputs["project"] == args.project
    assert provider.inputs["region"] == args.region
    assert len(google(run)) > 15
    for item in google(run):
        assert item.providers == {provider.urn}, item.name
        assert item.parent == owner.urn
        if item.type.endswith(("Cluster", "NodePool", "Network", "Subnetwork", "Firewall", "Account")):
            assert item.inputs["project"] == args.project


def test_a_preview_does_not_know_the_kubeconfig_and_goes_through() -> None:
    """The first preview of a stack runs before there is a cluster."""
    run = make(preview=True)
    assert run.one(PROVIDER).raw["kubeconfig"] == UNKNOWN
    assert run.one(PROVIDER).inputs["clusterIdentifier"] == gke_samples.small().identifier
    assert run.one(GKE_CLUSTER).inputs["databaseEncryption"]["state"] == "ENCRYPTED"


def test_the_kubeconfig_names_the_dns_endpoint_and_holds_no_credential() -> None:
    """It needs no secret, survives every rotation, and may lie in a repository."""
    run = make()
    written = yaml.safe_load(run.one(PROVIDER).inputs["kubeconfig"])
    assert written["clusters"][0]["cluster"] == {"server": "https://gke-small.example.gke.goog"}
    assert set(written["users"][0]["user"]) == {"exec"}
    assert not run.one(PROVIDER).hidden("kubeconfig")


def test_without_the_dns_endpoint_the_kubeconfig_names_the_address_and_its_authority() -> None:
    access = {
        "dnsEndpoint": False,
        "ipEndpoint": True,
        "authorizedNetworks": [{"cidr": "10.200.0.0/16", "name": "office"}],
        "credentials": "application-default",
    }
    args = gke_samples.small(access=access, impersonate="ci@my-project-1.iam.gserviceaccount.com")
    written = yaml.safe_load(make(args).one(PROVIDER).inputs["kubeconfig"])
    assert written["clusters"][0]["cluster"] == {
        "server": "https://172.16.0.2",
        "certificate-authority-data": "Q0E=",
    }
    assert written["users"][0]["user"]["exec"]["args"] == [
        "--use_application_default_credentials",
        "--impersonate_service_account=ci@my-project-1.iam.gserviceaccount.com",
    ]
    made = cluster(args)
    assert made["privateClusterConfig"]["enablePrivateEndpoint"] is True
    assert made["masterAuthorizedNetworksConfig"]["cidrBlocks"] == [
        {"cidrBlock": "10.200.0.0/16", "displayName": "office"}
    ]
    assert make(args, preview=True).one(PROVIDER).raw["kubeconfig"] == UNKNOWN


def test_what_the_cluster_needs_comes_before_it(preview: bool) -> None:
    """GKE refuses a key that it may not use, and nodes without NAT or rights pull no image."""
    run = make(preview=preview)
    before = run.before(run.one(GKE_CLUSTER))
    for type_ in (GRANT, NAT, RIGHT, SUBNET, "gcp:kms/cryptoKey:CryptoKey"):
        assert run.one(type_).urn in before, type_
    assert {item.urn for item in run.all(SERVICE)} <= before


def test_what_is_put_on_the_cluster_waits_for_nodes_and_for_the_way_to_webhooks(preview: bool) -> None:
    """Otherwise the first release times out, and the first Pods start without sidecars."""
    run = make(gke_samples.of_stack("gke-prod"), preview=preview)
    before = run.before(run.one(PROVIDER))
    assert {item.urn for item in run.all(NODE_POOL)} <= before
    assert run.one(FIREWALL).urn in before
    assert run.one(GKE_CLUSTER).urn in before


def test_the_control_plane_reaches_the_webhooks_and_nothing_else() -> None:
    """GKE opens 443 and 10250 by itself; without 15017 no sidecar is injected."""
    made = make().one(FIREWALL).inputs
    assert made["sourceRanges"] == ["172.16.0.0/28"]
    assert made["allows"] == [{"protocol": "tcp", "ports": ["8443", "9443", "15017"]}]
    pool = make().one(NODE_POOL).inputs
    assert made["targetTags"] == pool["nodeConfig"]["tags"]
    assert cluster()["privateClusterConfig"]["masterIpv4CidrBlock"] == made["sourceRanges"][0]


@pytest.mark.parametrize("protected", [True, False])
def test_protection_is_googles_and_pulumis_at_once(protected: bool) -> None:
    """The first keeps consoles and scripts off, the second a `pulumi destroy` in the wrong window."""
    run = make(gke_samples.small(deletionProtection=protected))
    made = run.one(GKE_CLUSTER)
    assert made.inputs["deletionProtection"] is protected
    assert made.request.protect is protected
    assert run.one("gcp:kms/cryptoKey:CryptoKey").request.protect is protected
    assert not run.one(NODE_POOL).request.protect


def test_the_autoscalers_numbers_are_left_to_it() -> None:
    """A change of the initial number would replace the pool."""
    pool = make().one(NODE_POOL)
    assert list(pool.request.ignoreChanges) == ["initialNodeCount", "nodeCount"]
    assert "nodeCount" not in pool.inputs
    assert list(make().one(GKE_CLUSTER).request.ignoreChanges) == [
        "initialNodeCount",
        "nodeConfig",
        "nodePools",
    ]


@pytest.mark.parametrize(
    ("changes", "initial"),
    [
        ({}, 2),
        ({"location": "us-west1"}, 1),
        ({"location": "us-west1", "zones": ["us-west1-a", "us-west1-b"]}, 1),
        ({"location": "us-west1", "zones": ["us-west1-a"]}, 2),
    ],
)
def test_a_pool_begins_with_its_fewest_nodes(changes: dict[str, Any], initial: int) -> None:
    """Google counts them for each zone."""
    assert make(gke_samples.small(**changes)).one(NODE_POOL).inputs["initialNodeCount"] == initial


def test_nodes_have_an_identity_of_their_own_with_one_role() -> None:
    """The default service account of a project may edit everything in it."""
    run = make(gke_samples.small(imageRepositories=["projects/other/locations/us/repositories/ray"]))
    member = "serviceAccount:small-nodes@my-project-1.iam.gserviceaccount.com"
    right = run.one(RIGHT).inputs
    assert (right["role"], right["member"]) == ("roles/container.defaultNodeServiceAccount", member)
    reader = run.one(READER).inputs
    assert reader["role"] == "roles/artifactregistry.reader"
    assert (reader["project"], reader["location"], reader["repository"]) == ("other", "us", "ray")
    for pool in run.all(NODE_POOL):
        assert pool.inputs["nodeConfig"]["serviceAccount"] == member.removeprefix("serviceAccount:")


def test_a_key_is_made_and_granted_or_taken_as_it_is() -> None:
    """What belongs to somebody else is granted by him."""
    run = make()
    assert run.one(GRANT).inputs["member"].endswith("@container-engine-robot.iam.gserviceaccount.com")
    assert "name" not in run.one("gcp:kms/keyRing:KeyRing").inputs  # Google never deletes one
    key = "projects/p/locations/us-west1/keyRings/r/cryptoKeys/k"
    given = make(gke_samples.small(encryption={"key": key}))
    assert given.one(GKE_CLUSTER).inputs["databaseEncryption"] == {"state": "ENCRYPTED", "keyName": key}
    assert not [item for item in google(given) if item.type.startswith("gcp:kms")]


def test_gpus_spot_and_local_disks_are_what_was_asked_for() -> None:
    run = make(gke_samples.of_stack("gke-prod"))
    pools = {item.inputs["name"]: item.inputs for item in run.all(NODE_POOL)}
    gpu = pools["gpu-l4"]["nodeConfig"]
    assert gpu["guestAccelerators"] == [
        {"type": "nvidia-l4", "count": 1, "gpuDriverInstallationConfig": {"gpuDriverVersion": "DEFAULT"}}
    ]
    assert gpu["shieldedInstanceConfig"]["enableSecureBoot"] is True
    assert pools["gpu-l4"]["autoscaling"] == {
        "totalMinNodeCount": 0,
        "totalMaxNodeCount": 8,
        "locationPolicy": "ANY",
    }
    assert pools["spot-cpu"]["nodeConfig"]["spot"] is True
    assert pools["spot-cpu"]["nodeConfig"]["ephemeralStorageLocalSsdConfig"] == {"localSsdCount": 2}
    assert pools["platform"]["upgradeSettings"]["strategy"] == "BLUE_GREEN"
    assert pools["platform"]["upgradeSettings"]["blueGreenSettings"]["nodePoolSoakDuration"] == "3600s"
    assert pools["system"]["nodeConfig"]["taints"] == [
        {"key": "components.gke.io/gke-managed-components", "value": "true", "effect": "NO_SCHEDULE"}
    ]


def test_a_slice_of_several_tpu_machines_is_placed_together() -> None:
    pool = {"name": "tpu", "machineType": "ct5lp-hightpu-4t", "tpuTopology": "4x4", "maxNodes": 4}
    args = gke_samples.small(nodePools=[*gke_samples.SMALL["nodePools"], pool])
    made = make(args).one(NODE_POOL, "cluster-tpu").inputs
    assert made["placementPolicy"] == {"type": "COMPACT", "tpuTopology": "4x4"}
    assert made["nodeConfig"]["taints"] == []  # GKE sets google.com/tpu by itself


def test_auto_provisioned_nodes_are_as_safe_as_the_others() -> None:
    limits = {"maxCpus": 100, "maxMemoryGb": 400, "maxGpus": {"nvidia-l4": 4}}
    made = cluster(gke_samples.small(autoProvisioning=limits))["clusterAutoscaling"]
    assert made["enabled"] is True
    assert {item["resourceType"]: item["maximum"] for item in made["resourceLimits"]} == {
        "cpu": 100,
        "memory": 400,
        "nvidia-l4": 4,
    }
    defaults = made["autoProvisioningDefaults"]
    assert defaults["shieldedInstanceConfig"] == {"enableSecureBoot": True, "enableIntegrityMonitoring": True}
    assert defaults["serviceAccount"].startswith("small-nodes@")
    assert cluster()["clusterAutoscaling"] == {
        "enabled": False,
        "autoscalingProfile": "OPTIMIZE_UTILIZATION",
    }


def test_the_add_on_is_off_unless_asked_for() -> None:
    assert cluster()["addonsConfig"]["rayOperatorConfigs"] == [{"enabled": False}]
    asked = cluster(gke_samples.small(rayOperatorAddon={"version": "1.5.1", "logging": False}))
    assert asked["addonsConfig"]["rayOperatorConfigs"] == [
        {
            "enabled": True,
            "rayClusterLoggingConfig": {"enabled": False},
            "rayClusterMonitoringConfig": {"enabled": True},
        }
    ]


def test_the_maintenance_window_and_exclusions_are_as_google_writes_them() -> None:
    """Another way to write the same is a difference at every preview."""
    made = cluster(gke_samples.of_stack("gke-prod"))["maintenancePolicy"]
    assert made["recurringWindow"] == {
        "startTime": "2025-01-04T02:00:00Z",
        "endTime": "2025-01-04T08:00:00Z",
        "recurrence": "FREQ=WEEKLY;BYDAY=SA,SU",
    }
    assert made["maintenanceExclusions"] == [
        {
            "exclusionName": "year-end",
            "startTime": "2026-12-18T00:00:00Z",
            "endTime": "2027-01-04T00:00:00Z",
            "exclusionOptions": {"scope": "NO_MINOR_OR_NODE_UPGRADES"},
        }
    ]


@pytest.mark.parametrize(
    ("version", "asked"), [(None, None), ("1.34.0", "1.34"), ("1.34.1-gke.1431000", "1.34.1-gke.1431000")]
)
def test_a_version_is_asked_for_only_where_one_is_named(version: str | None, asked: str | None) -> None:
    assert cluster(gke_samples.small(kubernetesVersion=version)).get("minMasterVersion") == asked


def test_options_reach_google() -> None:
    made = cluster(
        gke_samples.small(
            dns="kube-dns",
            binaryAuthorization=True,
            vulnerabilityScanning=True,
            securityGroup="gke-security-groups@example.com",
            labels={"team": "ray"},
            network={"flowLogs": False},
        )
    )
    assert made["dnsConfig"] == {"clusterDns": "KUBE_DNS"}
    assert made["binaryAuthorization"] == {"evaluationMode": "PROJECT_SINGLETON_POLICY_ENFORCE"}
    assert made["securityPostureConfig"]["vulnerabilityMode"] == "VULNERABILITY_ENTERPRISE"
    assert made["authenticatorGroupsConfig"] == {"securityGroup": "gke-security-groups@example.com"}
    assert made["resourceLabels"] == {"team": "ray"}
    assert "logConfig" not in make(gke_samples.small(network={"flowLogs": False})).one(SUBNET).inputs


def test_apis_can_be_left_to_others() -> None:
    assert not make(gke_samples.small(enableApis=False)).all(SERVICE)
    assert all(item.inputs["disableOnDestroy"] is False for item in make().all(SERVICE))


def test_facts_follow_the_arguments() -> None:
    """No other component asks which cluster it is on."""
    facts = gke_samples.of_stack("gke-prod").facts
    assert facts.dns is ClusterDns.CLOUD_DNS
    assert facts.dns_addresses == ("169.254.169.254/32",)
    assert facts.api_server_cidrs == ("172.16.16.0/28",)
    assert facts.load_balancers
    assert facts.workload_identity
    assert facts.network_policy
    assert facts.native_sidecars
    assert not facts.istio_cni
    assert facts.storage_classes[0] == "standard-rwo"
    assert gke_samples.small(dns="kube-dns").facts.dns_addresses == ()
    assert gke_samples.small(kubernetesVersion="1.34.1").facts.kubernetes_version == "1.34.1"
