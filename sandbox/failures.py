"""What a failed run of Pulumi comes to, in one message."""

import re
from collections.abc import Iterable, Iterator
from typing import Final

# Said at the end whatever failed, and by an engine that was ended.
_EMPTY: Final = frozenset({"update failed", "preview failed", "destroy failed"})
_SHOWN: Final = 3
_GO_ON: Final = (
    "What was done is kept. Once the cause is mended, run the same command again: it goes on from there."
)
_CODE: Final = re.compile(r"^\s*code: (-?\d+)$", re.MULTILINE)
_STDERR: Final = re.compile(r"^\s*stderr: (.*)\Z", re.MULTILINE | re.DOTALL)
_DRAFT: Final = re.compile(r"\.[0-9a-f]{16}\.tmp\b")  # what the engine writes before a file's name is its own
_UNTOUCHED: Final = "nothing was touched"
# Said of each resource whose step the engine could not note, with a name that is chance.
_UNSAVED: Final = re.compile(
    r"(?:pre|post)-step event returned an error: failed to save snapshot: .*?"
    r": (?:open|write) (?P<file>\S.*?)(?:\.[0-9a-f]{16}\.tmp)?: (?P<why>[^:\n]+)$"
)


def message(verb: str, reasons: Iterable[str], *, otherwise: str, violated: bool = False) -> str:
    """What happened and what to do.

    Args:
        verb: what Pulumi was asked for.
        reasons: what it said, each with the resource's name before a colon where it is about one.
        otherwise: what to say where it gave no reason.
        violated: whether it was the policy pack that refused; nothing is to be mended then but the stack.
    """
    said = [each for each in dict.fromkeys(reasons) if each not in _EMPTY]
    lines = [f"pulumi {verb} failed:", *(_joined(said) if said else [otherwise])]
    if verb != "preview" and not violated and not any(_UNTOUCHED in each for each in said):
        lines.append(_GO_ON)
    return "\n".join(lines)


def without_reason(said: str) -> str:
    """What to say of an engine that ended without a word of its own.

    Args:
        said: what the Automation API makes of it: exit code, output and errors.
    """
    code = _CODE.search(said)
    if code is None or int(code[1]) >= 0:
        errors = _STDERR.search(said)
        alone = errors[1].strip() if errors else ""
        return _DRAFT.sub("", alone).removeprefix("error: ") or said.strip()
    why = "Somebody stopped it, or the machine was short of memory."
    return f"Pulumi's engine was ended by signal {-int(code[1])}. {why}"


def _joined(reasons: Iterable[str]) -> Iterator[str]:
    """The reasons, those that are the same for several resources once."""
    about: dict[str, list[str]] = {}
    for reason in reasons:
        name, colon, text = reason.partition(": ")
        text = _UNSAVED.sub(r"the state cannot be written: \g<file>: \g<why>", text)
        named = bool(colon) and " " not in name
        about.setdefault(text if named else reason, []).extend([name] if named else [])
    for text, names in about.items():
        more = len(names) - _SHOWN
        shown = ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
        yield f"{shown}: {text}" if shown else text
