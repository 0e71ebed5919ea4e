"""The site: MkDocs, strict, and nothing from another host."""

import logging
import os
from pathlib import Path
from typing import Final

from mkdocs.commands import build as building
from mkdocs.commands import serve as serving
from mkdocs.config import load_config
from mkdocs.exceptions import MkDocsException

CONFIGURATION: Final = "mkdocs.yml"
DIRECTORY: Final = Path(".rayfort") / "site"


# Else the theme prints an advertisement of its own plans over the output of every build.
os.environ.setdefault("NO_MKDOCS_2_WARNING", "true")


class SiteError(ValueError):
    """A site that cannot be built, with every reason."""


def build(root: Path, directory: Path | None = None) -> Path:
    """Build the site.

    Args:
        root: the repository.
        directory: where to put it; by default `DIRECTORY` of the repository.

    Returns:
        The directory with ``index.html``.

    Raises:
        SiteError: with every warning, which are errors here: links and anchors that lead nowhere, pages that
            nothing leads to.
    """
    kept = _Kept()
    logging.getLogger("mkdocs").addHandler(kept)
    target = directory or root / DIRECTORY
    try:
        config = load_config(str(root / CONFIGURATION), site_dir=str(target))
        building.build(config)
    except MkDocsException as error:
        raise SiteError(f"{CONFIGURATION}: {error}") from error
    finally:
        logging.getLogger("mkdocs").removeHandler(kept)
    if kept.messages:
        raise SiteError("\n  ".join(["the documents are not in order:", *kept.messages]))
    return target


def serve(root: Path, address: str) -> None:
    """Serve the site, and build it anew when a document changes, until Ctrl-C.

    Args:
        root: the repository.
        address: host and port.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    serving.serve(str(root / CONFIGURATION), dev_addr=address)


class _Kept(logging.Handler):
    """Keeps warnings and errors."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())
