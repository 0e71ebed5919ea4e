"""`doctor` tells what is missing for a stack and what to do, changes nothing and gives nothing away."""

from __future__ import annotations

import importlib.metadata
import io
import json
import shutil
import sys
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from cli import doctor as command
from cli.checks import Check, State, checkout, cluster
from cli.checks import sandbox as sandbox_checks
from cli.doctor import doctor
from cli.offline import settings_of
from cli.stacks import load
from infra.settings import Settings
from sandbox import host
from sandbox.host import Obstacle
from sandbox.processes import SandboxError
from sandbox.toolchain import TOOLS, Found, Tool, ToolchainError
from sandbox.tools.catalog import CATALOG

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "kubeconfig-token-5b21"
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose machine has nothing: an empty PATH, home and cache."""
    home = tmp_path / "home"
    home.mkdir()
    for name in (
        "PULUMI_HOME",
        "PULUMI_CONFIG_PASSPHRASE",
        "PULUMI_CONFIG_PASSPHRASE_FILE",
        "RAYFORT_PLUGINS",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("RAYFORT_CACHE", str(home / "cache"))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(100e9, 0, 100e9))
    # What the kernel of this machine can do is no matter of these tests, nor is whose account runs them.
    monkeypatch.setenv("RAYFORT_STATE", str(home / "state"))
    monkeypatch.setattr(
        host, "obstacles", lambda *_, **__: (Obstacle("rights", "only root can", "use sudo"),)
    )
    root = tmp_path / "project"
    (root / "stacks").mkdir(parents=True)
    for name in ("Pulumi.yaml", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, root)
    for file in (ROOT / "stacks").glob("*.yaml"):
        shutil.copy(file, root / "stacks")
    return root


@pytest.fixture
def program(project: Path) -> Callable[..., Path]:
    """Puts a program on PATH."""

    def put(name: str, says: str = "") -> Path:
        path = project.parent / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\necho '{says}'\n")
        path.chmod(0o755)
        return path

    return put


def kubeconfig(user: dict[str, Any], context: str = "my-cluster") -> str:
    return yaml.safe_dump(
        {
            "contexts": [{"name": context, "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
            "users": [{"name": "other", "user": {}}, {"name": "u", "user": user}],
        }
    )


def put_kubeconfig(text: str) -> None:
    path = Path("~/.kube/config").expanduser()
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def run(root: Path, stack: str | None = None, *, json_output: bool = False) -> tuple[int, str]:
    out = io.StringIO()
    code = doctor(root, stack, Console(file=out, width=80), json_output=json_output)
    return code, out.getvalue()


def settings(root: Path, **values: Any) -> Settings:
    content = {"cluster": {"kubeconfigPath": "kubeconfig", "context": "my-cluster"}, **values}
    text = yaml.safe_dump({"config": {f"rayfort:{name}": value for name, value in content.items()}})
    (root / "stacks" / "Pulumi.dev.yaml").write_text(text)
    return settings_of(load(root, "dev"))


# --- the command


def test_a_bare_machine_can_run_the_sandbox_and_nothing_else(project: Path) -> None:
    code, text = run(project)
    assert code == 0
    lines = text.splitlines()
    pinned = CATALOG.pin(TOOLS["etcd"].module).version
    assert "stack sandbox" in lines
    assert f"  later   etcd: the first `up` builds {pinned} from its Go module" in lines
    assert any(line.startswith("  missing Pulumi: not on PATH; install Pulumi's own") for line in lines)
    assert run(project, "sandbox")[0] == 0
    assert run(project, "existing")[0] == 1


def test_what_keeps_real_nodes_away_is_a_warning(project: Path) -> None:
    code, text = run(project, "sandbox")
    assert code == 0
    lines = text.splitlines()
    assert "  warn    real nodes, rights: only root can; use sudo" in lines
    assert any(line.startswith("  warn    nodes: `up` chooses simulated nodes") for line in lines)
    assert "real nodes" not in run(project, "existing")[1]


def test_every_check_is_one_line_with_its_state(project: Path) -> None:
    _, text = run(project)
    states = "|".join(State)
    for line in text.splitlines():
        if line.startswith(" "):
            assert line.split()[0] in states.split("|")
        else:
            assert line == "this checkout" or line.startswith("stack ")


def test_doctor_changes_nothing(project: Path) -> None:
    before = sorted(project.parent.rglob("*"))
    run(project)
    assert sorted(project.parent.rglob("*")) == before


def test_a_machine_with_everything_is_fine_for_an_existing_cluster(
    project: Path, program: Callable[..., Path]
) -> None:
    program("pulumi", "v3.999.0")
    program("pulumi-language-python")
    program("pulumi-resource-kubernetes")
    program("pulumi-resource-random")
    program("git", "git version 2.50.0")
    put_kubeconfig(kubeconfig({"token": TOKEN}))
    code, text = run(project, "existing")
    assert code == 0
    assert TOKEN not in text
    assert not [line for line in text.splitlines() if line.split()[0] in {"missing", "later"}]


def test_the_json_says_what_the_lines_say(project: Path) -> None:
    code, text = run(project, "existing", json_output=True)
    said = json.loads(text)
    assert (code, said["ok"]) == (1, False)
    assert [section["title"] for section in said["sections"]] == ["this checkout", "stack existing"]
    states = {check["subject"]: check["state"] for check in said["sections"][1]["checks"]}
    assert states["settings"] == "ok"
    assert states["Pulumi"] == "missing"
    assert states["Pulumi plugin kubernetes"] == "later"
    assert states["kubeconfig"] == "missing"
    for section in said["sections"]:
        for check in section["checks"]:
            assert set(check) == {"subject", "state", "text", "remedy"}
            assert check["remedy"] or check["state"] != "missing"


def test_an_unknown_stack_is_wrong_usage(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(project, "sandbx") == (2, "")
    assert "did you mean sandbox?" in capsys.readouterr().err


def test_mistakes_in_settings_are_missing_things(project: Path) -> None:
    (project / "stacks" / "Pulumi.dev.yaml").write_text("config: {rayfort:cluster: {contxt: a}}")
    code, text = run(project, "dev")
    assert code == 1
    assert "missing settings: rayfort:cluster.contxt: is not a setting; did you mean context?" in text
    assert "correct it in stacks/Pulumi.dev.yaml" in text


def test_a_broken_file_does_not_hide_the_other_stacks(project: Path) -> None:
    (project / "stacks" / "Pulumi.dev.yaml").write_text("config: [")
    code, text = run(project)
    assert code == 0
    assert "missing stack file: stacks/Pulumi.dev.yaml:1: is not valid YAML" in text
    assert "stack existing" in text


# --- the checkout


def test_the_python_is_judged_by_what_the_project_asks_for(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert checkout.python(project).state is State.OK
    monkeypatch.setattr("platform.python_version", lambda: "3.10.4")
    assert checkout.python(project) == Check(
        "Python", State.MISSING, "3.10.4, and >=3.11 is needed", "install a newer one"
    )


def test_git_is_advice(project: Path, program: Callable[..., Path]) -> None:
    assert checkout.git().state is State.WARN
    program("git", "git version 2.50.0")
    assert checkout.git() == Check("git", State.OK, "2.50.0")


def test_the_lock_is_read_for_this_machine() -> None:
    lock = """\
