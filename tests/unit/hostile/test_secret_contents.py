"""Every byte that YAML, .netrc, JSON and HTTP care about, from the stack file to the header that is sent."""

from __future__ import annotations

import base64
import http.server
import json
import netrc
import shutil
import subprocess
import threading
import unicodedata
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from unittest import mock

import pulumi
import pytest
import requests
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from rayfort import NetrcEntry, NetrcSecret, NetrcSecretArgs, TokenAuth
from rayfort.ray.netrc import SECRET_KEY, Login, render

from cli.stacks import load
from infra.problems import SettingsError
from infra.reading import decode, parse
from infra.settings import Settings
from tests.unit import samples
from tests.unit.hostile.effort import examples
from tests.unit.hostile.values import ANY_TEXT
from tests.unit.recorder import SECRET_OBJECT, record

# What HTTP's basic authentication can say, each character of it.
LATIN_1 = "".join(chr(code) for code in range(256) if unicodedata.category(chr(code)) != "Cc")
WRITABLE = st.text(st.sampled_from(LATIN_1), min_size=1, max_size=40)
SHORT = ANY_TEXT.filter(lambda text: len(text) < 5_000)
PASSWORDS = [
    *(f"a{character}b" for character in LATIN_1),
    *(character * 2 for character in "\"'\\#$%&*!|>@`-?:,[]{}"),
    *(
        "login",
        "password",
        "login x password y",
        "machine x",
        "~",
        "null",
        "yes",
        "0x1f",
        "1e3",
        "2001-01-01",
    ),
    *(
        "&anchor",
        "*alias",
        "!!binary aGk=",
        "- item",
        "key: value",
        "%41",
        "=",
        "<<",
        " leading",
        "trailing ",
    ),
]


def through_the_stack_file(root: Path, values: Mapping[str, Any]) -> Settings:
    """The settings in a stack file, as the tools here and Pulumi read it."""
    (root / "Pulumi.yaml").write_text("name: rayfort\nruntime: python\n")
    config = {"config": {f"rayfort:{name}": value for name, value in values.items()}}
    (root / "Pulumi.dev.yaml").write_text(
        yaml.safe_dump(config, allow_unicode=True, default_style='"'), encoding="utf-8"
    )
    return parse(decode(load(root, "dev").program_config))


def workspace(entries: list[dict[str, str]], **cluster: Any) -> dict[str, Any]:
    clusters = [{"name": "ray", **cluster}]
    return {
        "cluster": {"kubeconfig": samples.kubeconfig(), "context": samples.CONTEXT},
        "workspaces": [{"name": "team", "netrc": entries, "clusters": clusters}],
    }


def file_in_the_secret(entries: tuple[NetrcEntry, ...]) -> str:
    """The .netrc as the Secret holds it."""

    def program() -> None:
        NetrcSecret(
            "netrc",
            NetrcSecretArgs(namespace="team", entries=entries),
            pulumi.ResourceOptions(providers=[samples.existing_cluster().provider]),
        )

    return str(record(program).one(SECRET_OBJECT).inputs["stringData"][SECRET_KEY])


