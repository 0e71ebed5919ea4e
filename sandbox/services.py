"""Which processes make up the sandbox, and with which arguments: pure functions of paths and ports."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from sandbox.health import HOST
from sandbox.kubeconfig import KeyPair
from sandbox.local_workload import LocalWorkload
from sandbox.node import config, network
from sandbox.node.enclosure import HOLDER, PATH
from sandbox.node.real import Identities
from sandbox.processes import MARKER, ProcessSpec, SandboxError

WEBHOOK_HOST: Final = "localhost"  # istiod's certificate names hosts, not addresses

ETCD: Final = "etcd"
API_SERVER: Final = "kube-apiserver"
CONTROLLER_MANAGER: Final = "kube-controller-manager"
SCHEDULER: Final = "kube-scheduler"
SIMULATOR: Final = "kwok"
OPERATOR: Final = "kuberay-operator"
ISTIOD: Final = "istiod"
CONTAINERD: Final = "containerd"
FELIX: Final = "calico-felix"
KUBELET: Final = "kubelet"

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

# What stands in for a Deployment, with the label (name, value) of that Deployment and of its pods.
STOOD_IN: Final[Mapping[str, tuple[str, str]]] = {
    OPERATOR: ("app.kubernetes.io/name", "kuberay-operator"),
    ISTIOD: ("app", "istiod"),
}
# Where they say that they serve: the port and the path.
HEALTH: Final[Mapping[str, tuple[str, str]]] = {
    OPERATOR: ("operator-health", "/readyz"),
    ISTIOD: ("istiod-http", "/ready"),
}

PORT_NAMES: Final = tuple(name for names in PORTS.values() for name in names)

# What the tools are called where they differ from the process.
_TOOLS: Final = {OPERATOR: "ray-operator", ISTIOD: "pilot-discovery"}

FRONT_PROXY: Final = "front-proxy-client"
SERVICE_CIDR: Final = "10.97.0.0/16"
KUBERNETES_SERVICE_IP: Final = "10.97.0.1"
CLUSTER_DOMAIN: Final = "cluster.local"
ISSUER: Final = f"https://kubernetes.default.svc.{CLUSTER_DOMAIN}"

_CRDS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_SUPERVISOR: Final = ("local_workload", "health", "kube_api", "kubeconfig", "processes")
_ROOT: Final = Path(__file__).resolve().parent.parent


def port_name(process: str) -> str:
    """The name of the port that says most about a process; empty for one that listens on none."""
    known = PORTS.get(process)
    return known[0] if known else process if process in STANDARD_PORTS else ""


@dataclass(frozen=True)
class Place:
    """Where the processes run.

    Attributes:
        host: the address that they listen on.
        on_network: turns a command into one that runs where that address is.
        inside: turns a command into one that runs on the real node; none where nodes are simulated.
    """

    host: str = HOST
    on_network: Callable[[Sequence[str]], tuple[str, ...]] = tuple
    inside: Callable[[Sequence[str]], tuple[str, ...]] | None = None


@dataclass(frozen=True)
class Layout:
    """Where things lie below a state directory."""

    state: Path

    @property
    def etcd_data(self) -> Path:
        """etcd's data: all objects of the cluster."""
        return self.state / "etcd"

    @property
    def pki(self) -> Path:
        """Certificates and keys."""
        return self.state / "pki"

    @property
    def kubeconfigs(self) -> Path:
        """Kubeconfigs of the control plane's own processes."""
        return self.state / "kubeconfigs"

    @property
    def admin_kubeconfig(self) -> Path:
        """The kubeconfig for the user."""
        return self.state / "kubeconfig"

    @property
    def ports(self) -> Path:
        """The chosen ports."""
        return self.state / "ports.json"

    @property
    def lock(self) -> Path:
        """Held by the one command that changes the sandbox."""
        return self.state / "lock"

    @property
    def node_root(self) -> Path:
        """The root filesystem of the real node."""
        return self.state / "node" / "root"

    @property
    def stages(self) -> Path:
        """kwok's configuration."""
        return self.state / "run" / "kwok.yaml"

    def workload(self, name: str) -> Path:
        """The specification of a local workload."""
        return self.state / "run" / f"{name}.workload.json"

    def kubeconfig(self, name: str) -> Path:
        """The kubeconfig of a control plane process."""
        return self.kubeconfigs / f"{name}.kubeconfig"


