"""Where a running sandbox can be reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox.health import HOST
from sandbox.stood_in import WEBHOOK_HOST


@dataclass(frozen=True)
class LocalEndpoints:
    """Where the operator and istiod can be reached that are processes of this machine."""

    injection_url: str
    validation_url: str
    xds: str
    xds_tls: str
    istiod_http: str
    istiod_monitoring: str
    operator_metrics: str
    operator_health: str


@dataclass(frozen=True)
class Endpoints:
    """Where the sandbox can be reached: URLs and `host:port` pairs.

    `local` is None where the operator and istiod run as Pods.
    """

    api_server: str
    kubeconfig: Path
    context: str
    local: LocalEndpoints | None


def local_endpoints(chosen: Mapping[str, int]) -> LocalEndpoints:
    """The addresses of the operator and istiod, from the ports by their names."""

    def address(port: str) -> str:
        return f"{HOST}:{chosen[port]}"

    webhooks = f"https://{WEBHOOK_HOST}:{chosen['istiod-webhooks']}"
    return LocalEndpoints(
        injection_url=f"{webhooks}/inject",
        validation_url=f"{webhooks}/validate",
        xds=address("istiod-xds"),
        xds_tls=address("istiod-xds-tls"),
        istiod_http=address("istiod-http"),
        istiod_monitoring=address("istiod-monitoring"),
        operator_metrics=address("operator-metrics"),
        operator_health=address("operator-health"),
    )
