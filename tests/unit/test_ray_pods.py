"""What the harness makes of a Pod: the tests with a real Ray are worth what it is."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from bench.local_ray import ADDRESS
from tests.ray import pods

COMMAND = (
    "ulimit -n 65536; ray start --head  --block  --dashboard-agent-listen-port=52365 "
    "--dashboard-host=0.0.0.0  --max-worker-port=10013  --memory=2147483648  --min-worker-port=10002 "
    "--port=6379 "
)
SECRETS = pods.secrets_of(
    [
        {"metadata": {"name": "token"}, "data": {"auth_token": base64.b64encode(b"s3cret").decode()}},
        {"metadata": {"name": "netrc-secret"}, "data": {".netrc": base64.b64encode(b"machine a").decode()}},
    ]
)


def pod(**container: Any) -> dict[str, Any]:
    volumes = [
        {"name": "netrc", "secret": {"secretName": "netrc-secret", "defaultMode": 0o440}},
        {"name": "shared", "emptyDir": {}},
    ]
    mounts = [
        {"name": "netrc", "mountPath": "/home/ray/netrcvolume/"},
        {"name": "shared", "mountPath": "/dev/shm"},
    ]
    ray = {"command": ["/bin/bash", "-c", "--"], "args": [COMMAND], "volumeMounts": mounts, **container}
    labels = {"ray.io/cluster": "ray"}
    return {
        "metadata": {"name": "ray-head", "namespace": "team", "labels": labels},
        "spec": {"containers": [ray], "volumes": volumes},
    }


def test_variables_are_what_a_kubelet_makes_of_them() -> None:
    def from_field(path: str) -> dict[str, Any]:
        return {"fieldRef": {"fieldPath": path}}

    made = pods.ray_container(
        pod(
            env=[
                {"name": "PLAIN", "value": "text"},
                {"name": "EMPTY"},
                {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "token", "key": "auth_token"}}},
                {"name": "NAME", "valueFrom": from_field("metadata.name")},
                {"name": "NAMESPACE", "valueFrom": from_field("metadata.namespace")},
                {"name": "CLUSTER", "valueFrom": from_field("metadata.labels['ray.io/cluster']")},
                {"name": "NONE", "valueFrom": from_field("metadata.labels['ray.io/group']")},
                {"name": "POD_IP", "valueFrom": from_field("status.podIP")},
            ]
        ),
        SECRETS,
    )
    assert made.environment == {
        "PLAIN": "text",
        "EMPTY": "",
        "TOKEN": "s3cret",
        "NAME": "ray-head",
        "NAMESPACE": "team",
        "CLUSTER": "ray",
        "NONE": "",
        "POD_IP": ADDRESS,
    }


@pytest.mark.parametrize(
    "source", [{"secretKeyRef": {"name": "gone", "key": "auth_token"}}, {"configMapKeyRef": {"name": "a"}}]
)
def test_what_cannot_be_resolved_is_no_empty_text(source: dict[str, Any]) -> None:
    """A kubelet would not start the container."""
    with pytest.raises((KeyError, AssertionError)):
        pods.ray_container(pod(env=[{"name": "X", "valueFrom": source}]), SECRETS)


def test_files_are_the_secrets_with_the_modes_of_their_volume() -> None:
    made = pods.ray_container(pod(), SECRETS)
    assert made.files == {"/home/ray/netrcvolume/.netrc": pods.File(b"machine a", 0o440)}


def test_only_ports_are_moved() -> None:
    """Two nodes share the loopback; everything else is as the operator made it."""
    line, told = pods.moved(COMMAND, 30000)
    assert set(told) == {"dashboard-agent-listen-port", "port", "min-worker-port", "max-worker-port"}
    assert len(set(told.values())) == 4
    assert told["max-worker-port"] - told["min-worker-port"] == 10013 - 10002
    for text in ("ulimit -n 65536", "--block", "--memory=2147483648", "--dashboard-host=0.0.0.0"):
        assert text in line
    back = line
    for flag, number in pods.ports(COMMAND).items():
        back = back.replace(f"--{flag}={told[flag]}", f"--{flag}={number}")
    assert back == COMMAND
