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
from rayfort import pod_security
from rayfort.ray.manifest import RAY_GID, RAY_UID

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
        stdin: str | None = None,
    ) -> Done:
        """Run a command in a Pod; what it may read, such as a secret, is no argument of it."""
        where = ("-c", container) if container else ()
        fed = ("-i",) if stdin is not None else ()
        return self.kubectl(
            "-n", namespace, "exec", *fed, pod, *where, "--", *command, stdin=stdin, seconds=seconds
        )

    def rayfort(self, *arguments: str, seconds: float = 300) -> Done:
        """The command line, on this sandbox."""
        return run([str(ROOT / "rayfort"), *arguments], {"RAYFORT_STATE": str(self.state)}, None, seconds)

    def ray_pods(self, role: str, cluster: str = CLUSTER, namespace: str = NAMESPACE) -> list[dict[str, Any]]:
        """The Pods of a Ray cluster; `role` is head or worker."""
        selector = f"ray.io/cluster={cluster},ray.io/node-type={role}"
        return list(self.get("pods", "-l", selector, namespace=namespace)["items"])

    def head(self, cluster: str = CLUSTER, namespace: str = NAMESPACE) -> str:
        """The name of the head's Pod."""
        (pod,) = self.ray_pods("head", cluster, namespace)
        return str(pod["metadata"]["name"])

    def address(self, role: str, cluster: str = CLUSTER, namespace: str = NAMESPACE) -> str:
        """The address of the one Pod of a Ray cluster that has this role."""
        (pod,) = self.ray_pods(role, cluster, namespace)
        return str(pod["status"]["podIP"])

    def token_secret(self, cluster: str = CLUSTER, namespace: str = NAMESPACE) -> str:
        """The name of the Secret with the token of a Ray cluster."""
        found = self.get("raycluster", cluster, namespace=namespace)
        return str(found["spec"]["authOptions"]["secretName"])

    def token(self, cluster: str = CLUSTER, namespace: str = NAMESPACE) -> str:
        """The token of a Ray cluster."""
        return self.secret(self.token_secret(cluster, namespace), "auth_token", namespace)

    def secret(self, name: str, key: str, namespace: str = NAMESPACE) -> str:
        """What a Secret holds under a key."""
        return base64.b64decode(self.get("secret", name, namespace=namespace)["data"][key]).decode()

    def ray_logs_with(self, text: str, cluster: str = CLUSTER, namespace: str = NAMESPACE) -> list[str]:
        """The log files of a Ray cluster's nodes that hold a text, which may be a secret."""
        search = (
            "grep --recursive --files-with-matches --text --fixed-strings --file=- "
            '/tmp/ray/session_latest/logs || test "$?" = 1'
        )
        found: list[str] = []
        for role in ("head", "worker"):
            for pod in self.ray_pods(role, cluster, namespace):
                name = pod["metadata"]["name"]
                done = self.execute(
                    *(name, "sh", "-c", search), container=f"ray-{role}", namespace=namespace, stdin=text
                )
                assert done.ok, done.output
                found += [f"{name}:{file}" for file in done.output.split()]
        return found

    def image(self, which: str) -> str:
        """An image that is there: `ray`, or `proxy` with openssl and the like."""
        (head,) = self.ray_pods("head")
        of_pod = head["spec"]["containers"] + head["spec"]["initContainers"]
        container = {"ray": "ray-head", "proxy": "istio-proxy"}[which]
        return str(next(each["image"] for each in of_pod if each["name"] == container))

    def client(
        self,
        name: str,
        image: str = "ray",
        *,
        namespace: str = NAMESPACE,
        meshed: bool,
        labels: Mapping[str, str] | None = None,
        **spec: Any,
    ) -> dict[str, Any]:
        """The manifest of a Pod that waits for commands; `spec` is laid over its Pod's spec.

        Args:
            name, namespace: of the Pod.
            image: as `image` names it.
            meshed: whether it gets a sidecar.
            labels: further ones.
        """
        little = {"cpu": "10m", "memory": "64Mi"}
        container = {
            "name": "main",
            "image": self.image(image),
            "command": ["sleep", "infinity"],
            "resources": {"requests": little},
            "securityContext": pod_security.container_security_context(),
        }
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "labels": {"sidecar.istio.io/inject": str(meshed).lower(), **(labels or {})},
                "annotations": {
                    "sidecar.istio.io/proxyCPU": "10m",
                    "sidecar.istio.io/proxyMemory": "64Mi",
                },
            },
            "spec": {
                "containers": [container],
                "terminationGracePeriodSeconds": 1,
                "automountServiceAccountToken": False,
                "enableServiceLinks": False,
                "securityContext": pod_security.pod_security_context(RAY_UID, RAY_GID),
                **spec,
            },
        }

    @contextmanager
    def running(self, *manifests: Mapping[str, Any]) -> Iterator[None]:
        """Objects that are there for the length of a block, the Pods among them ready."""
        with self.holding(*manifests):
            for manifest in manifests:
                if manifest["kind"] == "Pod":
                    meta = manifest["metadata"]
                    pod = ("-n", meta["namespace"], f"pod/{meta['name']}")
                    done = self.kubectl("wait", "--for=condition=Ready", "--timeout=90s", *pod)
                    assert done.ok, done.output + self.kubectl("describe", *pod).output
            yield

    @contextmanager
    def holding(self, *manifests: Mapping[str, Any]) -> Iterator[None]:
        """Objects that are there for the length of a block."""
        try:
            self.apply(*manifests)
            yield
        finally:
            self.delete(*manifests)


def stack_file() -> dict[str, Any]:
    """What the sandbox's stack file says, by key."""
    stack = yaml.safe_load(Path(ROOT, "stacks", "Pulumi.sandbox.yaml").read_text())
    return dict(stack["config"])


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
