"""A Ray cluster is ready when Ray itself says so: KubeRay calls it ready while its workers crash."""

from __future__ import annotations

import base64
import contextlib
import copy
import json
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from sandbox import pod_state, port_forward, ray_status, ray_view
from sandbox.kube_api import ApiUnreachable
from sandbox.port_forward import ForwardFailed
from sandbox.processes import SandboxError
from sandbox.ray_status import RayClusterStatus
from sandbox.ray_view import Dashboard, RayNode, RayUnreachable
from sandbox.simulated import NODE_NAMES

TOKEN = "token-of-the-cluster-9d1e"
NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
LONG_AGO = NOW.timestamp() - 3600
HERE = Path("kubeconfig")


def ray_nodes(*states: str, started: float = LONG_AGO, reason: str = "") -> list[dict[str, Any]]:
    """Nodes as Ray 2.55's state API lists them."""
    return [
        {
            "node_id": f"{index:056x}",
            "node_ip": f"10.98.0.{index + 10}",
            "node_name": f"10.98.0.{index + 10}",
            "is_head_node": index == 0,
            "state": state,
            "state_message": reason if state == "DEAD" else None,
            "start_time_ms": int(started * 1000),
            "end_time_ms": 0,
            "resources_total": {"CPU": 1.0},
            "labels": {},
        }
        for index, state in enumerate(states)
    ]


class FakeRay:
    """A dashboard that asks for a token, as Ray's does."""

    def __init__(self) -> None:
        self.nodes = ray_nodes("ALIVE", "ALIVE")
        self.paths: list[str] = []
        self.token: str | None = TOKEN
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                fake.paths.append(self.path)
                code, body = fake.answer(self.headers.get("Authorization"))
                self.send_response(code)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.dialled: list[tuple[str, str, int]] = []
        Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, authorization: str | None) -> tuple[int, bytes]:
        if self.token is not None and authorization is None:
            return 401, b"Unauthorized: Missing authentication token"
        if self.token is not None and authorization != f"Bearer {self.token}":
            return 403, b"Forbidden: Invalid authentication token"
        result = {"total": len(self.nodes), "result": self.nodes, "partial_failure_warning": ""}
        return 200, json.dumps({"result": True, "msg": "", "data": {"result": result}}).encode()

    @contextlib.contextmanager
    def dial(self, kubeconfig: Path, namespace: str, pod: str, port: int) -> Iterator[int]:
        self.dialled.append((namespace, pod, port))
        yield self.port


@pytest.fixture
def fake_ray() -> Iterator[FakeRay]:
    made = FakeRay()
    yield made
    made.server.shutdown()
    made.server.server_close()


def container(name: str, *, ready: bool = True, restarts: int = 0, **state: Any) -> dict[str, Any]:
    return {
        "name": name,
        "ready": ready,
        "restartCount": restarts,
        "state": state or {"running": {"startedAt": "2026-03-01T11:00:00Z"}},
        "lastState": {},
    }


def pod(name: str, role: str, *, node: str = "real-0", ready: bool = True) -> dict[str, Any]:
    """A Pod of team-a/ray as KubeRay and the injector make it."""
    token = {"name": "auth-1", "key": "auth_token"}
    return {
        "metadata": {
            "name": name,
            "namespace": "team-a",
            "labels": {"ray.io/cluster": "ray", "ray.io/node-type": role},
        },
        "spec": {
            "nodeName": node,
            "initContainers": [{"name": "istio-proxy", "restartPolicy": "Always"}],
            "containers": [
                {
                    "name": f"ray-{role}",
                    "ports": [{"name": "dashboard", "containerPort": 8265}] if role == "head" else [],
                    "env": [
                        {"name": "RAY_AUTH_MODE", "value": "token"},
                        {"name": "RAY_AUTH_TOKEN", "valueFrom": {"secretKeyRef": token}},
                    ],
                }
            ],
        },
        "status": {
            "phase": "Running",
            "conditions": [{"type": "ContainersReady", "status": str(ready)}],
            "initContainerStatuses": [container("istio-proxy")],
            "containerStatuses": [container(f"ray-{role}", ready=ready)],
        },
    }


