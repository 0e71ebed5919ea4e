"""What is in the sandbox's images, and how it is laid out: no network, no root."""

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from rayfort import versions

from sandbox.images import catalog, debian, python_packages
from sandbox.images.catalog import Account, BaseFile, Folder, Image, Link, PythonPackages, ToolFile
from sandbox.images.commands import Commands, clean_environment
from sandbox.images.tree import Tree
from sandbox.processes import SandboxError
from sandbox.tools.catalog import ASSETS, CATALOG, KUBERNETES, TOOLS

ALL = catalog.every_image()


def test_names_are_those_that_charts_and_manifests_ask_for() -> None:
    kubernetes = CATALOG.pin(KUBERNETES).version
    references = {image.reference for image in ALL}
    assert references >= {
        f"docker.io/rayproject/ray:{versions.RAY}",
        f"docker.io/istio/pilot:{versions.ISTIO}",
        f"docker.io/istio/proxyv2:{versions.ISTIO}",
        "quay.io/kuberay/operator:v1.6.2",
        f"registry.k8s.io/kube-proxy:{kubernetes}",
        "registry.k8s.io/pause:3.10.2",
        f"ghcr.io/kbatch-dev/kbatch-proxy:{versions.KBATCH_PROXY}",
    }
    assert len(references) == len(ALL)


@pytest.mark.parametrize("image", ALL, ids=lambda image: image.reference)
def test_contents_exist(image: Image) -> None:
    for content in image.contents:
        match content:
            case ToolFile(tool):
                assert tool in TOOLS
            case catalog.AssetFile(asset, file):
                assert file in ASSETS[asset].files
            case PythonPackages():
                lines = python_packages.requirements(content)
                assert any("--hash=sha256:" in line for line in lines), "the default version is not pinned"
            case _:
                pass


@pytest.mark.parametrize("image", ALL, ids=lambda image: image.reference)
def test_user_is_a_number(image: Image) -> None:
    # runAsNonRoot refuses a name
    assert all(part.isdecimal() for part in image.config.user.split(":"))


def test_pinned_lists_suit_every_python() -> None:
    # pip judges conditions by the Python that it runs in, not by the one that it installs for
    for lock in catalog.REQUIREMENTS.glob("*.txt"):
        assert "python_version" not in lock.read_text(), lock.name
        assert "python_full_version" not in lock.read_text(), lock.name


def test_another_version_is_resolved_by_pip() -> None:
    packages = PythonPackages("ray", "ray[default]", "2.52.0", beside=("numpy",))
    lines = python_packages.requirements(packages)
    assert lines[0] == "ray[default]==2.52.0"
    assert [line.partition("=")[0] for line in lines[1:]] == ["numpy"]
    assert not any("--hash" in line for line in lines)


def test_a_longer_version_is_another_version() -> None:
    packages = PythonPackages("ray", "ray[default]", versions.RAY[:-1])
    assert python_packages.requirements(packages) == (f"ray[default]=={versions.RAY[:-1]}",)


def _apt(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def test_sources_are_those_of_the_release(tmp_path: Path) -> None:
    deb822 = _apt(
        tmp_path,
        "sources.list.d/debian.sources",
        "Types: deb\nURIs: http://mirror.example/\nSuites: bookworm bookworm-updates\nComponents: main\n",
    )
    one_line = _apt(tmp_path, "sources.list", "deb http://mirror.example/debian bookworm main contrib\n")
    _apt(tmp_path, "sources.list.d/node.list", "deb https://deb.example/node nodistro main\n")
    _apt(tmp_path, "sources.list.d/cloud.list", "deb https://deb.example/apt cloud-bookworm main\n")
    _apt(tmp_path, "sources.list.d/docker.list", "deb https://deb.example/docker bookworm stable\n")
    _apt(tmp_path, "sources.list.d/off.list", "# deb http://mirror.example/debian bookworm main\n")
    _apt(tmp_path, "sources.list.d/debian.sources.bak", "Suites: bookworm\nComponents: main\n")
    assert debian.sources("bookworm", tmp_path) == [one_line, deb822]
    assert debian.sources("trixie", tmp_path) == []


def test_unavailable_names_the_first_thing_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debian.sys, "platform", "linux")
    monkeypatch.setattr(
        debian.shutil, "which", lambda name, path: None if name == "perl" else f"/usr/bin/{name}"
    )
    assert "perl" in (debian.unavailable() or "")
    monkeypatch.setattr(debian.shutil, "which", lambda name, path: f"/usr/bin/{name}")
    monkeypatch.setattr(debian, "release", lambda: "bookworm")
    monkeypatch.setattr(debian, "sources", lambda codename: [Path("/etc/apt/sources.list")])
    assert debian.unavailable() is None
    monkeypatch.setattr(debian.sys, "platform", "darwin")
    assert "Linux" in (debian.unavailable() or "")


