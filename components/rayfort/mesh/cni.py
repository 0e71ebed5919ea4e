"""Istio's CNI plugin: the node sends Pods' traffic to their sidecars, so that Pods need no rights for it.

Whether a cluster's nodes take the plugin is the cluster's fact ``istio_cni``, and that fact alone decides
whether the mesh uses it. What is here says how it gets onto the nodes.
"""

from typing import Annotated, Final

from rayfort import pod_security, versions
from rayfort.chart import Chart
from rayfort.model import DnsLabel, JsonObject, Model, SemVer, Written, merge

RELEASE: Final = "istio-cni"
CHART: Final = "cni"

NodeDirectory = Annotated[
    str, Written(r"(/[A-Za-z0-9._-]+)+", "is not an absolute path; write for example /home/kubernetes/bin")
]


class CniPlugin(Model):
    """How the plugin gets onto nodes that take it.

    Args:
        install: whether Rayfort installs it; false where the nodes have it from elsewhere.
        chart: where its chart comes from; by default the official repository, at the mesh's version.
        namespace: where it runs. Its Pods are ``system-node-critical``; GKE admits those in ``kube-system``,
            and elsewhere only with a quota for that class (``values.resourceQuotas.enabled``).
        bin_directory: where nodes keep CNI plugins; None for the chart's ``/opt/cni/bin``. On GKE set
            ``/home/kubernetes/bin``: the chart finds out only where Helm sees the cluster's version.
        values: further chart values, laid over what Rayfort computes.
    """

    install: bool = True
    chart: Chart | None = None
    namespace: DnsLabel = "kube-system"
    bin_directory: NodeDirectory | None = None
    values: JsonObject = {}

    def chart_source(self, version: SemVer) -> Chart:
        """The chart in force for a version of Istio."""
        return self.chart or Chart(chart=CHART, repository=versions.ISTIO_CHART_REPOSITORY, version=version)


def chart_values(plugin: CniPlugin, hub: str | None, tag: str | None) -> JsonObject:
    """The values of the plugin's chart.

    Args:
        plugin: how it gets onto the nodes.
        hub, tag: registry and tag of Istio's images; None for the chart's.
    """
    values: JsonObject = {}
    settings = {key: value for key, value in (("hub", hub), ("tag", tag)) if value}
    if settings:
        values["global"] = settings
    if plugin.bin_directory:
        values["cniBinDir"] = plugin.bin_directory
    return merge(values, plugin.values)


def istiod_values() -> JsonObject:
    """What istiod is told where nodes run the plugin.

    It injects ``istio-validation``, which only looks whether traffic is redirected, in place of
    ``istio-init``. `restricted` asks for the seccomp profile.
    """
    return {
        "pilot": {"cni": {"enabled": True}},
        "global": {"proxy": {"seccompProfile": dict(pod_security.SECCOMP)}},
    }
