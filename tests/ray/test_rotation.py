"""Rotation of a Ray cluster's token as an `up`, with a real Ray of the Pods before and after."""

from __future__ import annotations

from pathlib import Path

import grpc
from rayfort.ray.ports import NodeRole

from tests.ray import knocks
from tests.ray.deployed import EXPLICIT, GENERATED, OPERATORS, Deployed
from tests.ray.nodes import loopback


def test_after_a_rotation_ray_takes_the_new_token_alone(deployed: Deployed, program: Path) -> None:
    before = {name: deployed.node(NodeRole.HEAD, name) for name in (GENERATED, OPERATORS, EXPLICIT)}
    old = before[GENERATED].environment["RAY_AUTH_TOKEN"]
    old_secret = deployed.sandbox.token_secret(GENERATED)

    deployed.up(rotation="2")
    head = deployed.node(NodeRole.HEAD, GENERATED)
    new = head.environment["RAY_AUTH_TOKEN"]
    assert head.name != before[GENERATED].name
    assert new != old
    assert old_secret not in deployed.secrets()
    for name in (OPERATORS, EXPLICIT):  # nobody else's Pods are touched
        assert deployed.node(NodeRole.HEAD, name).name == before[name].name

    with loopback(program) as ray:
        ray.start(head)
        ray.await_ready()
        node = ray.head
        assert ray.ask("/api/version", {"Authorization": f"Bearer {old}"})[0] == 403
        assert ray.ask("/api/version", {"Authorization": f"Bearer {new}"})[0] == 200
        assert knocks.call(node, "port", old) is grpc.StatusCode.UNAUTHENTICATED
        assert knocks.call(node, "port", new) is grpc.StatusCode.OK
