"""What the node's programs are told: files and flags as pure functions.

The conventions are kubeadm's: paths below /etc/kubernetes, identities `system:node:<name>`, the addons that
`kubeadm init phase addon` installs.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Final

import yaml

CNI_DIRECTORY: Final = "/etc/cni/net.d"
CNI_BINARIES: Final = "/usr/lib/cni"
CONTAINERD_CONFIG: Final = "/etc/containerd/config.toml"
CONTAINERD_SOCKET: Final = "/run/containerd/containerd.sock"
NODE_NAME: Final = "rayfort"
_PKI: Final = "/etc/kubernetes/pki"
CA: Final = f"{_PKI}/ca.crt"
KUBELET_CERT: Final = f"{_PKI}/kubelet.crt"
KUBELET_KEY: Final = f"{_PKI}/kubelet.key"
KUBELET_KUBECONFIG: Final = "/etc/kubernetes/kubelet.conf"
KUBELET_CONFIG: Final = "/var/lib/kubelet/config.yaml"
KUBELET_BINARY: Final = "/usr/local/bin/kubelet"
KUBELET_FILES: Final = (CA, KUBELET_CERT, KUBELET_KEY, KUBELET_KUBECONFIG, KUBELET_CONFIG)
FELIX_CERT: Final = f"{_PKI}/calico-node.crt"
FELIX_KEY: Final = f"{_PKI}/calico-node.key"
FELIX_KUBECONFIG: Final = "/etc/calico/kubeconfig"
FELIX_BINARY: Final = "/usr/local/bin/calico-felix"
FELIX_FILES: Final = (CA, FELIX_CERT, FELIX_KEY, FELIX_KUBECONFIG)
PLUGIN_CERT: Final = f"{_PKI}/calico-cni.crt"
PLUGIN_KEY: Final = f"{_PKI}/calico-cni.key"
PLUGIN_KUBECONFIG: Final = f"{CNI_DIRECTORY}/calico-kubeconfig"
PLUGIN_CONFIG: Final = f"{CNI_DIRECTORY}/10-calico.conflist"
PLUGIN_BINARY: Final = f"{CNI_BINARIES}/calico"
RESOLV_CONF: Final = "/etc/resolv.conf"
PAUSE_IMAGE: Final = "registry.k8s.io/pause:3.10.2"  # what kubeadm names for this version

KUBELET_PORT: Final = 10250
KUBELET_HEALTH_PORT: Final = 10248

POD_CIDR: Final = "10.98.0.0/22"
_MAX_PODS: Final = 250


def below(root: Path, path: str) -> Path:
    """Where the node's `path` lies for the machine, when `root` is the node's root directory."""
    return root / path.removeprefix("/")


def dns_address(service_cidr: str) -> str:
    """The tenth address of the Services, where kubeadm puts the cluster's DNS."""
    return str(ipaddress.ip_network(service_cidr)[10])


def resolv_conf(host: str) -> str:
    """`resolv.conf` of the node: names outside the cluster are asked of the machine.

    Nothing need answer there. A refusal comes at once, where no address at all would keep CoreDNS from
    starting.
    """
    return f"nameserver {host}\n"


def containerd() -> str:
    """`config.toml` of containerd 1.6 and later."""
    return f"""\
version = 2

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  # Without CAP_SYS_RESOURCE nobody may make a process harder to kill than containerd is.
  restrict_oom_score_adj = true
  disable_apparmor = true
  tolerate_missing_hugetlb_controller = true

  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    discard_unpacked_layers = true

  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"

    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{CNI_BINARIES}"
    conf_dir = "{CNI_DIRECTORY}"
"""


def kubelet(address: str, service_cidr: str, cluster_domain: str) -> str:
    """The kubelet's configuration file."""
    return yaml.safe_dump(
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": address,
            "port": KUBELET_PORT,
            "healthzBindAddress": address,
            "healthzPort": KUBELET_HEALTH_PORT,
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": CA},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": KUBELET_CERT,
            "tlsPrivateKeyFile": KUBELET_KEY,
            "tlsMinVersion": "VersionTLS13",
            "cgroupDriver": "cgroupfs",
            "failCgroupV1": False,
            "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
            "clusterDomain": cluster_domain,
            "clusterDNS": [dns_address(service_cidr)],
            "resolvConf": RESOLV_CONF,
            "maxPods": _MAX_PODS,
            "failSwapOn": False,
            # Requests are honoured; a limit on a small machine's processors would only make Ray slow.
            "cpuCFSQuota": False,
            # The disk is the user's, and no registry has the images that a collection would remove.
            "imageGCHighThresholdPercent": 100,
            "evictionHard": {"nodefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.available": "0%"},
            "serializeImagePulls": False,
            "shutdownGracePeriod": "0s",
        },
        sort_keys=False,
    )


def kubeadm(
    *, api_server: str, name: str, address: str, version: str, service_cidr: str, cluster_domain: str
) -> str:
    """What `kubeadm init phase addon` is told.

    Args:
        api_server: `host:port` under which Pods of the host network reach the API server.
        name, address: the node's.
        version: of Kubernetes, with its leading v.
        service_cidr: the network of the Services.
        cluster_domain: the DNS domain.
    """
    api = "kubeadm.k8s.io/v1beta4"
    host, _, port = api_server.rpartition(":")
    documents = [
        {
            "apiVersion": api,
            "kind": "InitConfiguration",
            "localAPIEndpoint": {"advertiseAddress": host, "bindPort": int(port)},
            "nodeRegistration": {"name": name, "criSocket": f"unix://{CONTAINERD_SOCKET}"},
        },
        {
            "apiVersion": api,
            "kind": "ClusterConfiguration",
            "kubernetesVersion": version,
            "controlPlaneEndpoint": api_server,
            "networking": {
                "podSubnet": POD_CIDR,
                "serviceSubnet": service_cidr,
                "dnsDomain": cluster_domain,
            },
        },
        {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "iptables",
            "clusterCIDR": POD_CIDR,
            "nodePortAddresses": [f"{address}/32"],
            "iptables": {"localhostNodePorts": False},
            # The size of the connection table is the machine's.
            "conntrack": {"maxPerCore": 0, "min": 0},
        },
    ]
    return yaml.safe_dump_all(documents, sort_keys=False)
