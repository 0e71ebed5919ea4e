"""The pinned lists of real programs that tests run: whole, and of no particular registry."""

import json
import re
from pathlib import Path

import pytest

from sandbox.images.catalog import REQUIREMENTS

LISTS = sorted(REQUIREMENTS.glob("*.txt"))
NPM = sorted(REQUIREMENTS.glob("*/package-lock.json"))


@pytest.mark.parametrize("path", LISTS, ids=lambda path: path.stem)
def test_a_list_of_python_packages_has_hashes_and_names_no_index(path: Path) -> None:
    text = path.read_text()
    pins = re.findall(r"^[a-z0-9._-]+==\S+", text, flags=re.MULTILINE)
    assert pins
    assert text.count("--hash=sha256:") >= len(pins)
    assert "://" not in text and "--index" not in text


@pytest.mark.parametrize("path", LISTS, ids=lambda path: path.stem)
def test_what_is_asked_for_is_in_the_list(path: Path) -> None:
    asked = re.findall(r"^\w[\w.-]*", path.with_suffix(".in").read_text(), flags=re.MULTILINE)
    pinned = re.findall(r"^([a-z0-9._-]+)==", path.read_text(), flags=re.MULTILINE)
    assert {name.lower().replace("_", "-") for name in asked} <= set(pinned)


@pytest.mark.parametrize("path", NPM, ids=lambda path: path.parent.name)
def test_a_list_of_npm_packages_has_hashes_and_names_no_registry(path: Path) -> None:
    packages = {name: each for name, each in json.loads(path.read_text())["packages"].items() if name}
    assert packages
    for name, each in packages.items():
        assert each["integrity"].startswith("sha512-"), name
        assert "resolved" not in each, name
        assert not each.get("hasInstallScript"), f"{name} would run a program of its own when it is installed"


@pytest.mark.parametrize("path", NPM, ids=lambda path: path.parent.name)
def test_npm_is_asked_for_exact_versions(path: Path) -> None:
    asked = json.loads(path.with_name("package.json").read_text())["dependencies"]
    known = json.loads(path.read_text())["packages"]
    assert {name: known[f"node_modules/{name}"]["version"] for name in asked} == asked
