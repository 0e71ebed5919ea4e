"""Dashboards behind the gateway: TLS 1.3, then a JWT that says the right things, then Ray's own token."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from tests.e2e import front_door, jobs, lab, visitors
from tests.e2e.sandbox import Done, Sandbox, wait_for

pytestmark = pytest.mark.real

PEOPLE, PERSON, LODGER = "people", "person", "lodger"
HOST, OTHER_HOST = (front_door.host(lab.NAMESPACE, cluster) for cluster in (lab.L4, lab.L7))
AUTHORITY = "/tmp/front-door.pem"
RAY_CLIENT = 10001
RAY_MISSING, RAY_WRONG = "Missing authentication token", "Invalid authentication token"


@pytest.fixture(scope="module", autouse=True)
def _outside(sandbox: Sandbox) -> Iterator[None]:
    """Somebody outside the mesh who knows the gateway's address, and somebody in the gateway's namespace."""
    lab.ensure(sandbox)
    address = sandbox.get("service", front_door.GATEWAY, namespace=front_door.NAMESPACE)["spec"]["clusterIP"]
    names = [{"ip": address, "hostnames": [HOST, OTHER_HOST]}]
    person = sandbox.client(PERSON, namespace=PEOPLE, meshed=False, hostAliases=names)
    lodger = sandbox.client(LODGER, namespace=front_door.NAMESPACE, meshed=False)
    credential = front_door.credential(sandbox, HOST, OTHER_HOST)
    with sandbox.running(visitors.namespace(PEOPLE), credential, person, lodger):
        known = front_door.authority(sandbox).pair.cert.read_text()
        done = sandbox.execute(PERSON, "sh", "-c", f"cat >{AUTHORITY}", namespace=PEOPLE, stdin=known)
        assert done.ok, done.output
        # The gateway was there before its certificate, and takes it as it comes.
        wait_for(lambda: "BEGIN CERTIFICATE" in _handshake(sandbox, "-tls1_3"), 60, "a certificate")
        yield


def _handshake(sandbox: Sandbox, *options: str, host: str = HOST) -> str:
    command = ("openssl", "s_client", "-connect", f"{HOST}:443", "-servername", host, "-CAfile", AUTHORITY)
    return sandbox.execute(PERSON, *command, *options, namespace=PEOPLE).output


def _ask(sandbox: Sandbox, *headers: str, url: str = f"https://{HOST}/api/jobs/") -> tuple[str, str]:
    """The status of an answer, and the answer; `none` without one. Headers are told past the arguments."""
    said = ("--write-out", "\n%{http_code}", "--cacert", AUTHORITY, "--header", "@-")
    command = ("curl", "--silent", "--show-error", "--max-time", "20", *said, url)
    done = sandbox.execute(PERSON, *command, namespace=PEOPLE, stdin="\n".join(headers))
    body, _, status = done.output.rpartition("\n")
    return (status, body) if done.ok else ("none", done.output)


def _rays(sandbox: Sandbox) -> str:
    return f"Authorization: Bearer {sandbox.token(lab.L4, lab.NAMESPACE)}"


def test_tls_1_3_is_the_only_door(sandbox: Sandbox) -> None:
    old = _handshake(sandbox, "-tls1_2")
    assert "SSL alert number 70" in old, old  # protocol version
    assert "BEGIN CERTIFICATE" not in old
    new = _handshake(sandbox, "-tls1_3", "-verify_hostname", HOST)
    assert "TLSv1.3, Cipher is TLS_" in new, new
    assert "Verify return code: 0 (ok)" in new, new
    assert "BEGIN CERTIFICATE" not in _handshake(sandbox, "-tls1_3", host="elsewhere.test")


@pytest.mark.parametrize("door", [f"http://{HOST}:443/", f"http://{HOST}/"], ids=["443", "80"])
def test_plain_http_is_no_door(sandbox: Sandbox, door: str) -> None:
    status, said = _ask(sandbox, front_door.pass_for(sandbox, lab.L4), _rays(sandbox), url=door)
    assert status == "none", said


def test_without_a_jwt_nobody_passes(sandbox: Sandbox) -> None:
    """Whatever they know of Ray."""
    assert _ask(sandbox) == ("403", "RBAC: access denied")
    assert _ask(sandbox, _rays(sandbox)) == ("403", "RBAC: access denied")
    # In the header that Ray reads it is no JWT for the gateway.
    _, _, jwt = front_door.pass_for(sandbox, lab.L4).partition(": ")
    assert _ask(sandbox, f"Authorization: Bearer {jwt}") == ("403", "RBAC: access denied")


@pytest.mark.parametrize(
    ("claims", "status", "reason"),
    [
        ({"iss": "https://elsewhere.test"}, "401", "Jwt issuer is not configured"),
        ({"exp": int(time.time()) - 3600}, "401", "Jwt is expired"),
        ({"aud": "another"}, "403", "Audiences in Jwt are not allowed"),
        ({"groups": [lab.L7]}, "403", "RBAC: access denied"),
        ({"sub": None}, "403", "RBAC: access denied"),
    ],
    ids=["issuer", "expired", "audience", "group", "nobody"],
)
def test_a_jwt_must_say_the_right_things(
    sandbox: Sandbox, claims: dict[str, object], status: str, reason: str
) -> None:
    assert _ask(sandbox, front_door.pass_for(sandbox, lab.L4, **claims), _rays(sandbox)) == (status, reason)


def test_a_jwt_must_be_signed_by_the_issuer(sandbox: Sandbox) -> None:
    forged = front_door.token(front_door.STRANGER, groups=[lab.L4])
    assert _ask(sandbox, f"{front_door.HEADER}: {forged}", _rays(sandbox)) == (
        "401",
        "Jwt verification fails",
    )


def test_behind_the_gateway_ray_asks_for_its_token(sandbox: Sandbox) -> None:
    mine = front_door.pass_for(sandbox, lab.L4)
    status, said = _ask(sandbox, mine)
    assert (status, RAY_MISSING in said) == ("401", True), said
    status, said = _ask(sandbox, mine, "Authorization: Bearer wrong")
    assert (status, RAY_WRONG in said) == ("403", True), said
    status, said = _ask(sandbox, mine, _rays(sandbox))
    assert status == "200", said
    assert isinstance(json.loads(said), list)


def test_a_jwt_opens_the_host_of_its_group_alone(sandbox: Sandbox) -> None:
    mine, token = front_door.pass_for(sandbox, lab.L4), _rays(sandbox)
    there = f"https://{OTHER_HOST}/api/jobs/"
    assert _ask(sandbox, mine, token, url=there) == ("403", "RBAC: access denied")
    # Nor by another name in the request than in the TLS handshake.
    assert _ask(sandbox, mine, token, f"Host: {OTHER_HOST}") == ("403", "RBAC: access denied")
    status, said = _ask(sandbox, front_door.pass_for(sandbox, lab.L7), url=there)
    assert (status, RAY_MISSING in said) == ("401", True), said


def test_a_job_is_handed_in_and_followed(sandbox: Sandbox) -> None:
    """By Ray's own command line, its log through a WebSocket."""
    _, _, jwt = front_door.pass_for(sandbox, lab.L4).partition(": ")
    token = sandbox.token(lab.L4, lab.NAMESPACE)
    done = _submit(sandbox, f'{{"{front_door.HEADER}": "{jwt}"}}', token)
    assert done.ok, done.output
    jobs.assert_many_tasks(done.output)
    assert jwt not in done.output
    assert token not in done.output


