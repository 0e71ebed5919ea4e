"""What MkDocs is told beyond mkdocs.yml: pages from outside of docs/, links, and docstrings."""

import os
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

from cli.docs import breaks, links, pages
from cli.docs.components import MARK

ROOT = Path(__file__).resolve().parents[2]
# With what stands there for GitHub, which the docstring begins with.
_MARK = re.compile(
    r"^.* (Source: .*)\n\n" + re.escape(MARK).replace(re.escape("{}"), r"([\w.]+)"), re.MULTILINE
)


def on_config(config: Any) -> Any:
    """Fill the navigation in."""
    config.nav = pages.navigation(config.nav, ROOT)
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the documents that stand elsewhere in the repository."""
    for path, page in pages.OTHERS.items():
        if (ROOT / path).exists():
            files.append(File.generated(config, page, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Lead links to where the site has their targets, and put the docstrings in."""
    known = pages.pages(ROOT)
    here = next(path for path, target in known.items() if target == page.file.src_uri)
    text = links.for_site(markdown, here, known, os.environ.get("RAYFORT_SOURCE") or None)
    return _MARK.sub(lambda found: f"::: {found[2]}\n\n{found[1]}", text)


def on_page_content(html: str, page: Any, config: Any, files: Files) -> str:
    """Let the code of tables break where it reads well."""
    return breaks.with_breaks(html)
