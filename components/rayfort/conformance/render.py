"""A report as JSON, as JUnit's XML and as one HTML page to file."""

import json
from collections.abc import Iterator
from html import escape
from typing import Final
from xml.etree import ElementTree

from rayfort.conformance.check import Status, Verdict
from rayfort.conformance.report import Report
from rayfort.model import JsonObject

FORMAT: Final = 1
TITLE: Final = "Rayfort conformance report"
_CLASS: Final = {Status.PASS: "pass", Status.FAIL: "fail", Status.NOT_RUN: "not-run"}
_STYLE: Final = """
:root { color-scheme: light; }
body { font: 15px/1.45 system-ui, sans-serif; color: #1c1e21; max-width: 72rem; margin: 2rem auto; }
body { padding: 0 1rem; }
h1 { font-size: 1.7rem; margin-bottom: .3rem; }
h2 { font-size: 1.2rem; margin: 2rem 0 .5rem; border-bottom: 2px solid #ccd0d5; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .4rem .6rem; border-bottom: 1px solid #dde1e6; }
td { overflow-wrap: anywhere; }
thead { display: table-header-group; }
code { font: .92em ui-monospace, monospace; }
ul { margin: 0; padding-left: 1.1rem; }
.status { white-space: nowrap; font-weight: 600; }
.pass .status { color: #116329; }
.fail .status { color: #a40e26; }
.fail { background: #fff0f0; }
.not-run .status { color: #7a5200; }
.proves, .remedy { color: #57606a; font-size: .9em; margin: .2rem 0 0; }
.facts th { width: 12rem; font-weight: 600; }
@media print {
  body { margin: 0; max-width: none; font-size: 10pt; }
  tr { break-inside: avoid; }
  h2 { break-after: avoid; }
  .fail { background: none; }
}
"""


def to_json(report: Report) -> str:
    """The report as JSON. Within one ``format``, keys are only ever added."""
    return json.dumps(
        {
            "format": FORMAT,
            "date": _date(report),
            "ok": not report.failed,
            "cluster": dict(report.cluster),
            "versions": dict(report.versions),
            "probe": report.probe,
            "counts": {status.value: count for status, count in report.counts.items()},
            "verdicts": [_verdict(verdict) for verdict in report.verdicts],
        },
        indent=2,
        ensure_ascii=False,
    )


def _verdict(verdict: Verdict) -> JsonObject:
    return {
        "check": verdict.check.name,
        "place": verdict.place,
        "status": verdict.status.value,
        "title": verdict.check.title,
        "proves": verdict.check.proves,
        "details": list(verdict.details),
        **({"remedy": verdict.check.remedy} if verdict.status is Status.FAIL else {}),
    }


def to_junit(report: Report) -> str:
    """The report as JUnit's XML: a suite for each place; what did not run is skipped, with the reason."""
    top = ElementTree.Element("testsuites", {"name": "rayfort verify", **_sums(report.verdicts)})
    for place, verdicts in report.places.items():
        suite = ElementTree.SubElement(
            top,
            "testsuite",
            {"name": _xml(place), "timestamp": _date(report), **_sums(tuple(verdicts))},
        )
        facts = ElementTree.SubElement(suite, "properties")
        for name, value in _facts(report):
            ElementTree.SubElement(facts, "property", name=_xml(name), value=_xml(value))
        for verdict in verdicts:
            case = ElementTree.SubElement(suite, "testcase", name=verdict.check.name, classname=_xml(place))
            said = _xml("\n".join(verdict.details))
            if verdict.status is Status.FAIL:
                failure = ElementTree.SubElement(case, "failure", message=_xml(verdict.check.title))
                failure.text = f"{said}\nWhat to do: {verdict.check.remedy}"
            elif verdict.status is Status.NOT_RUN:
                ElementTree.SubElement(case, "skipped", message=said)
            else:
                ElementTree.SubElement(case, "system-out").text = said
    ElementTree.indent(top)
    return ElementTree.tostring(top, encoding="unicode", xml_declaration=True) + "\n"


def _date(report: Report) -> str:
    return report.date.isoformat(timespec="seconds")


def _sums(verdicts: tuple[Verdict, ...]) -> dict[str, str]:
    ends = [verdict.status for verdict in verdicts]
    return {
        "tests": str(len(ends)),
        "failures": str(ends.count(Status.FAIL)),
        "errors": "0",
        "skipped": str(ends.count(Status.NOT_RUN)),
    }


def _xml(text: str) -> str:
    """Without the characters that XML cannot hold, not even escaped."""
    return "".join(each if each in "\t\n" or each >= " " else "\N{REPLACEMENT CHARACTER}" for each in text)


def to_html(report: Report) -> str:
    """The report as one page: nothing in it is fetched, and every text of the cluster is escaped."""
    return "\n".join(_html(report)) + "\n"


def _html(report: Report) -> Iterator[str]:
    yield "<!DOCTYPE html>"
    yield '<html lang="en"><head><meta charset="utf-8">'
    # Whatever a text might smuggle in, the page loads and runs nothing.
    yield (
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    )
    yield f"<title>{TITLE}</title><style>{_STYLE}</style></head><body>"
    counts = report.counts
    yield f"<h1>{TITLE}</h1>"
    yield (
        f"<p><strong>{'Failed' if report.failed else 'No check failed'}</strong>: "
        f"{counts[Status.PASS]} passed, {counts[Status.FAIL]} failed, "
        f"{counts[Status.NOT_RUN]} did not run.</p>"
    )
    yield '<table class="facts"><tbody>'
    for name, value in _facts(report):
        yield f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>"
    yield "</tbody></table>"
    for place, verdicts in report.places.items():
        yield f"<h2>{escape(place)}</h2>"
        yield "<table><thead><tr><th>Status</th><th>Check</th><th>Seen</th></tr></thead><tbody>"
        for verdict in verdicts:
            yield from _row(verdict)
        yield "</tbody></table>"
    yield (
        '<p class="proves">A check that did not run proves nothing: its row says why. Checks read the '
        "cluster's objects, ask the dashboards through port-forwards"
        f"{', and tried the network out from Pods of their own' if report.probe else ''}.</p>"
    )
    yield "</body></html>"


def _row(verdict: Verdict) -> Iterator[str]:
    check = verdict.check
    lines = [f"<li>{escape(line)}</li>" for line in verdict.details]
    yield f'<tr class="{_CLASS[verdict.status]}"><td class="status">{verdict.status}</td>'
    yield f"<td><code>{escape(check.name)}</code><br>{escape(check.title)}"
    yield f'<p class="proves">{escape(check.proves)}</p></td>'
    remedy = (
        f'<p class="remedy">What to do: {escape(check.remedy)}.</p>' if verdict.status is Status.FAIL else ""
    )
    yield f"<td><ul>{''.join(lines)}</ul>{remedy}</td></tr>"


def _facts(report: Report) -> Iterator[tuple[str, str]]:
    yield "date", _date(report)
    yield from report.cluster.items()
    yield from ((f"{name} version", value) for name, value in report.versions.items())
    yield "probe", "yes" if report.probe else "no"
