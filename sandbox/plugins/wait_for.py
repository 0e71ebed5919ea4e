"""The annotation `pulumi.com/waitFor`: what the program wants to wait for, in place of the usual."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from sandbox.plugins import jsonpath
from sandbox.plugins.readiness import Verdict, observed
from sandbox.plugins.server import InvalidRequest

Condition = Callable[[Mapping[str, Any]], Verdict]

_BRACES: Final = re.compile(r"\{\s*(.*?)\s*\}")
_SINGLE_EQUALS: Final = re.compile(r"(?<![=!])=(?!=)")


def parse(annotation: str) -> Condition:
    """Return the check that an annotation asks for.

    Args:
        annotation: `jsonpath={.path}`, `jsonpath={.path}=value`, `condition=Type`,
            `condition=Type=Status`, or a JSON list of such texts, which must all hold.

    Raises:
        InvalidRequest: the annotation is none of these.
    """
    try:
        decoded = json.loads(annotation)
    except ValueError:
        decoded = annotation
    texts = decoded if isinstance(decoded, list) else [annotation]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise InvalidRequest("pulumi.com/waitFor needs at least one condition, and each must be text")
    conditions = [_parse_one(text) for text in texts]

    def check(obj: Mapping[str, Any]) -> Verdict:
        verdicts = [condition(obj) for condition in conditions]
        return next((verdict for verdict in verdicts if not verdict.ready), verdicts[0])

    return check


def _parse_one(text: str) -> Condition:
    if text.startswith("jsonpath="):
        return _jsonpath(text.removeprefix("jsonpath="))
    if text.startswith("condition="):
        name, _, status = text.removeprefix("condition=").partition("=")
        return _condition(name, status or "True")
    raise InvalidRequest(
        f"pulumi.com/waitFor: {text!r} starts neither with 'jsonpath=' nor with 'condition='"
    )


def _jsonpath(text: str) -> Condition:
    path, *values = _SINGLE_EQUALS.split(text)
    braces = _BRACES.fullmatch(path.strip())
    if braces is None or len(values) > 1 or values == [""]:
        raise InvalidRequest(
            f"pulumi.com/waitFor: write jsonpath={{.path}} or jsonpath={{.path}}=value, not {text!r}"
        )
    try:
        select = jsonpath.parse(braces[1])
    except jsonpath.JsonPathError as error:
        raise InvalidRequest(f"pulumi.com/waitFor: {error}") from None
    wanted = values[0] if values else None

    def check(obj: Mapping[str, Any]) -> Verdict:
        if not observed(obj):
            return Verdict(False, "its controller has not seen the last change")
        found = select(obj)
        if not found:
            return Verdict(False, f"there is no {path}")
        if wanted is None:
            return Verdict(True, f"{path} is there")
        if isinstance(found[0], Mapping | list):
            return Verdict(False, f"{path} is no single value, so it cannot equal {wanted}", failed=True)
        return Verdict(_text(found[0]) == wanted, f"{path} is {_text(found[0])}, not {wanted}")

    return check


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _condition(name: str, wanted: str) -> Condition:
    def check(obj: Mapping[str, Any]) -> Verdict:
        status = obj.get("status")
        conditions = status.get("conditions") if isinstance(status, Mapping) else None
        for condition in conditions or []:
            if str(condition.get("type")).lower() != name.lower():
                continue
            seen = condition.get("observedGeneration")
            generation = obj["metadata"].get("generation")
            if (seen is None and not observed(obj)) or (
                seen is not None and generation and seen < generation
            ):
                return Verdict(False, f"condition {name} is about an earlier generation")
            found = str(condition.get("status"))
            detail = condition.get("message") or condition.get("reason") or ""
            return Verdict(
                found.lower() == wanted.lower(),
                f"condition {name} is {found}, not {wanted}" + (f": {detail}" if detail else ""),
            )
        return Verdict(False, f"there is no condition {name}")

    return check
