"""The documents: nothing in them leads nowhere, is out of date, or was never run."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import TypeAdapter
from rayfort.conformance.checks import ALL
from rayfort.policies.catalog import RULES

from cli.__main__ import app
from cli.docs import commands, links, settings, shell, site, written
from cli.graph import dot
from cli.schema import stack_schema
from tests import documents

ROOT = documents.ROOT
TEXTS = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in shell.documents(ROOT)
}
OFFLINE = documents.of_category("offline")
FRESH = "run ./rayfort docs write"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site; a link, an anchor or a page that leads nowhere is an error."""
    return site.build(ROOT, tmp_path_factory.mktemp("site") / "site")


def test_the_site_has_every_document(built: Path) -> None:
    assert (built / "index.html").exists()
    for document in (ROOT / "docs").rglob("*.md"):
        page = document.relative_to(ROOT / "docs").with_suffix(".html")
        page = page.with_name("index.html") if page.name == "README.html" else page
        assert (built / page).exists(), page


def test_the_site_takes_nothing_from_another_host(built: Path) -> None:
    """A reader's address and what they read are nobody's business, and the site works without a network."""
    loaded = re.compile(
        r"<(?:script|link|img|iframe|source)\b[^>]*?\b(?:src|href)=[\"']?(?:https?:)?//[^\"'\s>]+",
        re.IGNORECASE,
    )
    for page in built.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not [found for found in loaded.findall(text) if 'rel="canonical"' not in found], page
        assert 'class="mermaid"' not in text, f"{page}: the theme would fetch Mermaid from elsewhere"
    for sheet in built.rglob("*.css"):
        assert not re.search(
            r"(?:@import|url\()\s*[\"']?(?:https?:)?//", sheet.read_text(encoding="utf-8")
        ), sheet


def test_the_site_has_the_docstrings(built: Path) -> None:
    page = (built / "reference" / "components.html").read_text(encoding="utf-8")
    assert "docstring:" not in page
    for name in ("IstioMesh", "RayWorkspace", "KbatchProxy"):
        assert f'id="{name.lower()}"' in page
    asked = TEXTS["docs/reference/components.md"].count("<!-- docstring: ")
    assert asked > 50
    assert page.count('class="doc doc-object') >= asked


@pytest.mark.parametrize("document", TEXTS)
def test_links_lead_to_files_and_anchors_on_github(document: str) -> None:
    for link in links.links(TEXTS[document]):
        target = (ROOT / document).parent / link.target if link.target else ROOT / document
        assert target.exists(), f"{document}: {link.target}"
        if link.anchor and target.suffix == ".md":
            known = links.anchors(target.read_text(encoding="utf-8"))
            assert link.anchor in known, f"{document}: {link.target}#{link.anchor}"


@pytest.mark.parametrize("document", TEXTS)
def test_every_shell_line_is_classified(document: str) -> None:
    for line in shell.lines(document, TEXTS[document]):
        assert line.category in shell.CATEGORIES
        assert line.reason or line.category in shell.RUN


@pytest.mark.parametrize("document", OFFLINE)
def test_lines_that_need_nothing_run(document: str, tmp_path: Path) -> None:
    here = documents.checkout(tmp_path / "check out")
    documents.run(OFFLINE[document], here, {"HOME": str(tmp_path), "RAYFORT_STATE": str(tmp_path / "state")})


@pytest.mark.parametrize("document", TEXTS)
def test_what_belongs_to_a_list_is_written_as_the_site_wants_it(document: str) -> None:
    """MkDocs ends a list before fewer than four blanks, and sees no item in the middle of a paragraph."""
    text = re.sub(r"^```.*?^```$", "", TEXTS[document], flags=re.DOTALL | re.MULTILINE)
    for paragraph in re.split(r"\n\s*\n", text):
        first, *others = paragraph.splitlines() or [""]
        assert not re.match(r" {1,3}[^\s*-]", first), f"{document}: indent by four blanks: {first}"
        if first.startswith("    ") and not first.lstrip().startswith(("-", "`")):
            items = [line for line in others if re.match(r"\d+\. ", line)]
            assert not items, f"{document}: an empty line has to come before {items}"


def test_every_command_that_a_document_names_is_there() -> None:
    """In prose and tables as well, where nothing runs it."""
    known = {name for name, _ in commands.commands(app)}
    groups = {name.split()[0] for name in known if " " in name}
    for document, text in TEXTS.items():
        for words in re.findall(r"\./rayfort ([a-z]+(?: [a-z]+)?)", text):
            first, *second = words.split()
            named = words if first in groups and second else first
            assert named in known or named in groups, f"{document}: ./rayfort {words}"


