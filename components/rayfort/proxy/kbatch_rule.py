"""What one thing is that is asked of a user's job, and the parts of CEL that rules share.

The expressions read the variables of `kbatch_admission.variables`.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """One thing that is asked of an object.

    Attributes:
        name: what the rule is called here and in the documentation.
        expression: CEL that is true for an object that is let in.
        message: what the user reads where it is false.
    """

    name: str
    expression: str
    message: str


def each(condition: str) -> str:
    """That a condition on ``c`` holds for every container."""
    return f"variables.containers.all(c, {condition})"


def not_set(*fields: str) -> str:
    """That none of these fields of the Pod is true."""
    return " && ".join(f"!variables.pod.?{field}.orValue(false)" for field in fields)


def listed(names: Iterable[str]) -> str:
    """Names as a list of CEL."""
    return json.dumps(sorted(set(names)))
