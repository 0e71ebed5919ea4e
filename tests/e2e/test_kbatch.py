"""From a notebook to a job to Ray: JupyterHub, kbatch-proxy and users' jobs as Pods of the mesh."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from rayfort import versions

from tests.e2e import hub, lab, visitors
from tests.e2e.hub import Visitor
from tests.e2e.sandbox import Done, Sandbox, wait_for
from tests.e2e.wiretap import wiretap

pytestmark = pytest.mark.real

USER, OTHER = "alice", "bob"  # whom the stack lets submit, and whom it does not
JOBS = f"kbatch-{USER}"
BATCH = "batch-system"
IMAGE = f"{versions.RAY_IMAGE}:{versions.RAY}"
KNOCK = Path(__file__).with_name("knock.py").read_text()
ELSEWHERE, PLAIN, MESHED = "test-passers-by", "plain", "meshed"
DONE = re.compile(r'"(succeeded|failed)": (\d+)')

SUM = """
import ray
ray.init(log_to_driver=False)
print("SUM", sum(ray.get([ray.remote(lambda n: n * n).remote(number) for number in range(10)])))
"""
# What a job sees of a Ray that is not its workspace's.
REACH = """
import os, urllib.error, urllib.request
request = urllib.request.Request("http://%s/api/jobs/")
request.add_header("Authorization", "Bearer " + os.environ["RAY_AUTH_TOKEN"])
try:
    print("ANSWER", urllib.request.urlopen(request, timeout=8).status)
except urllib.error.HTTPError as error:
    print("ANSWER", error.code)
except OSError as error:
    print("NO ANSWER", type(error).__name__)
"""


@dataclass
class Door:
    """What a user has: a browser session, and a notebook with kbatch's client."""

    sandbox: Sandbox
    origin: str
    visitor: Visitor
    pod: str

    def run(self, *command: str, stdin: str | None = None) -> Done:
        return hub.run(self.sandbox, self.pod, *command, stdin=stdin)

    def kbatch(self, *arguments: str) -> str:
        done = self.run("kbatch", *arguments)
        assert done.ok, done.output
        return done.output

    def submit(self, name: str, *command: str, code: str | None = None) -> str:
        """Hand in a job from the notebook, and give its name."""
        job = yaml.safe_dump({"name": name, "image": IMAGE, "command": list(command)})
        self._write(f"/tmp/{name}.yaml", job)
        with_code: tuple[str, ...] = ()
        if code is not None:
            assert self.run("mkdir", "-p", f"/tmp/{name}").ok
            self._write(f"/tmp/{name}/main.py", code)
            with_code = ("--code", f"/tmp/{name}")
        return self.kbatch("job", "submit", "-f", f"/tmp/{name}.yaml", *with_code).strip()

    def ended(self, job: str) -> str:
        """Wait for a job's end, and give what it printed, as kbatch tells both."""

        def outcome() -> dict[str, str]:
            return dict(DONE.findall(self.kbatch("job", "show", job)))

        assert wait_for(outcome, 180, f"job {job} ends") == {"succeeded": "1"}, self.kbatch(
            "job", "logs", job
        )
        return self.kbatch("job", "logs", job)

    def _write(self, path: str, text: str) -> None:
        assert self.run("sh", "-c", f"cat > {path}", stdin=text).ok


@pytest.fixture(scope="module")
def door(sandbox: Sandbox) -> Iterator[Door]:
    with hub.reached(sandbox) as origin:
        visitor = hub.logged_in(sandbox, origin, USER)
        with hub.notebook(sandbox, visitor) as pod:
            yield Door(sandbox, origin, visitor, pod)
    sandbox.kubectl("-n", JOBS, "delete", "jobs", "--all", "--wait=false")


@pytest.fixture(scope="module")
def hello(door: Door) -> str:
    """A job that says hello."""
    return door.submit("hello", "sh", "-c", "echo hello from $(hostname)")


def _pod(sandbox: Sandbox, namespace: str, selector: str) -> dict[str, Any]:
    found: dict[str, Any] = sandbox.get("pods", "-l", selector, namespace=namespace)["items"][0]
    return found


def test_everything_that_talks_is_in_the_mesh_under_a_name_of_its_own(sandbox: Sandbox, door: Door) -> None:
    pods = [
        _pod(sandbox, hub.NAMESPACE, "component=hub"),
        _pod(sandbox, hub.NAMESPACE, "component=proxy"),
        _pod(sandbox, hub.NAMESPACE, f"hub.jupyter.org/username={USER}"),
        _pod(sandbox, BATCH, "app.kubernetes.io/name=kbatch-proxy"),
    ]
    for pod in pods:
        sidecars = [each["name"] for each in pod["spec"]["initContainers"] if each.get("restartPolicy")]
        assert sidecars == ["istio-proxy"]
        assert all(each["ready"] for each in pod["status"]["containerStatuses"])
    names = {pod["spec"]["serviceAccountName"] for pod in pods}
    assert len(names) == len(pods)
    assert "default" not in names


