"""Where a secret stands that should stand nowhere."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tests.e2e.sandbox import Sandbox


def every_object(sandbox: Sandbox) -> list[dict[str, Any]]:
    """All objects of the API server."""
    done = sandbox.kubectl("api-resources", "--verbs=list", "--output=name")
    assert done.ok, done.output
    kinds = ",".join(sorted(set(done.output.split()) - {"componentstatuses"}))
    done = sandbox.kubectl("get", kinds, "--all-namespaces", "--output=json", seconds=300)
    # What the server says beside it stands before or after.
    start, end = done.output.index("{"), done.output.rindex("}") + 1
    return list(json.loads(done.output[start:end])["items"])


def in_clear(objects: Iterable[dict[str, Any]], secret: str) -> list[str]:
    """The objects that hold it as it is."""
    return [_name(each) for each in objects if secret in json.dumps(each)]


def encoded(objects: Iterable[dict[str, Any]], secret: str) -> set[str]:
    """The objects that hold it as Secrets hold what they have."""
    text = base64.b64encode(secret.encode()).decode()
    return {_name(each) for each in objects if text in json.dumps(each)}


def in_files(places: Iterable[Path], secret: str) -> list[str]:
    """The files that hold it."""
    return [str(path) for path in _files(places) if secret.encode() in path.read_bytes()]


def _files(places: Iterable[Path]) -> Iterator[Path]:
    for place in places:
        assert place.exists(), place
        yield from (path for path in [place, *place.rglob("*")] if path.is_file())


def _name(found: dict[str, Any]) -> str:
    meta = found["metadata"]
    return f"{found['kind']} {meta.get('namespace', '')}/{meta['name']}"
