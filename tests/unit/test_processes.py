"""Daemons: records, recycled pids, logs, ports, the lock, certificates, and what a local workload decides."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from sandbox import identities, ports, simulated
from sandbox.certs import Authority, Subject, signing_key
from sandbox.control_plane import ControlPlane
from sandbox.kubeconfig import render
from sandbox.local_workload import Backoff, Launch, LocalWorkload, desired, fill, without_flags
from sandbox.processes import ProcessSpec, ProcessTable, SandboxError, started_at, tail
from sandbox.progress import Progress

ENV = {"PATH": "/usr/bin:/bin"}


@pytest.fixture
def table(tmp_path: Path) -> Iterator[ProcessTable]:
    table = ProcessTable(tmp_path / "a state")
    yield table
    for record in table.run_dir.glob("*.json"):
        table.stop(record.stem, grace=0.2)


def shell(table: ProcessTable, script: str, name: str = "daemon", **env: str) -> ProcessSpec:
    return ProcessSpec(name, ("/bin/sh", "-c", script), table.state, {**ENV, **env})


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


class TestProcessTable:
    def test_a_daemon_is_recorded_and_stopped(self, table: ProcessTable) -> None:
        assert table.start(shell(table, "exec sleep 60"))
        record = table.running("daemon")
        assert record is not None
        assert os.getsid(record.pid) == record.pid, "it must survive the terminal of whoever started it"
        assert table.stop("daemon")
        assert started_at(record.pid) is None
        assert table.record("daemon") is None

    def test_a_second_stop_is_a_quiet_success(self, table: ProcessTable) -> None:
        assert not table.stop("daemon")

    def test_a_running_daemon_is_left_alone(self, table: ProcessTable) -> None:
        table.start(shell(table, "exec sleep 60"))
        before = table.running("daemon")
        assert not table.start(shell(table, "exec sleep 60"))
        assert table.running("daemon") == before

    @pytest.mark.parametrize("change", ["argv", "env", "input"])
    def test_a_daemon_out_of_date_is_replaced(self, table: ProcessTable, tmp_path: Path, change: str) -> None:
        settings = tmp_path / "settings"
        settings.write_text("old")
        spec = replace(shell(table, "exec sleep 60"), inputs=(settings,))
        table.start(spec)
        before = table.running("daemon")
        if change == "argv":
            spec = replace(spec, argv=("/bin/sh", "-c", "exec sleep 61"))
        elif change == "env":
            spec = replace(spec, env={**ENV, "NEW": "1"})
        else:
            settings.write_text("new")
        assert table.start(spec)
        after = table.running("daemon")
        assert before is not None
        assert after is not None
        assert after.pid != before.pid
        assert started_at(before.pid) is None

    def test_a_recycled_pid_is_neither_seen_as_ours_nor_killed(self, table: ProcessTable) -> None:
        with subprocess.Popen(["/bin/sleep", "60"]) as stranger:
            table.run_dir.mkdir(parents=True)
            record = {"name": "daemon", "started": "another boot:1", "fingerprint": "", "log": ""}
            (table.run_dir / "daemon.json").write_text(json.dumps({**record, "pid": stranger.pid}))
            assert table.running("daemon") is None
            assert not table.stop("daemon")
            assert stranger.poll() is None
            stranger.kill()

    def test_records_of_an_earlier_boot_do_not_hinder_a_start(self, table: ProcessTable) -> None:
        table.start(shell(table, "exec sleep 60"))
        path = table.run_dir / "daemon.json"
        record = json.loads(path.read_text())
        table.stop("daemon")
        path.write_text(json.dumps({**record, "pid": 1}))
        assert table.start(shell(table, "exec sleep 60"))

    @pytest.mark.parametrize("damage", ["", "{", "[]", '{"pid": 1}', "null"])
    def test_a_damaged_record_counts_as_absent(self, table: ProcessTable, damage: str) -> None:
        table.run_dir.mkdir(parents=True)
        (table.run_dir / "daemon.json").write_text(damage)
        assert table.running("daemon") is None
        assert table.start(shell(table, "exec sleep 60"))

    def test_a_daemon_that_ignores_the_request_is_killed_with_its_helpers(self, table: ProcessTable) -> None:
        table.start(shell(table, "trap '' TERM; sleep 60 & echo helper $!; wait; wait"))
        log = table.log("daemon")
        wait_for(lambda: "helper" in log.read_text())
        helper = int(log.read_text().split()[1])
        assert table.stop("daemon", grace=0.2)
        wait_for(lambda: started_at(helper) is None)

    @pytest.mark.skipif(sys.platform != "linux", reason="needs the environment of other processes in /proc")
    def test_a_daemon_whose_record_was_lost_is_replaced(self, table: ProcessTable) -> None:
        table.start(shell(table, "exec sleep 60"))
        lost = table.running("daemon")
        assert lost is not None
        # While a program replaces itself its environment reads as empty, shortly even under its new name.
        proc = Path(f"/proc/{lost.pid}")
        wait_for(lambda: (proc / "comm").read_text() == "sleep\n" and (proc / "environ").read_bytes() != b"")
        (table.run_dir / "daemon.json").unlink()
        table.start(shell(table, "exec sleep 60"))
        wait_for(lambda: started_at(lost.pid) is None)
        assert table.running("daemon") is not None

    def test_a_zombie_does_not_count_as_running(self, table: ProcessTable) -> None:
        table.start(shell(table, "exit 3"))
        wait_for(lambda: table.running("daemon") is None)

    def test_the_error_of_a_dead_daemon_says_how_and_shows_its_last_words(self, table: ProcessTable) -> None:
        table.start(shell(table, "for i in $(seq 40); do echo line $i; done; exit 3"))
        wait_for(lambda: table.running("daemon") is None)
        text = str(table.died("daemon"))
        assert "daemon ended unexpectedly (exit code 3)" in text
        assert str(table.log("daemon")) in text
        assert "line 40" in text
        assert "line 20\n" not in text

    def test_a_missing_program_is_named(self, table: ProcessTable) -> None:
        spec = replace(shell(table, ""), argv=("/nowhere/etcd",))
        with pytest.raises(SandboxError, match=r"daemon: cannot run /nowhere/etcd: .*doctor"):
            table.start(spec)
        assert table.record("daemon") is None

    def test_nothing_of_the_users_environment_reaches_a_daemon(
        self, table: ProcessTable, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "do not tell")
        table.start(shell(table, "env; echo end"))
        wait_for(lambda: "end" in table.log("daemon").read_text())
        assert "do not tell" not in table.log("daemon").read_text()

    def test_files_and_directories_are_private(self, table: ProcessTable) -> None:
        table.start(shell(table, "exec sleep 60"))
        assert mode(table.run_dir) == mode(table.log_dir) == mode(table.state) == 0o700
        assert mode(table.log("daemon")) == mode(table.run_dir / "daemon.json") == 0o600

    def test_old_logs_are_kept_up_to_three(self, table: ProcessTable) -> None:
        for run in range(6):
            table.start(shell(table, f"echo run {run}; exec sleep 60"))
            wait_for(lambda: "run" in table.log("daemon").read_text())
            table.stop("daemon")
        texts = {path.name: path.read_text().strip() for path in table.log_dir.iterdir()}
        assert texts == {
            "daemon.log": "run 5",
            "daemon.log.1": "run 4",
            "daemon.log.2": "run 3",
            "daemon.log.3": "run 2",
        }

    @pytest.mark.skipif(sys.platform != "linux", reason="parent-death signals are Linux's")
    def test_a_program_ends_with_the_parent_that_was_killed(self, table: ProcessTable) -> None:
        script = (
            "import sys, time; from pathlib import Path; from sandbox.processes import *;"
            "t = ProcessTable(Path(sys.argv[1]));"
            "t.start(ProcessSpec('daemon.program', ('/bin/sleep', '60'), t.state, {}),"
            " own_log=False, with_parent=True); time.sleep(60)"
        )
        with subprocess.Popen([sys.executable, "-c", script, str(table.state)]) as parent:
            wait_for(lambda: table.running("daemon.program") is not None)
            parent.kill()
        wait_for(lambda: table.running("daemon.program") is None)

    def test_tail_of_a_missing_log(self, tmp_path: Path) -> None:
        assert "empty" in tail(tmp_path / "no.log")


class TestPorts:
    def test_ports_are_chosen_once(self, tmp_path: Path) -> None:
        path = tmp_path / "ports.json"
        first = ports.keep(path, ["a", "b"], [], tmp_path / "known")
        assert ports.keep(path, ["a", "b"], [], tmp_path / "known") == first
        assert first["a"] != first["b"]
        assert mode(path) == 0o600

    def test_a_port_that_somebody_took_is_chosen_again(self, tmp_path: Path) -> None:
        path = tmp_path / "ports.json"
        first = ports.keep(path, ["a", "b"], [], tmp_path / "known")
        with socket.create_server(("127.0.0.1", first["a"])):
            second = ports.keep(path, ["a", "b"], [], tmp_path / "known")
        assert second["a"] != first["a"]
        assert second["b"] == first["b"]

    def test_sandboxes_that_start_at_once_share_none(self, tmp_path: Path, monkeypatch: Any) -> None:
        monkeypatch.setattr(ports, "_FIRST", 20_000)
        monkeypatch.setattr(ports, "_LAST", 20_015)  # few enough for a port to come twice
        known = tmp_path / "known"
        files = [tmp_path / f"{number}.json" for number in range(4)]
        chosen = [port for file in files for port in ports.keep(file, ["a", "b"], [], known).values()]
        assert len(set(chosen)) == len(chosen)
        files[0].unlink()  # gone, so its ports are free again
        ports.keep(files[1], ["a"], [], known)
        assert known.read_text().splitlines() == [str(file) for file in files[1:]]

    def test_a_port_that_our_own_process_holds_is_kept(self, tmp_path: Path) -> None:
        path = tmp_path / "ports.json"
        first = ports.keep(path, ["a"], [], tmp_path / "known")
        with socket.create_server(("127.0.0.1", first["a"])):
            assert ports.keep(path, ["a"], ["a"], tmp_path / "known") == first

    @pytest.mark.parametrize("damage", ["", "[1]", '{"a": "x"}', "{"])
    def test_a_damaged_file_is_replaced(self, tmp_path: Path, damage: str) -> None:
        path = tmp_path / "ports.json"
        path.write_text(damage)
        chosen = ports.keep(path, ["a"], [], tmp_path / "known")
        assert json.loads(path.read_text()) == chosen

    def test_no_port_is_where_outgoing_connections_get_theirs(self) -> None:
        chosen = ports.choose([str(i) for i in range(50)], {}, [])
        assert all(20_000 <= port <= 32_000 for port in chosen.values())
        assert len(set(chosen.values())) == 50

    def test_two_names_never_share_a_saved_port(self) -> None:
        saved = ports.choose(["a"], {}, [])["a"]
        chosen = ports.choose(["a", "b"], {"a": saved, "b": saved}, [])
        assert chosen["a"] == saved != chosen["b"]


class TestCertificates:
    def test_files_are_private_and_stay(self, tmp_path: Path) -> None:
        pair = Authority(tmp_path, "ca").issue("server", Subject("x", ("org",), ("127.0.0.1", "localhost")))
        before = pair.cert.read_bytes()
        again = Authority(tmp_path, "ca").issue("server", Subject("x", ("org",), ("127.0.0.1", "localhost")))
        assert again.cert.read_bytes() == before
        assert {mode(path) for path in tmp_path.iterdir()} == {0o600}

    @pytest.mark.parametrize(
        "subject",
        [
            Subject("y", hosts=("localhost",)),
            Subject("x", ("o",), ("localhost",)),
            Subject("x", hosts=("z",)),
        ],
    )
    def test_a_certificate_that_says_something_else_is_issued_again(
        self, tmp_path: Path, subject: Subject
    ) -> None:
        authority = Authority(tmp_path, "ca")
        before = authority.issue("leaf", Subject("x", hosts=("localhost",))).cert.read_bytes()
        assert authority.issue("leaf", subject).cert.read_bytes() != before

    @pytest.mark.parametrize("file", ["ca.crt", "ca.key"])
    @pytest.mark.parametrize("damage", ["gone", "cut"])
    def test_a_new_authority_issues_everything_again(self, tmp_path: Path, file: str, damage: str) -> None:
        pair = Authority(tmp_path, "ca").issue("leaf", Subject("x"))
        before = pair.cert.read_bytes()
        harm(tmp_path / file, damage)
        authority = Authority(tmp_path, "ca")
        after = x509.load_pem_x509_certificate(authority.issue("leaf", Subject("x")).cert.read_bytes())
        assert pair.cert.read_bytes() != before
        after.verify_directly_issued_by(
            x509.load_pem_x509_certificate(authority.pair.cert.read_bytes()),
        )

    @pytest.mark.parametrize("file", ["leaf.crt", "leaf.key"])
    @pytest.mark.parametrize("damage", ["gone", "cut", "foreign"])
    def test_a_damaged_certificate_is_issued_again(self, tmp_path: Path, file: str, damage: str) -> None:
        authority = Authority(tmp_path, "ca")
        pair = authority.issue("leaf", Subject("x"))
        before = pair.cert.read_bytes()
        if damage == "foreign":
            other = authority.issue("other", Subject("x"))
            (tmp_path / file).write_bytes((other.cert if file.endswith("crt") else other.key).read_bytes())
        else:
            harm(tmp_path / file, damage)
        assert authority.issue("leaf", Subject("x")).cert.read_bytes() != before

    def test_only_servers_may_serve(self, tmp_path: Path) -> None:
        authority = Authority(tmp_path, "ca")

        def usages(pair_subject: Subject) -> list[str]:
            pair = authority.issue("leaf", pair_subject)
            cert = x509.load_pem_x509_certificate(pair.cert.read_bytes())
            extension = cert.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
            return [usage._name for usage in extension]

        assert usages(Subject("client")) == ["clientAuth"]
        assert usages(Subject("server", hosts=("localhost",))) == ["clientAuth", "serverAuth"]

    def test_the_token_key_is_made_once_and_its_public_half_restored(self, tmp_path: Path) -> None:
        private, public = tmp_path / "key", tmp_path / "pub"
        signing_key(private, public)
        before = private.read_bytes(), public.read_bytes()
        public.unlink()
        signing_key(private, public)
        assert (private.read_bytes(), public.read_bytes()) == before
        assert mode(private) == 0o600


def test_a_kubeconfig_holds_no_secret(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "pki", "ca")
    pair = authority.issue("admin", Subject("admin"))
    text = render("https://127.0.0.1:1", authority.pair.cert, pair, "here")
    assert str(pair.key) in text
    assert pair.key.read_text().splitlines()[1] not in text


class TestLock:
    def test_two_commands_at_once_get_one_clear_error(self, tmp_path: Path) -> None:
        def make() -> ControlPlane:
            return ControlPlane(tmp_path / "state", {}, {}, Progress(quiet=True))

        one, other = make(), make()
        with one.exclusive():
            with one.exclusive():
                pass
            for attempt in (other.start, other.stop, other.wipe):
                with pytest.raises(SandboxError, match="Another rayfort command is working on"):
                    attempt()
        with other.exclusive():
            pass

    def test_the_state_directory_is_made_private(self, tmp_path: Path) -> None:
        (tmp_path / "state").mkdir(mode=0o755)
        with ControlPlane(tmp_path / "state", {}, {}, Progress(quiet=True)).exclusive():
            assert mode(tmp_path / "state") == 0o700


class TestNeverStarted:
    def test_stop_wipe_and_status_are_quiet(self, tmp_path: Path) -> None:
        plane = ControlPlane(tmp_path / "state", {}, {}, Progress(quiet=True))
        plane.stop()
        plane.wipe()
        assert {each.state for each in plane.status()} == {"stopped"}
        assert not (tmp_path / "state").exists()

    def test_endpoints_say_what_to_do(self, tmp_path: Path) -> None:
        plane = ControlPlane(tmp_path / "state", {}, {}, Progress(quiet=True))
        with pytest.raises(SandboxError, match="rayfort up"):
            _ = plane.endpoints

    def test_a_missing_tool_is_named_before_anything_runs(self, tmp_path: Path) -> None:
        stages = tmp_path / "stages"
        stages.mkdir()
        for name in ("pod-ready", "pod-complete", "pod-delete", "node-initialize"):
            stage = {"metadata": {"name": name}, "spec": {"selector": {"matchExpressions": []}}}
            (stages / f"{name}.yaml").write_text(json.dumps(stage))
        assets = {"kwok-pod-stages": stages, "kwok-node-stages": stages}
        plane = ControlPlane(tmp_path / "state", {}, assets, Progress(quiet=True))
        with pytest.raises(SandboxError, match="the tool etcd is missing"):
            plane.start()
        assert {each.state for each in plane.status()} == {"stopped"}


def test_a_missing_stage_is_named(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match=r"pod-ready\.yaml is missing"):
        simulated.stages(tmp_path, tmp_path, [])


def test_simulated_nodes_have_addresses_for_all_their_pods() -> None:
    nodes = [simulated.node(index) for index in range(len(simulated.NODE_NAMES))]
    ranges = {manifest["spec"]["podCIDR"] for _, manifest, _ in nodes}
    assert len(ranges) == len(nodes)
    assert all(int(status["status"]["capacity"]["pods"]) < 1024 for _, _, status in nodes)


def test_own_identities_have_no_wildcard_right() -> None:
    rules = [rule for _, each in identities.rbac_objects() for rule in each.get("rules", [])]
    assert rules
    assert not any("*" in rule[field] for rule in rules for field in ("apiGroups", "resources", "verbs"))


WORKLOAD = LocalWorkload(
    name="istiod",
    state="/state",
    selector="app=istiod",
    health_port=1,
    health_path="/ready",
    container="discovery",
    requires=("/api/v1/namespaces/{namespace}/configmaps/istio",),
    command=("/tools/pilot-discovery",),
    overrides=("--kubeconfig={kubeconfig}",),
    dropped_flags=("--log-file-path",),
    env={"POD_NAMESPACE": "{namespace}"},
    api_server="https://127.0.0.1:1",
    api_ca="/ca",
    cert="/cert",
    key="/key",
)
DEPLOYMENTS = "/apis/apps/v1/deployments?labelSelector=app=istiod"
CONFIG = "/api/v1/namespaces/istio-system/configmaps/istio"


def deployment(**changes: Any) -> dict[str, Any]:
    container = {
        "name": "discovery",
        "args": ["discovery", "--log-file-path", "/var/log/x"],
        "env": [
            {"name": "REVISION", "value": "default"},
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ],
    }
    spec = {"serviceAccountName": "istiod", "containers": [{"name": "sidecar"}, container]}
    return {
        "metadata": {
            "name": "istiod",
            "namespace": "istio-system",
            "uid": "1",
            **changes.pop("metadata", {}),
        },
        "spec": {"replicas": 1, "template": {"spec": spec}, **changes},
    }


def cluster(*deployments: dict[str, Any], **objects: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {DEPLOYMENTS: {"items": list(deployments)}, CONFIG: {"kind": "ConfigMap"}, **objects}


class TestDesired:
    def test_the_container_of_the_deployment_decides_what_runs(self) -> None:
        launch = desired(WORKLOAD, cluster(deployment()).get)
        assert isinstance(launch, Launch)
        assert launch.namespace == "istio-system"
        assert launch.service_account == "istiod"
        assert launch.args == ("discovery",)
        assert launch.env == {"REVISION": "default"}

    @pytest.mark.parametrize(
        "objects",
        [
            cluster(),
            {},
            cluster(deployment(replicas=0)),
            cluster(deployment(metadata={"deletionTimestamp": "now"})),
        ],
        ids=["none", "no answer", "scaled to zero", "being deleted"],
    )
    def test_without_a_deployment_nothing_runs(self, objects: dict[str, Any]) -> None:
        assert desired(WORKLOAD, objects.get) == "the Deployment labelled app=istiod"

    def test_two_deployments_are_not_guessed_between(self) -> None:
        waiting = desired(WORKLOAD, cluster(deployment(), deployment()).get)
        assert isinstance(waiting, str)
        assert "several: istio-system/istiod" in waiting

    def test_what_is_missing_is_named(self) -> None:
        objects = cluster(deployment())
        del objects[CONFIG]
        assert desired(WORKLOAD, objects.get) == "namespaces/istio-system/configmaps/istio"

    def test_requirements_are_not_read_again_while_what_should_run_runs(self) -> None:
        launch = desired(WORKLOAD, cluster(deployment()).get)
        assert isinstance(launch, Launch)
        only_deployment = {DEPLOYMENTS: cluster(deployment())[DEPLOYMENTS]}
        assert desired(WORKLOAD, only_deployment.__getitem__, launch) == launch

    @pytest.mark.parametrize("established", ["True", "False", None])
    def test_a_definition_counts_once_it_is_served(self, established: str | None) -> None:
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/rayclusters.ray.io"
        conditions = [{"type": "Established", "status": established}] if established else []
        crd = {"kind": "CustomResourceDefinition", "status": {"conditions": conditions}}
        workload = replace(WORKLOAD, requires=(path,))
        found = desired(workload, {**cluster(deployment()), path: crd}.get)
        assert isinstance(found, Launch) == (established == "True")

    def test_a_new_deployment_or_template_is_a_new_launch(self) -> None:
        launches = [
            desired(WORKLOAD, cluster(each).get)
            for each in (
                deployment(),
                deployment(metadata={"uid": "2"}),
                deployment(template={"spec": {"containers": [{"name": "discovery"}]}}),
            )
        ]
        assert launches[0] == desired(WORKLOAD, cluster(deployment(status={"replicas": 1})).get)
        assert launches[0] != launches[1]
        assert launches[0] != launches[2]

    def test_the_specification_survives_its_file(self, tmp_path: Path) -> None:
        WORKLOAD.save(tmp_path / "w.json")
        assert LocalWorkload.load(tmp_path / "w.json") == WORKLOAD
        assert mode(tmp_path / "w.json") == 0o600


@pytest.mark.parametrize(
    ("args", "kept"),
    [
        (["--a=1", "--x=2", "--b"], ("--a=1", "--b")),
        (["--x", "2", "pos"], ("pos",)),
        (["--x", "--b"], ("--b",)),
        (["--xy=1"], ("--xy=1",)),
        ([], ()),
    ],
)
def test_flags_that_make_no_sense_here_are_dropped(args: list[str], kept: tuple[str, ...]) -> None:
    assert without_flags(args, ("--x",)) == kept


@given(st.text(alphabet="{}ab "))
def test_only_known_braces_are_filled_in(text: str) -> None:
    assert fill(text, {"name": "value"}) == text
    assert fill("{name}" + text, {"name": "value"}) == "value" + text


def test_restarts_come_slower_and_a_proven_run_counts_anew() -> None:
    now = 0.0
    backoff = Backoff(lambda: now)
    delays = []
    for _ in range(7):
        backoff.started()
        now += 1
        delays.append(backoff.ended())
        assert not backoff.may_start()
        now += delays[-1]
        assert backoff.may_start()
    assert delays == [1, 2, 4, 8, 16, 30, 30]
    backoff.started()
    now += 100
    assert backoff.ended() == 1


class TestLocalWorkloadProcess:
    """The process that waits, against an API server that is not there."""

    def test_it_ends_on_request_while_it_waits(self, tmp_path: Path) -> None:
        authority = Authority(tmp_path / "pki", "ca")
        pair = authority.issue("me", Subject("me"))
        workload = replace(
            WORKLOAD,
            state=str(tmp_path),
            api_server=f"https://127.0.0.1:{ports.choose(['x'], {}, [])['x']}",
            api_ca=str(authority.pair.cert),
            cert=str(pair.cert),
            key=str(pair.key),
        )
        workload.save(tmp_path / "w.json")
        with subprocess.Popen(
            [sys.executable, "-m", "sandbox.local_workload", str(tmp_path / "w.json")]
        ) as it:
            wait_for(workload.kubeconfig.exists)
            time.sleep(0.7)
            assert it.poll() is None
            it.send_signal(signal.SIGTERM)
            assert it.wait(30) == 0


def wait_for(condition: Any, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError):
            if condition():
                return
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def harm(path: Path, damage: str) -> None:
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:40])
