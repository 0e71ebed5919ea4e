"""What reads the documents: shell lines, links, the changelog, and the mirror's stack."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli import release
from cli.docs import breaks, links, shell
from cli.offline import plan
from cli.plan import to_json
from cli.stacks import load

ROOT = Path(__file__).resolve().parents[2]


def read(text: str) -> list[shell.Line]:
    return list(shell.lines("a.md", text))


def test_lines_have_the_category_of_their_block_or_their_own() -> None:
    text = """# A

<!-- shell: sandbox
     ./rayfort bench = long, ten minutes
     ./rayfort preview --expect-no-changes = sandbox[0 3] -->

```sh
# only a comment
./rayfort up   # don't count this apostrophe
./rayfort bench mesh
./rayfort preview --expect-no-changes
```
"""
    up, bench, preview = read(text)
    assert (up.category, up.number, up.exits) == ("sandbox", 9, (0,))
    assert (bench.category, bench.reason) == ("long", "ten minutes")
    assert preview.exits == (0, 3)
    assert preview.place == "a.md:11"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("```sh\nls\n```", "a.md:2: a shell block of no category"),
        ("```\nls\n```", "a.md:2: a block without a language"),
        ("<!-- shell: somewhere -->\n\n```sh\nls\n```", "'somewhere' is no category"),
        ("<!-- shell: cloud -->\n\n```sh\nls\n```", "cloud needs a reason"),
        ("<!-- shell: sandbox -->\n\ntext\n\n```sh\nls\n```", "a shell block of no category"),
    ],
)
def test_what_is_not_classified_is_told_with_its_place(text: str, problem: str) -> None:
    with pytest.raises(shell.DocumentError, match=re.escape(problem)):
        read(text)


@pytest.mark.parametrize(
    ("block", "count"),
    [
        ("a\nb", 2),
        ("a \\\n  b", 1),
        ("echo 'a\nb'", 1),
        ('echo "a\nb"', 1),
        ("cat <<EOF\na\nb\nEOF\nls", 2),
        ("cat <<'X'\na 'b\nX", 1),
        ("echo it # isn't\nls", 2),
        ("echo a\\'b\nls", 2),
        ("\n# a comment\n\nls", 1),
    ],
)
def test_a_command_goes_on_where_a_shell_would_read_on(block: str, count: int) -> None:
    assert len(list(shell.commands(block))) == count


def test_blocks_in_lists_lose_their_indentation() -> None:
    (fence,) = shell.fences("1. one\n\n   ```yaml\n   a: b\n   ```\n")
    assert (fence.language, fence.text) == ("yaml", "a: b")


PAGES = {
    "README.md": "index.md",
    "docs/a.md": "a.md",
    "docs/b/c.md": "b/c.md",
    "SECURITY.md": "project/security.md",
}


@pytest.mark.parametrize(
    ("document", "text", "expected"),
    [
        ("README.md", "[a](docs/a.md#x)", "[a](a.md#x)"),
        ("docs/b/c.md", "[r](../../README.md#try)", "[r](../index.md#try)"),
        ("docs/a.md", "[s](../SECURITY.md)", "[s](project/security.md)"),
        ("docs/a.md", "[t](../tests/x.py) and [u](https://e.com/a.md)", "t and [u](https://e.com/a.md)"),
        ("docs/a.md", "[x](#here)", "[x](#here)"),
        ("docs/a.md", "```text\n[a](../no.md)\n```", "```text\n[a](../no.md)\n```"),
    ],
)
def test_links_lead_to_pages_of_the_site(document: str, text: str, expected: str) -> None:
    assert links.for_site(text, document, PAGES, None) == expected


def test_links_to_sources_lead_to_the_repository_where_it_is_known() -> None:
    made = links.for_site("[t](../tests/x.py)", "docs/a.md", PAGES, "https://git.example.com/r/blob/main/")
    assert made == "[t](https://git.example.com/r/blob/main/tests/x.py)"


def test_anchors_are_githubs() -> None:
    text = "# What is *real*, and `what` is not?\n\n## A [link](b.md)\n\n## A link\n"
    assert links.anchors(text) == {"what-is-real-and-what-is-not", "a-link", "a-link-1"}


def test_a_release_takes_its_notes_from_the_changelog() -> None:
    changelog = "# Changelog\n\n## [Unreleased]\n\n## [0.2.0] - 2026-12-01\n\nNew.\n\n## [0.1.0]\n\nOld.\n"
    assert release.notes("v0.2.0", changelog) == "New.\n"
    with pytest.raises(release.ReleaseError, match="says nothing about v0"):
        release.notes("v0.3.0", changelog)
    with pytest.raises(release.ReleaseError, match="is not the version"):
        release.check("v99.0.0", changelog)


def test_the_changelog_has_a_place_for_the_next_change() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert release.notes("vUnreleased", text)


def test_the_library_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT / "components")
    names = {path.name.split("-")[0] + path.suffix for path in release.build(tmp_path)}
    assert names == {"rayfort.whl", "rayfort.gz"}


def mirrored(directory: Path) -> dict[str, Any]:
    """The plan of the stack that docs/air-gapped.md shows."""
    text = (ROOT / "docs" / "air-gapped.md").read_text(encoding="utf-8")
    (stack,) = (fence.text for fence in shell.fences(text) if fence.language == "yaml")
    yaml.safe_load(stack)
    (directory / "stacks").mkdir()
    (directory / "Pulumi.yaml").write_text((ROOT / "Pulumi.yaml").read_text())
    (directory / "stacks" / "Pulumi.mirror.yaml").write_text(stack)
    made: dict[str, Any] = json.loads(to_json(plan(load(directory, "mirror"))))
    return made


def strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in strings(item)]
    if isinstance(value, list):
        return [text for item in value for text in strings(item)]
    return [value] if isinstance(value, str) else []


def test_the_stack_behind_an_air_gap_names_no_public_host(tmp_path: Path) -> None:
    made = mirrored(tmp_path)
    charts = [item["inputs"] for item in made["resources"] if item["type"].endswith(":Release")]
    assert len(charts) >= 3
    for chart in charts:
        source = (chart.get("repositoryOpts") or {}).get("repo") or chart["chart"]
        assert "registry.example.com" in source or "://" not in source, source
    registries = re.compile(r"(?:https://)?(?:(?:docker|quay|ghcr|gcr|\S+\.github)\.io/|\S+\.google|raw\.)")
    named = [text for item in made["resources"] for text in strings(item["inputs"])]
    assert not [text for text in named if registries.match(text)]
    assert [text for text in named if text.startswith("registry.example.com/")]


def test_long_code_in_a_table_breaks_at_its_joints_and_short_code_nowhere() -> None:
    row = "<tr>\n<td><code>{}</code></td>\n<td><code>{}</code></td></tr>"
    assert breaks.with_breaks(row.format("rayfort:kbatch.imageTag", "kube-system")) == row.format(
        "rayfort:kbatch.imageTag", "kube-system"
    )
    broken = breaks.with_breaks(row.format("rayfort:kbatch.imageTag", "Cluster.nodeConfig.imageType"))
    assert '<code class="breaks">Cluster.<wbr>node<wbr>Config.<wbr>image<wbr>Type</code>' in broken
    assert "<code>rayfort:kbatch.imageTag</code>" in broken
    digest = breaks.with_breaks(f"<td><code>{'a' * 64}</code></td>")
    assert max(map(len, re.findall("a+", digest))) == 20
    assert re.sub("<wbr>| class=.breaks.", "", digest) == f"<td><code>{'a' * 64}</code></td>"


def test_breaks_leave_entities_whole_and_code_outside_of_tables_alone() -> None:
    quoted = "<td><code>[&quot;SYSTEM_COMPONENTS&quot;,&quot;WORKLOADS&quot;]</code></td>"
    broken = breaks.with_breaks(quoted)
    assert "<wbr>" in broken
    assert re.sub("<wbr>| class=.breaks.", "", broken) == quoted
    assert broken.count("&quot;") == 4
    outside = "<p><code>Cluster.nodeConfig.shieldedInstanceConfig</code></p>"
    assert breaks.with_breaks(outside) == outside