def test_a_notebooks_page_comes_through_the_proxy(door: Door) -> None:
    """By the address of its Pod, which the mesh knows from a headless Service alone."""
    status, page = door.visitor.call(f"/user/{USER}/lab")
    assert status == 200
    assert "JupyterLab" in page


def test_a_job_from_a_notebook_runs_and_ends(sandbox: Sandbox, door: Door, hello: str) -> None:
    # At once, as it stands in the quickstart: the job's Pod is still starting.
    assert f"hello from {hello}" in door.kbatch("job", "logs", hello, "--stream")
    assert f"hello from {hello}" in door.ended(hello)
    pod = _pod(sandbox, JOBS, f"job-name={hello}")
    assert "istio-proxy" in {each["name"] for each in pod["spec"]["initContainers"]}
    # With its sidecar, which ended after it: a classic one would have kept the job running.
    assert pod["status"]["phase"] == "Succeeded"
    assert hello in door.kbatch("job", "list")


def test_a_job_with_code_uses_the_ray_of_its_workspace(sandbox: Sandbox, door: Door) -> None:
    submit = "ray job submit --working-dir /code -- python main.py"
    said = door.ended(door.submit("squares", "sh", "-c", submit, code=SUM))
    assert "SUM 285" in said
    assert sandbox.token() not in said
    assert not sandbox.ray_logs_with(sandbox.token())


def test_another_workspaces_ray_is_out_of_reach(sandbox: Sandbox, door: Door) -> None:
    lab.ensure(sandbox)
    places = [
        f"{lab.L4}-head-svc.{lab.NAMESPACE}.svc.cluster.local:8265",
        f"{sandbox.address('head', lab.L4, lab.NAMESPACE)}:8265",
        f"{sandbox.address('head')}:8265",  # its own, by which the job shows that it can tell
    ]
    program = "".join(REACH % place for place in places)
    said = door.ended(door.submit("stranger", "python", "-c", program))
    answers = [line.partition(" (")[0] for line in said.splitlines() if "ANSWER" in line]
    assert [answer.startswith("NO ANSWER") for answer in answers] == [True, True, False], said
    assert answers[2] == "ANSWER 200"


def test_another_workspaces_ray_refuses_the_token(sandbox: Sandbox) -> None:
    """At the other head itself, where neither network nor mesh stands between."""
    lab.ensure(sandbox)
    head = sandbox.head(lab.L4, lab.NAMESPACE)
    ask = ("curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}", "--header", "@-")
    answers = [
        sandbox.execute(
            *(head, *ask, "http://127.0.0.1:8265/api/jobs/"),
            container="ray-head",
            namespace=lab.NAMESPACE,
            stdin=f"Authorization: Bearer {token}" if token else "X-None: none",
        ).output
        for token in (None, sandbox.token(), sandbox.token(lab.L4, lab.NAMESPACE))
    ]
    assert answers == ["401", "403", "200"]


def test_who_is_not_listed_is_refused(sandbox: Sandbox, door: Door) -> None:
    def status(token: str | None) -> int:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        nobody = Visitor(door.origin, "")
        return nobody.call("/services/kbatch/jobs/", headers=headers)[0]

    bob = hub.logged_in(sandbox, door.origin, OTHER)
    assert status(door.visitor.token()) == 200
    assert status(bob.token()) == 403
    assert status(None) in (401, 403)
    assert status(secrets.token_hex(16)) in (401, 403)


@pytest.fixture
def passers_by(sandbox: Sandbox) -> Iterator[None]:
    """Pods that nobody named, one with a sidecar, to which NetworkPolicies open every door."""
    namespaces = (hub.NAMESPACE, BATCH)
    doors = [_opened(namespace) for namespace in namespaces]
    pods = [
        sandbox.client(name, meshed=name == MESHED, namespace=ELSEWHERE, labels=visitors.GUEST)
        for name in (PLAIN, MESHED)
    ]
    space = visitors.namespace(ELSEWHERE, **{"istio-discovery": "enabled"})
    with sandbox.running(space, *doors, *pods):
        yield


def _opened(namespace: str) -> dict[str, Any]:
    guests = {"podSelector": {"matchLabels": visitors.GUEST}, "namespaceSelector": {}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "test-passers-by", "namespace": namespace},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": [guests]}]},
    }


