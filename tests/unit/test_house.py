"""The state of the house: style, types, and what must never be committed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def tracked() -> list[Path]:
    listed = run("git", "ls-files", "-z")
    assert listed.returncode == 0, listed.stderr
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("arguments", [("check", "."), ("format", "--check", ".")], ids=["lint", "format"])
def test_ruff_has_nothing_to_say(arguments: tuple[str, ...]) -> None:
    done = run(sys.executable, "-m", "ruff", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr


def test_types_are_strict_and_right() -> None:
    done = run(sys.executable, "-m", "mypy")
    assert done.returncode == 0, done.stdout + done.stderr


def test_shell_scripts_are_posix() -> None:
    """They run on machines whose sh is not bash."""
    for script in ("rayfort", ".ci/run"):
        assert (ROOT / script).read_text().startswith("#!/bin/sh\n")
        done = run("sh", "-n", script)
        assert done.returncode == 0, done.stderr


def test_the_lock_has_hashes_and_names_no_index() -> None:
    """With hashes every mirror serves the same bytes, so none needs to be named."""
    text = (ROOT / "requirements.lock").read_text()
    pins = re.findall(r"^[a-z0-9._-]+==\S+", text, flags=re.MULTILINE | re.IGNORECASE)
    assert len(pins) > 50
    assert text.count("--hash=sha256:") >= len(pins)
    assert "://" not in text
    assert "--index-url" not in text


def test_no_file_names_a_path_of_the_machine_it_was_written_on() -> None:
    """A path of one machine in the repository works there and nowhere else."""
    home = str(Path.home())
    needles = [f"{ROOT}/", *([f"{home}/"] if len(Path(home).parts) > 1 else [])]
    for file in tracked():
        text = file.read_bytes().decode(errors="replace")
        assert not [needle for needle in needles if needle in text], file


def test_every_link_between_documents_leads_somewhere() -> None:
    for document in (file for file in tracked() if file.suffix == ".md"):
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text()):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document.name}: {target}"
