"""Users' names as JupyterHub has them. Pure functions.

Whoever logs in gets the name that the hub's authenticator makes of the one at the identity provider, and
kbatch-proxy computes the namespace from that. Roles of the hub go the same way, so that a name which the hub
changes gives somebody the right to submit, and somebody else the namespace.

Source: ``normalize_username`` and ``validate_username`` of JupyterHub 5.5's ``Authenticator``. Of the
authenticators of oauthenticator 17.4, ldapauthenticator 2.0, nativeauthenticator 1.3, firstuseauthenticator
1.1 and ltiauthenticator 1.6 MediaWiki's alone keeps capitals, and it makes underscores of spaces.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

from rayfort.model import JsonObject

# Registered names of authenticators that lower-case names.
LOWER_CASE: Final = frozenset(
    (
        "auth0",
        "azuread",
        "bitbucket",
        "cilogon",
        "default",
        "dummy",
        "generic-oauth",
        "github",
        "gitlab",
        "globus",
        "google",
        "openshift",
        "shared-password",
    )
)


@dataclass(frozen=True)
class Names:
    """What a hub makes of users' names.

    Attributes:
        keeps_case: whether capitals stay.
        renamed: ``username_map``: other names for some users.
        pattern: ``username_pattern``, which the beginning of each name matches; None for any name.
    """

    keeps_case: bool = False
    renamed: Mapping[str, str] = field(default_factory=dict)
    pattern: str | None = None

    def of(self, name: str) -> str:
        """The name that somebody has in the hub."""
        same_case = name if self.keeps_case else name.lower()
        return self.renamed.get(same_case, same_case)

    def takes(self, name: str) -> bool:
        """Whether the pattern lets a name in; a pattern that is none is not judged here."""
        try:
            return not self.pattern or bool(re.match(self.pattern, name))
        except re.error:
            return True


def names(keeps_case: bool, *sections: Mapping[str, object]) -> Names:
    """What a hub's configuration says about names.

    Args:
        keeps_case: whether its authenticator keeps capitals.
        sections: sections of its configuration, by class; later ones win.
    """
    renamed: dict[str, str] = {}
    pattern: str | None = None
    for section in (each for found in sections for each in found.values() if isinstance(each, Mapping)):
        if isinstance(stated := section.get("username_map"), Mapping):
            renamed |= {str(name): str(other) for name, other in stated.items()}
        if isinstance(stated := section.get("username_pattern"), str):
            pattern = stated
    return Names(keeps_case, renamed, pattern)


def configured(values: JsonObject) -> Mapping[str, object]:
    """The sections of JupyterHub's configuration that values of its chart hold."""
    hub = values.get("hub")
    found = hub.get("config") if isinstance(hub, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def problem(name: str) -> str | None:
    """Why no hub has a user of this name, and none starts that is told of one; None where one may have."""
    if not name.strip():
        return "a user name is empty; name a JupyterHub user"
    if name != name.strip():
        return f"user {name!r} begins or ends with a space, and JupyterHub has no such users; remove it"
    if "/" in name:
        return f"user {name} has a slash in it, and JupyterHub has no such users; write it as the hub does"
    if set(unquote(name)) == {"."}:
        return f"user {name} is a part of a path, and JupyterHub has no such users; name a JupyterHub user"
    return None
