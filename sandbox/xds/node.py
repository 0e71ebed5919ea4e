"""How the sidecar of an injected Pod introduces itself to istiod."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from envoy.config.core.v3.base_pb2 import Node
from google.protobuf.json_format import ParseDict
from rayfort import versions

from sandbox.xds.errors import XdsError

SIDECAR: Final = "istio-proxy"
_META: Final = "ISTIO_META_"
_META_JSON: Final = "ISTIO_METAJSON_"
# What pilot-agent takes from variables that have another prefix, and ports that are its own.
_NAMED: Final = {"POD_NAME": "NAME", "POD_NAMESPACE": "NAMESPACE", "SERVICE_ACCOUNT": "SERVICE_ACCOUNT"}
_STATUS_PORT: Final = 15021
_PROMETHEUS_PORT: Final = 15090
_NOT_A_LABEL: Final = "pod-template-hash"
_REFERENCE: Final = re.compile(r"\$\((\w+)\)")


def node_of(pod: Mapping[str, Any], istio_version: str = versions.ISTIO) -> Node:
    """The node that pilot-agent sends for a Pod.

    Args:
        pod: a live Pod as the API server gives it, injected and with an address.
        istio_version: of the proxy, which knows it from its build.

    Raises:
        XdsError: if the Pod has no sidecar or no address.
    """
    meta = pod["metadata"]
    where = f"Pod {meta['namespace']}/{meta['name']}"
    containers = [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]
    proxy = next((each for each in containers if each["name"] == SIDECAR), None)
    if proxy is None:
        raise XdsError(f"{where} has no container {SIDECAR}. Have it injected, then try again.")
    addresses = [each["ip"] for each in pod.get("status", {}).get("podIPs", [])]
    if not addresses:
        raise XdsError(f"{where} has no address yet. Wait until it runs.")
    env = dict(_environment(proxy, pod))
    metadata = _metadata(env) | {
        "ISTIO_VERSION": istio_version,
        "LABELS": {k: v for k, v in meta.get("labels", {}).items() if k != _NOT_A_LABEL},
        "ANNOTATIONS": meta.get("annotations", {}),
        "INSTANCE_IPS": ",".join(addresses),
        "ENVOY_STATUS_PORT": _STATUS_PORT,
        "ENVOY_PROMETHEUS_PORT": _PROMETHEUS_PORT,
        "PILOT_SAN": [env.get("CA_ADDR", "istiod.istio-system.svc").partition(":")[0]],
        "METADATA_DISCOVERY": "false",
    }
    domain = _expand(_argument(proxy, "--domain", "$(POD_NAMESPACE).svc.cluster.local"), env)
    return Node(
        id=f"sidecar~{addresses[0]}~{meta['name']}.{meta['namespace']}~{domain}",
        cluster=f"{metadata.get('WORKLOAD_NAME', meta['name'])}.{meta['namespace']}",
        metadata=ParseDict(metadata, Node().metadata),
        user_agent_name="envoy",
    )


def _metadata(env: Mapping[str, str]) -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    for name, value in env.items():
        if name.startswith(_META):
            metadata[name.removeprefix(_META)] = value
        elif name.startswith(_META_JSON):
            metadata |= json.loads(value)
    metadata |= {key: env[name] for name, key in _NAMED.items() if name in env}
    if env.get("EXIT_ON_ZERO_ACTIVE_CONNECTIONS"):
        metadata["EXIT_ON_ZERO_ACTIVE_CONNECTIONS"] = env["EXIT_ON_ZERO_ACTIVE_CONNECTIONS"]
    # The injector leaves out what is Istio's default; istiod takes what is absent as that default, too.
    settings = json.loads(env.get("PROXY_CONFIG") or "{}")
    if settings:
        metadata["PROXY_CONFIG"] = settings
    return metadata


def _environment(container: Mapping[str, Any], pod: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The variables that the kubelet would set; those with the container's resources are left out."""
    for each in container.get("env", []):
        path = each.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath")
        value = each.get("value", "") if path is None else _field(pod, path)
        if "valueFrom" not in each or path is not None:
            yield each["name"], value


def _field(pod: Mapping[str, Any], path: str) -> str:
    value: Any = pod
    for part in path.split("."):
        value = value.get(part, "") if isinstance(value, Mapping) else ""
    return str(value)


def _argument(container: Mapping[str, Any], flag: str, default: str) -> str:
    arguments = container.get("args", [])
    return str(arguments[arguments.index(flag) + 1]) if flag in arguments[:-1] else default


def _expand(text: str, env: Mapping[str, str]) -> str:
    return _REFERENCE.sub(lambda match: env.get(match[1], match[0]), text)
