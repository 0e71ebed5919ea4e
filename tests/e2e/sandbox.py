"""A sandbox with a real node, in the words of the tests."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sandbox.environment import Environment, Report
from sandbox.node_kind import NodeKind
from sandbox.progress import Progress

ROOT = Path(__file__).resolve().parents[2]
NAMESPACE, CLUSTER = "team-a", "ray"
REUSE = (
    "RAYFORT_TEST_SANDBOX"  # the state directory of a running sandbox, to work on one test after the other
)


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    output: str  # both streams

    @property
    def ok(self) -> bool:
        return self.code == 0


class Sandbox:
    """One sandbox; `overrides` are laid over the stack file."""

    def __init__(self, state: Path, overrides: Mapping[str, Any] | None = None) -> None:
        self.state = state
        self.environment = Environment(ROOT, Progress(), state=state, overrides=overrides)

    def up(self, overrides: Mapping[str, Any] | None = None) -> Report:
        """`up`, from now on with these overrides if any are given."""
        if overrides is not None:
            self.environment = Environment(ROOT, Progress(), state=self.state, overrides=overrides)
        return self.environment.up(NodeKind.REAL)

    def kubectl(self, *arguments: str, stdin: str | None = None, seconds: float = 120) -> Done:
        """kubectl as the administrator."""
        kubectl = str(self.environment.tool("kubectl"))
        return run([kubectl, *arguments], {"KUBECONFIG": str(self.environment.kubeconfig)}, stdin, seconds)

    def get(self, kind: str, *arguments: str, namespace: str = NAMESPACE) -> Any:
        """An object, or a list of them under `items`."""
        done = self.kubectl("-n", namespace, "get", kind, *arguments, "-o", "json")
        assert done.ok, done.output
        return json.loads(done.output)

    def apply(self, *manifests: Mapping[str, Any]) -> None:
        """Create or change objects."""
        done = self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(manifests))
        assert done.ok, done.output

    def delete(self, *manifests: Mapping[str, Any]) -> None:
        """Delete objects, and wait until they are gone."""
        done = self.kubectl(
            "delete", "--ignore-not-found", "--wait", "-f", "-", stdin=yaml.safe_dump_all(manifests)
        )
        assert done.ok, done.output

    def execute(
        self,
        pod: str,
        *command: str,
        container: str | None = None,
        namespace: str = NAMESPACE,
        seconds: float = 120,
    ) -> Done:
        """Run a command in a Pod."""
        where = ("-c", container) if container else ()
        return self.kubectl("-n", namespace, "exec", pod, *where, "--", *command, seconds=seconds)

    def rayfort(self, *arguments: str, seconds: float = 300) -> Done:
        """The command line, on this sandbox."""
        return run([str(ROOT / "rayfort"), *arguments], {"RAYFORT_STATE": str(self.state)}, None, seconds)

    def ray_pods(self, role: str, cluster: str = CLUSTER, namespace: str = NAMESPACE) -> list[dict[str, Any]]:
        """The Pods of a Ray cluster; `role` is head or worker."""
        selector = f"ray.io/cluster={cluster},ray.io/node-type={role}"
        return list(self.get("pods", "-l", selector, namespace=namespace)["items"])

    def head(self, cluster: str = CLUSTER) -> str:
        """The name of the head's Pod."""
        (pod,) = self.ray_pods("head", cluster)
        return str(pod["metadata"]["name"])

    def token(self, cluster: str = CLUSTER) -> str:
        """The token of a Ray cluster."""
        name = self.get("raycluster", cluster)["spec"]["authOptions"]["secretName"]
        return base64.b64decode(self.get("secret", name)["data"]["auth_token"]).decode()

    @contextmanager
    def holding(self, *manifests: Mapping[str, Any]) -> Iterator[None]:
        """Objects that are there for the length of a block."""
        self.apply(*manifests)
        try:
            yield
        finally:
            self.delete(*manifests)


def run(command: Sequence[str], environment: Mapping[str, str], stdin: str | None, seconds: float) -> Done:
    """Run a command of the machine; it never reads from the terminal."""
    done = subprocess.run(
        command,
        env={**os.environ, **environment},
        input=stdin or "",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
        check=False,
    )
    return Done(done.returncode, done.stdout)


def wait_for(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """What the condition gives as soon as it is true."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(1)


def say(text: str) -> None:
    """A word on the progress of a long test, past pytest's capture only when it fails."""
    print(text, file=sys.stderr)
