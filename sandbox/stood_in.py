"""The operator and istiod as processes of this machine, which stand in for their Deployments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from sandbox.health import HOST
from sandbox.layout import Layout, environment
from sandbox.local_workload import LocalWorkload
from sandbox.pki import Pki

OPERATOR: Final = "kuberay-operator"
ISTIOD: Final = "istiod"
WEBHOOK_HOST: Final = "localhost"  # istiod's certificate names hosts, not addresses
_CRDS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

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


class StoodIn:
    """The specifications of both.

    Args:
        layout: where files lie.
        tools: the executable of each.
        ports: by name.
        pki: the certificates.
        address: gives `host:port` of a named port.
        api_url: of the API server.
    """

    def __init__(
        self,
        layout: Layout,
        *,
        tools: Mapping[str, Path],
        ports: Mapping[str, int],
        pki: Pki,
        address: Callable[[str], str],
        api_url: str,
    ) -> None:
        self._layout = layout
        self._tools = tools
        self._ports = ports
        self._pki = pki
        self._address = address
        self._api_url = api_url

    def operator(self, env: Mapping[str, str]) -> LocalWorkload:
        """The KubeRay operator; `env` wins over the environment of its Deployment."""
        return self._workload(
            OPERATOR,
            self._tools[OPERATOR],
            container="kuberay-operator",
            requires=tuple(f"{_CRDS}/{kind}.ray.io" for kind in ("rayclusters", "rayjobs", "rayservices")),
            overrides=(
                "--kubeconfig={kubeconfig}",
                f"--metrics-addr={self._address('operator-metrics')}",
                f"--health-probe-bind-address={self._address('operator-health')}",
                "--enable-leader-election=false",
            ),
            dropped_flags=("--log-file-path", "--log-file-encoder"),
            env={"POD_NAMESPACE": "{namespace}", **env},
        )

    def istiod(self) -> LocalWorkload:
        """Istio's control plane, with its webhooks at an address of this machine."""
        configmap = "/api/v1/namespaces/{namespace}/configmaps"
        return self._workload(
            ISTIOD,
            self._tools[ISTIOD],
            container="discovery",
            # istiod that starts without its template has no injector until it is started again.
            requires=(f"{configmap}/istio", f"{configmap}/istio-sidecar-injector"),
            overrides=(
                "--kubeconfig={kubeconfig}",
                f"--httpsAddr={self._address('istiod-webhooks')}",
                f"--httpAddr={self._address('istiod-http')}",
                f"--grpcAddr={self._address('istiod-xds')}",
                f"--secureGRPCAddr={self._address('istiod-xds-tls')}",
                f"--monitoringAddr={self._address('istiod-monitoring')}",
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
        program: Path,
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
            command=(str(program),),
            overrides=overrides,
            dropped_flags=dropped_flags,
            env={**environment(self._layout), **env},
            api_server=self._api_url,
            api_ca=str(self._pki.cluster_ca.cert),
            cert=str(self._pki.workloads.cert),
            key=str(self._pki.workloads.key),
        )
