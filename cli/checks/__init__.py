"""What a stack needs of this machine, one check after another; nothing is changed and nothing downloaded."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How a check ended. ``later``: not there, but `up` or Pulumi gets it by itself."""

    OK = "ok"
    LATER = "later"
    WARN = "warn"
    MISSING = "missing"


@dataclass(frozen=True)
class Check:
    """One thing that a stack needs.

    Attributes:
        subject: what was looked at.
        state: how it ended; only ``missing`` stands in the way.
        text: what was found.
        remedy: what to do; empty where there is nothing to do.
    """

    subject: str
    state: State
    text: str
    remedy: str = ""
