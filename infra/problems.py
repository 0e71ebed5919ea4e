"""Mistakes in a stack's settings, as the user hears of them."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import BaseModel, Tag, ValidationError
from pydantic_core import ErrorDetails

NAMESPACE: Final = "rayfort"
# What a union of models says where ``kind`` names none of them.
UNKNOWN_KIND: Final = "unknown_kind"

# A default that is computed from a value which has an error of its own.
_FOLLOWS: Final = "default_factory_not_called"
_OBJECT: Final = "must be an object with keys"
_WHOLE_NUMBER: Final = "must be a whole number"
_NUMBER: Final = "must be a number"
_BOOLEAN: Final = "must be true or false"
# What pydantic's kinds of error say to somebody who writes YAML.
_PROBLEMS: Final[Mapping[str, str]] = {
    "missing": "is required; set it",
    "value_error": "{error}",
    "enum": "must be one of {expected}",
    "literal_error": "must be one of {expected}",
    "tuple_type": "must be a list",
    "dict_type": _OBJECT,
    "model_type": _OBJECT,
    "model_attributes_type": _OBJECT,
    "string_type": "must be text; put it into quotes",
    "string_too_short": "is empty; set it or leave the key out",
    "too_short": "must have at least {min_length} entries",
    "int_type": _WHOLE_NUMBER,
    "int_parsing": _WHOLE_NUMBER,
    "int_from_float": _WHOLE_NUMBER,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "bool_type": _BOOLEAN,
    "bool_parsing": _BOOLEAN,
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
}


@dataclass(frozen=True)
class Problem:
    """One mistake: the key as it is written in the stack file, and what is wrong and what to do."""

    key: str
    text: str

    def __str__(self) -> str:
        return f"{self.key}: {self.text}"


class SettingsError(ValueError):
    """A stack's mistakes, all of them."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        count = "1 mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
        lines = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(f"The stack's settings have {count}; nothing was touched.\n{lines}")


def from_validation(error: ValidationError, model: type[BaseModel]) -> list[Problem]:
    """What pydantic found wrong with a stack's values, in the words of somebody who writes YAML.

    Args:
        error: what validating the values raised.
        model: the model that they were validated against.
    """
    details = error.errors(include_url=False, include_input=False)
    return [_problem(item, model) for item in details if item["type"] != _FOLLOWS]


def _problem(error: ErrorDetails, model: type[BaseModel]) -> Problem:
    location = tuple(part for part in error["loc"] if part != "[key]")
    if error["type"] == UNKNOWN_KIND:
        return Problem(_key((*location, "kind")), error["msg"])
    if error["type"] == "extra_forbidden":
        return Problem(_key(location), _unknown_key(location, model))
    return Problem(_key(location), _text(error))


def _key(location: tuple[int | str, ...]) -> str:
    text = ""
    for part in location:
        if not _is_tag(part):
            text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return f"{NAMESPACE}:{text.removeprefix('.')}"


def _is_tag(part: int | str) -> bool:
    """Whether this is no key, but the name of the model that a union took, in angle brackets."""
    return str(part).startswith("<")


def _text(error: ErrorDetails) -> str:
    kind = error["type"]
    if kind in _PROBLEMS:
        return _PROBLEMS[kind].format(**error.get("ctx", {}))
    message = error["msg"]
    return f"{message[0].lower()}{message[1:]}; correct it"


def _unknown_key(location: tuple[int | str, ...], model: type[BaseModel]) -> str:
    *parents, name = location
    known = _keys_at(parents, model)
    close = difflib.get_close_matches(str(name), known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(sorted(known))}"
    return f"is not a setting; {hint}"


def _keys_at(location: Sequence[int | str], root: type[BaseModel]) -> list[str]:
    """The keys that the model at ``location`` knows."""
    annotation: Any = root
    for part in location:
        if isinstance(part, int):
            continue
        if _is_tag(part):
            annotation = _tagged(annotation, part)
        elif get_origin(annotation) is dict:
            annotation = get_args(annotation)[1]
        else:
            model = _model_in(annotation)
            fields = model.model_fields.items() if model else ()
            annotation = next(
                (field.annotation for name, field in fields if part in (name, field.alias)), None
            )
    model = _model_in(annotation)
    return [field.alias or name for name, field in model.model_fields.items()] if model else []


def _tagged(annotation: Any, tag: str) -> Any:
    """The model that a union has under a tag."""
    return next((item for item in get_args(annotation) if Tag(tag) in get_args(item)), None)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model in an annotation such as ``tuple[Model, ...]`` or ``Model | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in {Annotated, Union, UnionType, tuple}:
        return next((model for item in get_args(annotation) if (model := _model_in(item))), None)
    return None