# how to make this file
aiohttp==3.14.5 \\
    --hash=sha256:00 \\
    --hash=sha256:11
colorama==0.4.6 ; sys_platform == 'win32' \\
    --hash=sha256:22
librt==0.16.0 ; platform_python_implementation != 'Jython' \\
    --hash=sha256:33
loose>=1
"""
    assert checkout.locked(lock) == {"aiohttp": "3.14.5", "librt": "0.16.0"}


def test_the_environment_is_compared_with_the_lock(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "not in the project's own" in checkout.environment(project).text
    monkeypatch.setattr(sys, "prefix", str(project / ".rayfort" / "venv"))
    version = importlib.metadata.version("pydantic")
    (project / "requirements.lock").write_text(f"pydantic=={version} \\\n")
    assert checkout.environment(project).state is State.OK
    (project / "requirements.lock").write_text(f"pydantic=={version}.1 \\\nnot-there==1 \\\n")
    check = checkout.environment(project)
    assert check.state is State.WARN
    assert check.text.endswith("pydantic, not-there")
    assert "remove .rayfort/venv" in check.remedy


# --- the sandbox


def test_a_tool_says_where_it_was_found() -> None:
    assert sandbox_checks.tool("helm", Found(Path("/x/helm"), "v3.20.2", "cache")) == Check(
        "helm", State.OK, "v3.20.2 (cache)"
    )
    assert sandbox_checks.tool("helm", None).state is State.LATER


@pytest.mark.parametrize(
    ("said", "state", "text"),
    [
        ("go1.99.1", State.OK, "1.99 (PATH)"),
        ("go1.18", State.LATER, "1.18 is older than"),
        ("nonsense", State.LATER, "not on PATH"),
    ],
)
def test_go_is_got_where_there_is_none_or_an_old_one(
    program: Callable[..., Path], said: str, state: State, text: str
) -> None:
    program("go", said)
    check = sandbox_checks.go([TOOLS["etcd"]])
    assert check.state is state
    assert text in check.text


def test_plugins_are_looked_for_on_path_then_in_pulumis_home(
    project: Path, program: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(stand_in: bool = True) -> Check:
        return sandbox_checks.plugin("random", tmp_path, stand_in=stand_in)

    assert look().state is State.LATER
    assert "stand-in" in look().text
    assert "stand-in" not in look(stand_in=False).text
    version = importlib.metadata.version("pulumi-random")
    (tmp_path / "plugins" / f"resource-random-v{version}").mkdir(parents=True)
    assert look() == Check("Pulumi plugin random", State.OK, version)
    path = program("pulumi-resource-random")
    assert look() == Check("Pulumi plugin random", State.OK, f"{path} (PATH)")
    monkeypatch.setenv("RAYFORT_PLUGINS", "stand-in")
    assert "Rayfort's stand-in" in look().text
    assert look(stand_in=False).text == f"{path} (PATH)"


def test_room_is_judged_by_what_must_be_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10e9, 8e9, 2e9))
    cache = tmp_path / "not" / "there" / "yet"
    assert sandbox_checks.disk(cache, []).state is State.OK
    everything: list[Tool] = list(TOOLS.values())
    check = sandbox_checks.disk(cache, everything)
    assert check.state is State.MISSING
    assert "RAYFORT_CACHE" in check.remedy
    assert str(tmp_path) in check.text


@pytest.mark.parametrize(("free", "state"), [(16.0, State.OK), (1.0, State.WARN)])
def test_memory_is_advice(free: float, state: State) -> None:
    assert sandbox_checks.memory(free, building=True).state is state


def test_ports_that_cannot_be_had_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sandbox_checks.loopback().state is State.OK

    def refuse(*_: Any) -> None:
        raise SandboxError("No free port on 127.0.0.1.")

    monkeypatch.setattr("sandbox.ports.choose", refuse)
    assert sandbox_checks.loopback().state is State.MISSING


def test_a_machine_that_the_tools_are_not_built_for_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise ToolchainError("the sandbox runs on Linux;\n  this is Plan 9.\n  what to do: run it elsewhere")

    monkeypatch.setattr(sandbox_checks, "Toolchain", refuse)
    assert list(sandbox_checks.checks()) == [
        Check("machine", State.MISSING, "the sandbox runs on Linux; this is Plan 9.", "run it elsewhere")
    ]


# --- a cluster of one's own


def test_an_old_pulumi_is_named_with_the_version_that_is_needed(program: Callable[..., Path]) -> None:
    program("pulumi", "v3.10.0")
    check = cluster.engine()
    assert check.state is State.MISSING
    assert check.text.startswith("v3.10.0 on PATH, and v3.")
    program("pulumi", "v3.999.0")
    assert cluster.engine().state is State.OK


def test_the_language_host_may_lie_beside_pulumi(project: Path, program: Callable[..., Path]) -> None:
    assert cluster.language_host().state is State.MISSING
    release = project.parent / "release"
    release.mkdir()
    for name in ("pulumi", "pulumi-language-python"):
        program(name).rename(release / name)
    (project.parent / "bin" / "pulumi").symlink_to(release / "pulumi")
    assert cluster.language_host() == Check(
        "language host", State.OK, str(release / "pulumi-language-python")
    )


def test_secrets_need_a_passphrase(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = settings(project)
    path = project / "stacks" / "Pulumi.dev.yaml"
    path.write_text(f"encryptionsalt: v1:salt\n{path.read_text()}")
    stack = load(project, "dev")

    def asked() -> bool:
        return any(check.subject == "passphrase" for check in cluster.checks(project, stack, made))

    assert asked()
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE_FILE", "/somewhere")
    assert not asked()


def test_a_kubeconfig_without_the_context_is_told_with_those_it_has(project: Path) -> None:
    made = settings(project)
    (project / "kubeconfig").write_text(kubeconfig({"token": TOKEN}, context="another"))
    (check,) = cluster.kubeconfig(project, made.cluster)
    assert check.state is State.MISSING
    assert "another" in check.text
    assert "rayfort:cluster.kubeconfigPath" in check.remedy
    assert TOKEN not in f"{check}"


def test_an_encrypted_kubeconfig_is_not_read(project: Path) -> None:
    made = settings(project, cluster={"kubeconfig": {"secure": "v1:x"}, "context": "a"})
    (check,) = cluster.kubeconfig(project, made.cluster)
    assert check == Check("kubeconfig", State.OK, "encrypted in the stack's file; not read here")


def test_the_program_that_gets_credentials_must_be_there(project: Path, program: Callable[..., Path]) -> None:
    made = settings(project)
    execute = {"command": "cloud-auth-plugin", "installHint": "Install it\nwith your cloud's tools."}
    (project / "kubeconfig").write_text(kubeconfig({"exec": execute}))
    found, check = cluster.kubeconfig(project, made.cluster)
    assert found.state is State.OK
    assert check.state is State.MISSING
    assert check.text.startswith("cloud-auth-plugin")
    assert check.remedy == "Install it with your cloud's tools."
    program("cloud-auth-plugin")
    assert [item.state for item in cluster.kubeconfig(project, made.cluster)] == [State.OK, State.OK]


def test_a_relative_credential_program_starts_at_the_kubeconfig(project: Path) -> None:
    made = settings(project)
    (project / "kubeconfig").write_text(kubeconfig({"exec": {"command": "./get-token"}}))
    assert [item.state for item in cluster.kubeconfig(project, made.cluster)] == [State.OK, State.MISSING]
    (project / "get-token").write_text("#!/bin/sh\n")
    (project / "get-token").chmod(0o755)
    assert [item.state for item in cluster.kubeconfig(project, made.cluster)] == [State.OK, State.OK]


def test_local_charts_and_definitions_must_be_there(project: Path) -> None:
    made = settings(
        project,
        mesh={"baseChart": {"chart": "charts/base"}},
        operator={"chart": {"chart": "charts/op"}, "crds": ["crds/*.yaml", "https://example.com/crd.yaml"]},
    )
    assert {check.subject for check in cluster.local_files(project, made)} == {
        "mesh.baseChart",
        "operator.chart",
        "operator.crds",
    }
    for name in ("charts/base", "charts/op", "crds"):
        (project / name).mkdir(parents=True)
    (project / "crds" / "a.yaml").write_text("")
    assert list(cluster.local_files(project, made)) == []


def test_only_what_is_needed_counts_for_the_exit_code(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = Check("disk", State.MISSING, "full", "free some")
    monkeypatch.setattr(sandbox_checks, "checks", lambda: iter([missing]))
    assert run(project)[0] == 1
    needed = [section.needed for section in command.sections(project, None)]
    assert needed[:2] == [True, True]
    assert len(needed) > 3
    assert not any(needed[2:])
