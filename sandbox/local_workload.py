"""Runs the program of a Deployment as a local process, for as long as the Deployment is there.

On simulated nodes the pods of `istiod` and `kuberay-operator` exist on paper only. One process of this
module stands in for each of those Deployments: it waits until the Deployment and what the program needs
at its start exist, then runs the real binary with the environment and arguments of the Deployment's
container and with the rights of its ServiceAccount, follows every roll-out by a restart, restarts it
after a crash, and ends it when the Deployment goes. So chart values and RBAC have their real effect.

Usage: python -m sandbox.local_workload SPECIFICATION.json
"""

from __future__ import annotations

import hashlib
import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self

from sandbox import kubeconfig
from sandbox.health import answers
from sandbox.kube_api import ApiRefused, ApiUnreachable, KubeApi
from sandbox.kubeconfig import KeyPair
from sandbox.processes import ProcessSpec, ProcessTable, SandboxError, write_private

# On a pod whose program runs as a local process: set once that process serves. The pod becomes ready by it.
SERVES: Final = "sandbox.rayfort/serves"
RUNNING: Final = "running"  # the phase in which the real program was started and has not ended
_POLL: Final = 0.5  # seconds between two looks at the API server
_GIVE_UP: Final = 60.0  # seconds without an API server after which the workload ends by itself
_FIRST_BACKOFF: Final = 1.0
_LONGEST_BACKOFF: Final = 30.0
_PROVEN: Final = 60.0  # seconds of running after which a crash counts as the first one again