def test_chroots_see_proxies_and_nothing_else_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/host/only.crt")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    env = clean_environment(Path("/first"))
    assert env["https_proxy"] == "http://proxy.example:3128"
    assert env["PATH"].startswith("/first:")
    assert not {"SSL_CERT_FILE", "AWS_SECRET_ACCESS_KEY"} & set(env)


def test_a_failed_command_tells_what_failed_and_where_to_read_on(tmp_path: Path) -> None:
    commands = Commands("the image x", tmp_path / "x.log", lambda _: None)
    with pytest.raises(
        SandboxError, match=r"(?s)the image x.*exit code 3.*no space left.*x\.log.*RAYFORT_CACHE"
    ):
        commands.run(["/bin/sh", "-c", "echo no space left on device; exit 3"], clean_environment())
    with pytest.raises(SandboxError, match="cannot run no-such-program"):
        commands.run(["no-such-program"], clean_environment())


@pytest.fixture
def base(tmp_path: Path) -> Path:
    root = tmp_path / "base"
    (root / "etc").mkdir(parents=True)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/bash\n")
    (root / "etc/group").write_text("root:x:0:\nusers:x:100:\n")
    (root / "etc/some.crt").write_text("certificate")
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/python3").symlink_to("python3.13")
    return root


def _lay_out(image: Image, base: Path, tmp_path: Path) -> Path:
    tree, tool = tmp_path / "tree", tmp_path / "tool"
    tree.mkdir()
    tool.write_text("program")
    tool.chmod(0o700)
    commands = Commands("the image", tmp_path / "log", lambda _: None)
    previous = os.umask(0o077)  # a careful user's
    try:
        Tree(tree, base, {"tool": tool}, {}, commands).lay_out(image)
    finally:
        os.umask(previous)
    return tree


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


MINE = Folder("/var/mine", 0o1777, os.getuid(), os.getgid())
IMAGE = Image(
    "registry.example/image:1",
    (ToolFile("tool", "/opt/bin/tool"), BaseFile("/etc/some.crt"), Link("/python", "{python}/x"), MINE),
    catalog.Config(),
    catalog.BASE,
)


def test_tree_has_usual_modes_whatever_the_umask(base: Path, tmp_path: Path) -> None:
    tree = _lay_out(IMAGE, base, tmp_path)
    assert (tree / "opt/bin/tool").read_text() == "program"
    assert _mode(tree / "opt/bin/tool") == 0o755
    assert _mode(tree / "opt/bin") == 0o755
    assert _mode(tree / "etc/some.crt") == 0o644
    assert _mode(tree / "var/mine") == 0o1777
    assert (tree / "python").readlink() == Path("/usr/local/lib/python3.13/dist-packages/x")
    assert not (tree / "etc/passwd").exists()  # the base's counts


def test_account_is_added_to_the_base_s(base: Path, tmp_path: Path) -> None:
    me = Account("ray", os.getuid(), 100 if os.getuid() == 0 else os.getgid(), "/home/ray")
    tree = _lay_out(replace(IMAGE, contents=(me,)), base, tmp_path)
    passwd = (tree / "etc/passwd").read_text().splitlines()
    assert passwd[0].startswith("root:")
    assert passwd[1] == f"ray:x:{me.uid}:{me.gid}::/home/ray:/bin/bash"
    if me.gid == 100:
        assert (tree / "etc/group").read_text() == "root:x:0:\nusers:x:100:\n"  # the group is there
    assert (tree / "home/ray").stat().st_uid == me.uid


def test_image_without_base_has_root(base: Path, tmp_path: Path) -> None:
    tree = _lay_out(replace(IMAGE, base=None), base, tmp_path)
    assert (tree / "etc/passwd").read_text().startswith("root:x:0:0:")


def test_programs_of_packages_start_the_image_s_python(tmp_path: Path) -> None:
    target, folder = tmp_path / "packages", tmp_path / "bin"
    info = target / "ray-1.dist-info"
    info.mkdir(parents=True)
    (info / "entry_points.txt").write_text(
        "[console_scripts]\nRay = ray.cli:Main.run [extra]\n[other]\na = b\n"
    )
    (info / "RECORD").write_text("../../bin/Ray,sha256=x,1\nray/cli.py,,\n")
    (target / "bin").mkdir()
    (target / "bin/Ray").write_text("#!/host/python\n")
    (target / "bin/py-spy").write_bytes(b"\x7fELF")
    python_packages._move_programs(target, folder)
    script = (folder / "Ray").read_text()
    assert script.startswith("#!/usr/bin/python3\n")
    assert "from ray.cli import Main\nif __name__ == " in script  # children read it again
    assert script.endswith("    sys.exit(Main.run())\n")
    assert (folder / "py-spy").read_bytes() == b"\x7fELF"
    assert _mode(folder / "py-spy") == _mode(folder / "Ray") == 0o755
    assert not (target / "bin").exists()
    assert (info / "RECORD").read_text() == "ray/cli.py,,\n"
