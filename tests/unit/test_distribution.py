"""The library's wheel and source distribution: what other teams get."""

from __future__ import annotations

import email
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.empty_environment import ROOT, build

LIBRARY = ROOT / "components"
PROJECT = tomllib.loads((LIBRARY / "pyproject.toml").read_text())["project"]
# What Pulumi starts and installs where it is given the folder.
PLUGIN = {"PulumiPlugin.yaml", "__main__.py", "requirements.txt"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return build(tmp_path_factory.mktemp("dist"))


def sources() -> set[str]:
    return {
        str(file.relative_to(LIBRARY))
        for file in (LIBRARY / "rayfort").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }


def test_the_wheel_holds_the_package_and_nothing_else(built: tuple[Path, Path]) -> None:
    information = f"rayfort-{PROJECT['version']}.dist-info"
    names = set(zipfile.ZipFile(built[0]).namelist())
    told = {f"{information}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "licenses/LICENSE")}
    assert names == sources() | told
    assert {"rayfort/py.typed", "rayfort/host/schema.json"} <= names


def test_the_source_distribution_holds_the_plugin_as_well(built: tuple[Path, Path]) -> None:
    prefix = f"rayfort-{PROJECT['version']}/"
    with tarfile.open(built[1]) as archive:
        names = {name.removeprefix(prefix) for name in archive.getnames()}
    told = {"LICENSE", "README.md", "pyproject.toml", "PKG-INFO", ".gitignore"}
    assert names == sources() | PLUGIN | told


def test_a_wheel_of_the_source_distribution_is_the_same(built: tuple[Path, Path], tmp_path: Path) -> None:
    """Whoever packages the library anew gets what was tested."""
    with tarfile.open(built[1]) as archive:
        archive.extractall(tmp_path, filter="data")
    (unpacked,) = tmp_path.iterdir()
    command = ["-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "again")]
    subprocess.run([sys.executable, *command], cwd=unpacked, check=True, capture_output=True)
    (again,) = (tmp_path / "again").glob("*.whl")
    assert contents(again) == contents(built[0])


def contents(wheel: Path) -> dict[str, bytes]:
    archive = zipfile.ZipFile(wheel)
    return {name: archive.read(name) for name in archive.namelist()}


def test_the_wheel_says_what_it_is(built: tuple[Path, Path]) -> None:
    archive = zipfile.ZipFile(built[0])
    (name,) = [each for each in archive.namelist() if each.endswith("/METADATA")]
    told = email.message_from_bytes(archive.read(name))
    assert (told["Name"], told["Version"]) == ("rayfort", PROJECT["version"])
    assert told["License-Expression"] == "Apache-2.0"
    assert told["Requires-Python"] == ">=3.11"
    assert "Typing :: Typed" in told.get_all("Classifier", [])
    assert str(told.get_payload()).strip() == (LIBRARY / "README.md").read_text().strip()
    assert sorted(told.get_all("Provides-Extra", [])) == sorted(PROJECT["optional-dependencies"])
