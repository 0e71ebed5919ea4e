"""Credentials for private URIs: the recipe of seed 000, and that every parser reads what was meant."""

from __future__ import annotations

import netrc
import os
import shlex
import string
import tempfile
import unicodedata
from pathlib import Path
from unittest import mock

import pulumi
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError
from rayfort import NetrcEntry, NetrcSecret, NetrcSecretArgs, RayCluster, RayClusterArgs
from rayfort.ray.netrc import (
    Login,
    NetrcError,
    environment,
    needs_new_python,
    render,
    volume,
    volume_mount,
)
from requests.utils import get_netrc_auth

from tests.unit import samples
from tests.unit.recorder import RAY_CLUSTER, SECRET_OBJECT, record

# What a login and a password may have; a colon would end the login in a request.
WRITABLE = st.text(st.characters(max_codepoint=0xFF, exclude_categories=["Cc"]), min_size=1, max_size=40)
TRICKY = [
    'p"w',
    "back\\slash",
    "a b",
    "#start",
    "mid#dle",
    "login",
    "password",
    "ünï",
    "'",
    '"',
    "\\",
    " ",
]
CONTROL = st.text(st.characters(categories=["Cc", "Cs"]), min_size=1, max_size=1)


def read_back(text: str) -> netrc.netrc:
    """What Python's own parser reads in a file with this text."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "netrc"
        file.write_text(text, encoding="utf-8")
        return netrc.netrc(str(file))


@given(st.lists(st.tuples(WRITABLE, WRITABLE), min_size=1, max_size=4))
@example([(value, value) for value in TRICKY])
def test_every_login_and_password_reads_back_exactly(logins: list[tuple[str, str]]) -> None:
    """A password that a parser reads otherwise fails as a 404, on a node, hours later."""
    entries = [
        Login(f"host{number}.example.com", login.replace(":", ";"), password)
        for number, (login, password) in enumerate(logins)
    ]
    parsed = read_back(render(entries))
    assert parsed.hosts == {entry.machine: (entry.login, "", entry.password) for entry in entries}


def test_the_library_that_ray_downloads_with_finds_the_login(tmp_path: Path) -> None:
    """Ray downloads with `requests`, which reads the file that NETRC names and ignores one it cannot read."""
    file = tmp_path / ".netrc"
    file.write_text(render([Login("github.com", "robot", 'to"ken #1')]))
    with mock.patch.dict("os.environ", {"NETRC": str(file)}):
        assert get_netrc_auth("https://github.com/org/repo/archive/HEAD.zip") == ("robot", 'to"ken #1')
        assert get_netrc_auth("https://elsewhere.example.com/x.zip") is None


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_on_a_virtual_machine_the_file_of_the_user_is_read(tmp_path: Path, mode: int) -> None:
    """`$HOME/.netrc`, without NETRC. Its mode protects it from others; the library takes any."""
    file = tmp_path / ".netrc"
    file.write_text(render([Login("github.com", "robot", "token")]))
    file.chmod(mode)
    with mock.patch.dict("os.environ", {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path)}):
        os.environ.pop("NETRC", None)
        assert get_netrc_auth("https://github.com/org/repo/archive/HEAD.zip") == ("robot", "token")


@given(WRITABLE)
@example("a#b")
@example('a"b')
def test_old_pythons_read_every_value_that_needs_no_warning(value: str) -> None:
    """Python 3.10 and older split the file with shlex and these word characters, and know no quotes in it."""
    if needs_new_python(value):
        return
    words = shlex.shlex(render([Login("github.com", "robot", value)]))
    words.wordchars += string.punctuation
    words.commenters = ""
    assert list(words) == ["machine", "github.com", "login", "robot", "password", value]


@pytest.mark.parametrize("value", ["a b", "back\\slash", '"start', "#start", "ünï"])
def test_values_that_old_pythons_misread_get_a_warning(value: str) -> None:
    """The message names the machine, and nothing of the value."""
    assert needs_new_python(value)

    def program() -> None:
        entry = NetrcEntry(machine="github.com", login="robot", password=value + samples.NETRC_PASSWORD)
        NetrcSecret("netrc", NetrcSecretArgs(namespace="team", entries=(entry,)), samples.on_cluster())

    run = record(program)
    (said,) = [text for text in run.logs if "Python 3.10" in text]
    assert "github.com" in said
    assert samples.NETRC_PASSWORD not in said


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("password", "pass→word", "outside of Latin-1"),
        ("login", "rob:ot", "the login has a colon"),
    ],
)
def test_what_no_request_can_carry_is_refused(field: str, value: str, said: str) -> None:
    """`requests` would fail with an error of its own, on a node, or log in as somebody else."""
    with pytest.raises(ValidationError, match=said) as caught:
        NetrcEntry(**{"machine": "github.com", "login": "robot", "password": "fine", field: value})
    assert value not in str(caught.value)


def test_a_machine_is_looked_up_in_lower_case() -> None:
    """`requests` looks for the host of the URL, which it has made lower case."""
    entry = NetrcEntry(machine="GitHub.Example", login="robot", password="fine")
    assert entry.machine == "github.example"
    with pytest.raises(ValidationError, match=r"machine github\.example stands twice"):
        NetrcSecretArgs(namespace="team", entries=(entry, samples.netrc_entry("github.example")))


def test_plain_values_look_as_in_the_recipe() -> None:
    """A person who compares the file with the documentation finds the same lines."""
    text = render([Login("github.com", "username", "personal_access_token")])
    assert text == "machine github.com\nlogin username\npassword personal_access_token\n"


@given(st.text(max_size=5), CONTROL, st.text(max_size=5), st.sampled_from(["login", "password"]))
def test_control_characters_are_refused(before: str, control: str, after: str, field: str) -> None:
    """A line break in a value would start a new entry: another machine's credentials."""
    values = {"machine": "github.com", "login": "robot", "password": "fine", field: before + control + after}
    with pytest.raises(ValidationError, match=f"the {field} has a line break or another control character"):
        NetrcEntry(**values)
    with pytest.raises(NetrcError):
        render([Login(**values)])


