"""Previews for reviews, made by the real engine: so that the recordings cannot rot unseen.

`tests/unit/review` reads recordings; here two of them are made anew, by the real program and engine.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from rayfort.review.comment import comment
from rayfort.review.events import read
from rayfort.review.model import Effect, Review, from_json
from rayfort.review.summarize import summarize

from cli.preview_run import Target, preview, up
from infra import program
from sandbox.operator_chart import write_chart, write_definitions_chart
from sandbox.plugins.install import install_analyzer
from sandbox.toolchain import Toolchain
from tests.reviews.record import ROOT, events_of, load, paths_of
from tests.reviews.scenarios import BY_NAME
from tests.reviews.scrub import scrub
from tests.sandbox.engine_site import Site

pytestmark = pytest.mark.sandbox

CHARTS = {"base": "istio-base-chart", "istiod": "istio-istiod-chart", "cni": "istio-cni-chart"}


@pytest.fixture(scope="module")
def target(site: Site, tools: Mapping[str, Path]) -> Target:
    analyzers = install_analyzer(site.directory / "analyzers", Path(sys.executable))
    environment = {**site.environment, "RAYFORT_HELM": str(tools["helm"])}
    environment["PATH"] += f":{analyzers}"
    pulumi = site.directory / "engine" / "bin" / "pulumi"
    return Target(ROOT, "sandbox", "", pulumi, environment, lambda: program.main(ROOT))


@pytest.fixture(scope="module")
def settings(site: Site, assets: Mapping[str, Path], toolchain: Toolchain) -> dict[str, Any]:
    """The sandbox's stack on this control plane, without what is for people."""
    operator = toolchain.find("ray-operator")
    assert operator is not None
    write_chart(assets["kuberay-crds"], assets["kuberay-rbac"], operator.version, site.directory)
    write_definitions_chart(assets["kuberay-crds"], operator.version, site.directory)
    text = (ROOT / "stacks" / "Pulumi.sandbox.yaml").read_text()
    text = text.replace(".rayfort/sandbox/kubeconfig", str(site.config_path))
    for name, asset in CHARTS.items():
        text = text.replace(f".rayfort/sandbox/charts/{name}", str(assets[asset]))
    text = text.replace(".rayfort/sandbox/charts", str(site.directory))
    content: dict[str, Any] = yaml.safe_load(text)
    for name in ("kbatch", "jupyterhub"):
        content["config"].pop(f"rayfort:{name}", None)
    return content


def shape(lines: Iterable[str]) -> dict[str, set[str]]:
    """Which fields events have, by what they are about; not what is in them."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for line in lines:
        event: dict[str, Any] = json.loads(line)
        for kind, content in event.items():
            if not isinstance(content, dict) or kind == "preludeEvent":
                continue
            step = content.get("metadata", {})
            name = f"{kind} {step['op']}" if step else kind
            found[name] |= content.keys() | step.keys() | (step.get("new") or {}).keys()
    return dict(found)


def scrubbed(site: Site, lines: list[str]) -> list[str]:
    return list(scrub(lines, {**paths_of(site.directory), str(site.directory): "/sandbox"}))


def told(lines: Iterable[str]) -> Review:
    return summarize(read(lines), "sandbox")


@pytest.fixture(scope="module")
def lines(target: Target, settings: dict[str, Any]) -> list[str]:
    """The events of a first preview."""
    return events_of(BY_NAME["create"], target, settings)


def test_a_first_preview_is_like_the_recorded_one(site: Site, lines: list[str]) -> None:
    live, recorded = told(lines), told(load("create"))
    assert not live.failed, live.errors
    assert {change.effect for change in live.changes} == {Effect.CREATE}
    assert live.policies and recorded.policies
    # Of what this control plane has no use for, there is nothing to weaken.
    keys = [[line.partition(": ")[0] for line in each.weakened.added] for each in (live, recorded)]
    assert keys[0] == [key for key in keys[1] if not key.startswith("rayfort:jupyterhub.")] != []
    now, then = shape(scrubbed(site, lines)), shape(load("create"))
    assert then.keys() <= now.keys()
    assert {name: fields - now[name] for name, fields in then.items() if fields - now[name]} == {}
    # What is cut out of a recording is nothing that a reviewer is told.
    assert comment([told(scrubbed(site, lines))]) == comment([live])


def test_settings_with_mistakes_are_told_like_the_recorded_ones(
    target: Target, settings: dict[str, Any]
) -> None:
    live, recorded = (
        told(events_of(BY_NAME["settings-error"], target, settings)),
        told(load("settings-error")),
    )
    assert live.failed
    assert live.errors == recorded.errors
    assert not live.changes


def test_no_secret_of_the_settings_is_in_the_events(lines: list[str], settings: dict[str, Any]) -> None:
    """In the engine's own, before anything of ours looked at them; settings that are not encrypted aside."""
    password = settings["config"]["rayfort:workspaces"][0]["netrc"][0]["password"]
    steps = [line for line in lines if "preludeEvent" not in line]
    assert not [line for line in steps if password in line]
    assert "[secret]" in "".join(steps)


def test_a_deployment_makes_what_the_preview_said(target: Target) -> None:
    """With a program of its own: the real one is deployed by `test_up.py`."""

    def small() -> None:
        pulumi.export("answer", 42)

    content = yaml.safe_dump({"config": {"rayfort:cluster": {}}})  # which Pulumi.yaml demands
    stack = replace(target, stack="small-dev", settings=content, program=small)
    assert not preview(stack, lambda _: None, refresh=False).failed
    said: list[str] = []
    assert not up(stack, lambda _: None, said.append).failed
    assert any("42" in line for line in said)

    def broken() -> None:
        raise RuntimeError("the price list does not answer")

    ended = up(replace(stack, program=broken), lambda _: None, said.append)
    assert ended.failed
    assert "the price list does not answer" in ended.said


def test_the_command_writes_what_a_reviewer_should_know_even_of_a_failure(
    target: Target, toolchain: Toolchain, tmp_path: Path
) -> None:
    file, events = tmp_path / "review.json", tmp_path / "events.jsonl"
    # Its kubeconfig is looked for in a home that has none.
    elsewhere = {"HOME": str(tmp_path), "RAYFORT_CACHE": str(toolchain.cache)}
    command = [sys.executable, "-P", "-m", "cli", "review", "preview", "existing"]
    done = subprocess.run(
        [*command, "--output", str(file), "--events", str(events)],
        cwd=tmp_path,
        env={**os.environ, **target.environment, **elsewhere, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    [review] = from_json(file.read_text(), file.name)
    assert review.stack == "existing"
    assert review.failed
    assert "kubeconfig" in review.errors[0]
    assert told(events.read_text().splitlines()).errors == review.errors
