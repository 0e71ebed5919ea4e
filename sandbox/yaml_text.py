"""JSON for readers of YAML, which is what API servers take patches with, and helm values."""

import json
import re
from typing import Any, Final

# After an even number of backslashes: an escaped character beyond the first 65,536.
_PAIR: Final = re.compile(r"(?<!\\)((?:\\\\)*)\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})")


def as_yaml(value: Any) -> str:
    """The value as JSON that reads the same as YAML.

    JSON escapes characters such as emojis as two halves, which YAML refuses; control characters, which YAML
    refuses as they are, stay escaped.
    """
    return _PAIR.sub(_whole, json.dumps(value))


def _whole(found: re.Match[str]) -> str:
    high, low = int(found[2], 16), int(found[3], 16)
    return f"{found[1]}{chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))}"
