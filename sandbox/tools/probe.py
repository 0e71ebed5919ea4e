"""Which version a program says it is."""

import mmap
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from sandbox.tools.catalog import Tool

TIMEOUT_SECONDS = 60.0

# the first thing in the output that looks like a version, as v1.36.3, 3.6.16 or 1.31-alpha.eed52ebb66ad
_VERSION = re.compile(r"(?<![\w.])v?(\d+\.\d+(?:\.\d+)?(?:-[0-9A-Za-z.-]+)?)")


def reported_version(tool: Tool, binary: Path) -> str | None:
    """Ask a binary for its version.

    Args:
        tool: what the binary should be.
        binary: the executable.

    Returns:
        The version with a leading v where it is a semantic one, as "v3.6.16"; None when it does not say.
    """
    if not tool.version_command:
        return _embedded_version(binary, tool.module.path)
    try:
        said = subprocess.run(
            [binary, *tool.version_command],
            env=os.environ | {"PULUMI_SKIP_UPDATE_CHECK": "true"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    match = _VERSION.search(said.stdout) or _VERSION.search(said.stderr)
    return normal(match[1]) if match else None


def normal(version: str) -> str:
    """The form in which versions are compared: semantic versions begin with v."""
    return f"v{version}" if re.match(r"\d+\.\d+\.\d+", version) else version


def on_path(name: str) -> Iterator[Path]:
    """Every executable of that name on PATH, in its order."""
    for folder in os.get_exec_path():
        candidate = Path(folder) / name
        # a relative entry would mean another program in every directory
        if candidate.is_absolute() and candidate.is_file() and os.access(candidate, os.X_OK):
            yield candidate


def _embedded_version(binary: Path, module: str) -> str | None:
    # What `go version -m` prints; it is stored as plain text and readable without a Go.
    pattern = rb"\n(?:mod|dep)\t" + re.escape(module.encode()) + rb"\t(v[^\t\n]+)"
    try:
        with binary.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            match = re.search(pattern, content)
            return match[1].decode() if match else None
    except (OSError, ValueError):  # unreadable or empty
        return None
