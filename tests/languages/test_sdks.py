"""Programs in TypeScript and Go against the library's schema: their SDKs generated, their types checked.

They take node with npm, a Go, and hundreds of megabytes of packages. On two cores that of TypeScript takes
most of a minute, that of Go minutes of its compiler for Pulumi's SDK of Kubernetes. So they run when they are
named, and only then::

    ./rayfort test tests/languages
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from rayfort.host import schema

from sandbox.toolchain import Toolchain

EXAMPLES = Path(__file__).parents[2] / "examples"


def project(language: str, generator: str, folder: Path) -> Path:
    """An example with the SDK that ``pulumi package add`` would put beside it."""
    made = folder / language
    shutil.copytree(EXAMPLES / language, made)
    sdkgen = Toolchain().ensure(["sdkgen"])["sdkgen"]
    subprocess.run([sdkgen, generator, schema.FILE, made / "sdks" / "rayfort"], check=True)
    return made


def run(folder: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, check=False
    )


@pytest.mark.timeout(1200)
def test_typescript(tmp_path: Path) -> None:
    folder = project("typescript", "nodejs", tmp_path)
    # Scripts would build the SDK, which is checked as source with the program.
    installed = run(folder, "npm", "install", "--ignore-scripts", "--no-audit", "--no-fund")
    assert installed.returncode == 0, installed.stderr
    checked = run(folder, "node_modules/.bin/tsc", "--project", ".", "--preserveSymlinks")
    assert checked.returncode == 0, checked.stdout

    program = folder / "index.ts"
    program.write_text(program.read_text().replace("quota:", "qouta:").replace("Traffic.L4", "Traffic.L5"))
    wrong = run(folder, "node_modules/.bin/tsc", "--project", ".", "--preserveSymlinks")
    assert "'qouta' does not exist in type" in wrong.stdout
    assert "'L5' does not exist" in wrong.stdout


@pytest.mark.timeout(1800)
def test_go(tmp_path: Path) -> None:
    folder = project("go", "go", tmp_path)
    # Every checksum is in go.sum.
    closed = {"GOFLAGS": "-mod=readonly", "GOSUMDB": "off", "GOTOOLCHAIN": "local"}
    checked = run(folder, "go", "vet", "./...", **closed)
    assert checked.returncode == 0, checked.stderr

    program = folder / "main.go"
    right = program.read_text()
    for name, typo in (("Quota:", "Qouta:"), ("TrafficL4", "TrafficL5")):  # vet tells one at a time
        program.write_text(right.replace(name, typo))
        wrong = run(folder, "go", "vet", "./...", **closed)
        assert typo.rstrip(":") in wrong.stderr
