"""Pods that are no part of a Ray cluster, for the tests that knock on its doors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.e2e.sandbox import NAMESPACE, Sandbox

PROBE = Path(__file__).with_name("probe.py")
GUEST = {"rayfort-test": "guest"}


def open_network(namespace: str = NAMESPACE) -> dict[str, Any]:
    """A NetworkPolicy with which packets pass between guests and Ray Pods: what then refuses is the mesh."""
    guests = {"matchLabels": GUEST}
    ray = {"matchExpressions": [{"key": "ray.io/cluster", "operator": "Exists"}]}
    anywhere = {"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "Exists"}]}
    return {
        "apiVersion": "v1",
        "kind": "List",
        "items": [
            _policy("test-guests-out", namespace, guests, "Egress", {"egress": [{}]}),
            _policy("test-guests-in", namespace, guests, "Ingress", {"ingress": [{}]}),
            _policy(
                "test-guests-to-ray",
                namespace,
                ray,
                "Ingress",
                {"ingress": [{"from": [{"podSelector": guests, "namespaceSelector": anywhere}]}]},
            ),
        ],
    }


def _policy(
    name: str, namespace: str, selector: Mapping[str, Any], kind: str, rules: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"podSelector": selector, "policyTypes": [kind], **rules},
    }


def namespace(name: str, **labels: str) -> dict[str, Any]:
    """A namespace; without labels the mesh has no part in it."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def ask(
    sandbox: Sandbox,
    pod: str,
    address: str,
    ports: Sequence[int],
    *,
    token: str,
    container: str = "main",
    namespace: str = NAMESPACE,
) -> dict[int, str]:
    """How each port of an address answers a request from a Pod; see `probe`."""
    program = PROBE.read_text().replace('TOKEN = ""', f"TOKEN = {token!r}")
    command = ("python3", "-", address, *map(str, ports))
    done = sandbox.execute(pod, *command, container=container, namespace=namespace, stdin=program)
    assert done.ok, done.output
    return {int(port): answer for port, answer in json.loads(done.output).items()}