def sent(login: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{login}:{password}".encode("latin-1")).decode()


def test_every_password_arrives_in_the_header(tmp_path: Path) -> None:
    """YAML, Pulumi's JSON, the Secret, Python's parser and the header of requests, one after the other."""
    logins = {
        f"host{number}.example.com": (password.replace(":", ";"), password)
        for number, password in enumerate(PASSWORDS)
    }
    entries = [
        {"machine": machine, "login": login, "password": password}
        for machine, (login, password) in logins.items()
    ]
    settings = through_the_stack_file(tmp_path, workspace(entries))
    file = tmp_path / ".netrc"
    file.write_text(file_in_the_secret(settings.workspaces[0].netrc), encoding="utf-8")
    read = netrc.netrc(str(file)).hosts
    assert {machine: (found[0], found[2]) for machine, found in read.items()} == logins
    with mock.patch.dict("os.environ", {"NETRC": str(file)}):
        for machine, (login, password) in list(logins.items())[::20]:
            request = requests.Request("GET", f"https://{machine}/code.zip")
            prepared = requests.Session().prepare_request(request)
            assert prepared.headers["Authorization"] == sent(login, password)


@pytest.mark.parametrize("word", ["default", "machine", "macdef", "Default"])
def test_a_word_by_which_curl_finds_entries_is_refused(word: str) -> None:
    """Behind the password `default` curl and git sent the next entry's login to every host."""
    for field in ("login", "password"):
        values = {"machine": "a.example.com", "login": "robot", "password": "x", field: word}
        with pytest.raises(ValidationError, match="a word by which curl and git find entries"):
            NetrcEntry.model_validate(values)


def test_what_no_header_has_room_for_is_refused() -> None:
    """The server answers 400 or 431, on a node, hours later."""
    with pytest.raises(ValidationError, match="a request's header holds 2000"):
        NetrcEntry(machine="a.example.com", login="robot", password="x" * 2_001)
    with pytest.raises(ValidationError, match="no room for more than 4096"):
        TokenAuth(token="x" * 4_097)


class Asked(http.server.BaseHTTPRequestHandler):
    """Keeps the Authorization of each host."""

    def do_GET(self) -> None:
        headers = self.server.headers  # type: ignore[attr-defined]
        headers[self.headers["Host"].partition(":")[0]] = self.headers["Authorization"]
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[http.server.ThreadingHTTPServer]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Asked) as made:
        made.headers = {}  # type: ignore[attr-defined]
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl here")
def test_curl_reads_what_python_reads(tmp_path: Path, server: http.server.ThreadingHTTPServer) -> None:
    """And so does git, which asks curl's library. As bytes: curl sends those that the file holds."""
    plain = [text for text in PASSWORDS if text.isascii()]
    logins = [Login(f"host{number}.example.com", "robot", text) for number, text in enumerate(plain)]
    file = tmp_path / ".netrc"
    file.write_text(render(logins), encoding="utf-8")
    subprocess.run(
        [
            *("curl", "--silent", "--show-error", "--noproxy", "*", "--netrc-file", str(file)),
            *("--connect-to", f"::127.0.0.1:{server.server_port}"),
            *(f"http://{login.machine}/" for login in logins),
        ],
        check=True,
        timeout=60,
    )
    headers = server.headers  # type: ignore[attr-defined]
    wrong = [each for each in logins if headers[each.machine] != sent(each.login, each.password)]
    assert not wrong


@given(SHORT, SHORT, SHORT)
@examples(200)
def test_an_entry_is_refused_or_reads_back(machine: str, login: str, password: str) -> None:
    """There is no third way, in which a node goes on without the login."""
    try:
        entry = NetrcEntry(machine=machine, login=login, password=password)
    except ValidationError as error:
        assert password not in str(error) or len(password) < 8
        return
    with mock.patch(
        "builtins.open", mock.mock_open(read_data=render([Login(entry.machine, login, password)]))
    ):
        assert netrc.netrc("file").hosts == {entry.machine: (login, "", password)}
    assert requests.Request("GET", f"http://{machine}/").prepare().url


@given(WRITABLE, WRITABLE)
@examples(200)
def test_what_is_taken_makes_a_header(login: str, password: str) -> None:
    """Requests encodes as Latin-1 and the header has no line break."""
    login = login.replace(":", ";")
    NetrcEntry(machine="a.example.com", login=login, password=password)
    prepared = requests.Request("GET", "https://a.example.com/", auth=(login, password)).prepare()
    assert prepared.headers["Authorization"] == sent(login, password)


@given(st.one_of(ANY_TEXT, st.text("-abcXYZ019._~+/=", min_size=30, max_size=50)))
@examples(300)
def test_a_token_is_refused_or_fits_into_a_header(token: str) -> None:
    """Ray, the operator and clients send it as it is."""
    try:
        taken = TokenAuth(token=token)
    except ValidationError as error:
        assert len(token) < 8 or token not in str(error)
        return
    assert taken.token is not None
    connection = HTTPConnection("127.0.0.1")
    connection.putrequest("GET", "/")
    connection.putheader("Authorization", f"Bearer {token}")  # refuses what would break the request
    assert token.strip() == token
    assert token.isascii()