@dataclass(frozen=True)
class LocalWorkload:
    """What stands for a Deployment.

    `selector`: label selector of the Deployment, in any namespace, and of its pods. `health_port` and
    `health_path`: where the program says on loopback that it serves. `requires`: API paths that must exist
    before the program starts; `{namespace}` becomes the Deployment's. `command`: the program and the
    arguments before those of the Deployment's container; `overrides`: arguments after them, which win.
    `dropped_flags`: flags of the container that make no sense outside a pod. `env` wins over the
    Deployment's. `{namespace}`, `{service_account}` and `{kubeconfig}` are filled in in all three.
    """

    name: str
    state: str
    selector: str
    health_port: int
    health_path: str
    container: str
    requires: tuple[str, ...]
    command: tuple[str, ...]
    overrides: tuple[str, ...]
    dropped_flags: tuple[str, ...]
    env: Mapping[str, str]
    api_server: str
    api_ca: str
    cert: str
    key: str

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig with which the workload looks for its Deployment."""
        return Path(self.state) / "run" / f"{self.name}.watch.kubeconfig"

    @property
    def child(self) -> str:
        """The name under which the real program is recorded."""
        return program(self.name)

    def save(self, path: Path) -> None:
        """Write the specification where `load` finds it."""
        write_private(path, json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        raw = json.loads(path.read_text())
        lists = {key: tuple(value) for key, value in raw.items() if isinstance(value, list)}
        return cls(**{**raw, **lists})


@dataclass(frozen=True)
class Launch:
    """A program to run: what the Deployment asks for. Two equal ones need no restart."""

    revision: str
    namespace: str
    service_account: str
    args: tuple[str, ...]
    env: Mapping[str, str]


def desired(
    workload: LocalWorkload, get: Callable[[str], dict[str, Any] | None], current: Launch | None = None
) -> Launch | str:
    """What should run now, or what is still missing, in words that complete "waiting for …".

    `get` reads an API path and returns None where there is nothing. `current` is what runs: if it is
    what should run, its requirements were met and are not looked at again (some are megabytes long).
    """
    found = get(f"/apis/apps/v1/deployments?labelSelector={workload.selector}")
    wanted = [
        each
        for each in (found or {}).get("items", [])
        if each["spec"].get("replicas", 1) > 0 and "deletionTimestamp" not in each["metadata"]
    ]
    if not wanted:
        return f"the Deployment labelled {workload.selector}"
    if len(wanted) > 1:
        names = ", ".join(f"{each['metadata']['namespace']}/{each['metadata']['name']}" for each in wanted)
        return f"one Deployment labelled {workload.selector} (there are several: {names})"
    deployment = wanted[0]
    namespace = deployment["metadata"]["namespace"]
    template = deployment["spec"]["template"]
    containers = {each["name"]: each for each in template["spec"]["containers"]}
    container = containers.get(workload.container) or template["spec"]["containers"][0]
    revision = json.dumps([deployment["metadata"]["uid"], template], sort_keys=True)
    launch = Launch(
        revision=hashlib.sha256(revision.encode()).hexdigest(),
        namespace=namespace,
        service_account=template["spec"].get("serviceAccountName", "default"),
        args=without_flags(container.get("args", []), workload.dropped_flags),
        # References stay out: this process may not read Secrets and has no pod whose fields it could take.
        env={each["name"]: each["value"] for each in container.get("env", []) if "value" in each},
    )
    if launch != current:
        for path in workload.requires:
            missing = fill(path, {"namespace": namespace})
            if not _exists(get(missing)):
                return missing.rpartition("/v1/")[2]
    return launch


def fill(text: str, known: Mapping[str, str]) -> str:
    """The text with every `{key}` of `known` replaced; other braces stay as they are."""
    for key, value in known.items():
        text = text.replace(f"{{{key}}}", value)
    return text


def _exists(found: dict[str, Any] | None) -> bool:
    if found is None or found.get("kind") != "CustomResourceDefinition":
        return found is not None
    # A definition is of use only once its kind is served.
    conditions = found.get("status", {}).get("conditions", [])
    return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)


def without_flags(args: list[str], dropped: tuple[str, ...]) -> tuple[str, ...]:
    """The arguments without the named flags, each given as `--flag=value` or as `--flag value`."""
    kept: list[str] = []
    skip_value = False
    for arg in args:
        if skip_value and not arg.startswith("-"):
            skip_value = False
            continue
        flag, has_value, _ = arg.partition("=")
        if flag in dropped:
            skip_value = not has_value
            continue
        skip_value = False
        kept.append(arg)
    return tuple(kept)


class Backoff:
    """How long to wait before the next start of a program that ended by itself."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._delay = 0.0
        self._started = 0.0
        self._not_before = 0.0

    def started(self) -> None:
        """The program was started now."""
        self._started = self._clock()

    def ended(self) -> float:
        """The program ended by itself now; returns the seconds until it may be started again."""
        now = self._clock()
        proven = now - self._started > _PROVEN
        self._delay = _FIRST_BACKOFF if proven or not self._delay else min(self._delay * 2, _LONGEST_BACKOFF)
        self._not_before = now + self._delay
        return self._delay

    def may_start(self) -> bool:
        """Whether the wait is over."""
        return self._clock() >= self._not_before


