"""What to say of files that cannot be written."""

import errno
import re
import shutil
from typing import Final

# What a user can do, by the error's number.
_REMEDIES: Final = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
    errno.EFBIG: "allow larger files (ulimit -f)",
    errno.EROFS: "make the disk writable",
    errno.EACCES: "run it as the one whose files these are",
}
_NUMBER: Final = re.compile(r"\[Errno (\d+)\]")


def told(error: OSError) -> str | None:
    """What happened and what to do; None for an error that has nothing to do with the disk."""
    number, text = error.errno, str(error)
    if isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list):
        # A folder that is copied: its files' errors, which are texts by then. The first says what is wrong.
        text = str(error.args[0][0][-1])
        found = _NUMBER.match(text)
        number = int(found[1]) if found else None
    remedy = _REMEDIES.get(number or 0)
    return f"{text}; {remedy}, then run the command again" if remedy else None