@given(st.text(min_size=8, max_size=30), CONTROL)
def test_a_refused_password_is_not_in_the_message(password: str, control: str) -> None:
    """Messages end in terminals, logs and tickets."""
    bad = f"s3cr3t{password}s3cr3t{control}"
    with pytest.raises(ValidationError) as caught:
        NetrcEntry(machine="github.com", login="robot", password=bad)
    assert "s3cr3t" not in str(caught.value)
    with pytest.raises(NetrcError) as refused:
        render([Login("github.com", "robot", bad)])
    assert "s3cr3t" not in str(refused.value)


def test_an_entry_never_shows_its_password() -> None:
    """A model in a traceback or a debugger prints itself."""
    entry = samples.netrc_entry()
    assert samples.NETRC_PASSWORD not in f"{entry!r} {entry}"


def test_no_control_character_escapes_the_check() -> None:
    """Unicode has two blocks of control characters."""
    for number in [*range(0x20), *range(0x7F, 0xA0)]:
        assert unicodedata.category(chr(number)) == "Cc"
        with pytest.raises(NetrcError):
            render([Login("github.com", "robot", f"a{chr(number)}b")])


@pytest.mark.parametrize(
    "machine",
    [
        "github.com",
        "git.example.com",
        "10.0.0.7",
        "localhost",
        "2001:db8::1",
        "xn--bcher-kva",
    ],
)
def test_host_names_and_addresses_are_machines(machine: str) -> None:
    """What a URI can name as its host must be accepted."""
    assert NetrcEntry(machine=machine, login="a", password="b").machine == machine


@pytest.mark.parametrize(
    "machine",
    [
        "",
        "github com",
        " github.com",
        "github.com\n",
        "https://github.com",
        "github.com:443",
        "cafe.de:443",
        "10.0.0.1:8080",
        "github.com/org",
        "user@github.com",
        "[2001:db8::1]",
        "fe80::1%eth0",
        "-github.com",
        "github.com-",
        "*.github.com",
    ],
)
def test_what_is_no_host_name_is_refused(machine: str) -> None:
    """Parsers compare the machine with a URI's host: anything else never matches, silently."""
    with pytest.raises(ValidationError, match=r"is not a host name; write for example github\.com"):
        NetrcEntry(machine=machine, login="a", password="b")


def test_default_is_refused() -> None:
    """`default` sends the credential to every host that Ray contacts."""
    with pytest.raises(ValidationError, match="every host that Ray contacts"):
        NetrcEntry(machine="default", login="a", password="b")


def test_a_machine_stands_once() -> None:
    """Parsers take the first or the last of two entries, as they like."""
    with pytest.raises(ValidationError, match=r"machine github\.com stands twice"):
        NetrcSecretArgs(namespace="team", entries=(samples.netrc_entry(), samples.netrc_entry()))