CLUSTER = {
    "metadata": {"namespace": "team-a", "name": "ray"},
    "spec": {"rayVersion": "2.55.1", "workerGroupSpecs": [{"replicas": 1}]},
    "status": {"state": "ready"},
}


def pods() -> list[dict[str, Any]]:
    return [pod("ray-head", "head"), pod("ray-worker", "worker")]


class FakeApi:
    """The API server's answers, by path."""

    def __init__(self, pods: list[dict[str, Any]]) -> None:
        self.objects: dict[str, Any] = {
            "/apis/ray.io/v1/rayclusters": {"items": [copy.deepcopy(CLUSTER)]},
            "/api/v1/pods": {"items": pods},
            "/api/v1/namespaces/team-a/secrets/auth-1": {
                "data": {"auth_token": base64.b64encode(TOKEN.encode()).decode()}
            },
        }
        self.down = 0

    def __call__(self, *_: Any, **__: Any) -> FakeApi:
        return self

    def __enter__(self) -> FakeApi:
        return self

    def __exit__(self, *_: Any) -> None:
        pass

    def get(self, path: str) -> dict[str, Any] | None:
        if self.down:
            self.down -= 1
            raise ApiUnreachable("127.0.0.1:1: connection refused")
        found: dict[str, Any] | None = self.objects.get(path)
        return found


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    """An API server with one Ray cluster of two Pods on a real node."""
    made = FakeApi(pods())
    monkeypatch.setattr(ray_status, "KubeApi", made)
    return made


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Sleeping takes no time, and is noted."""
    slept: list[float] = []
    real = time.monotonic
    monkeypatch.setattr(time, "sleep", slept.append)
    monkeypatch.setattr(time, "monotonic", lambda: real() + sum(slept))
    return slept


def status(
    own: list[dict[str, Any]],
    nodes: list[dict[str, Any]] | None,
    *,
    simulated: bool = False,
    silence: str = "",
) -> RayClusterStatus:
    answer = json.dumps({"data": {"result": {"result": nodes}}}).encode()
    known = None if nodes is None else ray_view.parse(answer)
    return ray_status.status(CLUSTER, own, known, simulated=simulated, silence=silence, now=NOW)


# --- asking Ray


def test_ray_is_asked_with_the_token_that_its_pod_asks_for(fake_ray: FakeRay, api: FakeApi) -> None:
    to = ray_view.dashboard(api, pods()[0])  # type: ignore[arg-type]
    assert to == Dashboard("team-a", "ray-head", 8265, TOKEN)
    found = ray_view.nodes(HERE, to, fake_ray.dial)
    assert [node.state for node in found] == ["ALIVE", "ALIVE"]
    assert found[1] == RayNode("10.98.0.11", "ALIVE", "", LONG_AGO)
    assert fake_ray.dialled == [("team-a", "ray-head", 8265)]
    # Dead nodes count against its default limit of a hundred.
    assert fake_ray.paths == ["/api/v0/nodes?detail=1&limit=10000"]


def test_the_token_is_in_no_text_about_the_dashboard(api: FakeApi) -> None:
    assert TOKEN not in repr(ray_view.dashboard(api, pods()[0]))  # type: ignore[arg-type]


@pytest.mark.parametrize(("token", "said"), [(None, "401 Unauthorized"), ("another", "403 Forbidden")])
def test_a_refusal_is_told_in_rays_own_words(fake_ray: FakeRay, token: str | None, said: str) -> None:
    with pytest.raises(RayUnreachable, match=said):
        ray_view.nodes(HERE, Dashboard("team-a", "ray-head", 8265, token), fake_ray.dial)


def test_a_cluster_without_tokens_is_asked_without(fake_ray: FakeRay, api: FakeApi) -> None:
    head = pods()[0]
    head["spec"]["containers"][0]["env"] = []
    fake_ray.token = None
    to = ray_view.dashboard(api, head)  # type: ignore[arg-type]
    assert to.token is None
    assert len(ray_view.nodes(HERE, to, fake_ray.dial)) == 2


def test_a_proxy_of_the_environment_is_not_asked(fake_ray: FakeRay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    assert ray_view.nodes(HERE, Dashboard("team-a", "ray-head", 8265, TOKEN), fake_ray.dial)


def test_a_missing_secret_is_named(api: FakeApi) -> None:
    del api.objects["/api/v1/namespaces/team-a/secrets/auth-1"]
    with pytest.raises(RayUnreachable, match="team-a/auth-1"):
        ray_view.dashboard(api, pods()[0])  # type: ignore[arg-type]


@pytest.mark.parametrize("answer", [b"", b"<html>", b"{}", b'{"data": {"result": null}}'])
def test_another_servers_answer_is_not_taken_for_rays(answer: bytes) -> None:
    with pytest.raises(RayUnreachable, match="not a list of nodes"):
        ray_view.parse(answer)


def test_a_head_that_is_on_its_way_out_is_not_asked() -> None:
    old, new = pod("ray-head-old", "head"), pod("ray-head-new", "head")
    old["metadata"]["deletionTimestamp"] = "2026-03-01T11:59:59Z"
    assert ray_view.head_pod([old, pod("w", "worker"), new], "team-a", "ray") is new
    assert ray_view.head_pod([old], "team-a", "ray") is None
    assert ray_view.head_pod([new], "team-b", "ray") is None


# --- what is ready


def test_ready_is_every_pod_and_every_node_in_rays_view() -> None:
    found = status(pods(), ray_nodes("ALIVE", "ALIVE"))
    assert found.ready
    assert (found.alive, found.pods, found.running, found.injected) == (2, 2, 2, 2)
    assert found.version == "2.55.1"


def test_kuberays_word_is_not_enough() -> None:
    found = status(pods(), ray_nodes("ALIVE", "DEAD", reason="missed too many heartbeats"))
    assert found.state == "ready"
    assert not found.ready
    assert found.alive == 1
    assert found.late == (
        "Ray itself counts 1 of 2 nodes alive; 10.98.0.11 is dead: missed too many heartbeats",
    )


def test_a_dead_node_of_the_past_does_not_matter() -> None:
    assert status(pods(), ray_nodes("ALIVE", "DEAD", "ALIVE")).ready


def test_a_node_that_ray_has_not_checked_yet_does_not_count() -> None:
    young = ray_nodes("ALIVE", "ALIVE", started=NOW.timestamp() - 10)
    assert status(pods(), young).late == ("Ray's newest node is 10 s old; after 25 s it counts",)
    settled = ray_nodes("ALIVE", "ALIVE", started=NOW.timestamp() - ray_status.SETTLED_SECONDS)
    assert status(pods(), settled).ready


def test_a_container_that_just_came_back_is_not_trusted() -> None:
    own = pods()
    own[1]["status"]["initContainerStatuses"] = [
        container("istio-proxy", restarts=2, running={"startedAt": "2026-03-01T11:59:55Z"})
    ]
    found = status(own, ray_nodes("ALIVE", "ALIVE"))
    assert found.late == ("Pod ray-worker: started again 5 s ago",)
    assert found.restarts == 2
    own[1]["status"]["initContainerStatuses"][0]["state"] = {"running": {"startedAt": "2026-03-01T11:59:00Z"}}
    assert status(own, ray_nodes("ALIVE", "ALIVE")).ready


def test_a_running_pod_with_a_container_that_is_not_ready_is_late() -> None:
    own = [pods()[0], pod("ray-worker", "worker", ready=False)]
    assert status(own, ray_nodes("ALIVE", "ALIVE")).late == ("Pod ray-worker: ray-worker not ready yet",)


def test_silence_is_told() -> None:
    assert status(pods(), None, silence="Ray does not answer: refused").late == (
        "Ray does not answer: refused",
    )


def test_on_simulated_nodes_ray_is_left_out() -> None:
    found = status(pods(), None, simulated=True)
    assert found.ready
    assert found.alive is None
    late = status(pods()[:1], None, simulated=True)
    assert late.late == ("1 of 2 Pods run, 1 exist",)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {
                "containerStatuses": [
                    container("ray-worker", ready=False, restarts=3, waiting={"reason": "CrashLoopBackOff"})
                ]
            },
            "ray-worker: CrashLoopBackOff, 3 restarts",
        ),
        (
            {
                "containerStatuses": [
                    {
                        **container(
                            "ray-worker", ready=False, restarts=1, waiting={"reason": "CrashLoopBackOff"}
                        ),
                        "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
                    }
                ]
            },
            "ray-worker: CrashLoopBackOff (ended with exit code 137, OOMKilled), 1 restart",
        ),
        (
            {
                "initContainerStatuses": [
                    container("wait-gcs-ready", ready=False, waiting={"reason": "PodInitializing"}),
                    container("istio-init", ready=False, terminated={"exitCode": 2, "reason": "Error"}),
                ]
            },
            "istio-init: ended with exit code 2",
        ),
        (
            {
                "containerStatuses": [
                    container(
                        "ray-worker",
                        ready=False,
                        waiting={"reason": "ErrImageNeverPull", "message": "no image\nof that name"},
                    )
                ]
            },
            "ray-worker: ErrImageNeverPull (no image of that name)",
        ),
        (
            {
                "initContainerStatuses": [container("wait-gcs-ready", ready=False)],
                "containerStatuses": [
                    container("ray-worker", ready=False, waiting={"reason": "PodInitializing"})
                ],
            },
            "wait-gcs-ready, ray-worker not ready yet",
        ),
        (
            {
                "conditions": [
                    {"type": "PodScheduled", "status": "False", "message": "0/1 nodes: insufficient memory"}
                ],
                "initContainerStatuses": [],
                "containerStatuses": [],
            },
            "not scheduled: 0/1 nodes: insufficient memory",
        ),
    ],
)
def test_a_pod_says_what_it_waits_for(change: dict[str, Any], said: str) -> None:
    late = pod("ray-worker", "worker", ready=False)
    late["status"].update(change)
    assert pod_state.trouble(late) == said


# --- reading and waiting


def test_reading_asks_ray_only_where_it_runs(api: FakeApi, fake_ray: FakeRay) -> None:
    fake_ray.nodes = ray_nodes("ALIVE", "ALIVE")
    (found,) = ray_status.survey(HERE, fake_ray.dial)
    assert (found.alive, found.simulated, found.ready) == (2, False, True)
    (found,) = ray_status.survey(HERE, fake_ray.dial, ask_ray=False)
    assert found.alive is None
    api.objects["/api/v1/pods"]["items"] = [
        pod("ray-head", "head", node=NODE_NAMES[0]),
        pod("ray-worker", "worker", node=NODE_NAMES[1]),
    ]
    (found,) = ray_status.survey(HERE, fake_ray.dial)
    assert (found.alive, found.simulated, found.ready) == (None, True, True)
    assert len(fake_ray.dialled) == 1


def test_pods_that_wait_for_a_node_are_not_called_simulated(api: FakeApi, fake_ray: FakeRay) -> None:
    for each in api.objects["/api/v1/pods"]["items"]:
        del each["spec"]["nodeName"]
        each["status"] = {"phase": "Pending"}
    (found,) = ray_status.survey(HERE, fake_ray.dial)
    assert not found.simulated
    assert not found.ready
    assert not fake_ray.dialled


def test_a_head_that_cannot_be_reached_is_late_and_no_error(api: FakeApi) -> None:
    @contextlib.contextmanager
    def dial(*_: Any) -> Iterator[int]:
        raise ForwardFailed("port 8265 of Pod team-a/ray-head: lost")
        yield 0

    (found,) = ray_status.survey(HERE, dial)
    assert found.late == ("port 8265 of Pod team-a/ray-head: lost",)


def test_status_is_quiet_about_a_sandbox_that_is_down(api: FakeApi) -> None:
    api.down = 1
    assert ray_status.read(HERE) == []


def test_waiting_goes_on_until_ray_has_every_node(
    api: FakeApi, fake_ray: FakeRay, clock: list[float]
) -> None:
    fake_ray.nodes = ray_nodes("ALIVE")
    api.down = 1
    told: list[str] = []

    def note(text: str) -> None:
        told.append(text)
        if len(told) == 3:
            fake_ray.nodes = ray_nodes("ALIVE", "ALIVE")

    (found,) = ray_status.wait_ready(HERE, real=True, note=note, dial=fake_ray.dial)
    assert found.alive == 2
    assert told[0].startswith("the API server does not answer")
    assert told[1] == "team-a/ray: Ray itself counts 1 of 2 nodes alive"
    assert clock == [ray_status.REAL_POLL_SECONDS] * 3


def test_what_is_late_in_the_end_is_told_with_the_reasons(
    api: FakeApi, fake_ray: FakeRay, clock: list[float]
) -> None:
    fake_ray.nodes = ray_nodes("ALIVE")
    worker = api.objects["/api/v1/pods"]["items"][1]
    worker["status"]["conditions"] = []
    worker["status"]["containerStatuses"] = [
        container("ray-worker", ready=False, restarts=4, waiting={"reason": "CrashLoopBackOff"})
    ]
    with pytest.raises(SandboxError) as error:
        ray_status.wait_ready(HERE, real=True, dial=fake_ray.dial)
    text = str(error.value)
    assert text.startswith("Not ready after 300 seconds:\n  RayCluster team-a/ray\n")
    assert "Pod ray-worker: ray-worker: CrashLoopBackOff, 4 restarts" in text
    assert "Ray itself counts 1 of 2 nodes alive" in text
    assert "./rayfort kubectl -n team-a describe pods -l ray.io/cluster=ray" in text
    assert TOKEN not in text
    assert 298 < sum(clock) < 306


def test_an_api_server_that_stays_away_is_an_error(api: FakeApi, clock: list[float]) -> None:
    api.down = 10_000
    with pytest.raises(SandboxError, match="API server does not answer"):
        ray_status.wait_ready(HERE)
    assert sum(clock) >= ray_status.READY_SECONDS


# --- the port-forward


@pytest.fixture
def kubectl(tmp_path: Path) -> Callable[[str], Path]:
    """Makes a kubectl that says something, and stays until it is ended."""

    def make(script: str) -> Path:
        path = tmp_path / "kubectl"
        path.write_text(f'#!/bin/sh\necho $$ > "{tmp_path}/pid"\nenv > "{tmp_path}/env"\n{script}\n')
        path.chmod(0o755)
        return path

    return make


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_forward_gives_kubectls_port_and_ends_it(kubectl: Callable[[str], Path], tmp_path: Path) -> None:
    program = kubectl('echo "Forwarding from 127.0.0.1:41234 -> 8265"\nexec sleep 60')
    with (
        pytest.raises(RuntimeError, match="of the block"),
        port_forward.to_pod(tmp_path / "config", "team-a", "ray-head", 8265, kubectl=program) as port,
    ):
        assert port == 41234
        pid = int((tmp_path / "pid").read_text())
        assert alive(pid)
        raise RuntimeError("of the block")
    assert not alive(pid)


def test_kubectl_gets_none_of_the_callers_variables(
    kubectl: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    program = kubectl('echo "Forwarding from 127.0.0.1:41234 -> 8265"\nexec sleep 60')
    with port_forward.to_pod(tmp_path / "config", "team-a", "ray-head", 8265, kubectl=program):
        given = (tmp_path / "env").read_text()
    assert f"KUBECONFIG={tmp_path}/config" in given
    assert "PROXY" not in given


def test_kubectls_last_words_are_the_reason(kubectl: Callable[[str], Path], tmp_path: Path) -> None:
    program = kubectl("echo 'error: unable to forward port because pod is not running' >&2\nexit 1")
    with (
        pytest.raises(ForwardFailed, match="8265 of Pod team-a/ray-head: unable to forward port because"),
        port_forward.to_pod(tmp_path / "config", "team-a", "ray-head", 8265, kubectl=program),
    ):
        pass


def test_a_kubectl_that_says_nothing_is_given_up(
    kubectl: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(port_forward, "OPEN_SECONDS", 1.0)
    with (
        pytest.raises(ForwardFailed, match="did not forward it in 1 s"),
        port_forward.to_pod(tmp_path / "config", "a", "b", 1, kubectl=kubectl("exec sleep 60")),
    ):
        pass
    assert not alive(int((tmp_path / "pid").read_text()))