class Runner:
    """The loop of one local workload."""

    def __init__(self, workload: LocalWorkload) -> None:
        self._workload = workload
        self._table = ProcessTable(Path(workload.state))
        self._stopping = threading.Event()
        self._backoff = Backoff()
        self._current: Launch | None = None
        self._phase = ""

    def run(self) -> None:
        """Return when asked to end by a signal, or when the API server has been gone for too long."""
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, lambda *_: self._stopping.set())
        # A predecessor that was killed may have left the program behind.
        self._table.stop(self._workload.child)
        kubeconfig.write(self._workload.kubeconfig, self._kubeconfig_text(None))
        last_answer = time.monotonic()
        with KubeApi(self._workload.kubeconfig) as api:
            while not self._stopping.wait(_POLL):
                try:
                    # The pods first: what is seen before the Deployment is read belongs to no later template.
                    pods = self._silent_pods(api)
                    self._converge(desired(self._workload, api.get, self._current))
                    self._announce(api, pods)
                    last_answer = time.monotonic()
                except ApiUnreachable as error:
                    if time.monotonic() - last_answer > _GIVE_UP:
                        self._say(f"ended: no API server for {_GIVE_UP:.0f} seconds ({error})")
                        break
                except ApiRefused as error:
                    self._say(f"waiting for permission: {error}")
                    last_answer = time.monotonic()
        self._table.stop(self._workload.child)

    def _converge(self, wanted: Launch | str) -> None:
        child = self._workload.child
        alive = self._table.running(child) is not None
        if isinstance(wanted, str):
            if self._current is not None:
                self._table.stop(child)
                self._current = None
            self._say(f"waiting for {wanted}")
            return
        if alive and self._current == wanted:
            self._say(RUNNING)
            return
        if not alive and self._current is not None:
            died = self._table.died(child)
            self._current = None
            self._say(f"restarting in {self._backoff.ended():.0f} s: {str(died).partition('. The last')[0]}")
        if self._backoff.may_start():
            self._start(wanted)

    def _silent_pods(self, api: KubeApi) -> list[str]:
        """The paths of the pods of the running Deployment that still wait for their program to serve."""
        if self._current is None:
            return []
        pods = f"/api/v1/namespaces/{self._current.namespace}/pods"
        found = api.get(f"{pods}?labelSelector={self._workload.selector}&resourceVersion=0") or {}
        return [
            f"{pods}/{each['metadata']['name']}"
            for each in found.get("items", [])
            if SERVES not in each["metadata"].get("annotations", {})
        ]

    def _announce(self, api: KubeApi, pods: list[str]) -> None:
        # A new program has to prove itself first, whatever the pods of its predecessor were told.
        if not pods or self._phase != RUNNING:
            return
        if answers(self._workload.health_port, self._workload.health_path):
            for path in pods:
                api.annotate(path, SERVES, "true")

    def _start(self, wanted: Launch) -> None:
        workload = self._workload
        own_kubeconfig = kubeconfig.write(
            Path(workload.state) / "run" / f"{workload.name}.kubeconfig",
            self._kubeconfig_text(f"system:serviceaccount:{wanted.namespace}:{wanted.service_account}"),
        )
        known = {
            "namespace": wanted.namespace,
            "service_account": wanted.service_account,
            "kubeconfig": str(own_kubeconfig),
        }
        argv = [
            *(fill(part, known) for part in workload.command),
            *wanted.args,
            *(fill(part, known) for part in workload.overrides),
        ]
        env = {**wanted.env, **{name: fill(value, known) for name, value in workload.env.items()}}
        # Programs look for optional files relative to where they run: an empty directory has none.
        cwd = Path(workload.state) / "run" / f"{workload.name}.cwd"
        print(f"starting {' '.join(argv)}", flush=True)
        spec = ProcessSpec(workload.child, tuple(argv), cwd, env)
        self._table.stop(workload.child)
        self._table.start(spec, own_log=False, with_parent=True)
        self._current = wanted
        self._backoff.started()
        self._say(RUNNING)

    def _kubeconfig_text(self, acts_as: str | None) -> str:
        workload = self._workload
        identity = KeyPair(Path(workload.cert), Path(workload.key))
        return kubeconfig.render(
            workload.api_server, Path(workload.api_ca), identity, workload.name, acts_as=acts_as
        )

    def _say(self, phase: str) -> None:
        if phase != self._phase:
            self._phase = phase
            write_private(phase_path(Path(self._workload.state), self._workload.name), phase)
            print(f"{self._workload.name}: {phase}", flush=True)


def program(name: str) -> str:
    """The name under which the real program of a local workload is recorded."""
    return f"{name}.program"


def phase_path(state: Path, name: str) -> Path:
    """Where a local workload notes what it is doing, in words."""
    return state / "run" / f"{name}.phase"


def main() -> None:
    """Run the workload whose specification file is the only argument."""
    try:
        Runner(LocalWorkload.load(Path(sys.argv[1]))).run()
    except SandboxError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
