"""What a program or a plugin said, without the words that the engine puts around it."""

import re
from typing import Final

# The engine says the error of an inline program once more, behind these words, after the program said it.
_AGAIN: Final = "an unhandled error occurred: "
# Around what a plugin says of a resource that it made, and that did not become ready.
_ONE: Final = re.compile(r"^1 error occurred:\s+\* ")
_COLOUR: Final = re.compile(r"<\{%.*?%\}>")
_AROUND: Final = re.compile(
    r"^(python inline source runtime error|Program failed with an unhandled exception): ?"
)


def uncoloured(message: str) -> str:
    """A message without the engine's directives, such as ``<{%reset%}>``, and without blanks around it."""
    return _COLOUR.sub("", message).strip()


def plain(message: str) -> str:
    """A message of the engine's as who reported it wrote it; what is said twice is the same text then.

    Args:
        message: without colour directives and blanks around it.
    """
    return _ONE.sub("", _AROUND.sub("", message.removeprefix(_AGAIN)))