@dataclass(frozen=True)
class Pki:
    """The certificates of a control plane. etcd has an authority of its own: nobody but the API server
    holds a certificate that opens it."""

    cluster_ca: KeyPair
    etcd_ca: KeyPair
    front_proxy_ca: KeyPair
    etcd: KeyPair
    etcd_client: KeyPair
    front_proxy: KeyPair
    api_server: KeyPair
    controller_manager: KeyPair
    scheduler: KeyPair
    simulator: KeyPair
    workloads: KeyPair
    admin: KeyPair
    kubelet_client: KeyPair
    node: Identities
    tokens_private: Path
    tokens_public: Path


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
            specs += [self._containerd(), self._felix(), self._kubelet()]
            return {spec.name: spec for spec in specs}
        specs.append(self._kwok())
        for workload in (self._operator(operator_env), self._istiod()):
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

    def _process(self, name: str, flags: Mapping[str, str | int], *inputs: Path) -> ProcessSpec:
        argv = (str(self._tool(name)), *(f"--{flag}={value}" for flag, value in flags.items()))
        argv = self._place.on_network(argv)
        return ProcessSpec(name, argv, self._layout.state, _environment(self._layout), inputs)

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

    def _containerd(self) -> ProcessSpec:
        # The shims inherit its environment, and outlive it: what marks containerd must not mark them.
        argv = ("env", f"--unset={MARKER}", "containerd", f"--config={config.CONTAINERD_CONFIG}")
        return self._in_node(CONTAINERD, argv, (config.CONTAINERD_CONFIG,))

    def _felix(self) -> ProcessSpec:
        host, kubeconfig = self._place.host, config.FELIX_KUBECONFIG
        environment = network.felix_environment(config.NODE_NAME, host, kubeconfig)
        files = (*config.FELIX_FILES, config.FELIX_BINARY)
        return self._in_node(FELIX, (config.FELIX_BINARY,), files, environment)

    def _kubelet(self) -> ProcessSpec:
        flags = {
            "config": config.KUBELET_CONFIG,
            "kubeconfig": config.KUBELET_KUBECONFIG,
            "node-ip": self._place.host,
            "hostname-override": config.NODE_NAME,
        }
        argv = (config.KUBELET_BINARY, *(f"--{flag}={value}" for flag, value in flags.items()))
        return self._in_node(KUBELET, argv, (*config.KUBELET_FILES, config.KUBELET_BINARY))

    def _in_node(
        self,
        name: str,
        argv: Sequence[str],
        files: Iterable[str] = (),
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> ProcessSpec:
        """A program of the node; `files` are those that it reads when it starts."""
        inside = self._place.inside
        if inside is None:
            raise SandboxError(f"{name} runs on real nodes only.")
        inputs = tuple(config.below(self._layout.node_root, path) for path in files)
        env = {"PATH": PATH, "HOME": "/root", **environment}
        return ProcessSpec(name, inside(argv), self._layout.state, env, inputs)

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

    def _operator(self, env: Mapping[str, str]) -> LocalWorkload:
        return self._workload(
            OPERATOR,
            container="kuberay-operator",
            requires=tuple(f"{_CRDS}/{kind}.ray.io" for kind in ("rayclusters", "rayjobs", "rayservices")),
            overrides=(
                "--kubeconfig={kubeconfig}",
                f"--metrics-addr={self.address('operator-metrics')}",
                f"--health-probe-bind-address={self.address('operator-health')}",
                "--enable-leader-election=false",
            ),
            dropped_flags=("--log-file-path", "--log-file-encoder"),
            env={"POD_NAMESPACE": "{namespace}", **env},
        )

    def _istiod(self) -> LocalWorkload:
        configmap = "/api/v1/namespaces/{namespace}/configmaps"
        return self._workload(
            ISTIOD,
            container="discovery",
            # istiod that starts without its template has no injector until it is started again.
            requires=(f"{configmap}/istio", f"{configmap}/istio-sidecar-injector"),
            overrides=(
                "--kubeconfig={kubeconfig}",
                f"--httpsAddr={self.address('istiod-webhooks')}",
                f"--httpAddr={self.address('istiod-http')}",
                f"--grpcAddr={self.address('istiod-xds')}",
                f"--secureGRPCAddr={self.address('istiod-xds-tls')}",
                f"--monitoringAddr={self.address('istiod-monitoring')}",
                f"--ctrlz_address={HOST}",
                f"--ctrlz_port={self._ports['istiod-debug']}",
                "--tls-min-version=1.3",
                "--shutdownDuration=1s",
                "--profile=false",
            ),
            dropped_flags=(),
            env={
                "ISTIOD_CUSTOM_HOST": WEBHOOK_HOST,
                "POD_NAME": "istiod-local",
                "POD_NAMESPACE": "{namespace}",
                "SERVICE_ACCOUNT": "{service_account}",
                "INJECTION_WEBHOOK_CONFIG_NAME": "istio-sidecar-injector-{namespace}",
                "VALIDATION_WEBHOOK_CONFIG_NAME": "istio-validator-{namespace}",
                "KUBECONFIG": "{kubeconfig}",
                "ENABLE_LEADER_ELECTION": "false",
            },
        )

    def _workload(
        self,
        name: str,
        *,
        container: str,
        requires: tuple[str, ...],
        overrides: tuple[str, ...],
        dropped_flags: tuple[str, ...],
        env: Mapping[str, str],
    ) -> LocalWorkload:
        return LocalWorkload(
            name=name,
            state=str(self._layout.state),
            selector="=".join(STOOD_IN[name]),
            health_port=self._ports[HEALTH[name][0]],
            health_path=HEALTH[name][1],
            container=container,
            requires=requires,
            command=(str(self._tool(name)),),
            overrides=overrides,
            dropped_flags=dropped_flags,
            env={**_environment(self._layout), **env},
            api_server=self.api_url,
            api_ca=str(self._pki.cluster_ca.cert),
            cert=str(self._pki.workloads.cert),
            key=str(self._pki.workloads.key),
        )


def _python_environment(layout: Layout) -> dict[str, str]:
    # Some Pythons find their own library only this way.
    own = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    return {**_environment(layout), **own, "PYTHONPATH": str(_ROOT)}


def _environment(layout: Layout) -> dict[str, str]:
    """All that a daemon gets to see: nothing of the user's own environment."""
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(layout.state), "LC_ALL": "C.UTF-8"}
