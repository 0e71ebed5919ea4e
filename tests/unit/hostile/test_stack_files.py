"""Stack files of every shape, for the commands that read them without Pulumi's engine."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cli.offline import settings_of
from cli.stacks import StackFile, StackFileError, load, names
from infra.problems import SettingsError
from infra.reading import decode, parse
from tests.unit.hostile.effort import examples
from tests.unit.hostile.values import TEXTS, nested

BOMB = "a0: &a0 x\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10))
PLAIN = b"config:\n  rayfort:rayImage: mirror.example/ray\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "Pulumi.yaml").write_text("name: rayfort\nruntime: python\n")
    return tmp_path


def written(root: Path, content: bytes) -> StackFile:
    (root / "Pulumi.dev.yaml").write_bytes(content)
    return load(root, "dev")


def below(root: Path, text: str) -> Any:
    """What a program is handed over for a value in YAML."""
    text = text.replace("\n", "\n    ")
    stack = written(root, f"config:\n  rayfort:mesh:\n    {text}\n".encode())
    return decode(stack.program_config)["mesh"]


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + PLAIN,
        PLAIN.decode().encode("utf-16"),
        PLAIN.replace(b"\n", b"\r\n"),
        PLAIN.replace(b"\n", b"\r"),
        b"---\n" + PLAIN + b"...\n",
        b"%YAML 1.1\n---\n" + PLAIN,
        b"# \xc3\xbc\n" + PLAIN,
    ],
    ids=["bom", "utf-16", "crlf", "cr", "document", "directive", "comment"],
)
def test_a_file_that_only_looks_different_is_read(project: Path, content: bytes) -> None:
    """Editors of other systems write such files."""
    assert written(project, content).config == {"rayImage": "mirror.example/ray"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: &a [*a]", "an alias stands inside of what it names"),
        (BOMB, "its aliases stand for more than"),
        ("[" * 2_000, "it is nested too deeply"),
        ("{a: " * 2_000, "it is nested too deeply"),
        ("a: 1\na: 2", "the key a stands twice"),
        ("a: {b: {c: 1, c: 2}}", "the key c stands twice"),
        ("a:\n\tb: 1", "found character"),
        ("a: *nowhere", "found undefined alias"),
        ("a: !!binary aGk=", "of no value that a stack can have"),
        ("a: !!set {b, c}", "of no value that a stack can have"),
        ("a: !!omap [b: 1]", "of no value that a stack can have"),
        ("a: !!timestamp 2001-99-99", "of no value that a stack can have"),
        ("a: !!python/object/apply:os.system [ls]", "of no value that a stack can have"),
        ("a: !mine b", "of no value that a stack can have"),
        ("a: 0b_", "is not a value of its kind"),
        ("a: 0x_", "is not a value of its kind"),
        ("a: !!int x", "is not a value of its kind"),
        ("a: !!bool x", "is not a value of its kind"),
        ("a: " + "7" * 5_000, "is not a value of its kind"),
        ("? [a]\n: b", "unhashable"),
        ("a: 'open", "found unexpected end of stream"),
        ("a: \x07", "characters that YAML forbids"),
    ],
    ids=lambda value: value[:12].strip() if isinstance(value, str) else None,
)
def test_a_file_that_pulumi_refuses_is_refused_in_words(project: Path, text: str, says: str) -> None:
    """With the line, and without the content; an alias in itself was a traceback, and a bomb a hang."""
    with pytest.raises(StackFileError, match=says) as caught:
        below(project, text)
    assert str(caught.value).startswith("Pulumi.dev.yaml:")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: =", {"a": "="}),
        ("a: yes", {"a": "yes"}),
        ("a: 1:30", {"a": "1:30"}),
        ("a: 2001-01-01", {"a": "2001-01-01"}),
        ("a: ~", {"a": None}),
        ("a: !!str 1", {"a": "1"}),
        ("a: &x {b: 1}\nc: {<<: *x}", {"a": {"b": 1}, "c": {"b": 1}}),
        ("a: &x [1, 2]\nb: *x", {"a": [1, 2], "b": [1, 2]}),
        ("1: a", {"1": "a"}),
        ("a: |-\n  line\n  break", {"a": "line\nbreak"}),
    ],
)
def test_values_are_read_as_pulumi_reads_them(project: Path, text: str, value: Any) -> None:
    """`=` was a traceback: PyYAML knows the tag and makes nothing of it."""
    assert below(project, text) == value


@given(st.binary(max_size=200))
@examples(300)
def test_no_bytes_crash(content: bytes) -> None:
    """A file is read, or refused in words."""
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        (root / "Pulumi.yaml").write_text("name: rayfort\n")
        for whole in (content, b"config:\n  rayfort:mesh: " + content, b"config: {rayfort:mesh: {" + content):
            try:
                settings_of(written(root, whole))
            except (StackFileError, SettingsError) as error:
                str(error).encode()


YAMLISH = st.text(st.sampled_from("ab:-[]{},&*!|>'\"%@`#?=~<. \n\t0159exobn_"), max_size=60)


@given(YAMLISH)
@examples(300)
def test_no_text_of_yamls_own_characters_crashes(text: str) -> None:
    """Anchors, aliases, tags, merges, quotes and numbers in every order."""
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        (root / "Pulumi.yaml").write_text("name: rayfort\n")
        try:
            settings_of(written(root, b"config:\n  rayfort:mesh: {a: " + text.encode() + b"}"))
        except (StackFileError, SettingsError) as error:
            str(error).encode()


@pytest.mark.parametrize(
    "name", [*TEXTS, "../dev", "dev/../dev", "/etc/passwd", "dev.yaml", "*", "d?v", "[d]ev"]
)
def test_a_name_of_no_stack_is_refused_in_words(project: Path, name: str) -> None:
    """Whatever it is: it is looked up among the stacks that are there, and never put into a path before."""
    written(project, PLAIN)
    with pytest.raises(StackFileError, match="there is no stack"):
        load(project, name)


def test_files_of_any_name_do_not_hide_the_others(project: Path) -> None:
    """They are listed, and none of them is opened for it."""
    for name in ("a b", "ünï", "-x", "x" * 200, "\N{PILE OF POO}"):
        (project / f"Pulumi.{name}.yaml").write_bytes(PLAIN)
        assert load(project, name).config
    (project / "Pulumi.folder.yaml").mkdir()
    assert len(names(project)) == 5


def test_objects_arrive_as_pulumi_hands_them_over(project: Path) -> None:
    """Nested ones as JSON text, with what was encrypted already in clear."""
    text = json.dumps([{"name": "team", "netrc": [{"machine": "a.b", "login": "c", "password": "d\\\"'é"}]}])
    cluster = '{"kind": "existing", "kubeconfigPath": "x", "context": "y"}'
    settings = parse(decode({"rayfort:workspaces": text, "rayfort:cluster": cluster}))
    password = settings.workspaces[0].netrc[0].password
    assert password.get_secret_value() == "d\\\"'é"  # type: ignore[union-attr]


def test_json_as_deep_as_yaml_may_be_is_a_mistake_with_a_key(project: Path) -> None:
    """What the reader takes and no resource can hold."""
    text = yaml.safe_dump({"meshConfig": nested(100, dict)}, default_flow_style=True)
    stack = written(project, f"config:\n  rayfort:mesh: {text}".encode())
    with pytest.raises(SettingsError, match="nested more than 28 deep"):
        settings_of(stack)


def large(workspaces: int) -> bytes:
    """A stack file with 20 lines for each workspace."""
    lines = ["config:", "  rayfort:cluster: {kubeconfigPath: x, context: y}", "  rayfort:workspaces:"]
    for number in range(workspaces):
        lines += [
            f"    - name: team-{number}",
            "      quota:",
            '        requests.cpu: "64"',
            "        requests.memory: 256Gi",
            "      netrc:",
            "        - machine: github.com",
            "          login: robot",
            "          password: x",
            "      clients:",
            "        - namespace: notebooks",
            "          serviceAccount: hub",
            "      clusters:",
            "        - name: ray",
            "          head:",
            "            resources: {cpu: 2, memory: 8Gi}",
            "            env:",
            f'              TEAM: "{number}"',
            "          workerGroups:",
            "            - name: small",
            "              replicas: 2",
        ]
    return "\n".join(lines).encode()


def calls(work: Callable[[], Any]) -> int:
    """How many functions Python calls for it, its own in C among them: the same on every machine."""
    count = 0

    def each(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(each)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def test_ten_thousand_lines_take_ten_times_as_much_as_a_thousand(project: Path) -> None:
    """Reading grows with the file, and not with its square."""
    counts = []
    for workspaces in (50, 500):
        stack = large(workspaces)
        assert stack.count(b"\n") >= workspaces * 20
        made: list[Any] = []
        counts.append(
            calls(lambda content=stack, made=made: made.append(settings_of(written(project, content))))
        )
        assert len(made[0].workspaces) == workspaces
    assert counts[1] < 11 * counts[0], counts
