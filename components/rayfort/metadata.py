"""What may stand in an object's labels and annotations, by the rules of Kubernetes' API server."""

from typing import Annotated

from pydantic import AfterValidator

from rayfort.model import Written

MAX_ANNOTATIONS = 256 * 1024  # bytes, of all names and values of one object
_PREFIX = r"([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*/)?"
_MAX_PREFIX = 253
_NAME = r"[A-Za-z0-9]([-._A-Za-z0-9]{0,61}[A-Za-z0-9])?"


def _short_prefix(value: str) -> str:
    if len(value.rpartition("/")[0]) > _MAX_PREFIX:
        raise ValueError(f"has more than {_MAX_PREFIX} characters before the '/'; shorten it")
    return value


LabelName = Annotated[
    str,
    Written(
        _PREFIX + _NAME,
        "is not a name for a label or an annotation; write domain/name or name, at most 63 letters, digits, "
        "'-', '_' and '.', beginning and ending with a letter or digit",
    ),
    AfterValidator(_short_prefix),
]
LabelValue = Annotated[
    str,
    Written(
        f"({_NAME})?",
        "is not a label's value; use at most 63 letters, digits, '-', '_' and '.', beginning and ending with "
        "a letter or digit",
    ),
]


def _not_too_long(value: dict[str, str]) -> dict[str, str]:
    size = sum(len(name.encode()) + len(text.encode()) for name, text in value.items())
    if size > MAX_ANNOTATIONS:
        raise ValueError(f"are {size} bytes long, and an object has room for {MAX_ANNOTATIONS}; shorten them")
    return value


Labels = dict[LabelName, LabelValue]
Annotations = Annotated[dict[LabelName, str], AfterValidator(_not_too_long)]
