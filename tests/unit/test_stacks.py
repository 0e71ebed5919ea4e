"""Stack files are read as Pulumi reads them, and every mistake in one has a place and a remedy."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cli.stacks import MASK, StackFileError, load, names

ROOT = Path(__file__).resolve().parents[2]
CIPHERTEXT = "v1:bm90IGEgcmVhbCBvbmU=:AAAA"
PROJECT = """\
name: rayfort
runtime: python
stackConfigDir: stacks
config:
  rayfort:cluster:
    type: object
  rayfort:workspaces:
    type: array
    default: []
  rayImage:
    default: docker.io/rayproject/ray
  other:thing: 1
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "Pulumi.yaml").write_text(PROJECT)
    (tmp_path / "stacks").mkdir()
    return tmp_path


def write(project: Path, text: str, name: str = "dev") -> None:
    (project / "stacks" / f"Pulumi.{name}.yaml").write_text(text)


def test_names_are_those_of_the_files(project: Path) -> None:
    for name in ("prod", "dev", "gke-prod.eu"):
        write(project, "config: {}", name)
    (project / "stacks" / "schema.json").write_text("{}")
    (project / "Pulumi.elsewhere.yaml").write_text("config: {}")
    assert names(project) == ["dev", "gke-prod.eu", "prod"]


def test_completion_survives_a_broken_project(tmp_path: Path) -> None:
    assert names(tmp_path) == []
    (tmp_path / "Pulumi.yaml").write_text("name: [")
    assert names(tmp_path) == []


@pytest.mark.parametrize("stack", names(ROOT))
def test_every_stack_of_this_project_is_read(stack: str) -> None:
    read = load(ROOT, stack)
    assert read.name == stack
    assert read.path == Path("stacks") / f"Pulumi.{stack}.yaml"
    assert read.namespace == "rayfort"
    assert "cluster" in read.config


def test_defaults_of_the_project_apply_where_the_stack_says_nothing(project: Path) -> None:
    write(project, "config: {rayfort:cluster: {context: a}}")
    assert load(project, "dev").config == {
        "cluster": {"context": "a"},
        "workspaces": [],
        "rayImage": "docker.io/rayproject/ray",
    }
    write(project, "config: {rayfort:cluster: {}, rayfort:rayImage: mirror/ray}")
    assert load(project, "dev").config["rayImage"] == "mirror/ray"


def test_settings_of_other_namespaces_are_left_out(project: Path) -> None:
    write(
        project, "config: {'pulumi:disable-default-providers': [kubernetes], 'rayfort:cluster': {context: a}}"
    )
    assert set(load(project, "dev").config) == {"cluster", "workspaces", "rayImage"}


def test_encrypted_values_are_masked_and_remembered(project: Path) -> None:
    write(
        project,
        f"""\
encryptionsalt: v1:salt
config:
  rayfort:cluster:
    kubeconfig: {{secure: "{CIPHERTEXT}"}}
    secure: plain
  rayfort:workspaces:
    - name: a
    - netrc:
        - password:
            secure: {CIPHERTEXT}
  rayfort:rayImage:
    secure: {CIPHERTEXT}
""",
    )
    stack = load(project, "dev")
    assert stack.secrets == {
        "rayfort:cluster.kubeconfig",
        "rayfort:workspaces[1].netrc[0].password",
        "rayfort:rayImage",
    }
    assert stack.config["cluster"] == {"kubeconfig": MASK, "secure": "plain"}
    assert stack.config["workspaces"][1] == {"netrc": [{"password": MASK}]}
    assert stack.config["rayImage"] == MASK
    assert stack.passphrase
    assert CIPHERTEXT not in json.dumps(stack.program_config)


def test_a_password_that_nobody_encrypted_is_not_in_the_repr(project: Path) -> None:
    write(project, "config: {rayfort:cluster: {kubeconfig: hunter2hunter2}}")
    assert "hunter2hunter2" not in repr(load(project, "dev"))


