"""An environment of Python with the library's wheel, what it declares to need, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import venv
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]


def build(directory: Path) -> tuple[Path, Path]:
    """Build the library's wheel and source distribution, with the backend that its pyproject.toml names."""
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(directory)]
    subprocess.run(command, cwd=ROOT / "components", check=True, capture_output=True)
    (wheel,), (source,) = directory.glob("*.whl"), directory.glob("*.tar.gz")
    return wheel, source


def install(directory: Path, wheel: Path) -> Path:
    """Make the environment.

    What the wheel needs is linked from where the tests run, and what that needs in turn: each file that a
    distribution says is its own. A package that is imported and not declared is not there.

    Returns:
        Its interpreter.
    """
    venv.create(directory, with_pip=False)
    python = directory / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install"]
    subprocess.run([*pip, "--no-index", "--no-deps", str(wheel)], check=True, capture_output=True)
    packages = next((directory / "lib").glob("python*")) / "site-packages"
    (information,) = packages.glob("rayfort-*.dist-info")
    needed = metadata.Distribution.at(information).requires or []
    for distribution in closure([Requirement(each) for each in needed]):
        _link(distribution, packages)
    return python


def closure(requirements: list[Requirement]) -> Iterator[metadata.Distribution]:
    """The distributions that requirements name, and those that they need; extras are asked for by name."""
    # Those of an extra that nobody asked for do not count.
    todo = [each for each in requirements if not each.marker or each.marker.evaluate({"extra": ""})]
    seen: set[str] = set()
    while todo:
        requirement = todo.pop()
        if str(requirement) in seen:
            continue
        seen.add(str(requirement))
        distribution = metadata.distribution(requirement.name)
        yield distribution
        for inner in map(Requirement, distribution.requires or []):
            asked = requirement.extras or {""}
            if not inner.marker or any(inner.marker.evaluate({"extra": extra}) for extra in asked):
                todo.append(inner)


def _link(distribution: metadata.Distribution, packages: Path) -> None:
    source = Path(str(distribution.locate_file("")))
    files = [file.parts for file in distribution.files or [] if ".." not in file.parts]
    # Packages such as `google` are of several distributions: what is in them is linked one by one.
    shared = {top for top in {parts[0] for parts in files} if _is_shared(source / top)}
    for place in {parts[: 2 if parts[0] in shared else 1] for parts in files}:
        target = packages.joinpath(*place)
        if not target.exists():
            target.parent.mkdir(exist_ok=True)
            target.symlink_to(source.joinpath(*place))


def _is_shared(top: Path) -> bool:
    return top.is_dir() and top.suffix != ".dist-info" and not (top / "__init__.py").exists()
