"""A job takes its files from a private server, with the login of the workspace's netrc Secret only."""

from __future__ import annotations

import base64
import io
import json
import secrets
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from sandbox.certs import Authority, Subject
from tests.e2e import jobs, lab, visitors
from tests.e2e.sandbox import Done, Sandbox

pytestmark = pytest.mark.real

# Ray remembers what it got from a URI, and what failed, so each run has its own.
PROJECT = f"https://{lab.HOST}/project-{secrets.token_hex(4)}.zip"
SECRET_VALUE = "what-only-the-private-project-knows"
SERVE = """
import base64, http.server, os, pathlib, ssl

class Private(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        known = self.headers.get("Authorization") == "Basic " + base64.b64encode(LOGIN).decode()
        self.send_response(200 if known else 401)
        if not known:
            self.send_header("WWW-Authenticate", "Basic")
        body = pathlib.Path("/private/project.zip").read_bytes() if known else b"who are you?"
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

LOGIN = pathlib.Path("/private/login").read_bytes()
server = http.server.ThreadingHTTPServer(("", 443), Private)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/private/server.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""
# Runs in the driver and on every node; the module comes out of the private project.
MAIN = f"""
import json, ray, known
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On
ray.init(log_to_driver=False)

@ray.remote(num_cpus=0)
def told():
    import known
    return known.VALUE

nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
values = ray.get([told.options(scheduling_strategy=On(node, soft=False)).remote() for node in nodes])
print("{jobs.RESULT}" + json.dumps([known.VALUE, *values]))
"""


@pytest.fixture(scope="module", autouse=True)
def _server(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The lab, and the private server, whose authority its nodes know."""
    lab.ensure(sandbox)
    authority = Authority(tmp_path_factory.mktemp("private"), "private files")
    for cluster in (lab.L4, lab.L7):
        for role in ("head", "worker"):
            keep = ("sh", "-c", f"cat >{lab.AUTHORITY}")
            done = lab.in_ray(sandbox, cluster, role, *keep, stdin=authority.pair.cert.read_text())
            assert done.ok, done.output
    identity = authority.issue("server", Subject(lab.SERVER, hosts=(lab.HOST,)))
    kept = {
        "server.pem": identity.cert.read_bytes() + identity.key.read_bytes(),
        "login": f"{lab.LOGIN}:{lab.password(sandbox)}".encode(),
        "project.zip": _project(),
    }
    with sandbox.running(*_manifests(sandbox, kept)):
        yield


def _project() -> bytes:
    """A project as Ray takes it from afar: one directory in a zip file."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("project/known.py", f"VALUE = {SECRET_VALUE!r}\n")
    return packed.getvalue()


def _manifests(sandbox: Sandbox, kept: Mapping[str, bytes]) -> list[dict[str, Any]]:
    where = {"name": lab.SERVER, "namespace": lab.SERVER_NAMESPACE}
    volume = {"name": "private", "secret": {"secretName": lab.SERVER}}
    pod = sandbox.client(
        lab.SERVER,
        namespace=lab.SERVER_NAMESPACE,
        meshed=False,
        labels={"app": lab.SERVER},
        securityContext={"runAsUser": 0},  # for port 443, the one that a workspace's egress allows
        volumes=[volume],
    )
    pod["spec"]["containers"][0] |= {
        "command": ["python3", "-u", "-c", SERVE],
        "volumeMounts": [{"name": "private", "mountPath": "/private"}],
        "readinessProbe": {"tcpSocket": {"port": 443}, "periodSeconds": 1},
        "securityContext": {},  # root may bind it only with the capabilities that are there by default
    }
    data = {key: base64.b64encode(value).decode() for key, value in kept.items()}
    service = {"selector": {"app": lab.SERVER}, "ports": [{"port": 443}]}
    return [
        visitors.namespace(lab.SERVER_NAMESPACE),
        {"apiVersion": "v1", "kind": "Secret", "metadata": where, "data": data},
        {"apiVersion": "v1", "kind": "Service", "metadata": where, "spec": service},
        pod,
    ]


def _run(sandbox: Sandbox, cluster: str) -> Done:
    project = json.dumps({"working_dir": PROJECT})
    command = jobs.submit(MAIN, "--runtime-env-json", project)
    return lab.in_ray(sandbox, cluster, "head", "ray", *command)


def _served(sandbox: Sandbox) -> dict[str, set[str]]:
    """To whom the server gave the project (200), and whom it asked for a login (401)."""
    done = sandbox.kubectl("-n", lab.SERVER_NAMESPACE, "logs", lab.SERVER)
    assert done.ok, done.output
    told: dict[str, set[str]] = {"200": set(), "401": set()}
    for line in done.output.splitlines():
        if '"GET ' in line:
            told[line.split('"')[2].split()[0]].add(line.split()[0])
    return told


def test_with_the_secret_every_node_gets_the_files(sandbox: Sandbox) -> None:
    done = _run(sandbox, lab.L4)
    assert done.ok, done.output
    assert jobs.result(done.output) == [SECRET_VALUE] * 3  # the driver and two nodes
    nodes = {pod["status"]["podIP"] for pod in lab.pods(sandbox, lab.L4).values()}
    assert _served(sandbox)["200"] == nodes
    assert lab.password(sandbox) not in done.output
    _not_to_be_read(sandbox, lab.L4)


def test_without_the_secret_it_fails(sandbox: Sandbox) -> None:
    done = _run(sandbox, lab.L7)
    assert not done.ok
    assert "401" in done.output, done.output
    head = lab.pods(sandbox, lab.L7)["head"]["status"]["podIP"]
    served = _served(sandbox)
    assert head in served["401"]
    assert head not in served["200"]


def _not_to_be_read(sandbox: Sandbox, cluster: str) -> None:
    """The password is in no log of a node, and in nothing that Ray tells over HTTP."""
    password = lab.password(sandbox)
    assert sandbox.ray_logs_with(lab.HOST, cluster, lab.NAMESPACE), "the search finds nothing that is there"
    assert not sandbox.ray_logs_with(password, cluster, lab.NAMESPACE)
    token = sandbox.token(cluster, lab.NAMESPACE)
    ask = ("curl", "--silent", "--show-error", "--fail", "--fail-early", "--header", "@-")
    urls = [f"http://127.0.0.1:{jobs.DASHBOARD}{view}" for view in jobs.VIEWS]
    done = lab.in_ray(sandbox, cluster, "head", *ask, *urls, stdin=f"Authorization: Bearer {token}")
    assert done.ok, done.output
    assert lab.HOST in done.output  # the jobs and their environments are in it
    assert password not in done.output
