"""Nodes that only exist on paper: kwok plays their kubelets.

Scheduling, admission and every controller treat them as real; no container ever runs on them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import yaml

from sandbox.local_workload import SERVES
from sandbox.processes import SandboxError

# Istio chooses native sidecars only if every kubelet says that it can run them (1.33 or later).
KUBELET_VERSION: Final = "v1.36.3"
NODE_NAMES: Final = ("simulated-0", "simulated-1")
# Room for that many Ray nodes with their sidecars.
_CAPACITY: Final = {"cpu": "256", "memory": "1Ti", "pods": "500", "ephemeral-storage": "1Ti"}

_READY: Final = '.status.conditions.[] | select( .type == "Ready" ) | .status'

# A kubelet reports again and again: a node that is silent for 50 seconds is taken for dead. (kwok can renew
# leases instead, but after a restart it would wait for its own old lease to run out before it does anything.)
_HEARTBEAT: Final = {
    "apiVersion": "kwok.x-k8s.io/v1alpha1",
    "kind": "Stage",
    "metadata": {"name": "node-reports-again"},
    "spec": {
        "resourceRef": {"apiGroup": "v1", "kind": "Node"},
        "selector": {"matchExpressions": [{"key": _READY, "operator": "In", "values": ["True"]}]},
        "delay": {"durationMilliseconds": 10_000, "jitterDurationMilliseconds": 12_000},
        "next": {
            "statusTemplate": """
conditions:
{{ range .status.conditions }}
- type: {{ .type | Quote }}
  status: {{ .status | Quote }}
  reason: {{ .reason | Quote }}
  message: {{ .message | Quote }}
  lastTransitionTime: {{ .lastTransitionTime | Quote }}
  lastHeartbeatTime: {{ Now | Quote }}
{{ end }}
"""
        },
    },
}
# When kwok was gone for so long that its nodes were taken for dead, their pods were marked unready.
_RECOVERY: Final = {
    "apiVersion": "kwok.x-k8s.io/v1alpha1",
    "kind": "Stage",
    "metadata": {"name": "pod-is-ready-again"},
    "spec": {
        "resourceRef": {"apiGroup": "v1", "kind": "Pod"},
        "selector": {
            "matchExpressions": [
                {"key": ".metadata.deletionTimestamp", "operator": "DoesNotExist"},
                {"key": ".status.phase", "operator": "In", "values": ["Running"]},
                {"key": _READY, "operator": "In", "values": ["False"]},
            ]
        },
        "delay": {"durationMilliseconds": 1_000},
        "next": {
            "statusTemplate": """
conditions:
- type: Ready
  status: "True"
  lastTransitionTime: {{ Now | Quote }}
- type: ContainersReady
  status: "True"
  lastTransitionTime: {{ Now | Quote }}
"""
        },
    },
}


def stages(pod_stages: Path, node_stages: Path, stood_in: Iterable[tuple[str, str]]) -> str:
    """The configuration for kwok, from the two directories with the fast stages of its own module.

    `stood_in` are the labels (name, value) of pods whose program runs as a local process: those become
    ready when that process serves, all others at once.
    Raises SandboxError if a stage is missing.
    """
    ready = _load(pod_stages / "pod-ready.yaml")
    labels = list(stood_in)
    others = [_label(name, "NotIn", value) for name, value in labels]
    serving = {"key": f'.metadata.annotations["{SERVES}"]', "operator": "In", "values": ["true"]}
    all_stages = [
        _narrowed(ready, "pod-ready", others),
        *(
            _narrowed(ready, f"pod-ready-{value}", [_label(name, "In", value), serving])
            for name, value in labels
        ),
        _load(pod_stages / "pod-complete.yaml"),
        _load(pod_stages / "pod-delete.yaml"),
        _load(node_stages / "node-initialize.yaml"),
        _HEARTBEAT,
        _RECOVERY,
    ]
    return yaml.safe_dump_all(all_stages, sort_keys=False)


def _load(path: Path) -> dict[str, Any]:
    try:
        return dict(yaml.safe_load(path.read_text()))
    except FileNotFoundError:
        raise SandboxError(
            f"kwok's stage {path} is missing. Remove its directory: the next start fetches it again."
        ) from None


def _narrowed(stage: dict[str, Any], name: str, conditions: list[dict[str, Any]]) -> dict[str, Any]:
    narrowed = copy.deepcopy(stage)
    narrowed["metadata"]["name"] = name
    narrowed["spec"]["selector"]["matchExpressions"] += conditions
    return narrowed


def _label(name: str, operator: str, value: str) -> dict[str, Any]:
    return {"key": f'.metadata.labels["{name}"]', "operator": operator, "values": [value]}


def node(index: int) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """The path of the node, its manifest, and its first status (a manifest for the status subresource)."""
    name = NODE_NAMES[index]
    # 1024 addresses for each node, more than the pods that fit on it.
    pod_cidr = f"10.10.{index * 4}.0/22"
    base = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}
    manifest = {
        **base,
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
                "type": "kwok",
            },
            "annotations": {"kwok.x-k8s.io/node": "fake"},
        },
        "spec": {"podCIDR": pod_cidr, "podCIDRs": [pod_cidr]},
    }
    status = {
        **base,
        "status": {
            "capacity": _CAPACITY,
            "allocatable": _CAPACITY,
            "addresses": [
                {"type": "InternalIP", "address": "127.0.0.1"},
                {"type": "Hostname", "address": name},
            ],
            "nodeInfo": {
                "architecture": "amd64",
                "bootID": "simulated",
                "containerRuntimeVersion": "kwok://simulated",
                "kernelVersion": "simulated",
                "kubeProxyVersion": KUBELET_VERSION,
                "kubeletVersion": KUBELET_VERSION,
                "machineID": name,
                "operatingSystem": "linux",
                "osImage": "simulated",
                "systemUUID": name,
            },
        },
    }
    return f"/api/v1/nodes/{name}", manifest, status


def is_ready(node_object: dict[str, Any] | None) -> bool:
    """Whether a node reports the condition Ready."""
    conditions = (node_object or {}).get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
