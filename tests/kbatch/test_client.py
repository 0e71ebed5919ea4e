"""What a user does: kbatch's own client, through a real hub and its proxy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.e2e.sandbox import wait_for
from tests.kbatch.attack import HOME, job
from tests.kbatch.deployed import ALICE, BOB, IMAGE, PLAIN, TEMPLATE, Deployed, namespace
from tests.kbatch.door import Door
from tests.kbatch.hub import SERVICE
from tests.kbatch.logs import LINE
from tests.kbatch.proxy import TOKEN
from tests.kbatch.web import request


def run(kbatch: Door, *arguments: str, user: str = ALICE) -> str:
    """What the client prints."""
    done = kbatch.client(user, *arguments)
    assert done.returncode == 0, done.stdout
    return done.stdout.strip()


def listed(kbatch: Door) -> set[str]:
    """The names of the user's jobs."""
    said = json.loads(run(kbatch, "job", "list", "--output", "json"))
    return {each["metadata"]["name"] for each in said["items"]}


def test_from_the_first_command_to_the_last(
    kbatch: Door, deployed: Deployed, logged: None, tmp_path: Path
) -> None:
    """As the documentation of kbatch has it, with code and a profile."""
    sandbox = deployed.sandbox
    description = {"name": "hello", "command": ["sh", "-c", "echo"], "env": {"COLOUR": "blue"}}
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(description))
    code = tmp_path / "code"
    code.mkdir()
    (code / "main.py").write_text("print(1)\n")

    assert "small" in run(kbatch, "profiles")
    named = ("-f", str(tmp_path / "job.yaml"))
    plain = run(kbatch, "job", "submit", *named, "--image", IMAGE).splitlines()[-1]
    coded = run(kbatch, "job", "submit", *named, "--code", str(code), "--profile", "small").splitlines()[-1]
    done = sandbox.kubectl("-n", HOME, "wait", f"job/{plain}", f"job/{coded}", "--for=condition=Complete")
    assert done.ok, done.output
    assert {plain, coded} <= listed(kbatch)
    assert plain in run(kbatch, "job", "show", plain)
    assert plain in run(kbatch, "pod", "list", "--job-name", plain)
    assert run(kbatch, "job", "logs", plain) == LINE

    made = sandbox.get("job", coded, namespace=HOME)
    pod = made["spec"]["template"]["spec"]
    assert pod["containers"][0]["resources"]["requests"] == {"cpu": "1"}
    assert pod["containers"][0]["image"] == IMAGE
    assert made["metadata"]["annotations"][TEMPLATE] == "applied"
    (unzip,) = pod["initContainers"]
    assert ":" in unzip["image"] and not unzip["image"].endswith(":latest")
    (source,) = [each["configMap"] for each in pod["volumes"] if "configMap" in each]
    content = sandbox.get("configmap", source["name"], namespace=HOME)
    assert "code" in content["binaryData"]
    (owner,) = content["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("Job", coded)

    run(kbatch, "job", "delete", plain)
    assert wait_for(lambda: plain not in listed(kbatch), 60, "the job is gone")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "token"])
def test_either_way_to_send_the_token(kbatch: Door, scheme: str) -> None:
    answer = kbatch.call(ALICE, "GET", "authorized", scheme=scheme)
    assert (answer.status, answer.json()["name"]) == (200, ALICE)


def test_no_other_way_to_send_the_token(kbatch: Door) -> None:
    assert kbatch.call(ALICE, "GET", "authorized", scheme="Basic").status == 401


@pytest.mark.parametrize("user", [ALICE, BOB, PLAIN])
def test_a_notebook_may_submit(kbatch: Door, user: str) -> None:
    """Its token has the hub's role `server`; who may submit says the user's own role."""
    token = kbatch.hub.token(user, roles=["server"])
    answer = kbatch.submit(token, job())
    assert answer.status == 200, answer
    assert answer.json()["metadata"]["namespace"] == namespace(user)


def test_the_service_is_nobody_in_the_hub(kbatch: Door) -> None:
    """Its token, which the proxy has, says who it is; nothing of the hub's users."""
    token = {"Authorization": f"token {kbatch.workload.container.environment[TOKEN]}"}
    answer = request(kbatch.hub.port, "GET", "/hub/api/user", token)
    assert (answer.status, answer.json()["name"]) == (200, SERVICE)
    assert answer.json()["scopes"] in ([], [f"read:services!service={SERVICE}"]), answer
    for path in ("/hub/api/users", f"/hub/api/users/{ALICE}", "/hub/api/proxy", "/hub/api/services"):
        assert request(kbatch.hub.port, "GET", path, token).status in (403, 404), path


def test_probes_find_the_proxy(kbatch: Door, deployed: Deployed) -> None:
    """Where the Deployment says, and without a token."""
    found = deployed.sandbox.get("deployment", "kbatch-proxy", namespace="batch-system")
    (container,) = found["spec"]["template"]["spec"]["containers"]
    for probe in ("readinessProbe", "livenessProbe"):
        answer = request(kbatch.port, "GET", container[probe]["httpGet"]["path"])
        assert (answer.status, json.loads(answer.body)) == (200, {"message": "kbatch"})
