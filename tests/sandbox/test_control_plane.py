"""The control plane itself: real etcd, API server, controllers, scheduler and simulated nodes."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from sandbox import kubeconfig, ports, services, stood_in
from sandbox.certs import Authority, Subject
from sandbox.control_plane import ControlPlane
from sandbox.kube_api import ApiRefused, KubeApi
from sandbox.layout import Layout
from sandbox.processes import SandboxError, started_at
from sandbox.progress import Progress

pytestmark = pytest.mark.sandbox

CORE = (
    services.ETCD,
    services.API_SERVER,
    services.CONTROLLER_MANAGER,
    services.SCHEDULER,
    services.SIMULATOR,
)


@pytest.fixture
def running(control_plane: ControlPlane) -> ControlPlane:
    """The shared control plane, whole again whatever the test before did to it."""
    control_plane.start()
    return control_plane


@pytest.fixture
def api(running: ControlPlane) -> Iterator[KubeApi]:
    with KubeApi(running.kubeconfig) as api:
        yield api


def pids(plane: ControlPlane) -> dict[str, int]:
    return {each.name: each.pid for each in plane.status() if each.pid is not None}


def tree(roots: list[int]) -> set[int]:
    """The processes and all that they started."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = set(roots)
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def put(api: KubeApi, namespace: str, kind: str, name: str, **body: Any) -> dict[str, Any]:
    group = "apps/v1" if kind == "Deployment" else "v1"
    root = f"/apis/{group}" if "/" in group else f"/api/{group}"
    path = f"{root}/namespaces/{namespace}/{kind.lower()}s/{name}"
    return api.apply(path, {"apiVersion": group, "kind": kind, "metadata": {"name": name}, **body})


def eventually(condition: Callable[[], Any], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)


def test_it_is_ready_and_so_are_its_nodes(running: ControlPlane, api: KubeApi) -> None:
    assert api.ready("/readyz")
    nodes = (api.get("/api/v1/nodes") or {})["items"]
    assert len(nodes) == 2
    for node in nodes:
        conditions = {each["type"]: each["status"] for each in node["status"]["conditions"]}
        assert conditions["Ready"] == "True"
        assert node["status"]["nodeInfo"]["kubeletVersion"] == "v1.36.3"
        assert node["status"]["allocatable"] == {
            "cpu": "256",
            "memory": "1Ti",
            "pods": "500",
            "ephemeral-storage": "1Ti",
        }
    states = {each.name: each.state for each in running.status()}
    assert {states[name] for name in CORE} == {"running"}
    assert states[stood_in.OPERATOR] == states[stood_in.ISTIOD] == "waiting"


def test_what_it_says_it_waits_for(running: ControlPlane) -> None:
    detail = {each.name: each.detail for each in running.status()}
    assert detail[stood_in.ISTIOD] == "waiting for the Deployment labelled app=istiod"


def test_a_deployment_becomes_ready(api: KubeApi) -> None:
    labels = {"app": "web"}
    spec = {
        "replicas": 2,
        "selector": {"matchLabels": labels},
        "template": {
            "metadata": {"labels": labels},
            "spec": {"containers": [{"name": "c", "image": "nowhere.example/c:1"}]},
        },
    }
    put(api, "default", "Deployment", "web", spec=spec)
    path = "/apis/apps/v1/namespaces/default/deployments/web"
    eventually(lambda: (api.get(path) or {})["status"].get("readyReplicas") == 2)
    pods = (api.get("/api/v1/namespaces/default/pods?labelSelector=app=web") or {})["items"]
    assert len({pod["status"]["podIP"] for pod in pods}) == 2


def test_a_namespace_gets_its_authority_and_account(api: KubeApi) -> None:
    api.apply(
        "/api/v1/namespaces/team",
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}},
    )
    eventually(lambda: api.get("/api/v1/namespaces/team/configmaps/kube-root-ca.crt"))
    eventually(lambda: api.get("/api/v1/namespaces/team/serviceaccounts/default"))


def test_a_second_start_changes_nothing(running: ControlPlane) -> None:
    before = pids(running), running.endpoints
    assert running.start() == before[1]
    assert (pids(running), running.endpoints) == before