@given(st.dictionaries(st.sampled_from(["A", "_B", "C9"]), ANY_TEXT, min_size=1))
@examples(60)
def test_variables_arrive_as_they_were_written(variables: dict[str, str]) -> None:
    """As JSON, in which Pulumi hands them over, with quotes, line breaks and everything."""
    values = workspace([], head={"env": variables})
    config = samples.encoded({f"rayfort:{name}": value for name, value in values.items()})
    try:
        settings = parse(decode(config))
    except SettingsError as error:
        assert "a character that no file can hold" in str(error)
        return
    assert settings.workspaces[0].clusters[0].head.env == variables
    assert json.loads(json.dumps(variables)) == variables


@pytest.mark.parametrize("text", ["v1:abc:def", "[secret]", '{"secure": "x"}', "secure: x", "${password}"])
def test_a_password_that_looks_like_pulumis_own_marks_is_one(tmp_path: Path, text: str) -> None:
    """What Pulumi encrypts it hands over in clear; nothing here reads meaning into it."""
    entry = {"machine": "a.example.com", "login": "robot", "password": text}
    settings = through_the_stack_file(tmp_path, workspace([entry]))
    assert (
        f"password {text}"
        in file_in_the_secret(settings.workspaces[0].netrc).replace('"', "").replace("\\", "")
        or '"' in text
    )


def test_an_encrypted_value_is_masked_and_its_key_is_known(tmp_path: Path) -> None:
    """Nested in objects and lists, as `pulumi config set --secret --path` writes it."""
    (tmp_path / "Pulumi.yaml").write_text("name: rayfort\n")
    entry = {"machine": "a.example.com", "login": "robot", "password": {"secure": "v1:abc"}}
    config = {f"rayfort:{name}": value for name, value in workspace([]).items()}
    config["rayfort:workspaces"][0]["netrc"] = [entry]
    (tmp_path / "Pulumi.dev.yaml").write_text(yaml.safe_dump({"config": config}))
    stack = load(tmp_path, "dev")
    assert stack.secrets == {"rayfort:workspaces[0].netrc[0].password"}
    assert "v1:abc" not in json.dumps(stack.program_config)
    assert parse(decode(stack.program_config)).workspaces[0].netrc


@pytest.mark.parametrize(
    "config",
    [
        "contexts: [{name: here, context: {cluster: [], user: u}}]",
        "contexts: [{name: here, context: {cluster: {a: b}, user: u}}]",
        "contexts: [{name: here, context: [x]}]",
        "contexts: [{name: [here]}]",
        "contexts: {here: 1}",
        "a: 2001-99-99",
        "a: 0b_",
        "[" * 2_000,
        "a: &a [*a]\ncontexts: []",
        "? [a]\n: b",
        "\t",
        "a: !!python/object/apply:os.system [ls]",
    ],
)
def test_a_kubeconfig_of_any_shape_is_refused_in_words(tmp_path: Path, config: str) -> None:
    """Some of them ended in a traceback, which shows what is in the file."""
    values = {"cluster": {"kubeconfig": config, "context": "here"}}
    with pytest.raises(SettingsError) as caught:
        parse(values).cluster.read_kubeconfig(tmp_path)  # type: ignore[union-attr]
    assert [problem.key for problem in caught.value.problems] == ["rayfort:cluster.kubeconfig"]


@pytest.mark.parametrize("path", ["~nobody-of-that-name/config", "x" * 5_000, "/dev/null/x", "", "/dev/zero"])
def test_a_path_of_any_shape_is_refused_in_words(tmp_path: Path, path: str) -> None:
    """An unknown user's home was a traceback, and a device was read for ever."""
    with pytest.raises(SettingsError) as caught:
        parse({"cluster": {"kubeconfigPath": path, "context": "here"}}).cluster.read_kubeconfig(tmp_path)  # type: ignore[union-attr]
    assert [problem.key for problem in caught.value.problems] == ["rayfort:cluster.kubeconfigPath"]
    assert len(str(caught.value)) < 2_000
