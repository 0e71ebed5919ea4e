"""A report on paper: what is in it, that nothing in it runs or is fetched, and that machines can read it."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from rayfort.conformance import Report, Status, judge
from rayfort.conformance.checks import ALL
from rayfort.conformance.render import to_html, to_json, to_junit

from tests.unit.conformance.world import WORKSPACE, World, main, worker

DATE = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
EVIL = "<script>alert(1)</script>&\"'"


@pytest.fixture
def report() -> Report:
    """With a pass, a failure that quotes the cluster, and a check that did not run."""
    world = World()
    main(worker(world))["image"] = EVIL
    world.data["probes"]["wire"] = {}
    return judge(world.seen, probe=True, date=DATE)


def test_json_has_everything_for_a_machine(report: Report) -> None:
    found = json.loads(to_json(report))
    assert found["format"] == 1
    assert found["ok"] is False
    assert found["date"] == "2026-01-02T03:04:05+00:00"
    assert set(found["cluster"]) == {"context", "server", "version", "uid"}
    assert found["versions"]["istio"] == "1.31.0"
    assert found["versions"]["kuberay"] == "v1.6.2"
    assert found["versions"]["ray"] == "team-a/ray: 2.55.1"
    assert found["versions"]["rayfort"]
    verdicts = {each["check"]: each for each in found["verdicts"]}
    assert set(verdicts) == set(ALL)
    assert (verdicts["images-pinned"]["status"], verdicts["images-pinned"]["place"]) == ("fail", WORKSPACE)
    assert verdicts["images-pinned"]["remedy"]
    assert "remedy" not in verdicts["quota"]
    assert verdicts["tls-1.2-refused"]["status"] == "not run"
    assert all(each["details"] and each["proves"] for each in verdicts.values())
    assert sum(found["counts"].values()) == len(ALL)


def test_junit_counts_failures_and_skips_what_did_not_run(report: Report) -> None:
    top = ElementTree.fromstring(to_junit(report))
    assert [suite.get("name") for suite in top] == ["platform", WORKSPACE]
    assert (top.get("tests"), top.get("failures"), top.get("skipped")) == (str(len(ALL)), "1", "3")
    cases = {case.get("name"): case for case in top.iter("testcase")}
    failure = cases["images-pinned"].find("failure")
    assert failure is not None and EVIL in (failure.text or "") and "What to do" in (failure.text or "")
    skipped = cases["tls-1.2-refused"].find("skipped")
    assert skipped is not None and skipped.get("message")
    assert len(cases["quota"].findall("failure")) == 0


def test_junit_is_xml_whatever_the_cluster_says() -> None:
    world = World()
    main(worker(world))["image"] = "bad\x00\x1b]]>&<\ud7ff"
    ElementTree.fromstring(to_junit(judge(world.seen)))


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_html_loads_nothing_runs_nothing_and_escapes_the_cluster(report: Report) -> None:
    page = to_html(report)
    parsed = _Tags()
    parsed.feed(page)
    tags = {tag for tag, _ in parsed.found}
    assert not tags & {"script", "link", "img", "iframe", "object", "embed", "form", "a", "base"}
    assert not re.search(r"url\(|@import|https?://(?!192\.0\.2\.1)", page)
    for _, attributes in parsed.found:
        assert not [name for name in attributes if name.startswith("on") or name in {"src", "href", "style"}]
    assert any(EVIL in text for text in parsed.text)
    assert "default-src 'none'" in page


def test_html_says_what_a_review_needs(report: Report) -> None:
    page = to_html(report)
    for text in ("2026-01-02T03:04:05+00:00", "rayfort-sandbox", "1.31.0", "v1.6.2", "2.55.1", "1 failed"):
        assert text in page
    for check in ALL.values():
        assert check.name in page
    assert "@media print" in page


def test_a_report_without_failures_says_so() -> None:
    report = judge(World().seen)
    assert not report.failed
    assert report.counts[Status.FAIL] == 0
    assert "No check failed" in to_html(report)
