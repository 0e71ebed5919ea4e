"""Mistakes in a stack's settings, as the user hears of them."""

from collections.abc import Sequence
from typing import Final

from pydantic import BaseModel, ValidationError
from rayfort import problems
from rayfort.problems import UNKNOWN_KIND, Key, Problem

__all__ = ["NAMESPACE", "UNKNOWN_KIND", "Key", "Problem", "SettingsError", "from_validation", "key_of"]

NAMESPACE: Final = "rayfort"


class SettingsError(ValueError):
    """A stack's mistakes, all of them."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        count = "1 mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
        lines = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(f"The stack's settings have {count}; nothing was touched.\n{lines}")


def from_validation(error: ValidationError, model: type[BaseModel]) -> list[Problem]:
    """What pydantic found wrong with a stack's values.

    Args:
        error: what validating the values raised.
        model: the model that they were validated against.
    """
    return problems.from_validation(error, model, noun="setting", prefix=f"{NAMESPACE}:")


def key_of(path: Key) -> str:
    """A path as a stack's file writes it."""
    return f"{NAMESPACE}:{problems.key_of(path)}"