class TestAccess:
    def test_nobody_without_a_certificate_gets_in(self, running: ControlPlane) -> None:
        ca = Layout(running.kubeconfig.parent).pki / "ca.crt"
        port = running.status()[1].port
        for path in ("/api/v1/namespaces", "/readyz", "/version", "/metrics"):
            context = ssl.create_default_context(cafile=str(ca))
            connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=5)
            connection.request("GET", path)
            assert connection.getresponse().status == 401
            connection.close()

    @pytest.mark.parametrize("subject", [Subject("stranger"), Subject("x", ("system:nodes-not",))])
    def test_a_known_but_unprivileged_user_is_refused(
        self, running: ControlPlane, tmp_path: Path, subject: Subject
    ) -> None:
        authority = Authority(Layout(running.kubeconfig.parent).pki, "rayfort-sandbox")
        pair = authority.issue(f"test-{subject.common_name}", subject)
        text = kubeconfig.render(running.endpoints.api_server, authority.pair.cert, pair, "x")
        with KubeApi(kubeconfig.write(tmp_path / "k", text)) as api:
            with pytest.raises(ApiRefused, match="forbidden") as refused:
                api.get("/api/v1/namespaces/default/secrets")
            assert refused.value.status == 403

    def test_another_authority_opens_nothing(self, running: ControlPlane, tmp_path: Path) -> None:
        ours = Layout(running.kubeconfig.parent).pki / "ca.crt"
        foreign = Authority(tmp_path, "rayfort-sandbox").issue("admin", Subject("a", ("system:masters",)))
        text = kubeconfig.render(running.endpoints.api_server, ours, foreign, "x")
        with (
            KubeApi(kubeconfig.write(tmp_path / "k", text)) as api,
            pytest.raises(ApiRefused) as refused,
        ):
            api.get("/api/v1/namespaces")
        assert refused.value.status == 401

    @pytest.mark.parametrize("name", ["simulator", "workloads"])
    def test_own_identities_read_no_secret(self, running: ControlPlane, tmp_path: Path, name: str) -> None:
        pki = Layout(running.kubeconfig.parent).pki
        authority = Authority(pki, "rayfort-sandbox")
        pair = authority.issue(name, Subject(f"rayfort:{name}"))
        text = kubeconfig.render(running.endpoints.api_server, authority.pair.cert, pair, "x")
        with KubeApi(kubeconfig.write(tmp_path / "k", text)) as api:
            for path in ("/api/v1/secrets", "/api/v1/namespaces/kube-system/secrets"):
                with pytest.raises(ApiRefused, match="forbidden"):
                    api.get(path)

    def test_only_the_api_servers_certificate_opens_etcd(self, running: ControlPlane) -> None:
        pki = Layout(running.kubeconfig.parent).pki

        def health(name: str) -> int:
            context = ssl.create_default_context(cafile=str(pki / "etcd" / "ca.crt"))
            context.load_cert_chain(pki / f"{name}.crt", pki / f"{name}.key")
            port = running.status()[0].port
            connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=5)
            connection.request("GET", "/health")
            return connection.getresponse().status

        assert health("etcd/client") == 200
        with pytest.raises((OSError, http.client.HTTPException)):
            health("admin")

    def test_old_tls_is_refused(self, running: ControlPlane) -> None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        for status in running.status()[:4]:
            with (
                socket.create_connection(("127.0.0.1", status.port or 0), 5) as raw,
                pytest.raises(ssl.SSLError, match=r"(?i)version|handshake"),
            ):
                context.wrap_socket(raw)

    def test_it_listens_on_loopback_only(self, running: ControlPlane) -> None:
        inodes = set()
        for pid in tree(list(pids(running).values())):
            for entry in Path(f"/proc/{pid}/fd").iterdir():
                try:
                    target = str(entry.readlink())
                except OSError:
                    continue
                if target.startswith("socket:["):
                    inodes.add(target[8:-1])
        listening = []
        for table in ("tcp", "tcp6", "udp", "udp6"):
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                is_server = fields[3] == ("0A" if "tcp" in table else "07")
                if fields[9] in inodes and is_server:
                    listening.append(fields[1])
        assert len(listening) >= len(CORE)
        assert {address.split(":")[0] for address in listening} == {"0100007F"}
        expected = {f"{port:04X}" for port in ports.read(Layout(running.kubeconfig.parent).ports).values()}
        assert {address.split(":")[1] for address in listening} <= expected, "a port that nobody chose"

    def test_keys_are_private_and_never_arguments(self, running: ControlPlane) -> None:
        state = running.kubeconfig.parent
        keys = [path.read_text() for path in state.rglob("*.key")]
        assert len(keys) > 8
        for path in state.rglob("*"):
            if Layout(state).etcd_data not in path.parents and path != Layout(state).lock:
                expected = 0o700 if path.is_dir() else 0o600
                assert stat.S_IMODE(path.stat().st_mode) == expected, path
        commands = b"".join(
            Path(f"/proc/{pid}/{file}").read_bytes()
            for pid in tree(list(pids(running).values()))
            for file in ("cmdline", "environ")
        )
        for key in keys:
            assert key.splitlines()[1].encode() not in commands