def _submit(sandbox: Sandbox, headers: str, token: str) -> Done:
    script = (
        "read -r RAY_JOB_HEADERS; read -r RAY_AUTH_TOKEN; "
        'export RAY_JOB_HEADERS RAY_AUTH_TOKEN RAY_AUTH_MODE=token; exec ray "$@"'
    )
    submit = jobs.submit(jobs.MANY_TASKS, "--verify", AUTHORITY, address=f"https://{HOST}")
    return sandbox.execute(
        *(PERSON, "sh", "-c", script, "sh", *submit), namespace=PEOPLE, stdin=f"{headers}\n{token}\n"
    )


def test_nobody_gets_past_the_gateway(sandbox: Sandbox) -> None:
    """Neither from elsewhere nor from its own namespace, where packets pass to the dashboard alone."""
    head, token = sandbox.address("head", lab.L4, lab.NAMESPACE), sandbox.token(lab.L4, lab.NAMESPACE)
    elsewhere = visitors.ask(sandbox, PERSON, head, [jobs.DASHBOARD], token=token, namespace=PEOPLE)
    assert elsewhere == {jobs.DASHBOARD: "silent"}
    ports = [jobs.DASHBOARD, RAY_CLIENT]
    beside = visitors.ask(sandbox, LODGER, head, ports, token=token, namespace=front_door.NAMESPACE)
    assert beside == {jobs.DASHBOARD: "closed", RAY_CLIENT: "silent"}
