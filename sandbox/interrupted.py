"""What an engine that was killed leaves in the state of a stack.

The engine notes before each step that it begins, and after it that it is over. A creation that was begun and
not noted as over stays in the state for good, with a warning at every command, until a person has looked. On
the sandbox nobody needs to: whoever makes the object anew finds it by itself.
"""

import json
from pathlib import Path

_KEY = "pending_operations"


def anything_pending(checkpoint: Path) -> bool:
    """Whether a state, a file of the engine's backend, says that something was begun and not finished."""
    try:
        latest = json.loads(checkpoint.read_text())["checkpoint"]["latest"]
    except (OSError, ValueError, KeyError, TypeError):
        return False  # the engine says what is wrong with it
    return bool((latest or {}).get(_KEY))


def nothing_pending(exported: str) -> str:
    """An exported state without what was begun and not finished."""
    state = json.loads(exported)
    state["deployment"].pop(_KEY, None)
    return json.dumps(state)
