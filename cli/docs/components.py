"""The reference of the library, made from its docstrings: a page for the site, readable without it."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import rayfort
from pydantic import BaseModel
from rayfort.component import Component

MARK: Final = "<!-- docstring: {} -->"  # where the site has the whole docstring
INTRODUCTION: Final = """# Components

<!-- Made by `./rayfort docs write` from the docstrings in components/rayfort; change those. -->

What `rayfort` exports. A component takes a name, one frozen model and Pulumi's options; it refuses bad
arguments before a resource is registered. Models have snake_case names in Python and camelCase keys in stack
files; types, defaults and examples of their fields are in the [settings](settings.md).
[How to use the library](../library.md).
"""
LIBRARY_PAGE: Final = "[How to use the library](../library.md)."
README_PAGE: Final = "[How to use the library](../../README.md#as-a-library)."


def render(root: Path) -> str:
    """The reference, as Markdown.

    Args:
        root: the repository.
    """
    return "\n".join(_lines(root)).rstrip() + "\n"


def _lines(root: Path) -> Iterator[str]:
    there = (root / "docs" / "library.md").exists()
    yield INTRODUCTION if there else INTRODUCTION.replace(LIBRARY_PAGE, README_PAGE)
    components, models, values = exported()
    for title, names in (("Components", components), ("Models", models), ("Values", values)):
        yield f"## {title}\n"
        for name in names:
            yield from _one(root, name)


def exported() -> tuple[list[str], list[str], list[str]]:
    """What the library exports by name: its components, their models, and the values of those."""
    kinds: tuple[list[str], list[str], list[str]] = ([], [], [])
    for name in rayfort.__all__:
        value: Any = getattr(rayfort, name)
        if isinstance(value, type) and issubclass(value, Component):
            kinds[0].append(name)
        elif isinstance(value, type) and issubclass(value, BaseModel):
            kinds[1].append(name)
        else:
            kinds[2].append(name)
    return kinds


def _one(root: Path, name: str) -> Iterator[str]:
    value = getattr(rayfort, name)
    source = Path(inspect.getsourcefile(value) or "")
    shown = source.resolve().relative_to(root.resolve()).as_posix()
    summary = inspect.cleandoc(value.__doc__ or "").partition("\n\n")[0].replace("``", "`")
    yield f"### {name}\n"
    yield f"{' '.join(summary.split())} Source: [{shown}](../../{shown}).\n"
    yield f"{MARK.format(f'{value.__module__}.{value.__qualname__}')}\n"
