"""Google's words against what the provider's own texts say, and when its classes are imported."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Iterable
from typing import Any

import pytest
from pulumi_gcp import container
from rayfort.cluster.gke import telemetry
from rayfort.cluster.gke.maintenance import ExclusionScope, Weekday
from rayfort.cluster.gke.pools import UpgradeStrategy
from rayfort.cluster.gke.spec import ReleaseChannel

WORDS: list[tuple[Any, Iterable[str]]] = [
    (container.ClusterArgs, ["ADVANCED_DATAPATH"]),
    (container.ClusterDnsConfigArgs, ["CLOUD_DNS", "KUBE_DNS", "CLUSTER_SCOPE"]),
    (container.ClusterReleaseChannelArgs, [channel.value for channel in ReleaseChannel]),
    (container.ClusterDatabaseEncryptionArgs, ["ENCRYPTED"]),
    (container.ClusterAnonymousAuthenticationConfigArgs, ["LIMITED"]),
    (container.ClusterBinaryAuthorizationArgs, ["DISABLED", "PROJECT_SINGLETON_POLICY_ENFORCE"]),
    (
        container.ClusterSecurityPostureConfigArgs,
        ["BASIC", "VULNERABILITY_DISABLED", "VULNERABILITY_ENTERPRISE"],
    ),
    (container.ClusterLoggingConfigArgs, telemetry.LOGGED),
    (container.ClusterMonitoringConfigArgs, telemetry.MEASURED),
    (container.ClusterClusterAutoscalingArgs, ["OPTIMIZE_UTILIZATION"]),
    (container.ClusterClusterAutoscalingAutoProvisioningDefaultsArgs, ["COS_CONTAINERD", "pd-balanced"]),
    (
        container.ClusterClusterAutoscalingAutoProvisioningDefaultsUpgradeSettingsArgs,
        [strategy.value for strategy in UpgradeStrategy],
    ),
    (container.ClusterIpAllocationPolicyArgs, ["IPV4"]),
    (
        container.ClusterMaintenancePolicyMaintenanceExclusionExclusionOptionsArgs,
        [scope.value for scope in ExclusionScope],
    ),
    (container.ClusterNodePoolAutoConfigNodeKubeletConfigArgs, ["FALSE"]),
    (container.NodePoolNodeConfigKubeletConfigArgs, ["FALSE"]),
    (container.NodePoolAutoscalingArgs, ["BALANCED", "ANY"]),
    (container.NodePoolPlacementPolicyArgs, ["COMPACT"]),
    (container.NodePoolNodeConfigReservationAffinityArgs, ["SPECIFIC_RESERVATION"]),
    (container.NodePoolNodeConfigArgs, ["pd-balanced"]),
]


@pytest.mark.parametrize(("arguments", "words"), WORDS, ids=[item[0].__name__ for item in WORDS])
def test_the_providers_own_text_knows_the_word(arguments: Any, words: Iterable[str]) -> None:
    """A misspelt one passes every type checker, and is refused by Google half-way through."""
    text = inspect.getdoc(arguments.__init__) or ""
    assert [word for word in words if word not in text] == []


def test_days_are_written_as_calendars_do() -> None:
    assert [day.value for day in Weekday] == ["MO", "TU", "WE", "TH", "FR", "SA", "SU"]


IMPORT = """
import sys
import rayfort
assert not [name for name in sys.modules if name.startswith("pulumi_gcp")], "imported too early"
rayfort.GkeClusterArgs
import infra.program, cli.offline
assert not [name for name in sys.modules if name.startswith("pulumi_gcp")], "imported by the program"
"""
WITHOUT = """
import sys
sys.modules["pulumi_gcp"] = None
import rayfort
try:
    rayfort.GkeCluster
except ImportError as error:
    print(error)
"""


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_nobody_pays_for_google_who_does_not_use_it() -> None:
    """Its classes take seconds and 135 MB."""
    python(IMPORT)


def test_without_the_extra_the_error_says_what_to_install() -> None:
    assert python(WITHOUT).strip() == "GkeCluster needs pulumi-gcp; install rayfort[gke]"
