"""The versions whose states are recorded, where their sources are, and what leaving them behind announces."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

from tests.upgrades.record import ROOT


@dataclass(frozen=True)
class Version:
    """A version that somebody may have.

    Attributes:
        commit: of its sources: a tag, or for what was before the first release a commit.
        announced: what an upgrade from it to today's program replaces or deletes, by type and name, and why;
            each reason is a sentence of CHANGELOG.md.
    """

    commit: str
    announced: Mapping[str, str] = field(default_factory=dict)


_KBATCH_SECRET: Final = (
    "kbatch-proxy's Secret became immutable and is named by what is in it; the proxy is rolled out with the "
    "new one before the old one goes."
)
_KBATCH_FENCE: Final = (
    "The one NetworkPolicy of a kbatch user's namespace became several, which are made before it goes."
)

VERSIONS: Final[Mapping[str, Version]] = MappingProxyType(
    {
        "0.1.0.dev1": Version(
            "388ef0eb39104110ae1cfccdf287eba43deeedb6",
            {
                "kubernetes:core/v1:Secret::kbatch": _KBATCH_SECRET,
                "kubernetes:networking.k8s.io/v1:NetworkPolicy::kbatch-kbatch-alice": _KBATCH_FENCE,
            },
        ),
        "0.1.0.dev2": Version("ce772231f658a05b54b02dcacadf8205a19ea809"),
    }
)


def short(resource: str) -> str:
    """A resource by its own type and its name, without its parents' types."""
    return resource.rsplit("$", 1)[-1]


def sources(version: str, folder: Path) -> Path:
    """The sources of a version, out of git, in a folder.

    Raises:
        AssertionError: if this is no clone with its history.
    """
    archive = subprocess.run(
        ["git", "-C", str(ROOT), "archive", VERSIONS[version].commit], capture_output=True, check=False
    )
    assert archive.returncode == 0, (
        f"{archive.stderr.decode().strip()}; a shallow clone lacks the sources of {version}: "
        "run `git fetch --unshallow --tags`"
    )
    folder.mkdir(parents=True)
    subprocess.run(["tar", "--extract", "--directory", str(folder)], input=archive.stdout, check=True)
    return folder
