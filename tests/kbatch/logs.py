"""Logs of Pods that never ran: kwok serves them for a kubelet, from a file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from bench.local_ray import free_block
from sandbox import ports
from sandbox.layout import Layout
from sandbox.services import SIMULATOR
from sandbox.simulated import NODE_NAMES
from tests.e2e.sandbox import Sandbox
from tests.kbatch.running import running

LINE = "hello"


@contextmanager
def logs(sandbox: Sandbox, directory: Path) -> Iterator[None]:
    """Let every Pod have logs: by a second kwok without nodes, asked for them instead of the first."""
    layout = Layout(sandbox.state.absolute())
    port = free_block(1)
    file = directory / "container.log"
    file.write_text(f"2026-01-01T00:00:00Z stdout F {LINE}\n")
    served = {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "ClusterLogs",
        "metadata": {"name": "all"},
        "spec": {"selector": {}, "logs": [{"logsFile": str(file)}]},
    }
    config = directory / "kwok.yaml"
    config.write_text(f"{layout.stages.read_text()}---\n{yaml.safe_dump(served)}")
    command = [
        str(sandbox.environment.tool(SIMULATOR)),
        f"--kubeconfig={layout.kubeconfig(SIMULATOR)}",
        f"--config={config}",
        "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=none",
        f"--server-address=127.0.0.1:{port}",
        f"--node-port={port}",
    ]
    own = ports.read(layout.ports)[SIMULATOR]
    with running(command, {"HOME": str(directory)}, directory, port, "/healthz"):
        try:
            for name in NODE_NAMES:
                _ask_at(sandbox, name, port)
            yield
        finally:
            for name in NODE_NAMES:
                _ask_at(sandbox, name, own)


def _ask_at(sandbox: Sandbox, node: str, port: int) -> None:
    patch = json.dumps({"status": {"daemonEndpoints": {"kubeletEndpoint": {"Port": port}}}})
    done = sandbox.kubectl("patch", "node", node, "--subresource=status", "--type=merge", "--patch", patch)
    assert done.ok, done.output
