"""Helm charts that the sandbox writes itself, where no chart repository can be reached."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml


@contextlib.contextmanager
def replacing(out: Path, name: str) -> Iterator[Path]:
    """Where to draft the chart `name`, which takes the place of `out/name` when the block ends well."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=f".{name}.") as scratch:
        draft = Path(scratch) / name
        yield draft
        chart = out / name
        if chart.exists():
            chart.rename(Path(scratch) / "previous")
        draft.rename(chart)


def about(name: str, description: str, version: str, *, home: str, icon: str) -> dict[str, Any]:
    """What `Chart.yaml` says; `version` is with or without a leading `v`."""
    number = version.removeprefix("v")
    return {
        "apiVersion": "v2",
        "name": name,
        "description": description,
        "type": "application",
        "version": number,
        "appVersion": number,
        "home": home,
        "icon": icon,
    }


def dump(content: dict[str, Any]) -> str:
    """YAML with the keys in the order given."""
    return yaml.safe_dump(content, sort_keys=False)


def write(path: Path, text: str) -> None:
    """Write a file, and make the directories that it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
