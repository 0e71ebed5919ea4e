"""A Kubernetes control plane from local processes, with its state in one directory.

On simulated nodes the KubeRay operator and istiod are local processes too, and all listen on loopback.
With a real node everything is in that node's network, and the operator and istiod are Pods.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol

from filelock import FileLock, Timeout

from sandbox import identities, kubeconfig, ports, services, simulated, stood_in
from sandbox.endpoints import Endpoints, local_endpoints
from sandbox.health import HOST, answers
from sandbox.kube_api import ApiRefused, ApiUnreachable, KubeApi
from sandbox.kubeconfig import KeyPair
from sandbox.layout import Layout, Place
from sandbox.local_workload import RUNNING, phase_path, program
from sandbox.node import addons, daemons, network
from sandbox.node.enclosure import HOLDER
from sandbox.node.real import RealNode
from sandbox.pki import Pki, issue
from sandbox.processes import ProcessTable, SandboxError, tail, write_private
from sandbox.services import Services
from sandbox.toolchain import cache_dir

CONTEXT: Final = "rayfort-sandbox"
_START_LIMIT: Final = 90.0  # seconds; a start takes about ten, a busy small machine several times that
_NODE_LIMIT: Final = 300.0  # until a real node runs Pods
_STOP_LIMIT: Final = 8.0
_POLL: Final = 0.1


class Step(Protocol):
    """One visible step of a longer task."""

    def note(self, text: str) -> None:
        """Say what the step is doing now."""


class Progress(Protocol):
    """Where the user sees what takes time."""

    def step(self, title: str) -> AbstractContextManager[Step]:
        """Announce a step that lasts as long as the context."""


State = Literal["running", "waiting", "stopped", "crashed"]


@dataclass(frozen=True)
class ProcessStatus:
    """How one process is. `detail` says what a waiting process waits for."""

    name: str
    state: State
    pid: int | None
    port: int | None
    log: Path
    detail: str = ""


class ControlPlane:
    """The control plane whose state lies in the directory `state`.

    `tools` maps tool names (etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kwok,
    ray-operator, pilot-discovery) to executables; `assets` maps `kwok-pod-stages` and `kwok-node-stages`
    to the directories with kwok's stages. `operator_env` are environment variables that win over those
    which the operator's Deployment sets. With `node` there is that one real node instead of simulated ones.
    """

    def __init__(
        self,
        state: Path,
        tools: Mapping[str, Path],
        assets: Mapping[str, Path],
        progress: Progress,
        *,
        operator_env: Mapping[str, str] | None = None,
        node: RealNode | None = None,
    ) -> None:
        self._node = node
        self._layout = Layout(state.absolute())
        self._tools = tools
        self._assets = assets
        self._progress = progress
        self._operator_env = dict(operator_env or {})
        self._table = ProcessTable(self._layout.state)
        self._lock = FileLock(self._layout.lock, timeout=0)

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig (mode 0600). It exists once the control plane was started."""
        return self._layout.admin_kubeconfig

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keep every other command off this state directory; may be nested.

        Raises SandboxError at once if another command has it.
        """
        self._make_private(self._layout.state)
        try:
            self._lock.acquire()
        except Timeout:
            raise SandboxError(
                f"Another rayfort command is working on {self._layout.state}. "
                "Wait until it ends, then try again."
            ) from None
        try:
            yield
        finally:
            self._lock.release()

    @property
    def endpoints(self) -> Endpoints:
        """The addresses, valid from the first start on. Raises SandboxError before it."""
        saved = ports.read(self._layout.ports)
        if not saved.keys() >= set(self._port_names):
            raise SandboxError("The sandbox has never been started here. Run `./rayfort up`.")
        return self._endpoints(saved)

    def start(self) -> Endpoints:
        """Start what does not run, replace what runs out of date, and return when all of it works.

        The operator and istiod count as working also when they wait for what the platform brings.
        Raises SandboxError naming the process that fails; what this call started is stopped then.
        """
        with self.exclusive():
            started: list[str] = []
            try:
                return self._start(started)
            except BaseException:
                for name in reversed(started):
                    self._stop_one(name)
                raise

    def stop(self) -> None:
        """End every process, the last started first, and keep the data. Stopped already is a success."""
        if not self._layout.state.exists():
            return
        with self.exclusive(), self._progress.step("Stop the control plane"):
            kept = (services.ETCD, services.API_SERVER, HOLDER)
            for name in self.names:
                if name not in kept:
                    self._table.terminate(name)
            # One after the other from here on: each needs the next one until its end.
            for name in reversed(self.names):
                self._stop_one(name)
            if self._node:
                self._node.enclosure.close()

    def wipe(self) -> None:
        """Stop, then remove all that the control plane keeps: objects, keys, ports, logs."""
        self.stop()
        if not self._layout.state.exists():
            return
        with self.exclusive():
            layout, table = self._layout, self._table
            if self._node:
                self._node.enclosure.remove_files()
            for directory in (layout.etcd_data, layout.pki, layout.kubeconfigs, table.run_dir, table.log_dir):
                shutil.rmtree(directory, ignore_errors=True)
            for file in (layout.admin_kubeconfig, layout.ports):
                file.unlink(missing_ok=True)
        self._layout.lock.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # somebody else's files may lie here too
            self._layout.state.rmdir()

    def status(self) -> list[ProcessStatus]:
        """Every process, in the order of the start."""
        saved = ports.read(self._layout.ports)
        return [self._status_of(name, saved.get(services.port_name(name))) for name in self.names]

    @property
    def names(self) -> tuple[str, ...]:
        """The processes, in the order of their start."""
        return services.REAL_NAMES if self._node else services.NAMES

    @property
    def _port_names(self) -> tuple[str, ...]:
        return tuple(services.STANDARD_PORTS) if self._node else services.PORT_NAMES

    def _start(self, started: list[str]) -> Endpoints:
        layout = self._layout
        with self._progress.step("Start the control plane") as step:
            place = self._open(step)
            chosen = self._choose_ports()
            step.note("certificates")
            self._make_private(layout.etcd_data)
            pki = issue(layout, place)
            running = Services(layout, self._tools, chosen, pki, place)
            self._write_kubeconfigs(running.api_url, pki)
            if self._node:
                self._node.write_files(running.api_url, pki.cluster_ca.cert, pki.node)
            else:
                write_private(layout.stages, self._stages())
            specs = running.all(self._operator_env)
            checks = self._checks(chosen, pki, place)

            def launch(name: str) -> None:
                if self._table.up_to_date(specs[name]):
                    return
                started.append(name)
                phase_path(layout.state, name).unlink(missing_ok=True)
                self._table.start(specs[name])

            def launch_all(names: Iterable[str]) -> None:
                for name in names:
                    launch(name)
                for name in names:
                    step.note(name)
                    self._wait(name, checks[name])

            for name in (services.ETCD, services.API_SERVER):
                launch_all([name])
            with KubeApi(self.kubeconfig) as api:
                self._retry(services.API_SERVER, lambda: self._furnish(api))
                if self._node is None:
                    launch_all(services.NAMES[2:])
                    step.note("nodes")
                    self._wait(services.SIMULATOR, lambda: self._usable(api))
                else:
                    launch_all([services.CONTROLLER_MANAGER, services.SCHEDULER, daemons.CONTAINERD])
                    self._node.import_images(step.note)
                    step.note("network policies")
                    self._node.install_policies(self.kubeconfig)
                    launch_all([daemons.FELIX, daemons.KUBELET])
                    step.note("kube-proxy, DNS and storage")
                    self._node.install_addons(self.kubeconfig, running.address("api"))
                    self._wait(daemons.KUBELET, lambda: addons.usable(api), _NODE_LIMIT)
        return self._endpoints(chosen)

    def _open(self, step: Step) -> Place:
        """Where the processes run: the node's network, made now, or this machine's."""
        if self._node is None:
            return Place()
        step.note("namespaces")
        self._node.open()
        enclosure = self._node.enclosure
        return Place(self._node.address, enclosure.on_network, enclosure.inside)

    def _choose_ports(self) -> Mapping[str, int]:
        if self._node:
            write_private(self._layout.ports, json.dumps(services.STANDARD_PORTS, indent=2) + "\n")
            return services.STANDARD_PORTS
        in_use = {
            port
            for name, own in services.PORTS.items()
            if any(self._table.running(each) is not None for each in (name, program(name)))
            for port in own
        }
        return ports.keep(self._layout.ports, services.PORT_NAMES, in_use, cache_dir() / "sandboxes")

    def _stages(self) -> str:
        return simulated.stages(
            self._assets["kwok-pod-stages"], self._assets["kwok-node-stages"], stood_in.STOOD_IN.values()
        )

    def _furnish(self, api: KubeApi) -> bool:
        """Put the rights of our own identities and the simulated nodes into the cluster."""
        for path, manifest in identities.rbac_objects():
            api.apply(path, manifest)
        if self._node:
            return True
        for index in range(len(simulated.NODE_NAMES)):
            path, manifest, status = simulated.node(index)
            api.apply(path, manifest)
            api.apply(f"{path}/status", status)
        return True

    def _usable(self, api: KubeApi) -> bool:
        nodes = (api.get(f"/api/v1/nodes/{name}") for name in simulated.NODE_NAMES)
        # Pods are refused in a namespace that has no default ServiceAccount yet.
        account = api.get("/api/v1/namespaces/default/serviceaccounts/default")
        return account is not None and all(simulated.is_ready(each) for each in nodes)

    def _retry(self, name: str, work: Callable[[], bool]) -> None:
        """Do `work` until the API server is far enough to accept it."""

        def attempt() -> bool:
            try:
                return work()
            except (ApiRefused, ApiUnreachable):
                return False

        self._wait(name, attempt)

    def _wait(self, name: str, healthy: Callable[[], bool], limit: float = _START_LIMIT) -> None:
        deadline = time.monotonic() + limit
        while True:
            try:
                if healthy():
                    return
            except ApiUnreachable:
                pass
            if self._table.running(name) is None:
                raise self._table.died(name)
            if time.monotonic() > deadline:
                log = self._table.log(name)
                raise SandboxError(
                    f"{name} runs but is not healthy after {limit:.0f} seconds. "
                    f"The last lines of {log}:\n{tail(log)}"
                )
            time.sleep(_POLL)

    def _checks(self, chosen: Mapping[str, int], pki: Pki, place: Place) -> dict[str, Callable[[], bool]]:
        cluster, etcd = pki.cluster_ca.cert, pki.etcd_ca.cert

        def serves(port: str, path: str, ca: Path, identity: KeyPair | None = None) -> Callable[[], bool]:
            return lambda: answers(chosen[port], path, ca, identity, place.host)

        checks = {
            services.ETCD: serves("etcd", "/health", etcd, pki.etcd_client),
            services.API_SERVER: serves("api", "/readyz", cluster, pki.admin),
            services.CONTROLLER_MANAGER: serves("controller-manager", "/healthz", cluster),
            services.SCHEDULER: serves("scheduler", "/healthz", cluster),
        }
        if self._node:
            return checks | {
                daemons.CONTAINERD: self._node.containerd_answers,
                daemons.FELIX: lambda: answers(
                    chosen[daemons.FELIX], network.READINESS_PATH, host=place.host
                ),
                daemons.KUBELET: serves(daemons.KUBELET, "/healthz", cluster, pki.kubelet_client),
            }
        return checks | {
            services.SIMULATOR: lambda: answers(chosen["kwok"], "/healthz"),
            **{name: self._settled(name, chosen) for name in stood_in.STOOD_IN},
        }

    def _settled(self, name: str, chosen: Mapping[str, int]) -> Callable[[], bool]:
        """Whether a local workload serves, or cannot serve before the platform brings or mends something.

        Waiting for one that can serve matters: its webhooks would refuse what comes right after the start.
        """

        port, path = stood_in.HEALTH[name]

        def settled() -> bool:
            try:
                phase = phase_path(self._layout.state, name).read_text()
            except FileNotFoundError:
                return False
            return phase != RUNNING or answers(chosen[port], path)

        return settled

    def _stop_one(self, name: str) -> None:
        self._table.stop(name, _STOP_LIMIT)
        # Gone with its parent already, unless the parent was killed on a system without parent-death signals.
        self._table.stop(program(name), _STOP_LIMIT)
        phase_path(self._layout.state, name).unlink(missing_ok=True)

    def _status_of(self, name: str, port: int | None) -> ProcessStatus:
        log = self._table.log(name)
        record = self._table.running(name)
        if record is None:
            gone: State = "crashed" if self._table.record(name) else "stopped"
            return ProcessStatus(name, gone, None, port, log)
        if name not in stood_in.STOOD_IN:
            return ProcessStatus(name, "running", record.pid, port, log)
        real = self._table.running(program(name))
        if real is not None:
            return ProcessStatus(name, "running", real.pid, port, log)
        phase = phase_path(self._layout.state, name)
        detail = phase.read_text() if phase.exists() else "starting"
        return ProcessStatus(name, "waiting", record.pid, port, log, detail)

    def _write_kubeconfigs(self, url: str, pki: Pki) -> None:
        layout, ca = self._layout, pki.cluster_ca.cert
        for path, identity in (
            (layout.admin_kubeconfig, pki.admin),
            (layout.kubeconfig(services.CONTROLLER_MANAGER), pki.controller_manager),
            (layout.kubeconfig(services.SCHEDULER), pki.scheduler),
            (layout.kubeconfig(services.SIMULATOR), pki.simulator),
        ):
            kubeconfig.write(path, kubeconfig.render(url, ca, identity, CONTEXT))

    def _endpoints(self, chosen: Mapping[str, int]) -> Endpoints:
        host = self._node.address if self._node else HOST
        return Endpoints(
            api_server=f"https://{host}:{chosen['api']}",
            kubeconfig=self.kubeconfig,
            context=CONTEXT,
            local=None if self._node else local_endpoints(chosen),
        )

    @staticmethod
    def _make_private(directory: Path) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)
