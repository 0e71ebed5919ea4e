"""Mistakes in the settings of a GKE cluster: each is one problem with its key, and nothing is registered."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from tests.unit import samples
from tests.unit.test_malformed_settings import REMOVE, Mistake, changed, mistake, problems, run

POOLS: Final = "cluster.nodePools"
GPU: Final = f"{POOLS}[2]"
TPU: Final = f"{POOLS}[3]"
GROUP: Final = "workspaces[0].clusters[0].workerGroups[0]"
RAY: Final = "workspaces[0].clusters[0]"
NETWORK: Final = "cluster.network"
MAINTENANCE: Final = "cluster.maintenance"
ACCESS: Final = "cluster.access"
OFFICE: Final = {"cidr": "203.0.113.0/24", "name": "office"}

VALID: Final[Mapping[str, Any]] = {
    "cluster": {
        "kind": "gke",
        "name": "ray",
        "project": "my-project",
        "location": "us-central1",
        "zones": ["us-central1-a", "us-central1-b"],
        "nodePools": [
            {"name": "default", "machineType": "n2-standard-8", "minNodes": 1, "maxNodes": 4},
            {
                "name": "system",
                "role": "system",
                "machineType": "e2-standard-4",
                "minNodes": 1,
                "maxNodes": 3,
            },
            {
                "name": "gpu",
                "role": "workers",
                "machineType": "g2-standard-24",
                "gpu": {"model": "nvidia-l4"},
                "maxNodes": 4,
            },
            {
                "name": "tpu",
                "role": "workers",
                "machineType": "ct5lp-hightpu-4t",
                "tpuTopology": "2x2",
                "maxNodes": 2,
            },
        ],
    },
    "workspaces": [
        {
            "name": "team-a",
            "clusters": [
                {
                    "name": "ray",
                    "head": {"nodePool": "default"},
                    "workerGroups": [
                        {"name": "gpu", "nodePool": "gpu", "resources": {"cpu": "8", "memory": "32Gi"}}
                    ],
                }
            ],
        }
    ],
}


def pool(**settings: Any) -> dict[str, Any]:
    return {"name": "more", "maxNodes": 2, **settings}


def bad_pool(title: str, says: str, key: str = "", **settings: Any) -> Mistake:
    """A fifth pool that cannot be."""
    where = f"{POOLS}[4]"
    return mistake(title, where, pool(**settings), says, key=f"{where}.{key}" if key else where)


MISTAKES: Final = [
    # which cluster
    mistake("unknown kind", "cluster.kind", "aks", "must be one of 'existing', 'gke' or 'kind'"),
    mistake("kind that is no text", "cluster.kind", ["gke"], "must be one of 'existing'"),
    mistake("key of another kind", "cluster.context", "here", "is not a setting; known here: access"),
    mistake("facts, which follow", "cluster.facts", {"dns": "coredns"}, "is not a setting"),
    mistake("near key", "cluster.nodePool", [], "did you mean nodePools?"),
    mistake("near key of a pool", f"{GPU}.machinetype", "x", "did you mean machineType?"),
    mistake("near key of a network", f"{NETWORK}.pod", "10.0.0.0/8", "did you mean pods?"),
    # names and places
    mistake("no project", "cluster.project", REMOVE, "is required; set it"),
    mistake("number of a project", "cluster.project", "1234567", "not its number or title"),
    mistake("title of a project", "cluster.project", "My Project", "not its number or title"),
    mistake("long name", "cluster.name", "a" * 25, "at most 24 lower-case letters"),
    mistake("no place", "cluster.location", "america", "write for example us-west1 or us-west1-b"),
    mistake("zone of another region", "cluster.zones[0]", "us-west1-a", "is not in us-central1", "cluster"),
    mistake("region as a zone", "cluster.zones[0]", "us-central1", "is not a zone"),
    mistake(
        "zones of a zonal cluster",
        "cluster.location",
        "us-central1-a",
        "zones are of regional clusters, and us-central1-a is one zone",
        "cluster",
    ),
    mistake("pool in another region", f"{GPU}.zones", ["us-west1-a"], "is not in us-central1", "cluster"),
    # addresses
    mistake("pods over nodes", f"{NETWORK}.pods", "10.0.0.0/14", "nodes (10.0.0.0/20) and pods", NETWORK),
    mistake("services over pods", f"{NETWORK}.services", "10.5.0.0/20", "pods (10.4.0.0/14) and", NETWORK),
    mistake(
        "control plane over nodes", f"{NETWORK}.controlPlane", "10.0.1.0/28", "and controlPlane", NETWORK
    ),
    mistake("wide control plane", f"{NETWORK}.controlPlane", "172.16.0.0/24", "must be a /28"),
    mistake("metadata server's", f"{NETWORK}.nodes", "169.254.0.0/20", "which holds the metadata server"),
    mistake("Docker's bridge", f"{NETWORK}.services", "172.17.0.0/20", "Docker's bridge"),
    mistake("untidy block", f"{NETWORK}.nodes", "10.0.0.1/20", "clean network address"),
    mistake("IPv6", f"{NETWORK}.nodes", "fd00::/64", "is not a block of IPv4 addresses"),
    mistake("few addresses of nodes", f"{NETWORK}.nodes", "10.0.0.0/29", "has room for 4 nodes", "cluster"),
    mistake("few addresses of Pods", f"{NETWORK}.pods", "10.4.0.0/22", "or podsPerNode", "cluster"),
    mistake("flows beyond all", f"{NETWORK}.flowSampling", 2, "must be at most 1"),
    mistake("Pods beyond what a node takes", "cluster.podsPerNode", 500, "must be at most 256"),
    # the control plane
    mistake("no endpoint", ACCESS, {"dnsEndpoint": False}, "nobody could reach the cluster"),
    mistake("networks of no endpoint", ACCESS, {"authorizedNetworks": [OFFICE]}, "set ipEndpoint"),
    mistake("endpoint for nobody", ACCESS, {"ipEndpoint": True}, "authorizedNetworks only"),
    mistake("public, but no endpoint", ACCESS, {"publicIp": True}, "part of the IP endpoint"),
    mistake(
        "everybody",
        ACCESS,
        {"ipEndpoint": True, "authorizedNetworks": [{"cidr": "0.0.0.0/0", "name": "all"}]},
        "0.0.0.0/0 is everybody",
        f"{ACCESS}.authorizedNetworks[0].cidr",
    ),
    mistake("ADC and DNS", ACCESS, {"credentials": "application-default"}, "gcloud refuses"),
    # versions and maintenance
    mistake("unknown channel", "cluster.channel", "FAST", "'RAPID', 'REGULAR', 'STABLE' or 'EXTENDED'"),
    mistake("no channel", "cluster.channel", "UNSPECIFIED", "must be one of"),
    mistake("EXTENDED without a version", "cluster.channel", "EXTENDED", "set kubernetesVersion", "cluster"),
    mistake("old version", "cluster.kubernetesVersion", "1.24.0", "use 1.30.0 or newer", "cluster"),
    mistake("short version", "cluster.kubernetesVersion", "1.34", "write MAJOR.MINOR.PATCH"),
    mistake("short window", f"{MAINTENANCE}.hours", 2, "at least 4 hours"),
    mistake("rare window", MAINTENANCE, {"hours": 4, "days": ["SU"]}, "GKE asks for 48"),
    mistake("no day", f"{MAINTENANCE}.days", [], "must have at least 1"),
    mistake("time of day", f"{MAINTENANCE}.start", "25:00", "is not a time of day"),
    mistake(
        "exclusion that ends before it starts",
        f"{MAINTENANCE}.exclusions",
        [{"name": "x", "start": "2027-02-01T00:00:00Z", "end": "2027-01-01T00:00:00Z"}],
        "ends before it starts",
        f"{MAINTENANCE}.exclusions[0]",
    ),
    mistake(
        "long time without upgrades",
        f"{MAINTENANCE}.exclusions",
        [
            {
                "name": "x",
                "start": "2027-01-01T00:00:00Z",
                "end": "2027-09-01T00:00:00Z",
                "scope": "NO_UPGRADES",
            }
        ],
        "for 90 at most",
        f"{MAINTENANCE}.exclusions[0]",
    ),
    mistake(
        "no day of the calendar",
        f"{MAINTENANCE}.exclusions",
        [{"name": "x", "start": "2027-02-30T00:00:00Z", "end": "2027-03-30T00:00:00Z"}],
        "is not in the calendar",
        f"{MAINTENANCE}.exclusions[0].start",
    ),
    # pools
    mistake("no pool", POOLS, [], "must have at least 1"),
    mistake(
        "pool twice", f"{POOLS}[4]", pool(name="gpu", machineType="e2-standard-2"), "stands 2 times", POOLS
    ),
    mistake("no pool for the platform", f"{POOLS}[0].spot", True, "istiod and the operator could run", POOLS),
    mistake("more at least than at most", f"{POOLS}[0].minNodes", 9, "is above maxNodes (4)", f"{POOLS}[0]"),
    mistake("no nodes", f"{GPU}.maxNodes", 0, "must be at least 1"),
    mistake("unknown role", f"{GPU}.role", "gpu", "must be one of 'general', 'system' or 'workers'"),
    bad_pool("spot for the system", "leave spot out", role="system", machineType="e2-medium", spot=True),
    bad_pool(
        "GPUs for the system",
        "no use for accelerators",
        role="system",
        machineType="g2-standard-8",
        gpu={"model": "nvidia-l4"},
    ),
    bad_pool("system from zero", "set minNodes to at least 1", role="system", machineType="e2-standard-2"),
    bad_pool("unknown machine", "no machine type that Rayfort knows", "machineType", machineType="large"),
    bad_pool("Arm", "is an Arm machine", "machineType", machineType="t2a-standard-4"),
    bad_pool("name with capitals", "is not a node pool's name", "name", name="GPU", machineType="e2-medium"),
    bad_pool(
        "unknown GPU", "use one of nvidia-", "gpu.model", machineType="n1-standard-4", gpu={"model": "h100"}
    ),
    bad_pool(
        "GPU of another machine",
        "nvidia-tesla-a100 is not offered with g2-standard-8, which has nvidia-l4",
        machineType="g2-standard-8",
        gpu={"model": "nvidia-tesla-a100"},
    ),
    bad_pool(
        "GPU and an ordinary machine",
        "nvidia-l4 is not offered with e2-standard-4; use g2-standard-12",
        machineType="e2-standard-4",
        gpu={"model": "nvidia-l4"},
    ),
    bad_pool(
        "GPU that cannot be attached",
        "nvidia-tesla-t4 is not offered with n2-standard-4; use N1 machines",
        machineType="n2-standard-4",
        gpu={"model": "nvidia-tesla-t4"},
    ),
    bad_pool(
        "other number of GPUs",
        "has 2 GPUs, and not 4",
        machineType="g2-standard-24",
        gpu={"model": "nvidia-l4", "count": 4},
    ),
    bad_pool(
        "odd number of GPUs",
        "in numbers of 1, 2, 4",
        machineType="n1-standard-8",
        gpu={"model": "nvidia-tesla-t4", "count": 3},
    ),
    bad_pool(
        "large machine with one GPU",
        "with at most 12 vCPUs",
        machineType="n1-standard-32",
        gpu={"model": "nvidia-tesla-v100"},
    ),
    bad_pool("GPUs unsaid", "say so in gpu.model", machineType="a2-highgpu-1g"),
    bad_pool("machine that is none", "no machine of this family", machineType="a2-highgpu-3g"),
    bad_pool("no slice", "set it to one", machineType="ct6e-standard-4t"),
    bad_pool("other slice", "is one of 1x1", machineType="ct5lp-hightpu-1t", tpuTopology="2x4"),
    bad_pool("slice without TPUs", "leave tpuTopology out", machineType="e2-standard-4", tpuTopology="2x2"),
    bad_pool(
        "part of a slice",
        "is 4 machines at once; set maxNodes to 4",
        machineType="ct6e-standard-4t",
        tpuTopology="4x4",
        maxNodes=3,
    ),
    bad_pool("old disk", "boots from Hyperdisk", machineType="c4-standard-4", diskType="pd-ssd"),
    bad_pool("small disk", "must be at least 30", "diskGb", machineType="e2-standard-4", diskGb=10),
    bad_pool("local SSDs", "takes no local SSDs", machineType="e2-standard-4", localSsds=1),
    bad_pool(
        "reserved spot",
        "cannot come out of a reservation",
        machineType="n2-standard-4",
        spot=True,
        reservation="r",
    ),
    bad_pool(
        "label of Kubernetes",
        "belongs to Kubernetes or GKE",
        "labels",
        machineType="e2-standard-4",
        labels={"cloud.google.com/gke-nodepool": "x"},
    ),
    bad_pool(
        "upgrade that stands still",
        "no node could be upgraded",
        "upgrade",
        machineType="e2-standard-4",
        upgrade={"maxSurge": 0},
    ),
    # options
    mistake("CoreDNS", "cluster.dns", "coredns", "GKE offers cloud-dns and kube-dns"),
    mistake("key that is none", "cluster.encryption.key", "my-key", "is not a key of Cloud KMS"),
    mistake(
        "key elsewhere",
        "cluster.encryption.key",
        "projects/p/locations/europe-west1/keyRings/r/cryptoKeys/k",
        "encryption.key is not in us-central1",
        "cluster",
    ),
    mistake("group", "cluster.securityGroup", "team@example.com", "it must be gke-security-groups@"),
    mistake(
        "repository",
        "cluster.imageRepositories",
        ["gcr.io/x"],
        "is not a repository",
        "cluster.imageRepositories[0]",
    ),
    mistake("service account", "cluster.impersonate", "me@example.com", "is not a service account"),
    mistake(
        "confidential E2", "cluster.confidentialNodes", True, "confidentialNodes are not offered", "cluster"
    ),
    mistake(
        "auto-provisioning without memory",
        "cluster.autoProvisioning",
        {"maxCpus": 9},
        "is required",
        "cluster.autoProvisioning.maxMemoryGb",
    ),
    mistake(
        "auto-provisioning of unknown GPUs",
        "cluster.autoProvisioning",
        {"maxCpus": 9, "maxMemoryGb": 9, "maxGpus": {"l4": 1}},
        "l4 is no GPU",
        "cluster.autoProvisioning.maxGpus",
    ),
    # the add-on
    mistake(
        "add-on without a version",
        "cluster.rayOperatorAddon",
        {},
        "is required",
        "cluster.rayOperatorAddon.version",
    ),
    mistake(
        "add-on in a STRICT mesh", "cluster.rayOperatorAddon", {"version": "1.6.0"}, "cannot join the mesh"
    ),
    mistake(
        "add-on and an operator",
        "operator",
        {"version": "1.6.2"},
        "lets nobody choose its version",
        mesh__enabled=False,
        cluster__rayOperatorAddon={"version": "1.6.0"},
    ),
    mistake(
        "add-on with classic sidecars",
        "cluster.rayOperatorAddon",
        {"version": "1.6.0"},
        "in an init container, which with classic sidecars never ends",
        mesh={"mtls": "PERMISSIVE", "nativeSidecars": False},
        **{"workspaces[0]__mtls": "PERMISSIVE"},
    ),
    mistake(
        "add-on that is too old for its token",
        f"{RAY}.auth.source",
        "secret-name",
        "1.6.0",
        RAY,
        mesh__enabled=False,
        cluster__rayOperatorAddon={"version": "1.5.1"},
    ),
    # Ray on the pools
    mistake(
        "unknown pool", f"{GROUP}.nodePool", "cpus", "there is no node pool cpus (there is default,", RAY
    ),
    mistake("GKE's pool", f"{GROUP}.nodePool", "system", "is not for Ray's Pods", RAY),
    mistake("GPUs beyond a node", f"{GROUP}.resources.gpu", 4, "a node of pool gpu has 2", RAY),
    mistake(
        "GPUs of a CPU pool",
        f"{GROUP}.resources.gpu",
        1,
        "has none",
        RAY,
        **{f"{GROUP.replace('.', '__')}__nodePool": "default"},
    ),
    mistake("CPUs beyond a node", f"{GROUP}.resources.cpu", "24", "a node of pool gpu has 24", RAY),
    mistake("memory beyond a node", f"{GROUP}.resources.memory", "96Gi", "has 96 GiB", RAY),
    mistake(
        "label of another pool",
        f"{GROUP}.nodeSelector",
        {"cloud.google.com/gke-nodepool": "tpu"},
        "leave the label out",
        RAY,
    ),
    mistake(
        "other accelerator",
        f"{GROUP}.resources.gpuResource",
        "amd.com/gpu",
        "and pool gpu has nvidia.com/gpu",
        RAY,
        **{f"{GROUP.replace('.', '__')}__resources__gpu": 1},
    ),
    mistake("l7 without CoreDNS", f"{RAY}.traffic", "l7", "cloud-dns does not resolve", RAY),
    mistake(
        "Ray over several TPU machines",
        f"{GROUP}.nodePool",
        "tpu",
        "is a slice of 4 machines",
        RAY,
        **{f"{TPU.replace('.', '__')}__tpuTopology": "4x4", f"{TPU.replace('.', '__')}__maxNodes": 4},
    ),
]


def test_the_settings_are_fine_without_a_mistake(tmp_path: Path) -> None:
    """Otherwise the cases below prove nothing."""
    assert run(VALID, tmp_path).resources


def test_there_are_enough_cases() -> None:
    """Each title once, so that a failure names its case."""
    assert len({case.title for case in MISTAKES}) == len(MISTAKES) >= 30


@pytest.mark.parametrize("case", MISTAKES, ids=[case.title.replace(" ", "-") for case in MISTAKES])
def test_a_mistake_is_one_problem_with_its_key(case: Mistake, tmp_path: Path) -> None:
    """Named where it stands, with what to do, and nothing registered."""
    ran = run(changed(case.changes, VALID), tmp_path)
    assert not ran.resources
    found = problems(ran)
    assert len(found) == 1, found
    key, text = found[0]
    assert key == f"rayfort:{case.key}"
    assert case.says in text


def test_pools_may_be_named_only_where_the_cluster_has_some(tmp_path: Path) -> None:
    """On a cluster that is there already, its facts say which pools it has."""
    existing = {"kubeconfig": samples.kubeconfig(), "context": samples.CONTEXT}
    values = {**VALID, "cluster": existing}
    [(key, text)] = problems(run(values, tmp_path))
    assert key == f"rayfort:{RAY}"
    assert "there is no node pool default (there is none)" in text
    known = {name: {"labels": {"pool": name}} for name in ("default", "gpu")}
    assert run({**values, "cluster": {**existing, "facts": {"nodePools": known}}}, tmp_path).resources


def test_a_mistake_in_a_pools_facts_names_its_key(tmp_path: Path) -> None:
    facts = {"nodePools": {"gpu": {"labels": {"a": "b"}, "acelerators": 1}}}
    cluster = {"kubeconfig": samples.kubeconfig(), "context": samples.CONTEXT, "facts": facts}
    [(key, text)] = problems(run({"cluster": cluster}, tmp_path))
    assert key == "rayfort:cluster.facts.nodePools.gpu.acelerators"
    assert "did you mean accelerators?" in text
