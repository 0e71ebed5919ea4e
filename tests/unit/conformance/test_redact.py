"""What is taken out of objects, and what is left."""

from __future__ import annotations

import json
from typing import Any

import pytest
from rayfort.conformance.redact import MARK, marks, scrub

SECRET = "value-that-nobody-may-see"


def _pod(**container: Any) -> dict[str, Any]:
    return {"kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [container]}}


@pytest.mark.parametrize(
    ("item", "where"),
    [
        (_pod(env=[{"name": "DB_PASSWORD", "value": SECRET}]), "spec.containers[0].env[0].value"),
        (_pod(env=[{"name": "X", "value": f"https://u:{SECRET}@h/x"}]), "spec.containers[0].env[0].value"),
        (_pod(args=[f"--password={SECRET}"]), "spec.containers[0].args[0]"),
        ({"kind": "RayJob", "spec": {"entrypoint": f"run --token {SECRET}"}}, "spec.entrypoint"),
        (
            {"kind": "RayJob", "spec": {"runtimeEnvYAML": f"env_vars:\n  A_TOKEN: {SECRET}"}},
            "spec.runtimeEnvYAML",
        ),
        (
            {"kind": "Pod", "metadata": {"annotations": {"a": f"https://u:{SECRET}@h"}}},
            "metadata.annotations.a",
        ),
        ({"kind": "ConfigMap", "data": {"file": f"token is {SECRET}."}}, "data.file"),
    ],
)
def test_a_credential_is_taken_out_and_its_place_is_known(item: dict[str, Any], where: str) -> None:
    found = scrub(item, [SECRET])
    assert SECRET not in json.dumps(found)
    assert list(marks(found)) == [where]
    if item["kind"] != "ConfigMap":  # where it is known by its value alone
        assert list(marks(scrub(item))) == [where]


def test_of_a_secret_the_keys_are_left() -> None:
    secret = {
        "kind": "Secret",
        "metadata": {"name": "s", "managedFields": [{"x": SECRET}]},
        "data": {"auth_token": SECRET},
        "stringData": {"auth_token": SECRET},
        "immutable": True,
    }
    assert scrub(secret) == {
        "kind": "Secret",
        "metadata": {"name": "s"},
        "data": {"auth_token": MARK},
        "immutable": True,
    }


@pytest.mark.parametrize(
    "item",
    [
        _pod(env=[{"name": "DB_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]),
        _pod(env=[{"name": "RAY_AUTH_TOKEN_PATH", "value": "/var/run/token/auth"}]),
        _pod(env=[{"name": "MAX_TOKENS", "value": "4096"}]),
        _pod(
            env=[{"name": "REPO", "value": "ssh://git@git.example.com/x"}], image="registry:5000/ray:2.55.1"
        ),
        {"kind": "RayJob", "spec": {"runtimeEnvYAML": "env_vars: [not, a, mapping"}},
    ],
)
def test_what_is_no_credential_is_left(item: dict[str, Any]) -> None:
    assert scrub(item) == item
    assert not list(marks(scrub(item)))
