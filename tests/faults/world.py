"""The one control plane of the suite, its stack, and what both should be."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from enum import Enum
from pathlib import Path
from typing import Any

import yaml

from sandbox import kubeconfig
from sandbox.control_plane import CONTEXT
from sandbox.environment import Environment
from sandbox.kube_api import ApiRefused, ApiUnreachable, KubeApi
from sandbox.kubeconfig import KeyPair
from sandbox.local_workload import program
from sandbox.processes import ProcessTable
from sandbox.progress import Progress
from tests.faults import small, snapshot
from tests.faults.proxy import Plan, Proxy
from tests.faults.running import ROOT, Command

NAMESPACE = "team-a"
PATIENCE = 420.0  # seconds for one command; it takes ten, on a busy machine several times that
READY_SECONDS = 120.0


class Phase(Enum):
    """What a command is about; the value says what must be there before it."""

    FIRST = "first up"
    SAME = "no-change up"
    CHANGE = "change"
    ROTATE = "rotation"
    PREVIEW = "preview"
    DOWN = "down"


def say(text: str) -> None:
    """Tell of progress, past pytest's capture."""
    with _UNCAPTURED[-1]() if _UNCAPTURED else contextlib.nullcontext():
        print(text, file=sys.stderr, flush=True)


_UNCAPTURED: list[Callable[[], AbstractContextManager[None]]] = []


def say_past(capture: Callable[[], AbstractContextManager[None]]) -> None:
    """Have `say` suspend the capture so."""
    _UNCAPTURED.append(capture)


