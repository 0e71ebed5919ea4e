"""The network of the node's Pods: Calico's CNI plugin, and Felix, which enforces NetworkPolicies.

It is Calico's policy-only set-up on one node: no BGP and no tunnels, addresses from the `host-local` plugin.
The plugin gives each Pod a veth pair whose name Felix derives from the Pod's as well, and Felix turns the
cluster's NetworkPolicies into iptables rules for it. Felix runs as a process in the node's namespaces, like
the kubelet: it needs no image, and no Pod has to run before Pods have a network.

A Pod's default route leads to `GATEWAY`, for which the node answers only as long as it has a route there
itself, even one that leads nowhere.

Like Calico's own guide for doing it by hand, each of the two has a client certificate of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from sandbox.certs import Subject
from sandbox.processes import SandboxError
from sandbox.rbac import READ, grant

FELIX: Final = Subject("calico-node")
PLUGIN: Final = Subject("calico-cni")

GATEWAY: Final = "169.254.1.1"
ISTIO_PLUGIN: Final = "istio-cni"
HEALTH_PORT: Final = 9099
READINESS_PATH: Final = "/readiness"  # 200 once every policy is in the kernel
# Where Felix tells the plugin which Pods' policies are in the kernel; has to exist before Felix starts.
STATUS_DIRECTORY: Final = "/run/calico"

# Felix's iptables: kube-proxy must use the same of the two, and Debian's `iptables` is this one.
_IPTABLES: Final = "NFT"
_CALICO: Final = "crd.projectcalico.org"
_MTU: Final = 1500
_POLICY_SECONDS: Final = 10

_Object = dict[str, Any]


def plugin_configuration(node: str, kubeconfig: str, pod_cidr: str) -> str:
    """A CNI network list.

    Args:
        node: the node's name.
        kubeconfig: path of the plugin's kubeconfig, as the node sees it.
        pod_cidr: the network of the Pods.
    """
    plugins: list[_Object] = [
        {
            "type": "calico",
            "datastore_type": "kubernetes",
            "nodename": node,
            # The file that a calico-node container leaves for its plugin; the name is known here.
            "nodename_file_optional": True,
            "log_level": "error",
            "mtu": _MTU,
            # A Pod starts when its policies hold, not a moment before.
            "policy_setup_timeout_seconds": _POLICY_SECONDS,
            "endpoint_status_dir": f"{STATUS_DIRECTORY}/endpoint-status",
            "ipam": {
                "type": "host-local",
                # What the Pods of an earlier start had is forgotten with them.
                "dataDir": "/run/cni-ipam",
                "ranges": [[{"subnet": pod_cidr}]],
            },
            "policy": {"type": "k8s"},
            "kubernetes": {"kubeconfig": kubeconfig},
        },
        {"type": "portmap", "snat": True, "capabilities": {"portMappings": True}},
    ]
    return json.dumps({"cniVersion": "0.3.1", "name": "k8s-pod-network", "plugins": plugins}, indent=2) + "\n"


def is_ours(text: str, ours: str) -> bool:
    """Whether a CNI network list is the one that we wrote, with or without Istio's plugin behind it.

    Its agent puts the plugin there, and takes it away when it is uninstalled. A list without it would let
    Pods start which nobody redirects.

    Args:
        text: the list as it is.
        ours: the list that we would write.
    """
    try:
        found = json.loads(text)
        plugins = [each for each in found["plugins"] if each["type"] != ISTIO_PLUGIN]
        return bool({**found, "plugins": plugins} == json.loads(ours))
    except (ValueError, KeyError, TypeError):
        return False


def felix_environment(node: str, address: str, kubeconfig: str) -> Mapping[str, str]:
    """What Felix has to know before it can read its configuration from the cluster.

    Args:
        node: the node's name.
        address: where it says that it is ready.
        kubeconfig: path of Felix's kubeconfig, as the node sees it.
    """
    return {
        "DATASTORE_TYPE": "kubernetes",
        "FELIX_DATASTORETYPE": "kubernetes",
        "FELIX_FELIXHOSTNAME": node,
        "FELIX_HEALTHENABLED": "true",
        "FELIX_HEALTHHOST": address,
        "FELIX_HEALTHPORT": str(HEALTH_PORT),
        "KUBECONFIG": kubeconfig,
        # Addresses come from host-local, so there are none of Calico's own to watch.
        "USE_POD_CIDR": "true",
        # To standard output and error only.
        "FELIX_LOGFILEPATH": "none",
        "FELIX_LOGSEVERITYFILE": "none",
        "FELIX_LOGSEVERITYSYS": "none",
        # Felix would look for what an eBPF dataplane left over, which a build without C cannot: it panics
        # where it finds bpftool.
        "FELIX_DebugSkipCTLBCleanup": "true",
    }


def definitions(directory: Path) -> list[_Object]:
    """Calico's CustomResourceDefinitions; they must be established before `settings` can be applied.

    Args:
        directory: the asset with their manifests.

    Raises:
        SandboxError: there are none.
    """
    found = [yaml.safe_load(file.read_text()) for file in sorted(directory.glob("*.yaml"))]
    if not found:
        raise SandboxError(
            f"{directory} holds no definitions of Calico's resources. "
            "Delete the directory and run `./rayfort up` again: it is made anew."
        )
    return found


def access(crds: Iterable[_Object]) -> list[_Object]:
    """What Felix and the plugin may do.

    That is less than in Calico's manifests: there Felix shares its rights with what sets the cluster up.

    Args:
        crds: the `definitions`.
    """
    own = [crd["spec"]["names"]["plural"] for crd in crds]
    return [
        *grant(
            FELIX.common_name,
            (
                ("", ("endpoints", "namespaces", "nodes", "pods", "serviceaccounts", "services"), READ),
                ("discovery.k8s.io", ("endpointslices",), READ),
                ("networking.k8s.io", ("networkpolicies",), READ),
                (_CALICO, own, READ),
            ),
        ),
        *grant(
            PLUGIN.common_name,
            (
                ("", ("namespaces", "pods"), ("get",)),
                # it notes the Pod's address there, sooner than the kubelet reports it
                ("", ("pods/status",), ("patch",)),
                (_CALICO, ("clusterinformations",), ("get",)),
            ),
        ),
    ]


def settings(pod_cidr: str) -> list[_Object]:
    """Calico's own objects: what its node container would make when it first starts.

    Args:
        pod_cidr: the network of the Pods.
    """
    return [
        _calico("ClusterInformation", "default", {"clusterType": "k8s", "datastoreReady": True}),
        _calico(
            "FelixConfiguration",
            "default",
            {
                "chainInsertMode": "Insert",
                # A Pod may reach its node, where the API server and DNS's upstream are, as far as its own
                # policies let it; probes from the node to its Pods always pass.
                "defaultEndpointToHostAction": "Accept",
                "endpointStatusPathPrefix": STATUS_DIRECTORY,
                "floatingIPs": "Disabled",
                "interfacePrefix": "cali",
                "ipipEnabled": False,
                "iptablesBackend": _IPTABLES,
                "ipv6Support": False,
                "logSeverityScreen": "Warning",
                "prometheusMetricsEnabled": False,
                "reportingInterval": "0s",
                "usageReportingEnabled": False,
                "vxlanEnabled": False,
                "xdpEnabled": False,
            },
        ),
        _calico(
            "IPPool",
            "default-ipv4-ippool",
            # What leaves the cluster does so behind the node's address.
            {"cidr": pod_cidr, "ipipMode": "Never", "vxlanMode": "Never", "natOutgoing": True},
        ),
    ]


def _calico(kind: str, name: str, spec: Mapping[str, Any]) -> _Object:
    return {"apiVersion": f"{_CALICO}/v1", "kind": kind, "metadata": {"name": name}, "spec": dict(spec)}