@pytest.mark.usefixtures("passers_by")
def test_nobody_else_gets_an_answer(sandbox: Sandbox, door: Door) -> None:
    """Packets pass, so that it is the sidecars that hang up."""
    places = {
        "hub": f"{_address(sandbox, hub.NAMESPACE, 'component=hub')}:8081",
        "proxy": f"{_address(sandbox, hub.NAMESPACE, 'component=proxy')}:8000",
        "its api": f"{_address(sandbox, hub.NAMESPACE, 'component=proxy')}:8001",
        "notebook": f"{_address(sandbox, hub.NAMESPACE, f'hub.jupyter.org/username={USER}')}:8888",
        "kbatch": f"{_address(sandbox, BATCH, 'app.kubernetes.io/name=kbatch-proxy')}:8080",
        "hub by name": f"hub.{hub.NAMESPACE}.svc.cluster.local:8081",
        "kbatch by name": f"kbatch-proxy.{BATCH}.svc.cluster.local:8080",
    }
    for pod in (PLAIN, MESHED):
        done = sandbox.execute(pod, "python3", "-", *places.values(), namespace=ELSEWHERE, stdin=KNOCK)
        assert done.ok, done.output
        # A sidecar that is refused says so to its own Pod, on ports that it takes for HTTP: 503.
        assert set(json.loads(done.output).values()) <= {"closed", 503}, (pod, done.output)
    # The same question is answered to those who may ask.
    done = door.run(
        "python3", "-", places["hub by name"], "proxy-public:80", places["kbatch by name"], stdin=KNOCK
    )
    answers = list(json.loads(done.output).values())
    assert answers[:2] == [302, 302]  # to the login page
    assert answers[2] in ("closed", "silent")  # notebooks come through the hub's proxy


def _address(sandbox: Sandbox, namespace: str, selector: str) -> str:
    return str(_pod(sandbox, namespace, selector)["status"]["podIP"])


def test_no_token_can_be_read_on_the_way(sandbox: Sandbox, door: Door) -> None:
    token = door.run("printenv", "JUPYTERHUB_API_TOKEN").output.strip()
    assert token
    ends = {
        name: _address(sandbox, hub.NAMESPACE, selector)
        for name, selector in (
            ("hub", "component=hub"),
            ("proxy", "component=proxy"),
            ("notebook", f"hub.jupyter.org/username={USER}"),
        )
    }
    batch = [
        pod["status"]["podIP"]
        for pod in sandbox.get("pods", "-l", "app.kubernetes.io/name=kbatch-proxy", namespace=BATCH)["items"]
    ]
    pairs = {"notebook": (ends["notebook"], ends["proxy"])}
    for number, address in enumerate(batch):
        pairs[f"batch {number}"] = (ends["proxy"], address)
        pairs[f"asking {number}"] = (address, ends["hub"])
    with wiretap(sandbox.state, pairs, {"token": token.encode()}) as tape:
        # Each new token has to be asked for at the hub; both replicas get their turn.
        for _ in range(6):
            headers = {"Authorization": f"Bearer {door.visitor.token()}"}
            assert Visitor(door.origin, "").call("/services/kbatch/jobs/", headers=headers)[0] == 200
            door.kbatch("job", "list")
    for kind in ("notebook", "batch", "asking"):
        seen = [found for name, found in tape.seen.items() if name.startswith(kind)]
        assert sum(each.payload for each in seen), kind
        assert not any(sum(each.found.values()) for each in seen), kind
        assert not any(each.not_tls or each.other_tls for each in seen), (kind, seen)
    assert sum(found.tls_1_3 for found in tape.seen.values())


def test_no_token_is_in_a_log_or_an_object(sandbox: Sandbox, door: Door, hello: str) -> None:
    tokens = {
        "notebook": door.run("printenv", "JUPYTERHUB_API_TOKEN").output.strip(),
        "ray": sandbox.token(),
        "browser": door.visitor.token(),
    }
    headers = {"Authorization": f"Bearer {tokens['browser']}"}
    assert Visitor(door.origin, "").call("/services/kbatch/jobs/", headers=headers)[0] == 200
    door.ended(hello)
    texts = {}
    for namespace in (hub.NAMESPACE, BATCH, JOBS):
        for pod in sandbox.get("pods", namespace=namespace)["items"]:
            name = pod["metadata"]["name"]
            logs = sandbox.kubectl("-n", namespace, "logs", name, "--all-containers", "--tail=-1")
            texts[f"log of {namespace}/{name}"] = logs.output
        kinds = "pods,jobs,configmaps,deployments,events,serviceaccounts,networkpolicies"
        texts[f"objects of {namespace}"] = sandbox.kubectl("-n", namespace, "get", kinds, "-o", "yaml").output
    assert any("/services/kbatch" in text for text in texts.values()), "the logs are not those of the door"
    leaks = [
        (name, where) for where, text in texts.items() for name, token in tokens.items() if token in text
    ]
    assert not leaks