class World:
    """A sandbox with mesh and operator, on which the small stack comes and goes.

    Args:
        directory: for everything.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.state = directory / "sandbox"
        self.table = ProcessTable(self.state)
        self.size, self.rotation, self._runs = 7700, 1, 0
        self.up = False
        self.lengths: dict[Phase, int] = {}
        self.extra: list[Command] = []
        self._began = time.monotonic()
        self._environment = Environment(ROOT, Progress(), state=self.state)

    # Coming and going.

    def begin(self) -> None:
        """Bring up the control plane, mesh and operator, and put the proxy before the API server."""
        kept = self.state / "engine-of-base"
        if kept.exists():  # a sandbox that somebody keeps to work on a fault
            shutil.rmtree(self.state / "engine", ignore_errors=True)
            kept.rename(self.state / "engine")
        command = ["up", "--nodes", "simulated"]
        done = Command(self._order("base"), command, self._variables, self.directory / "base.log")
        assert done.wait(900) == 0, done.output
        # Its state is not what is tested: the small stack has an engine's home of its own.
        (self.state / "engine").rename(kept)
        endpoints = self._environment.endpoints
        pki = self.state / "pki"
        user = yaml.safe_load(endpoints.kubeconfig.read_text())["users"][0]["user"]
        admin = KeyPair(Path(user["client-certificate"]), Path(user["client-key"]))
        upstream = endpoints.api_server.removeprefix("https://")
        self.proxy = Proxy(self.directory / "proxy", upstream, pki / "ca.crt", admin)
        text = kubeconfig.render(f"https://127.0.0.1:{self.proxy.port}", self.proxy.ca, admin, CONTEXT)
        self._kubeconfig = kubeconfig.write(self.directory / "kubeconfig", text)
        self.clear()

    def end(self, *, keep: bool) -> None:
        """Remove all of it, or keep the control plane running."""
        if hasattr(self, "proxy"):
            self.mend()
            self.proxy.close()
        if not keep:
            self._environment.down(force=True)

    def prepare(self, phase: Phase) -> None:
        """Have there what a phase begins with."""
        if self.up == (phase is not Phase.FIRST):
            return
        code, said = self.run(Phase.DOWN if self.up else Phase.FIRST)
        assert code == 0, said
        self.up = not self.up

    def reset(self) -> None:
        """Make everything new after a fault that was not survived."""
        self.mend()
        # Whatever the small stack does: this starts again what does not run.
        self.start(Phase.FIRST).wait(PATIENCE)
        self.clear()

    def clear(self) -> None:
        """Remove the small stack without Pulumi."""
        shutil.rmtree(self.state / "engine", ignore_errors=True)
        kubectl = [str(self._environment.tool("kubectl")), "--kubeconfig", str(self._environment.kubeconfig)]
        for what in (("namespace", NAMESPACE), ("crd", f"{small.PLURAL}.{small.GROUP}")):
            subprocess.run(
                [*kubectl, "delete", *what, "--ignore-not-found", "--timeout=120s"],
                check=False,
                timeout=150,
                stdout=subprocess.DEVNULL,
            )
        self.up = False

    # Commands.

    def choose(self, phase: Phase) -> None:
        """Change the settings as a phase wants it."""
        if phase is Phase.CHANGE:
            self.size += 1
        if phase is Phase.ROTATE:
            self.rotation += 1

    def start(self, phase: Phase, plan: Plan | None = None, file_limit: int | None = None) -> Command:
        """Start the command of a phase."""
        self.proxy.arm(plan)
        verb = {Phase.PREVIEW: ["preview"], Phase.DOWN: ["down"]}.get(phase, ["up", "--nodes", "simulated"])
        size = self.size + (phase is Phase.PREVIEW)
        return Command(
            self._order("small", size=size), verb, self._variables, self._log(phase.name.lower()), file_limit
        )

    def run(self, phase: Phase) -> tuple[int, str]:
        """Run the command of a phase undisturbed; its exit code and what it said."""
        command = self.start(phase)
        code = command.wait(PATIENCE)
        self.lengths.setdefault(phase, len(self.proxy.requests))
        return code, command.output

    def mend(self) -> None:
        """End every fault that lasts."""
        self.proxy.arm(None)
        self.proxy.serve_again()
        for name in ("istiod", "kuberay-operator"):
            record = self.table.running(program(name))
            if record:
                os.kill(record.pid, signal.SIGCONT)
        for each in self.extra:
            each.kill_all()
        self.extra.clear()

    # What there is.

    def cluster(self) -> dict[str, str]:
        """All objects of the small stack, once controllers are done with them."""
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                with KubeApi(self._environment.kubeconfig) as api:
                    return snapshot.of_cluster(api, (NAMESPACE,), (small.GROUP, "team-a"))
            except ApiUnreachable:  # what a definition is for cannot be listed in its first moments
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.5)

    def settled(self, wanted: Mapping[str, str]) -> list[str]:
        """How the objects differ from what is wanted, after a while in which controllers may act."""
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                found = snapshot.differences(dict(wanted), self.cluster())
            except (ApiUnreachable, ApiRefused) as error:
                found = [str(error)]
            if not found or time.monotonic() > deadline:
                return found
            time.sleep(0.5)

    def stored(self) -> dict[str, str]:
        """What the state holds, as the engine exports it; empty for no stack.

        Raises:
            AssertionError: if the engine cannot read it.
        """
        if not any((self.state / "engine" / "backend").rglob("sandbox.json")):
            return {}
        return snapshot.of_state(json.loads(self._pulumi("stack", "export")))

    def token(self) -> tuple[str, ...]:
        """The token as the cluster has it, and as the stack's outputs say it; digests of both."""
        with KubeApi(self._environment.kubeconfig) as api:
            secrets = (api.get(f"/api/v1/namespaces/{NAMESPACE}/secrets") or {})["items"]
        live = [
            base64.b64decode(each["data"]["auth_token"]).decode()
            for each in secrets
            if "auth_token" in (each.get("data") or {})
        ]
        told = json.loads(self._pulumi("stack", "output", "--json", "--show-secrets"))["rayTokens"]
        return tuple(snapshot.digest(each) for each in (*live, *told.values()))

    def named_token(self) -> str:
        """The digest of the token that the Ray cluster's Pods are given."""
        with KubeApi(self._environment.kubeconfig) as api:
            cluster = api.get(f"/apis/ray.io/v1/namespaces/{NAMESPACE}/rayclusters/ray")
            name = re.search(r"ray-auth-[0-9a-f]{8}", json.dumps(cluster))
            assert name, "the Ray cluster names no token"
            secret = api.get(f"/api/v1/namespaces/{NAMESPACE}/secrets/{name.group()}")
        assert secret, f"{name.group()} is gone"
        return snapshot.digest(base64.b64decode(secret["data"]["auth_token"]).decode())

    def sizes(self) -> set[str]:
        """The chosen size, wherever it stands."""
        with KubeApi(self._environment.kubeconfig) as api:
            base = f"/api/v1/namespaces/{NAMESPACE}"
            quotas = (api.get(f"{base}/resourcequotas") or {})["items"]
            maps = [api.get(f"{base}/configmaps/{small.RELEASE}-{number}") for number in range(3)]
            mark = api.get(f"/apis/{small.GROUP}/v1/namespaces/{NAMESPACE}/{small.PLURAL}/mark")
        found = [quota["spec"]["hard"]["requests.cpu"] for quota in quotas]
        return {*found, *(each["data"]["size"] for each in maps if each), (mark or {})["spec"]["size"]}

    @contextmanager
    def on_small_disk(self, megabytes: int = 32) -> Iterator[Path]:
        """Have the state on a disk of its own while the block runs."""
        backend = self.state / "engine" / "backend"
        backend.mkdir(mode=0o700, parents=True, exist_ok=True)
        kept = self.directory / "backend-kept"
        shutil.copytree(backend, kept)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", backend], check=True)
        try:
            shutil.copytree(kept, backend, dirs_exist_ok=True)
            yield backend
        finally:
            shutil.rmtree(kept)
            shutil.copytree(backend, kept)
            subprocess.run(["umount", "--lazy", backend], check=True)
            shutil.rmtree(backend)
            kept.rename(backend)

    def free(self, disk: Path) -> None:
        """Make that disk writable again, with room on it."""
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        (disk / "filler").unlink(missing_ok=True)

    # Small things.

    @property
    def _variables(self) -> dict[str, str]:
        return {"RAYFORT_STATE": str(self.state)}

    def _log(self, name: str) -> Path:
        self._runs += 1
        return self.directory / f"{self._runs:03d}-{name}.log"

    def _order(self, which: str, *, size: int = 0) -> dict[str, Any]:
        overrides: dict[str, Any] = {"jupyterhub": None, "kbatch": None, "workspaces": []}
        if which == "small":
            overrides["cluster"] = {"kubeconfigPath": str(self._kubeconfig)}
            overrides["workspaces"] = [self._workspace(size or self.size)]
        return {"program": which, "overrides": overrides}

    def _workspace(self, size: int) -> dict[str, Any]:
        written = yaml.safe_load((ROOT / "stacks" / "Pulumi.sandbox.yaml").read_text())["config"]
        workspace = written["rayfort:workspaces"][0]
        workspace["quota"]["requests.cpu"] = str(size)
        workspace["clusters"][0]["auth"] = {"rotation": f"rotation-{self.rotation}"}
        return dict(workspace)

    def _pulumi(self, *arguments: str) -> str:
        home = self.state / "engine"
        done = subprocess.run(
            [str(home / "bin" / "pulumi"), *arguments, "--stack", "sandbox", "--non-interactive"],
            cwd=home / "project",
            env={
                **os.environ,
                "PULUMI_BACKEND_URL": f"file://{home / 'backend'}",
                "PULUMI_CONFIG_PASSPHRASE_FILE": str(home / "passphrase"),
                "PULUMI_SKIP_UPDATE_CHECK": "true",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"pulumi {' '.join(arguments)}: {done.stderr}"
        return done.stdout
