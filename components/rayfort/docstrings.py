"""What the docstrings of models and components say, for schemas and references."""

import inspect
import re
from collections.abc import Mapping

from pydantic import BaseModel


def summary(documented: type) -> str:
    """What a class's docstring says before its first section, on one line."""
    text, *_ = re.split(r"\n\s*\n\w+:\n", inspect.getdoc(documented) or "")
    return _plain(text)


def descriptions(model: type[BaseModel]) -> Mapping[str, str]:
    """What the docstrings of a model and of its bases say about each field.

    Raises:
        ValueError: if a field is not described.
    """
    known: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if issubclass(base, BaseModel):
            known |= arguments(base.__dict__.get("__doc__") or "")
    for name in model.model_fields:
        if name not in known:
            raise ValueError(
                f"the docstring of {model.__name__} says nothing about {name}; add it to `Args:`"
            )
    return {name: known[name] for name in model.model_fields}


def arguments(docstring: str) -> dict[str, str]:
    """The ``Args:`` section of a docstring: the text of each name, on one line."""
    return section(docstring, "Args")


def attributes(documented: type) -> dict[str, str]:
    """The ``Attributes:`` section of a class's docstring: the text of each name, on one line."""
    return section(documented.__doc__ or "", "Attributes")


def section(docstring: str, title: str) -> dict[str, str]:
    """A section of a docstring: the text of each name, on one line."""
    found: dict[str, list[str]] = {}
    current: list[str] = []
    lines = re.search(rf"^{title}:\n((?: +.*\n?|\n)*)", inspect.cleandoc(docstring), re.MULTILINE)
    for line in lines[1].splitlines() if lines else ():
        entry = re.fullmatch(r" {4}(\w+(?:, \w+)*): (.*)", line)
        if entry:
            current = [entry[2]]
            found |= dict.fromkeys(entry[1].split(", "), current)
        else:
            current.append(line.strip())
    return {name: _sentence(" ".join(texts)) for name, texts in found.items()}


def facts(documented: type) -> dict[str, str]:
    """What a component's docstring says about what it takes beside its arguments.

    One sentence says it: ``Beside its arguments it takes facts: ``one``, what it is, and ``two``, …``.
    """
    text = " ".join((inspect.getdoc(documented) or "").split())
    sentence = re.search(r"Beside its arguments it takes (.*?)\.(?: |$)", text)
    following = r"(?=,? (?:and )?(?:facts: )?``\w+``|$)"
    entries = re.findall(rf"``(\w+)``,? (.*?){following}", sentence[1] if sentence else "")
    return {name: f"{_sentence(entry)}." for name, entry in entries}


def _sentence(text: str) -> str:
    plain = _plain(text)
    return plain[:1].upper() + plain[1:]


def _plain(text: str) -> str:
    """On one line, with code marked as editors show it."""
    return " ".join(text.replace("``", "`").split())
