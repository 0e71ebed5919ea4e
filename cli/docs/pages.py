"""Which documents are pages of the site, and where."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

HOME: Final = "README.md"
# Documents outside of docs/ that are pages too, by path in the repository.
OTHERS: Final = {
    HOME: "index.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
    "CHANGELOG.md": "project/changelog.md",
    "components/README.md": "project/library-readme.md",
    "sandbox/images/README.md": "project/images.md",
    "sandbox/tools/README.md": "project/tools.md",
}
FOLDER: Final = "docs"
# Pages that have their place and may not be written yet.
AWAITED: Final = ("kbatch.md",)


def pages(root: Path) -> dict[str, str]:
    """The path in the site of every document and picture, by path in the repository."""
    found = {
        path.relative_to(root).as_posix(): path.relative_to(root / FOLDER).as_posix()
        for path in sorted((root / FOLDER).rglob("*"))
        if path.is_file()
    }
    decisions = f"{FOLDER}/decisions/README.md"
    if decisions in found:
        found[decisions] = "decisions/README.md"
    return found | {path: page for path, page in OTHERS.items() if (root / path).exists()}


def navigation(entries: list[Any], root: Path) -> list[Any]:
    """The site's navigation, where an entry that ends with a slash stands for the pages of that folder."""
    return list(_expanded(entries, root))


def _expanded(entries: list[Any], root: Path) -> Iterator[Any]:
    for entry in entries:
        if isinstance(entry, str) and entry.endswith("/"):
            yield from sorted(f"{entry}{path.name}" for path in (root / FOLDER / entry).glob("*.md"))
        elif entry in AWAITED and not (root / FOLDER / entry).exists():
            continue
        elif isinstance(entry, dict):
            yield {
                title: navigation(below, root) if isinstance(below, list) else below
                for title, below in entry.items()
            }
        else:
            yield entry
