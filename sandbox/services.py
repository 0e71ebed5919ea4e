"""Which processes make up the sandbox, and with which arguments: pure functions of paths and ports."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from sandbox.cluster_network import CLUSTER_DOMAIN, SERVICE_CIDR
from sandbox.kubeconfig import KeyPair
from sandbox.layout import Layout, Place, environment
from sandbox.local_workload import LocalWorkload
from sandbox.node import config, network
from sandbox.node.daemons import CONTAINERD, FELIX, KUBELET, Daemons
from sandbox.node.enclosure import HOLDER
from sandbox.pki import FRONT_PROXY, Pki
from sandbox.processes import ProcessSpec, SandboxError
from sandbox.stood_in import ISTIOD, OPERATOR, STOOD_IN, StoodIn

ETCD: Final = "etcd"
API_SERVER: Final = "kube-apiserver"
CONTROLLER_MANAGER: Final = "kube-controller-manager"
SCHEDULER: Final = "kube-scheduler"
SIMULATOR: Final = "kwok"

# In the order of their start; they stop in the reverse order.
_CONTROL_PLANE: Final = (ETCD, API_SERVER, CONTROLLER_MANAGER, SCHEDULER)
NAMES: Final = (*_CONTROL_PLANE, SIMULATOR, OPERATOR, ISTIOD)
REAL_NAMES: Final = (HOLDER, *_CONTROL_PLANE, CONTAINERD, FELIX, KUBELET)

# The port that says most about each process, then the others that it listens on.
PORTS: Final[Mapping[str, tuple[str, ...]]] = {
    ETCD: ("etcd", "etcd-peer"),
    API_SERVER: ("api",),
    CONTROLLER_MANAGER: ("controller-manager",),
    SCHEDULER: ("scheduler",),
    SIMULATOR: ("kwok",),
    OPERATOR: ("operator-health", "operator-metrics"),
    ISTIOD: (
        "istiod-webhooks",
        "istiod-http",
        "istiod-xds",
        "istiod-xds-tls",
        "istiod-monitoring",
        "istiod-debug",
    ),
}

# Where a node has a network of its own nobody else takes the ports that these programs are known for.
STANDARD_PORTS: Final[Mapping[str, int]] = {
    "etcd": 2379,
    "etcd-peer": 2380,
    "api": 6443,
    "controller-manager": 10257,
    "scheduler": 10259,
    FELIX: network.HEALTH_PORT,
    KUBELET: config.KUBELET_PORT,
}

PORT_NAMES: Final = tuple(name for names in PORTS.values() for name in names)

# What the tools are called where they differ from the process.
_TOOLS: Final = {OPERATOR: "ray-operator", ISTIOD: "pilot-discovery"}

ISSUER: Final = f"https://kubernetes.default.svc.{CLUSTER_DOMAIN}"

_SUPERVISOR: Final = ("local_workload", "health", "kube_api", "kubeconfig", "processes")
_ROOT: Final = Path(__file__).resolve().parent.parent


def port_name(process: str) -> str:
    """The name of the port that says most about a process; empty for one that listens on none."""
    known = PORTS.get(process)
    return known[0] if known else process if process in STANDARD_PORTS else ""


class Services:
    """The process specifications of one control plane."""

    def __init__(
        self,
        layout: Layout,
        tools: Mapping[str, Path],
        ports: Mapping[str, int],
        pki: Pki,
        place: Place,
    ) -> None:
        self._layout = layout
        self._tools = tools
        self._ports = ports
        self._pki = pki
        self._place = place

    @property
    def api_url(self) -> str:
        """The API server's URL."""
        return f"https://{self.address('api')}"

    def address(self, port: str) -> str:
        """`host:port` of a named port."""
        return f"{self._place.host}:{self._ports[port]}"

    def all(self, operator_env: Mapping[str, str]) -> dict[str, ProcessSpec]:
        """Every process by name, in the order of the start.

        Writes the specification files of the local workloads. `operator_env` wins over the environment
        of the operator's Deployment.
        """
        specs = [self._etcd(), self._api_server(), self._controller_manager(), self._scheduler()]
        if self._place.inside:
            specs += Daemons(self._layout, self._place).all()
            return {spec.name: spec for spec in specs}
        specs.append(self._kwok())
        for workload in self._stood_in(operator_env):
            path = self._layout.workload(workload.name)
            workload.save(path)
            specs.append(
                ProcessSpec(
                    workload.name,
                    (sys.executable, "-m", "sandbox.local_workload", str(path)),
                    self._layout.state,
                    _python_environment(self._layout),
                    # A newer checkout brings newer supervisors.
                    inputs=(path, *(_ROOT / "sandbox" / f"{name}.py" for name in _SUPERVISOR)),
                )
            )
        return {spec.name: spec for spec in specs}

    def _stood_in(self, operator_env: Mapping[str, str]) -> tuple[LocalWorkload, LocalWorkload]:
        tools = {name: self._tool(name) for name in STOOD_IN}
        made = StoodIn(
            self._layout,
            tools=tools,
            ports=self._ports,
            pki=self._pki,
            address=self.address,
            api_url=self.api_url,
        )
        return made.operator(operator_env), made.istiod()

    def _process(self, name: str, flags: Mapping[str, str | int], *inputs: Path) -> ProcessSpec:
        argv = (str(self._tool(name)), *(f"--{flag}={value}" for flag, value in flags.items()))
        argv = self._place.on_network(argv)
        return ProcessSpec(name, argv, self._layout.state, environment(self._layout), inputs)

    def _tool(self, name: str) -> Path:
        tool = _TOOLS.get(name, name)
        if tool not in self._tools:
            raise SandboxError(f"{name}: the tool {tool} is missing. Run `./rayfort doctor` to see why.")
        return self._tools[tool].absolute()

    def _etcd(self) -> ProcessSpec:
        pki = self._pki
        client, peer = f"https://{self.address('etcd')}", f"https://{self.address('etcd-peer')}"
        tls = {"cert-file": pki.etcd.cert, "key-file": pki.etcd.key, "trusted-ca-file": pki.etcd_ca.cert}
        flags: dict[str, str | int] = {
            "name": "sandbox",
            "data-dir": str(self._layout.etcd_data),
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"sandbox={peer}",
            **{flag: str(path) for flag, path in tls.items()},
            **{f"peer-{flag}": str(path) for flag, path in tls.items()},
            "client-cert-auth": "true",
            "peer-client-cert-auth": "true",
            "tls-min-version": "TLS1.3",
            "auto-compaction-retention": "1h",
            "log-level": "warn",
        }
        return self._process(ETCD, flags, pki.etcd.cert, pki.etcd_ca.cert)

    def _api_server(self) -> ProcessSpec:
        pki = self._pki
        flags: dict[str, str | int] = {
            "bind-address": self._place.host,
            "advertise-address": self._place.host,
            "secure-port": self._ports["api"],
            # No simulated Pod can reach the API server through its Service: there is no endpoint to keep.
            "endpoint-reconciler-type": "lease" if self._place.inside else "none",
            "etcd-servers": f"https://{self.address('etcd')}",
            "etcd-cafile": str(pki.etcd_ca.cert),
            "etcd-certfile": str(pki.etcd_client.cert),
            "etcd-keyfile": str(pki.etcd_client.key),
            "tls-cert-file": str(pki.api_server.cert),
            "tls-private-key-file": str(pki.api_server.key),
            "tls-min-version": "VersionTLS13",
            "client-ca-file": str(pki.cluster_ca.cert),
            "anonymous-auth": "false",
            "authorization-mode": "Node,RBAC",
            "enable-admission-plugins": "NodeRestriction",
            # Who may speak for a user: only the API server's own aggregation layer.
            "requestheader-client-ca-file": str(pki.front_proxy_ca.cert),
            "requestheader-allowed-names": FRONT_PROXY,
            "requestheader-username-headers": "X-Remote-User",
            "requestheader-group-headers": "X-Remote-Group",
            "requestheader-extra-headers-prefix": "X-Remote-Extra-",
            "proxy-client-cert-file": str(pki.front_proxy.cert),
            "proxy-client-key-file": str(pki.front_proxy.key),
            "service-account-issuer": ISSUER,
            "service-account-key-file": str(pki.tokens_public),
            "service-account-signing-key-file": str(pki.tokens_private),
            # The simulated nodes' names mean nothing to the machine's DNS; kwok answers for their kubelets.
            "kubelet-preferred-address-types": "InternalIP",
            "service-cluster-ip-range": SERVICE_CIDR,
            "allow-privileged": "true",
            "profiling": "false",
        }
        if self._place.inside:
            flags |= {
                "kubelet-client-certificate": str(pki.kubelet_client.cert),
                "kubelet-client-key": str(pki.kubelet_client.key),
                "kubelet-certificate-authority": str(pki.cluster_ca.cert),
            }
        return self._process(
            API_SERVER,
            flags,
            pki.api_server.cert,
            pki.etcd_client.cert,
            pki.etcd_ca.cert,
            pki.cluster_ca.cert,
            pki.front_proxy_ca.cert,
            pki.tokens_public,
        )

    def _controller_manager(self) -> ProcessSpec:
        pki = self._pki
        flags = self._client_flags(CONTROLLER_MANAGER, "controller-manager", pki.controller_manager)
        flags |= {
            "use-service-account-credentials": "true",
            "root-ca-file": str(pki.cluster_ca.cert),
            "service-account-private-key-file": str(pki.tokens_private),
            "cluster-signing-cert-file": str(pki.cluster_ca.cert),
            "cluster-signing-key-file": str(pki.cluster_ca.key),
            "kube-api-qps": 200,
            "kube-api-burst": 400,
            # On a busy machine a kubelet is late now and then. The Pods of a simulated one would be marked as
            # not ready, and with no kubelet to say otherwise they would stay so.
            "node-monitor-grace-period": "5m" if self._place.inside else "24h",
        }
        return self._process(
            CONTROLLER_MANAGER, flags, self._layout.kubeconfig(CONTROLLER_MANAGER), pki.cluster_ca.cert
        )

    def _scheduler(self) -> ProcessSpec:
        flags = self._client_flags(SCHEDULER, "scheduler", self._pki.scheduler)
        return self._process(SCHEDULER, flags, self._layout.kubeconfig(SCHEDULER))

    def _client_flags(self, name: str, port: str, pair: KeyPair) -> dict[str, str | int]:
        kubeconfig = str(self._layout.kubeconfig(name))
        return {
            "kubeconfig": kubeconfig,
            "authentication-kubeconfig": kubeconfig,
            "authorization-kubeconfig": kubeconfig,
            "bind-address": self._place.host,
            "secure-port": self._ports[port],
            "tls-cert-file": str(pair.cert),
            "tls-private-key-file": str(pair.key),
            "tls-min-version": "VersionTLS13",
            # One of each: an election would only delay the start.
            "leader-elect": "false",
            "profiling": "false",
        }

    def _kwok(self) -> ProcessSpec:
        kubeconfig = self._layout.kubeconfig(SIMULATOR)
        flags: dict[str, str | int] = {
            "kubeconfig": str(kubeconfig),
            "config": str(self._layout.stages),
            "manage-nodes-with-annotation-selector": "kwok.x-k8s.io/node=fake",
            "server-address": self.address("kwok"),
            "node-port": self._ports["kwok"],
        }
        return self._process(SIMULATOR, flags, kubeconfig, self._layout.stages)


def _python_environment(layout: Layout) -> dict[str, str]:
    # Some Pythons find their own library only this way.
    own = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    return {**environment(layout), **own, "PYTHONPATH": str(_ROOT)}