class TestHealing:
    @pytest.mark.parametrize("name", services.NAMES)
    def test_a_killed_process_comes_back_and_the_others_stay(
        self, running: ControlPlane, api: KubeApi, name: str
    ) -> None:
        put(api, "default", "ConfigMap", f"before-{name}", data={"kept": "yes"})
        before = pids(running)
        os.kill(before[name], signal.SIGKILL)
        eventually(lambda: {each.name: each.state for each in running.status()}[name] == "crashed")
        running.start()
        after = pids(running)
        assert after[name] != before[name]
        assert {**after, name: 0} == {**before, name: 0}
        with KubeApi(running.kubeconfig) as fresh:
            kept = fresh.get(f"/api/v1/namespaces/default/configmaps/before-{name}")
            assert (kept or {})["data"] == {"kept": "yes"}
            # The controllers are back at work, not only their health endpoints.
            put(fresh, "default", "ConfigMap", "after", data={})
            fresh.apply(
                f"/api/v1/namespaces/after-{name}",
                {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"after-{name}"}},
            )
            eventually(lambda: fresh.get(f"/api/v1/namespaces/after-{name}/serviceaccounts/default"))

    def test_everything_killed_at_once(self, running: ControlPlane) -> None:
        for pid in pids(running).values():
            os.kill(pid, signal.SIGKILL)
        running.start()
        assert {each.state for each in running.status()} == {"running", "waiting"}

    def test_lost_notes_do_not_leave_two_of_anything(self, running: ControlPlane) -> None:
        before = pids(running)
        for note in (running.kubeconfig.parent / "run").glob("*.json"):
            note.unlink()
        running.start()
        assert all(started_at(pid) is None for pid in before.values())

    def test_lost_ports_and_certificates_are_made_again_and_the_data_stays(
        self, running: ControlPlane, api: KubeApi
    ) -> None:
        put(api, "default", "ConfigMap", "dear", data={"kept": "yes"})
        layout = Layout(running.kubeconfig.parent)
        layout.ports.unlink()
        (layout.pki / "ca.key").write_text("half a k")
        (layout.pki / "etcd" / "server.crt").unlink()
        running.start()
        with KubeApi(running.kubeconfig) as fresh:
            kept = fresh.get("/api/v1/namespaces/default/configmaps/dear")
            assert (kept or {})["data"] == {"kept": "yes"}


class TestStop:
    def test_stop_ends_every_process_keeps_the_data_and_may_be_repeated(
        self, running: ControlPlane, api: KubeApi
    ) -> None:
        put(api, "default", "ConfigMap", "dear", data={"kept": "yes"})
        endpoints = running.endpoints
        everything = tree(list(pids(running).values()))
        began = time.monotonic()
        running.stop()
        assert time.monotonic() - began < 10
        assert [pid for pid in everything if started_at(pid)] == []
        assert {each.state for each in running.status()} == {"stopped"}
        running.stop()
        assert running.start() == endpoints, "addresses survive a restart"
        with KubeApi(running.kubeconfig) as fresh:
            kept = fresh.get("/api/v1/namespaces/default/configmaps/dear")
            assert (kept or {})["data"] == {"kept": "yes"}

    def test_another_process_can_stop_it(self, running: ControlPlane) -> None:
        everything = tree(list(pids(running).values()))
        script = (
            "import sys; from pathlib import Path; from sandbox.control_plane import ControlPlane;"
            "from sandbox.progress import Progress;"
            "ControlPlane(Path(sys.argv[1]), {}, {}, Progress(quiet=True)).stop()"
        )
        python = [sys.executable, "-c", script, str(running.kubeconfig.parent)]
        subprocess.run(python, check=True, cwd=Path(__file__).parents[2])
        assert [pid for pid in everything if started_at(pid)] == []

    def test_a_port_taken_meanwhile_is_chosen_again(self, running: ControlPlane) -> None:
        running.stop()
        taken = running.status()[1].port or 0
        with socket.create_server(("127.0.0.1", taken)):
            running.start()
            assert running.endpoints.api_server != f"https://127.0.0.1:{taken}"
            with KubeApi(running.kubeconfig) as api:
                assert api.ready()

    def test_wipe_leaves_nothing(self, make_control_plane: Callable[[], ControlPlane]) -> None:
        plane = make_control_plane()
        plane.start()
        everything = tree(list(pids(plane).values()))
        plane.wipe()
        assert [pid for pid in everything if started_at(pid)] == []
        assert not plane.kubeconfig.parent.exists()
        plane.wipe()

    def test_wipe_spares_what_is_not_its_own(self, make_control_plane: Callable[[], ControlPlane]) -> None:
        plane = make_control_plane()
        foreign = plane.kubeconfig.parent / "engine" / "state.json"
        foreign.parent.mkdir(parents=True)
        foreign.write_text("{}")
        plane.start()
        plane.wipe()
        assert [path.name for path in plane.kubeconfig.parent.iterdir()] == ["engine"]