def test_values_are_handed_over_as_pulumi_does(project: Path) -> None:
    write(
        project,
        """\
config:
  rayfort:cluster: '{"context": "from text"}'
  rayfort:workspaces: [{name: a, quota: {pods: 5}}]
  rayfort:rayImage: 5
  rayfort:kbatch:
""",
    )
    assert load(project, "dev").program_config == {
        "rayfort:cluster": '{"context": "from text"}',
        "rayfort:workspaces": '[{"name": "a", "quota": {"pods": 5}}]',
        "rayfort:rayImage": "5",
        "rayfort:kbatch": "",
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("off", "off"),
        ("2024-01-31", "2024-01-31"),
        ("12:30", "12:30"),
        ("1.33.0", "1.33.0"),
        ("true", True),
        ("1.33", 1.33),
        ("1e3", 1000.0),
        ("42", 42),
        ("0x1F", 31),
        ("~", None),
        ('"42"', "42"),
    ],
)
def test_plain_words_mean_what_they_mean_to_pulumi(project: Path, text: str, value: object) -> None:
    write(project, f"config: {{rayfort:cluster: {{value: {text}}}}}")
    read = load(project, "dev").config["cluster"]["value"]
    assert read == value
    assert type(read) is type(value)


def test_merged_and_overridden_keys_are_not_duplicates(project: Path) -> None:
    write(
        project,
        "a: &a {x: 1}\nb: &b {<<: *a, x: 2}\nconfig: {rayfort:cluster: {<<: *b, x: 3}}",
    )
    assert load(project, "dev").config["cluster"] == {"x": 3}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("config:\n  rayfort:cluster: [", r"Pulumi\.dev\.yaml:2: is not valid YAML: .*; correct it"),
        (
            "config:\n  rayfort:cluster:\n    context: a\n    context: b\n",
            r"Pulumi\.dev\.yaml:4: .*the key context stands twice",
        ),
        ("config:\n  rayfort:cluster: !!python/name:os.system\n", r"Pulumi\.dev\.yaml:2: is not valid YAML"),
        ("config: {rayfort:cluster: \x00}", r"characters that YAML forbids"),
        ("- config", r"is not a YAML mapping"),
        ("", r"is not a YAML mapping"),
        ("config: [a]", r"`config` is not a list of settings"),
        ("config:\n", r"has no rayfort: settings under `config:`"),
        ("config: {kubernetes:context: a}", r"has no rayfort: settings"),
        ("config: {cluster: {}}", r"cluster: Pulumi takes only keys with a namespace; write rayfort:cluster"),
    ],
)
def test_a_broken_file_is_named_with_the_problem(project: Path, text: str, message: str) -> None:
    write(project, text)
    with pytest.raises(StackFileError) as caught:
        load(project, "dev")
    assert re.search(message, str(caught.value))
    assert str(caught.value).startswith("stacks/Pulumi.dev.yaml")


def test_a_broken_file_does_not_tell_its_secrets(project: Path) -> None:
    write(project, "config:\n  rayfort:cluster:\n    kubeconfig: hunter2hunter2: x\n")
    with pytest.raises(StackFileError) as caught:
        load(project, "dev")
    assert "hunter2" not in str(caught.value)


def test_a_mistyped_stack_is_answered_with_the_one_that_was_meant(project: Path) -> None:
    write(project, "config: {}", "production")
    write(project, "config: {}", "sandbox")
    with pytest.raises(StackFileError, match=r"no stack 'prodution'; did you mean production\?"):
        load(project, "prodution")
    with pytest.raises(StackFileError, match=r"there are: production, sandbox\."):
        load(project, "zzz")


def test_a_stack_is_never_a_path(project: Path) -> None:
    (project / "Pulumi.outside.yaml").write_text("config: {rayfort:cluster: {}}")
    for name in ("../outside", "/etc/passwd", "", "."):
        with pytest.raises(StackFileError, match="there is no stack"):
            load(project, name)


def test_a_project_without_stacks_says_how_to_begin(project: Path) -> None:
    with pytest.raises(
        StackFileError, match=r"there is none yet\. A new one begins with a file stacks/Pulumi\.x"
    ):
        load(project, "x")


def test_a_directory_without_a_project_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StackFileError, match=r"Pulumi\.yaml: No such file"):
        load(tmp_path, "dev")
