"""Runs the shell lines of the documents as a reader does: in a checkout, one document in one shell."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path

import pytest

from cli.docs.shell import Line, classified_lines

ROOT = Path(__file__).resolve().parents[1]
LINES = tuple(classified_lines(ROOT))  # a block that nobody classified fails a test of its own
SECONDS = 1800  # for one document; a hanging line must not hang the tests
ANSWER = "an-answer-of-the-test\n"  # to every question that a line asks
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".rayfort", ".hypothesis", ".*_cache", "__pycache__", "node_modules", "site"
)


def of_category(*categories: str) -> dict[str, list[Line]]:
    """The lines of some categories by document, in the order in which they stand."""
    chosen = [line for line in LINES if line.category in categories]
    return {document: list(lines) for document, lines in groupby(chosen, key=lambda line: line.document)}


def checkout(place: Path) -> Path:
    """A copy of the checkout with its Python environment, in which lines may write.

    Args:
        place: a directory that is not there yet.
    """
    shutil.copytree(ROOT, place, ignore=LEFT_OUT, symlinks=True)
    (place / ".rayfort").mkdir(mode=0o700)
    (place / ".rayfort" / "venv").symlink_to(ROOT / ".rayfort" / "venv")
    return place


def run(lines: Iterable[Line], directory: Path, variables: Mapping[str, str]) -> None:
    """Run the lines of one document, each to its end; what one exports is there for the next.

    Args:
        lines: of one document.
        directory: where a reader would be.
        variables: added to those of this process.
    """
    steps = list(lines)
    script = directory / ".lines.sh"
    script.write_text("\n".join(_step(number, line) for number, line in enumerate(steps)) + "\n")
    with (directory / ".answers").open("w+") as answers:
        answers.write(ANSWER * 20)
        answers.seek(0)
        done = subprocess.run(
            ["bash", str(script)],
            cwd=directory,
            env={**os.environ, **variables},
            stdin=answers,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    script.unlink()
    told = done.stdout.rpartition("@@ ")[2]
    number, _, output = told.partition("\n")
    if done.returncode:
        line = steps[int(number)]
        pytest.fail(f"{line.place}: {line.command}\nexit code {done.returncode}, not {line.exits}\n{output}")


def _step(number: int, line: Line) -> str:
    """A line, told before it runs; the script ends where its exit code is none that is fine."""
    fine = "|".join(str(code) for code in line.exits)
    judged = f"code=$?; case $code in {fine}) ;; *) exit $((code ? code : 250)) ;; esac"
    return f"echo '@@ {number}'\n{line.command}\n{judged}"
