"""Call the gRPC doors of a Ray node, and see by the status whether the token was asked for."""

from __future__ import annotations

import grpc

from bench.local_ray import ADDRESS
from tests.ray.nodes import Node

# A harmless call of each door, by the parameter that names its port.
CALLS = {
    "port": "/ray.rpc.NodeInfoGcsService/CheckAlive",
    "ray-client-server-port": "/ray.rpc.RayletDriver/ClusterInfo",
    "node-manager-port": "/ray.rpc.NodeManagerService/GetNodeStats",
    "object-manager-port": "/ray.rpc.ObjectManagerService/FreeObjects",
    "dashboard-agent-grpc-port": "/ray.rpc.ReporterService/HealthCheck",
}


def call(node: Node, door: str, token: str | None) -> grpc.StatusCode:
    """The status with which a call with an empty request ends; an empty request is a valid one."""
    metadata = [("authorization", f"Bearer {token}")] if token is not None else None
    options = [("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(f"{ADDRESS}:{node.ports[door]}", options) as channel:
        method = channel.unary_unary(CALLS[door], lambda _: b"", lambda answer: answer)
        try:
            method(None, metadata=metadata, timeout=30, wait_for_ready=True)
        except grpc.RpcError as error:
            return error.code()
    return grpc.StatusCode.OK
