"""What a change does to a stack, for who reviews it: from the engine's events to one comment.

Everything here but `github` is a pure function. Values that are secret, or that Rayfort's policies take for a
credential, are left out before anything is rendered; whatever is shown is escaped.
"""

from rayfort.review.comment import comment
from rayfort.review.model import Change, Effect, Property, Review, Source, Violation, Weakened
from rayfort.review.summarize import summarize

__all__ = [
    "Change",
    "Effect",
    "Property",
    "Review",
    "Source",
    "Violation",
    "Weakened",
    "comment",
    "summarize",
]