def test_every_option_that_a_document_names_is_there() -> None:
    helped = {name: commands._help(name, command) for name, command in commands.commands(app)}
    passing = {name for name, command in commands.commands(app) if "ARGUMENTS" in helped[name]}
    for document, text in TEXTS.items():
        for name, rest in re.findall(r"\./rayfort (bench \w+|docs \w+|[a-z]+)((?: +[^`\n|#]+)?)", text):
            if name in helped and name not in passing and name != "ray":
                for option in re.findall(r"(?<!\S)--[a-z-]+", rest.partition(" -- ")[0].partition("&&")[0]):
                    assert option in helped[name], f"{document}: ./rayfort {name} {option}"


def test_what_is_generated_is_up_to_date() -> None:
    for path, text in written.texts(ROOT):
        assert (ROOT / path).exists(), f"{path}: {FRESH}"
        assert (ROOT / path).read_text(encoding="utf-8") == text, f"{path}: {FRESH}"


def test_the_pictures_are_those_of_the_program() -> None:
    for name, graph in written.graphs(ROOT):
        assert written.is_picture_of(graph, ROOT / "docs" / "architecture" / f"{name}.svg"), (
            f"{name}: {FRESH}"
        )
        assert dot.svg(graph).startswith("<?xml")


def test_the_lines_are_counted() -> None:
    counts = Counter(line.category for line in documents.LINES)
    assert f"| all | {counts.total()} | |" in TEXTS[written.COUNTED]
    assert counts["offline"] and counts["sandbox"] and counts["real"]


def test_every_key_of_the_settings_has_an_example_that_it_takes() -> None:
    schema = stack_schema()
    definitions = {"Settings": schema["properties"]["config"], **schema["$defs"]}
    missing = []
    for model, definition in definitions.items():
        for key, rule in definition.get("properties", {}).items():
            try:
                settings.example(model, key, rule, schema["$defs"])
            except settings.ExampleError as error:
                missing.append(str(error))
    assert not missing, "\n".join(missing)


@pytest.mark.parametrize(
    ("model", "key"), [(model, key) for model, keys in settings.written().items() for key in keys]
)
def test_an_example_is_what_its_key_takes(model: str, key: str) -> None:
    fields = {field.alias or name: field for name, field in settings.models()[model].model_fields.items()}
    field = fields[key]
    kind = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
    TypeAdapter(kind).validate_python(settings.written()[model][key])


PROOFS = re.findall(r"`(check|rule|test):([^`]+)`", TEXTS["docs/threats.md"] + TEXTS["docs/comparison.md"])


@pytest.mark.parametrize(("kind", "name"), sorted(set(PROOFS)))
def test_what_proves_that_a_threat_is_stopped_exists(kind: str, name: str) -> None:
    if kind == "check":
        assert name in ALL
    elif kind == "rule":
        assert name in {rule.name for rule in RULES}
    else:
        file, _, function = name.partition("::")
        assert (ROOT / file).exists(), file
        assert not function or f"\ndef {function}(" in (ROOT / file).read_text(), name


def test_every_threat_has_a_proof_or_says_that_nothing_stops_it() -> None:
    rows = [line.split(" | ") for line in TEXTS["docs/threats.md"].splitlines() if line.startswith("| ")]
    threats = [row for row in rows if row[0] not in ("| who",)]
    assert len(threats) > 25
    for row in threats:
        assert len(row) == 4
        assert re.search(r"`(check|rule|test):", row[3]) or row[2].startswith("nothing: "), row


def test_every_check_and_every_rule_stops_something() -> None:
    """A check that proves nothing against anybody is not in the table, or has no business."""
    named = {name for kind, name in PROOFS if kind in ("check", "rule")}
    everything = set(ALL) | {rule.name for rule in RULES}
    assert everything - named <= WITHOUT_A_THREAT, everything - named


# What looks at means, not at threats: that settings reached the wire, and that versions are what they say.
WITHOUT_A_THREAT = {
    "gke-shielded-nodes",
    "mesh-strict",
    "mtls-always-sent",
    "network-denies-by-default",
    "no-envoy-filter",
    "nothing-past-the-sidecar",
    "platform-pod-security-level",
    "ports-agree",
    "ray-version",
    "tls-1.3-configured",
    "workspace-strict",
}
