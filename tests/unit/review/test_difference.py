"""`plan A B`: what differs between two stacks, or between two revisions, each with its own program."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from rayfort.review.comment import comment
from rayfort.review.model import Effect, Source, from_json
from typer.testing import CliRunner

from cli.__main__ import app
from cli.difference import review
from cli.offline import Plan, Resource
from cli.revisions import Checkout, RevisionError, checkout, is_revision, touched
from cli.stacks import MASK
from tests.unit import samples

ROOT = Path(__file__).resolve().parents[3]


def resource(name: str, *, type_: str = "kubernetes:core/v1:Service", **inputs: Any) -> Resource:
    body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "team"}, **inputs}
    return Resource(
        path=f"Team:t/Service:{name}",
        type=type_,
        name=name,
        role="resource",
        component=None,
        inputs=body,
        secret_keys=(),
        unknown_keys=(),
        depends_on=(),
        options={},
    )


def plan(*resources: Resource, weakened: tuple[str, ...] = (), problems: tuple[str, ...] = ()) -> Plan:
    return Plan("gke-dev", resources, {}, weakened, (), problems)


def test_created_deleted_changed_and_the_same() -> None:
    before = plan(resource("same"), resource("gone"), resource("other", spec={"type": "ClusterIP"}))
    after = plan(resource("same"), resource("other", spec={"type": "NodePort"}), resource("new"))
    made = review("gke-dev", before, after)
    assert made.source is Source.OFFLINE
    assert [(each.effect, each.name) for each in made.changes] == [
        (Effect.DELETE, "Service team/gone"),
        (Effect.UPDATE, "Service team/other"),
        (Effect.CREATE, "Service team/new"),
    ]
    [changed] = made.changes[1].properties
    assert (changed.path, changed.before, changed.after) == ("spec.type", "ClusterIP", "NodePort")
    assert made.unchanged == 1


def test_another_namespace_is_another_object() -> None:
    moved = resource("a")
    moved = dataclasses.replace(moved, inputs={**moved.inputs, "metadata": {"name": "a", "namespace": "two"}})
    [change] = review("s", plan(resource("a")), plan(moved)).changes
    assert change.effect is Effect.REPLACE
    assert [(each.path, each.replaces) for each in change.properties] == [("metadata.namespace", True)]


def test_a_stack_that_comes_or_goes() -> None:
    one = plan(resource("a"), weakened=("k: weak",))
    assert review("s", None, one).weakened.added == ("k: weak",)
    assert [each.effect for each in review("s", one, None).changes] == [Effect.DELETE]


def test_what_cannot_be_rendered_is_a_failure_and_not_a_deletion() -> None:
    made = review(
        "s", plan(resource("a")), None, ["stack s at HEAD cannot be rendered: DB_PASSWORD=hunter22"]
    )
    assert made.failed
    assert made.changes == ()
    assert "hunter22" not in made.errors[0]


def test_policies_look_at_the_second_plan() -> None:
    strong = {
        "spec": {"mtls": {"mode": "STRICT"}},
        "apiVersion": "security.istio.io/v1",
        "kind": "PeerAuthentication",
    }
    weak = {**strong, "spec": {"mtls": {"mode": "PERMISSIVE"}}}
    type_ = "kubernetes:security.istio.io/v1:PeerAuthentication"
    before, after = plan(resource("p", type_=type_, **strong)), plan(resource("p", type_=type_, **weak))
    [found] = review("gke-dev", before, after).violations
    assert (found.rule, found.mandatory) == ("mtls-strict", False)
    production = dataclasses.replace(after, stack="gke-prod")
    assert review("gke-prod", before, production).mandatory
    assert not review("gke-dev", after, before).violations


def test_masked_values_stay_masked_and_break_no_rule() -> None:
    secret = {"kind": "Secret", "stringData": {"password": MASK}}
    type_ = "kubernetes:core/v1:Secret"
    made = review("s", plan(), plan(resource("s", type_=type_, **secret)))
    assert not made.violations


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["plan", *arguments])


def test_two_stacks_differ_in_what_their_files_say() -> None:
    done = run("gke-dev", "gke-prod", "--json")
    assert done.exit_code == 0, done.output
    [made] = from_json(done.stdout, "plan")
    assert made.stack == "gke-dev → gke-prod"
    assert any(each.name.startswith("Cluster ") for each in made.changes)
    shown = run("gke-dev", "gke-prod")
    assert "of GkeCluster cluster" in shown.stdout


def test_a_stack_does_not_differ_from_itself() -> None:
    done = run("gke-dev", "gke-dev")
    assert done.exit_code == 0
    assert "no difference" in done.stdout
    assert run("gke-dev", "gke-dev", "--diff").stdout.strip() == ""


def test_manifests_of_both_sides_are_written_and_compared(tmp_path: Path) -> None:
    done = run("gke-dev", "gke-prod", "--diff", "--manifests", str(tmp_path / "out"))
    assert done.exit_code == 0, done.output
    assert "@@" in done.stdout
    for side in ("before", "after"):
        files = list((tmp_path / "out" / side / "gke-dev-to-gke-prod").rglob("*.yaml"))
        assert len(files) > 10


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("gke-dev", "gke-prdo"), "gke-prdo"),
        (("gke-dev", "HEAD"), "--stack gke-dev"),
        (("HEAD", "no-such-revision"), "no-such-revision"),
        (("gke-dev", "gke-prod", "--stack", "kind"), "--stack"),
        (("gke-dev", "--markdown"), "second one"),
        (("HEAD", ".", "--stack", "no-such-stack"), "no-such-stack"),
        (("HEAD", "--upload-pack=evil"), ""),
    ],
)
def test_a_wrong_argument_is_named(arguments: tuple[str, ...], said: str) -> None:
    done = run(*arguments)
    assert done.exit_code == 2
    assert said in done.output


PROGRAM = """
import json, os, sys
assert sys.argv[1:] == ["plan", "gke-dev", "--json"]
leaked = [name for name in os.environ if "SECRET" in name or "TOKEN" in name]
assert not leaked, leaked
body = {{"apiVersion": "v1", "kind": "Service", "metadata": {{"name": {name!r}, "namespace": "n"}}}}
resource = {{"path": "p", "type": "kubernetes:core/v1:Service", "name": "p", "role": "resource",
    "component": None, "inputs": body, "secretKeys": [], "unknownKeys": [], "dependsOn": [], "options": {{}}}}
