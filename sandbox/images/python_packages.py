"""Python packages in an image: fetched by this machine's pip, compiled by the image's own Python."""

import configparser
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Final

from sandbox.images.catalog import REQUIREMENTS, PythonPackages
from sandbox.images.commands import Commands, clean_environment

_INTERPRETER: Final = "/usr/bin/python3"
_SCRIPT: Final = """\
#!{interpreter}
import sys
from {module} import {first}
if __name__ == "__main__":  # what it starts with multiprocessing imports it again
    sys.exit({function}())
"""


def requirements(packages: PythonPackages, folder: Path = REQUIREMENTS) -> tuple[str, ...]:
    """What pip is asked for: a whole pinned list with hashes, or else the version alone.

    Args:
        packages: what is wanted.
        folder: where the pinned lists lie.

    Returns:
        Lines of a requirements file.
    """
    lock = (folder / f"{packages.lock}.txt").read_text()
    name = packages.package.partition("[")[0]
    if re.search(rf"^{re.escape(name)}=={re.escape(packages.version)}\s", lock, re.MULTILINE):
        return tuple(lock.splitlines())
    # Another version may need other versions of everything: then only what is beside it is pinned.
    asked = (folder / f"{packages.lock}.in").read_text().splitlines()
    beside = [line for line in asked if re.match(r"[\w.-]+", line) and _name(line) in packages.beside]
    return (f"{packages.package}=={packages.version}", *beside)


def _name(requirement: str) -> str:
    match = re.match(r"[\w.-]+", requirement)
    return match[0] if match else ""


def python_of(root: Path) -> str:
    """The version of a root's Python, as "3.11"."""
    return Path(root / _INTERPRETER.lstrip("/")).readlink().name.removeprefix("python")


def directory(version: str) -> str:
    """Where Debian's Python finds packages that are not Debian's."""
    return f"usr/local/lib/python{version}/dist-packages"


def install(packages: PythonPackages, tree: Path, root: Path, commands: Commands) -> None:
    """Install packages into the tree of a layer.

    Args:
        packages: what to install.
        tree: what becomes the layer.
        root: the unpacked root that the layer will lie over, on the same file system.
        commands: runs what has to be run.

    Raises:
        SandboxError: it failed.
    """
    version = python_of(root)
    target = tree / directory(version)
    target.mkdir(parents=True)
    wanted = tree.parent / "requirements.txt"
    lines = requirements(packages)
    wanted.write_text("".join(f"{line}\n" for line in lines))
    command: list[str | Path] = [sys.executable, "-m", "pip", "install", "--target", target, "--no-compile"]
    command += ["--python-version", version, "--only-binary=:all:", "--progress-bar=off"]
    command += ["--disable-pip-version-check", "--requirement", wanted]
    if any("--hash=" in line for line in lines):
        # The list is whole. Following dependencies, pip would judge them by this Python, not the root's.
        command += ["--require-hashes", "--no-deps"]
    # the user's own index and certificates; a site's PIP_USER=1 contradicts --target
    commands.run(command, os.environ | {"PIP_USER": "0"})
    for path in packages.without:
        shutil.rmtree(target / path, ignore_errors=True)
    _move_programs(target, tree / "usr/local/bin")
    _compile(tree, root, directory(version), commands)


def _move_programs(target: Path, folder: Path) -> None:
    """Put the packages' programs where a shell finds them, for the image's Python instead of this one."""
    made = target / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    for path in made.iterdir() if made.is_dir() else ():
        content = path.read_bytes()
        if content.startswith(b"#!"):
            continue  # starts this machine's Python
        path.chmod(0o755)
        path.rename(folder / path.name)
    shutil.rmtree(made, ignore_errors=True)
    for info in target.glob("*.dist-info"):
        for name, entry in _commands(info / "entry_points.txt").items():
            module, _, function = entry.partition(":")
            script = _SCRIPT.format(
                interpreter=_INTERPRETER,
                module=module.strip(),
                first=function.strip().partition(".")[0],
                function=function.strip(),
            )
            (folder / name).write_text(script)
            (folder / name).chmod(0o755)
        _forget_programs(info / "RECORD")


def _commands(entry_points: Path) -> dict[str, str]:
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # names of commands have cases
    parser.read(entry_points)
    if not parser.has_section("console_scripts"):
        return {}
    return {name: entry.partition("[")[0] for name, entry in parser["console_scripts"].items()}


def _forget_programs(record: Path) -> None:
    """Take the hashes of programs out of a package's record: they held the path of this machine's Python."""
    if record.exists():
        lines = record.read_text().splitlines(keepends=True)
        record.write_text("".join(line for line in lines if not line.startswith("../../bin/")))


def _compile(tree: Path, root: Path, packages: str, commands: Commands) -> None:
    inside = root / "layer"
    tree.rename(inside)
    try:
        # Unchecked: layers give every file another time than it had, and a Pod cannot write what it compiles.
        # Some packages hold files for other Pythons, which do not compile: the exit code says nothing.
        command = (
            f"python3 -m compileall -q --invalidation-mode=unchecked-hash -s /layer -p / /layer/{packages}"
            " || python3 -c 0"
        )
        commands.run(["chroot", root, "/bin/sh", "-c", command], clean_environment())
    finally:
        inside.rename(tree)
