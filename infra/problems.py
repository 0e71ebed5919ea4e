"""Mistakes in a stack's settings, as the user hears of them."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Final, TypeAlias, Union, get_args, get_origin

from pydantic import BaseModel, Tag, ValidationError
from pydantic_core import ErrorDetails

NAMESPACE: Final = "rayfort"
Key: TypeAlias = tuple[int | str, ...]
# What a terminal shows of one mistake, and of one part of its key.
_LONGEST_TEXT: Final = 600
_LONGEST_PART: Final = 80
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
    "string_too_long": "has more than {max_length} characters; shorten it",
    "too_short": "must have at least {min_length} entries",
    "string_unicode": "has a character that no file can hold; remove it",
    "finite_number": "must be a number",
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
        """On one line, and without what a terminal would obey: both may quote what a user wrote."""
        return f"{_shown(self.key, _LONGEST_TEXT)}: {_shown(self.text, _LONGEST_TEXT)}"


def _shown(text: str, longest: int) -> str:
    """The text on one line: control characters are escaped, and a long one loses its middle."""
    half = longest // 2
    short = text if len(text) <= longest else f"{text[:half]}…{text[-half:]}"
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in short)


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
    return [_problem(item, model) for item in details if not _follows(item, details)]


def _follows(error: ErrorDetails, all_of_them: Sequence[ErrorDetails]) -> bool:
    """Whether this is only so because of another mistake: entries that are wrong are not counted."""
    if error["type"] != "too_short":
        return error["type"] == _FOLLOWS
    depth = len(error["loc"])
    return any(len(other["loc"]) > depth and other["loc"][:depth] == error["loc"] for other in all_of_them)


def _problem(error: ErrorDetails, model: type[BaseModel]) -> Problem:
    found = error["loc"]
    location = found[:-1] if found[-1:] == ("[key]",) else found  # a key of a mapping is itself wrong
    if error["type"] == UNKNOWN_KIND:
        return Problem(_key((*location, "kind"), model), error["msg"])
    if error["type"] == "extra_forbidden":
        return Problem(_key(location, model), _unknown_key(location, model))
    return Problem(_key(location, model), _text(error))


def _key(location: Key, model: type[BaseModel]) -> str:
    return key_of(tuple(part for at, part in enumerate(location) if not _is_tag(location[:at], part, model)))


def key_of(path: Key) -> str:
    """A path as a stack's file writes it; Pulumi puts a part with dots or brackets into quotes."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif not part or set(part) & set('.[]"'):
            text += f'["{_shown(part, _LONGEST_PART)}"]'
        else:
            text += f".{_shown(part, _LONGEST_PART)}"
    return f"{NAMESPACE}:{text.removeprefix('.')}"


def _is_tag(parents: Key, part: int | str, model: type[BaseModel]) -> bool:
    """Whether this is no key, but the name of the model that a union took, in angle brackets."""
    return isinstance(part, str) and part.startswith("<") and bool(_tagged(_at(parents, model), part))


def _text(error: ErrorDetails) -> str:
    kind = error["type"]
    if kind in _PROBLEMS:
        return _PROBLEMS[kind].format(**error.get("ctx", {}))
    message = error["msg"]
    return f"{message[0].lower()}{message[1:]}; correct it"


def _unknown_key(location: tuple[int | str, ...], model: type[BaseModel]) -> str:
    *parents, name = location
    known = _keys_at(parents, model)
    close = difflib.get_close_matches(str(name)[:_LONGEST_PART], known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(sorted(known))}"
    return f"is not a setting; {hint}"


def _keys_at(location: Sequence[int | str], root: type[BaseModel]) -> list[str]:
    """The keys that the model at ``location`` knows."""
    model = _model_in(_at(location, root))
    return [field.alias or name for name, field in model.model_fields.items()] if model else []


def _at(location: Sequence[int | str], root: type[BaseModel]) -> Any:
    """The type that stands at ``location``."""
    annotation: Any = root
    for part in location:
        if isinstance(part, int):
            continue
        if tagged := _tagged(annotation, part):
            annotation = tagged
        elif get_origin(annotation) is dict:
            annotation = get_args(annotation)[1]
        else:
            model = _model_in(annotation)
            fields = model.model_fields.items() if model else ()
            annotation = next(
                (field.annotation for name, field in fields if part in (name, field.alias)), None
            )
    return annotation


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
