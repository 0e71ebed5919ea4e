"""Calico on the node: what the cluster and the plugin are told (that it enforces: tests/sandbox)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.node import network
from sandbox.processes import SandboxError

POD_CIDR = "10.98.0.0/22"


def definition(plural: str) -> dict[str, Any]:
    group = "crd.projectcalico.org"
    return {
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {"group": group, "names": {"plural": plural}},
    }


@pytest.fixture
def crds(tmp_path: Path) -> Path:
    for plural in ("felixconfigurations", "clusterinformations", "ippools"):
        (tmp_path / f"{plural}.yaml").write_text(yaml.safe_dump(definition(plural)))
    return tmp_path


def rules(objects: list[dict[str, Any]], role: str) -> dict[tuple[str, str], set[str]]:
    """The verbs that a ClusterRole gives, by group and resource."""
    (found,) = [o for o in objects if o["kind"] == "ClusterRole" and o["metadata"]["name"] == role]
    return {
        (group, resource): set(rule["verbs"])
        for rule in found["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


def setting(kind: str) -> dict[str, Any]:
    (found,) = [o for o in network.settings(POD_CIDR) if o["kind"] == kind]
    spec: dict[str, Any] = found["spec"]
    return spec


def test_the_plugin_takes_addresses_from_the_pods_network() -> None:
    network_list = json.loads(network.plugin_configuration("real-0", "/etc/calico/kubeconfig", POD_CIDR))
    calico, portmap = network_list["plugins"]
    assert (calico["type"], portmap["type"]) == ("calico", "portmap")
    assert calico["ipam"]["ranges"] == [[{"subnet": POD_CIDR}]]
    assert calico["nodename"] == "real-0"
    assert calico["kubernetes"] == {"kubeconfig": "/etc/calico/kubeconfig"}
    assert portmap["capabilities"] == {"portMappings": True}


def network_list(*further: dict[str, Any]) -> str:
    found = json.loads(network.plugin_configuration("real-0", "/k", POD_CIDR))
    return json.dumps({**found, "plugins": [*found["plugins"], *further]})


def test_what_istios_agent_put_behind_our_plugins_is_kept() -> None:
    """An `up` that took the plugin out of the list would let Pods start which nobody redirects."""
    ours = network.plugin_configuration("real-0", "/k", POD_CIDR)
    assert network.is_ours(network_list({"type": "istio-cni", "plugin_log_level": "info"}), ours)
    assert network.is_ours(ours, ours)


@pytest.mark.parametrize(
    "there",
    [
        "",
        "{",
        "[]",
        "{}",
        json.dumps({"plugins": ["calico"]}),
        network_list({"type": "bandwidth"}),
        network.plugin_configuration("real-0", "/another", POD_CIDR),
    ],
)
def test_any_other_list_is_written_anew(there: str) -> None:
    assert not network.is_ours(there, network.plugin_configuration("real-0", "/k", POD_CIDR))


def test_a_pod_waits_for_its_policies_where_felix_reports_them() -> None:
    calico = json.loads(network.plugin_configuration("real-0", "/k", POD_CIDR))["plugins"][0]
    assert calico["policy_setup_timeout_seconds"] > 0
    # Felix adds the last part itself.
    assert Path(calico["endpoint_status_dir"]) == Path(network.STATUS_DIRECTORY) / "endpoint-status"
    assert setting("FelixConfiguration")["endpointStatusPathPrefix"] == network.STATUS_DIRECTORY


def test_felix_and_the_plugin_name_the_node_alike() -> None:
    calico = json.loads(network.plugin_configuration("real-0", "/k", POD_CIDR))["plugins"][0]
    environment = network.felix_environment("real-0", "198.18.0.2", "/etc/calico/felix.kubeconfig")
    assert environment["FELIX_FELIXHOSTNAME"] == calico["nodename"]
    assert environment["KUBECONFIG"] == "/etc/calico/felix.kubeconfig"
    assert environment["FELIX_HEALTHHOST"] == "198.18.0.2"


def test_felix_reads_and_never_writes(crds: Path) -> None:
    granted = rules(network.access(network.definitions(crds)), network.FELIX.common_name)
    assert set().union(*granted.values()) == {"get", "list", "watch"}
    assert ("networking.k8s.io", "networkpolicies") in granted
    assert ("", "secrets") not in granted


def test_felix_reads_every_resource_that_is_defined(crds: Path) -> None:
    granted = rules(network.access(network.definitions(crds)), network.FELIX.common_name)
    own = {resource for group, resource in granted if group == "crd.projectcalico.org"}
    assert own == {"clusterinformations", "felixconfigurations", "ippools"}


def test_the_plugin_writes_only_the_status_of_pods(crds: Path) -> None:
    granted = rules(network.access(network.definitions(crds)), network.PLUGIN.common_name)
    writing = {key for key, verbs in granted.items() if verbs - {"get", "list", "watch"}}
    assert writing == {("", "pods/status")}


def test_each_role_is_bound_to_its_own_user(crds: Path) -> None:
    bindings = [o for o in network.access(network.definitions(crds)) if o["kind"] == "ClusterRoleBinding"]
    assert {(b["roleRef"]["name"], s["kind"], s["name"]) for b in bindings for s in b["subjects"]} == {
        ("calico-node", "User", "calico-node"),
        ("calico-cni", "User", "calico-cni"),
    }


def test_the_datastore_is_ready_from_the_start() -> None:
    # Without it both Felix and the plugin wait for a container that is never started.
    assert setting("ClusterInformation")["datastoreReady"] is True


def test_nothing_is_tunnelled_reported_or_served_beyond_the_node() -> None:
    felix, pool = setting("FelixConfiguration"), setting("IPPool")
    assert (pool["ipipMode"], pool["vxlanMode"]) == ("Never", "Never")
    assert not (felix["ipipEnabled"] or felix["vxlanEnabled"] or felix["xdpEnabled"])
    assert not (felix["usageReportingEnabled"] or felix["prometheusMetricsEnabled"])


def test_what_leaves_the_pods_network_does_so_behind_the_node() -> None:
    pool = setting("IPPool")
    assert (pool["cidr"], pool["natOutgoing"]) == (POD_CIDR, True)


def test_definitions_that_are_missing_are_told(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match=r"holds no definitions.*`\./rayfort up` again"):
        network.definitions(tmp_path)