print(json.dumps({{"format": 1, "stack": "gke-dev", "resources": [resource], "outputs": {{}},
    "weakened": {weakened!r}, "notes": [], "problems": []}}))
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two revisions with a program each, and a hook that must not run."""
    root = tmp_path / "a repository"
    (root / "stacks").mkdir(parents=True)
    (root / "cli").mkdir()
    (root / "Pulumi.yaml").write_text("name: rayfort\nstackConfigDir: stacks\n")
    (root / "stacks" / "Pulumi.gke-dev.yaml").write_text("config:\n  rayfort:a: 1\n")
    (root / "cli" / "__init__.py").write_text("")
    git(root, "init", "--quiet", "--initial-branch=main")
    for name, weakened in (("old", []), ("new", ["k: weak"])):
        (root / "cli" / "__main__.py").write_text(PROGRAM.format(name=name, weakened=weakened))
        git(root, "add", "--all")
        git(root, "-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "--quiet", "-m", name)
    hook = root / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch '{tmp_path}/hook-ran'\n")
    hook.chmod(0o755)
    return root


def git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True).stdout


def test_each_revision_runs_its_own_program_without_credentials(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("GITHUB_TOKEN", "x")
    with checkout(repository, "HEAD^") as old, checkout(repository, "main") as new:
        made = review("gke-dev", old.plan("gke-dev"), new.plan("gke-dev"))
        places = [old.root, new.root]
    [change] = made.changes
    assert change.effect is Effect.REPLACE
    assert made.weakened.added == ("k: weak",)
    assert "Service n/new" in comment([made])
    assert not any(place.exists() for place in places)
    assert git(repository, "worktree", "list").count("\n") == 1
    assert not (tmp_path / "hook-ran").exists()


def test_the_files_that_differ_are_known_and_the_working_tree_is_not_asked(repository: Path) -> None:
    assert touched(repository, "HEAD^", "HEAD") == ["cli/__main__.py"]
    assert touched(repository, "HEAD", ".") is None
    assert is_revision(repository, ".")
    assert not is_revision(repository, "--help")


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("raise SystemExit('rayfort: rayfort:mesh: is wrong')", "rayfort:mesh: is wrong"),
        ("raise ValueError('broken')", "ValueError: broken"),
        ("print('{}')", "is not what this version reads"),
    ],
)
def test_a_program_that_fails_is_named_with_its_revision(tmp_path: Path, program: str, said: str) -> None:
    (tmp_path / "cli").mkdir()
    (tmp_path / "cli" / "__init__.py").write_text("")
    (tmp_path / "cli" / "__main__.py").write_text(program)
    with pytest.raises(RevisionError) as caught:
        Checkout("v1", tmp_path).plan("gke-dev")
    assert said in str(caught.value)
    assert "v1" in str(caught.value)
    assert "Traceback" not in str(caught.value)


def test_the_working_tree_is_rendered_as_it_is() -> None:
    """The real program, in a process of its own."""
    with checkout(ROOT, ".") as here:
        made = here.plan("gke-dev")
    assert json.dumps(made.resources[0].inputs)
    assert len(made.resources) > 30
    assert samples.ROOT == ROOT
