"""Renovate's rules reach every version that Rayfort pins."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
from rayfort import versions

ROOT = Path(__file__).resolve().parents[2]
CONFIGURATION: dict[str, Any] = json.loads((ROOT / "renovate.json").read_text())
MANAGERS: list[dict[str, Any]] = CONFIGURATION["customManagers"]
FILE = "components/rayfort/versions.py"
TEXT = (ROOT / FILE).read_text()
# Since when something can be done: facts about the past, which no release changes.
FACTS = {
    "ISTIO_NATIVE_SIDECARS_AUTO",
    "ISTIO_TLS_MIN_VERSION_FLAG",
    "KUBERAY_AUTH_OPTIONS",
    "KUBERAY_AUTH_SECRET_NAME",
    "KUBERAY_CRON_JOB",
    "KUBERAY_UPGRADE_STRATEGY",
    "RAY_RUNTIME_ENV_TOKEN",
    "RAY_TOKEN_AUTH",
}
# One of the node images of Kind's release, which a person takes from its notes with their digests.
BY_HAND = {"KIND_KUBERNETES"}
CHARTS = {
    "KUBERAY": versions.KUBERAY_CHART_REPOSITORY,
    "ISTIO": versions.ISTIO_CHART_REPOSITORY,
    "PROMETHEUS_CHART": versions.PROMETHEUS_CHART_REPOSITORY,
    "KIALI_CHART": versions.KIALI_CHART_REPOSITORY,
    "JAEGER_CHART": versions.JAEGER_CHART_REPOSITORY,
    "JUPYTERHUB_CHART": versions.JUPYTERHUB_CHART_REPOSITORY,
}


def pattern(text: str) -> re.Pattern[str]:
    """A regular expression as Renovate writes it, with Python's spelling of named groups."""
    return re.compile(text.replace("(?<", "(?P<"))


def pins() -> dict[str, str]:
    """The constants that hold a version, or an image with one."""
    found = {}
    for node in ast.parse(TEXT).body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            value = ast.literal_eval(node.value) if isinstance(node.value, ast.Constant) else None
            if isinstance(value, str) and re.search(r"(^|:)v?\d+\.\d+", value) and "://" not in value:
                found[node.target.id] = value
    return found


def seen() -> list[tuple[dict[str, Any], re.Match[str]]]:
    return [
        (manager, match)
        for manager in MANAGERS
        for text in manager["matchStrings"]
        for match in pattern(text).finditer(TEXT)
    ]


def managers_of(constant: str) -> list[tuple[dict[str, Any], re.Match[str]]]:
    return [(manager, match) for manager, match in seen() if match[0].startswith(f"{constant}: ")]


def test_every_pin_is_a_pin_a_fact_or_by_hand() -> None:
    assert pins().keys() >= FACTS | BY_HAND
    assert pins().keys() - FACTS - BY_HAND >= {"RAY", "KUBERAY", "ISTIO", "KIND"}


@pytest.mark.parametrize("constant", sorted(pins().keys() - FACTS - BY_HAND))
def test_a_pin_has_one_manager_which_reads_its_version(constant: str) -> None:
    ((manager, match),) = managers_of(constant)
    name = match.groupdict().get("depName")
    expected = f"{name}:{match['currentValue']}" if name else match["currentValue"]
    assert expected == pins()[constant]
    assert manager["datasourceTemplate"] in {"docker", "github-releases", "helm", "pypi"}
    assert name or manager["depNameTemplate"]


@pytest.mark.parametrize("constant", sorted(FACTS | BY_HAND))
def test_a_fact_is_left_alone(constant: str) -> None:
    assert not managers_of(constant)


@pytest.mark.parametrize(("constant", "repository"), CHARTS.items())
def test_a_chart_is_looked_up_where_it_comes_from(constant: str, repository: str) -> None:
    ((manager, _),) = managers_of(constant)
    assert manager["datasourceTemplate"] == "helm"
    assert manager["registryUrlTemplate"] == repository


def test_managers_look_at_files_that_are_there() -> None:
    files = [path.relative_to(ROOT).as_posix() for path in ROOT.glob("sandbox/**/*") if path.is_file()]
    for manager in MANAGERS:
        (text,) = manager["managerFilePatterns"]
        assert re.search(text.strip("/"), FILE)
    for text in CONFIGURATION["pip_requirements"]["managerFilePatterns"]:
        assert [file for file in files if re.search(text.strip("/"), file)], text


def tools(text: str) -> list[str]:
    """The packages that a go.mod names as tools."""
    blocks = re.findall(r"^tool \(\n(.*?)^\)", text, re.MULTILINE | re.DOTALL)
    return re.findall(r"^tool ([^(\s]\S*)$", text, re.MULTILINE) + [
        tool for block in blocks for tool in block.split()
    ]


@pytest.mark.parametrize(
    "file", sorted((ROOT / "sandbox" / "tools").glob("*/go.mod")), ids=lambda file: file.parent.name
)
def test_renovate_follows_the_module_of_every_tool(file: Path) -> None:
    """By itself it leaves alone what Go writes down as indirect."""
    text = file.read_text()
    required = dict(re.findall(r"^(?:require |\t)(\S+) v\S+( // indirect)?", text, re.MULTILINE))
    (rule,) = [rule for rule in CONFIGURATION["packageRules"] if rule.get("matchDepTypes") == ["indirect"]]
    for tool in tools(text):
        modules = [module for module in required if tool == module or tool.startswith(f"{module}/")]
        module = max(modules, key=len, default="rayfort.local")  # or it is the folder's own program
        assert not required.get(module) or module in rule["matchDepNames"], f"{tool}: {module}"
    assert required
