"""The exit codes of all commands."""

from typing import Final

FAILED: Final = 1
USAGE: Final = 2  # or malformed settings
CHANGES: Final = 3  # what should be as it is would change
INTERRUPTED: Final = 130
MEANING: Final = "0 success; 1 failed; 2 wrong usage or settings; 3 changes found; 130 interrupted"