def test_two_at_once_do_not_meet(
    running: ControlPlane, make_control_plane: Callable[[], ControlPlane]
) -> None:
    other = make_control_plane()
    other.start()
    try:
        mine = ports.read(Layout(running.kubeconfig.parent).ports).values()
        theirs = ports.read(Layout(other.kubeconfig.parent).ports).values()
        assert not set(mine) & set(theirs)
        with KubeApi(running.kubeconfig) as here, KubeApi(other.kubeconfig) as there:
            put(here, "default", "ConfigMap", "only-here", data={})
            assert there.get("/api/v1/namespaces/default/configmaps/only-here") is None
    finally:
        other.wipe()


class TestFailures:
    @pytest.mark.parametrize("broken", ["etcd", "kube-apiserver", "kwok"])
    def test_a_process_that_dies_at_its_start_is_named_and_nothing_is_left(
        self, tools: Mapping[str, Path], assets: Mapping[str, Path], tmp_path: Path, broken: str
    ) -> None:
        bad = tmp_path / broken
        bad.write_text("#!/bin/sh\necho no such flag: $1\nexit 2\n")
        bad.chmod(0o755)
        plane = ControlPlane(tmp_path / "s", {**tools, broken: bad}, assets, Progress(quiet=True))
        with pytest.raises(SandboxError) as error:
            plane.start()
        text = str(error.value)
        assert text.startswith(f"{broken} ended unexpectedly (exit code 2)")
        assert str(tmp_path / "s" / "logs" / f"{broken}.log") in text
        assert "no such flag" in text
        assert {each.state for each in plane.status()} == {"stopped"}

    def test_an_interrupted_start_leaves_nothing_running(
        self,
        make_control_plane: Callable[[], ControlPlane],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        plane = make_control_plane()
        seen: list[int] = []

        def interrupt(*_: object) -> None:
            seen.extend(pids(plane).values())
            raise KeyboardInterrupt

        monkeypatch.setattr(plane, "_furnish", interrupt)
        with pytest.raises(KeyboardInterrupt):
            plane.start()
        assert len(seen) == 2
        assert [pid for pid in seen if started_at(pid)] == []

    def test_a_failed_healing_leaves_what_was_running(
        self, running: ControlPlane, tools: Mapping[str, Path], assets: Mapping[str, Path], tmp_path: Path
    ) -> None:
        before = pids(running)
        bad = tmp_path / "kwok"
        bad.write_text("#!/bin/sh\nexit 2\n")
        bad.chmod(0o755)
        worse = ControlPlane(running.kubeconfig.parent, {**tools, "kwok": bad}, assets, Progress(quiet=True))
        with pytest.raises(SandboxError, match="kwok ended"):
            worse.start()
        left = pids(running)
        assert left == {name: pid for name, pid in before.items() if name != "kwok"}


def test_kubectl_takes_the_kubeconfig(running: ControlPlane, tools: Mapping[str, Path]) -> None:
    kubectl, config = str(tools["kubectl"]), str(running.kubeconfig)
    command = [kubectl, "--kubeconfig", config, "version", "--output", "json"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(shown.stdout)["serverVersion"]["gitVersion"].startswith("v1.36.")