def test_volume_mount_and_variable_are_the_recipes() -> None:
    """Seed 000: the volume `netrc-kuberay`, read-only at `/home/ray/netrcvolume/`, and NETRC."""
    assert volume("netrc-secret") == {
        "name": "netrc-kuberay",
        "secret": {"secretName": "netrc-secret", "defaultMode": 0o440},
    }
    assert volume_mount() == {
        "name": "netrc-kuberay",
        "mountPath": "/home/ray/netrcvolume/",
        "readOnly": True,
    }
    assert environment() == {"name": "NETRC", "value": "/home/ray/netrcvolume/.netrc"}


def test_head_and_every_worker_group_mount_the_file(preview: bool) -> None:
    """Every node downloads for itself."""
    run = record(
        lambda: RayCluster(
            "ray",
            RayClusterArgs(spec=samples.ray_spec(), namespace="team", netrc_secret="netrc-secret"),
            samples.on_cluster(),
        ),
        preview=preview,
    )
    spec = run.one(RAY_CLUSTER).inputs["spec"]
    templates = [
        spec["headGroupSpec"]["template"],
        *(group["template"] for group in spec["workerGroupSpecs"]),
    ]
    assert len(templates) == 3
    for template in templates:
        container = template["spec"]["containers"][0]
        assert volume("netrc-secret") in template["spec"]["volumes"]
        assert volume_mount() in container["volumeMounts"]
        assert environment() in container["env"]
        # The image's user must be able to read what the Secret's mode gives to its group.
        assert template["spec"]["securityContext"]["fsGroup"] == 100


def test_a_cluster_can_do_without_the_workspaces_file() -> None:
    """A cluster whose code is public gets no credentials."""
    run = record(
        lambda: RayCluster(
            "ray",
            RayClusterArgs(spec=samples.ray_spec(netrc=False), namespace="team", netrc_secret="netrc-secret"),
            samples.on_cluster(),
        )
    )
    assert "netrc" not in str(run.one(RAY_CLUSTER).inputs).lower()


def test_the_secret_is_the_recipes(preview: bool) -> None:
    """Seed 000: the Secret `netrc-secret` with the key `.netrc`."""
    run = record(
        lambda: NetrcSecret(
            "netrc", NetrcSecretArgs(namespace="team", entries=(samples.netrc_entry(),)), samples.on_cluster()
        ),
        preview=preview,
    )
    secret = run.one(SECRET_OBJECT)
    assert secret.object_name == "netrc-secret"
    assert secret.namespace == "team"
    assert read_back(secret.inputs["stringData"][".netrc"]).hosts == {
        "github.com": ("robot", "", samples.NETRC_PASSWORD)
    }
    assert secret.hidden("stringData", ".netrc")


def test_the_secret_is_updated_in_place() -> None:
    """Pods mount it by its name; an immutable one could only be replaced, with a gap."""
    run = record(
        lambda: NetrcSecret(
            "netrc", NetrcSecretArgs(namespace="team", entries=(samples.netrc_entry(),)), samples.on_cluster()
        )
    )
    assert "immutable" not in run.one(SECRET_OBJECT).inputs
    provider = run.one("pulumi:providers:kubernetes").inputs
    assert provider["enableSecretMutable"] == "true"
    assert provider["enablePatchForce"] == "true"


def test_a_password_of_another_resource_stays_secret(preview: bool) -> None:
    """A token that a vault's provider gives is an output, plain unless it is marked."""

    def program() -> None:
        entry = NetrcEntry(
            machine="github.com", login="robot", password=pulumi.Output.from_input(samples.NETRC_PASSWORD)
        )
        NetrcSecret("netrc", NetrcSecretArgs(namespace="team", entries=(entry,)), samples.on_cluster())

    run = record(program, preview=preview)
    assert samples.NETRC_PASSWORD in str(run.one(SECRET_OBJECT).inputs)
    assert not [text for text in run.texts() if samples.NETRC_PASSWORD in text]


def test_a_bad_password_of_another_resource_stops_the_program() -> None:
    """What is only known while the program runs is checked then, and the message does not show it."""

    def program() -> None:
        bad = pulumi.Output.from_input(f"{samples.NETRC_PASSWORD}\nmachine evil.example")
        entry = NetrcEntry(machine="github.com", login="robot", password=bad)
        NetrcSecret("netrc", NetrcSecretArgs(namespace="team", entries=(entry,)), samples.on_cluster())

    run = record(program, catch=True)
    assert "the password has a line break" in str(run.error)
    assert samples.NETRC_PASSWORD not in str(run.error)
    assert not run.all(SECRET_OBJECT)
