"""The way to the sandbox's API server is direct, whatever proxy the user's environment names.

The server listens on this machine. Programs know by themselves that no proxy leads to loopback; of a real
node's address they cannot know it.
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

# Go prefers the first, Python the second.
_VARIABLES: Final = ("NO_PROXY", "no_proxy")
_NONE_AT_ALL: Final = "*"


def direct(environment: Mapping[str, str], url: str) -> dict[str, str]:
    """An environment in which programs ask no proxy for a server.

    Args:
        environment: the variables as they are; what they exempt already stays exempt.
        url: the server's.
    """
    host = urlsplit(url).hostname or ""
    return {**environment, **{name: _with(_exempt(environment, name), host) for name in _VARIABLES}}


def _exempt(environment: Mapping[str, str], name: str) -> str:
    """What a variable says, or where it says nothing the other one."""
    return next(filter(None, (environment.get(each) for each in (name, *_VARIABLES))), "")


def _with(exempt: str, host: str) -> str:
    hosts = [each.strip() for each in exempt.split(",") if each.strip()]
    # Python takes the asterisk only where it stands alone.
    return exempt if host in hosts or _NONE_AT_ALL in hosts else ",".join([*hosts, host])
