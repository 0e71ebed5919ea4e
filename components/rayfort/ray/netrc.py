"""Credentials for private remote URIs in ``runtime_env``: a ``.netrc`` file in a Secret.

Source: seed 000 (authenticating remote URIs). Ray downloads ``https`` URIs with ``requests``, on every
node, which reads the file that ``NETRC`` names. A credential never stands in a URI: Ray logs URIs and
names directories after them.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Final

import pulumi
import pulumi_kubernetes as k8s
from pydantic import Field, SecretStr, field_validator

from rayfort.component import Component, meta
from rayfort.model import DnsLabel, JsonObject, Model, SecretInput, as_secret

SECRET_NAME: Final = "netrc-secret"  # noqa: S105 - a name
SECRET_KEY: Final = ".netrc"  # noqa: S105 - the key's name
VOLUME_NAME: Final = "netrc-kuberay"
MOUNT_PATH: Final = "/home/ray/netrcvolume/"
# Readable by the group that the Pods' fsGroup names; nobody writes it.
FILE_MODE: Final = 0o440

_HOST = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?)*"
)
LAST_OF_LATIN_1: Final = 0xFF
# Servers take headers of 8 KiB, and a header holds both, in base64.
MAX_LENGTH: Final = 2_000
# By which curl, and so git, finds entries, even in quotes and in entries of other machines: behind a password
# "default" it would send the next entry's login to every host.
_KEYWORDS: Final = frozenset({"machine", "default", "macdef"})
# Tokens of these characters read the same in every netrc parser; others are quoted.
_PLAIN = re.compile(
    r"""[-A-Za-z0-9_.~@%+=:,/!$&*()?^|<>;'`{}\[\]][-A-Za-z0-9_.~@%+=:,/!$&*()?^|<>;'`{}\[\]#"]*"""
)


class NetrcError(ValueError):
    """A netrc entry that no parser would read as meant; never holds the password."""


class NetrcEntry(Model):
    """One machine's login.

    Args:
        machine: a host name without scheme, port or path, such as ``github.com``; lower case, as ``requests``
            looks it up. ``default`` is refused: it would send the credential to every host.
        login: the user name; for a GitHub token any text, for GitLab ``oauth2``. No colon, which ends the
            user name in HTTP's basic authentication.
        password: the password or personal access token (secret), at most 2,000 characters. Characters of
            Latin-1 only: ``requests`` cannot send others.
    """

    machine: str
    login: str
    password: SecretInput = Field(repr=False)

    @field_validator("machine")
    @classmethod
    def _machine(cls, value: str) -> str:
        if value == "default":
            raise ValueError(
                "'default' would send the credential to every host that Ray contacts; name the machine"
            )
        if not _HOST.fullmatch(value) and not _is_ipv6(value):
            raise ValueError(
                "is not a host name; write for example github.com, without scheme, port, path or white space"
            )
        return value.lower()

    @field_validator("login")
    @classmethod
    def _login(cls, value: str) -> str:
        return _checked(value, "login")

    @field_validator("password")
    @classmethod
    def _password(cls, value: SecretInput) -> SecretInput:
        if isinstance(value, SecretStr):
            _checked(value.get_secret_value(), "password")
        return value


def _checked(value: str, what: str) -> str:
    if not value:
        raise NetrcError(f"the {what} is empty; set it, or remove the entry")
    if len(value) > MAX_LENGTH:
        raise NetrcError(
            f"the {what} is {len(value)} characters long, and a request's header holds {MAX_LENGTH}; "
            "shorten it"
        )
    if value.lower() in _KEYWORDS:
        raise NetrcError(f"the {what} is a word by which curl and git find entries in the file; change it")
    # Control characters, and halves of surrogate pairs, which no file can hold.
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in value):
        raise NetrcError(
            f"the {what} has a line break or another control character, which a .netrc file cannot hold; "
            "remove it (often it is the line break at the end of a file that was pasted)"
        )
    if any(ord(character) > LAST_OF_LATIN_1 for character in value):
        raise NetrcError(
            f"the {what} has a character outside of Latin-1, which Ray's downloads cannot send; change it"
        )
    if what == "login" and ":" in value:
        raise NetrcError("the login has a colon, where HTTP's basic authentication ends it; remove it")
    return value


def needs_new_python(value: str) -> bool:
    """Whether Python 3.10 and older read this value otherwise: for them the whole file is malformed, or the
    value another, and ``requests`` goes on without any login and says nothing."""
    return not _PLAIN.fullmatch(value)


def _is_ipv6(value: str) -> bool:
    try:
        IPv6Address(value)
    except ValueError:
        return False
    return "%" not in value


@dataclass(frozen=True)
class Login:
    """A machine's login with its password in the clear, as it goes into the file."""

    machine: str
    login: str
    password: str


def render(logins: Sequence[Login]) -> str:
    """The text of a ``.netrc`` file.

    Values with characters that parsers disagree about are quoted, with ``"`` and ``\\`` escaped, which
    Python 3.11 and newer, curl and git read alike.

    Raises:
        NetrcError: if a value is empty or has a control character.
    """
    return "".join(
        f"machine {entry.machine}\nlogin {_token(entry.login, 'login')}\n"
        f"password {_token(entry.password, 'password')}\n"
        for entry in logins
    )


def _token(value: str, what: str) -> str:
    if _PLAIN.fullmatch(_checked(value, what)):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def volume(secret_name: pulumi.Input[str]) -> JsonObject:
    """The volume that holds the file."""
    return {"name": VOLUME_NAME, "secret": {"secretName": secret_name, "defaultMode": FILE_MODE}}


def volume_mount() -> JsonObject:
    """The mount, read-only, of the whole volume: with a ``subPath`` a rotated Secret would not arrive."""
    return {"name": VOLUME_NAME, "mountPath": MOUNT_PATH, "readOnly": True}


def environment() -> JsonObject:
    """The variable that tells ``requests`` where the file is."""
    return {"name": "NETRC", "value": f"{MOUNT_PATH}{SECRET_KEY}"}


class NetrcSecretArgs(Model):
    """Arguments of `NetrcSecret`.

    Args:
        namespace: the namespace of the Ray clusters that mount it.
        entries: the logins; at least one, each machine once.
        secret_name: the Secret's name.
    """

    namespace: DnsLabel
    entries: tuple[NetrcEntry, ...] = Field(min_length=1)
    secret_name: DnsLabel = SECRET_NAME

    @field_validator("entries")
    @classmethod
    def _unique(cls, entries: tuple[NetrcEntry, ...]) -> tuple[NetrcEntry, ...]:
        check_unique_machines(entries)
        return entries


def check_unique_machines(entries: Sequence[NetrcEntry]) -> None:
    """Refuse a machine that stands twice, since parsers take the first or the last as they like.

    Raises:
        ValueError: naming the machine.
    """
    seen: set[str] = set()
    for entry in entries:
        if entry.machine in seen:
            raise ValueError(f"machine {entry.machine} stands twice; keep one entry for each machine")
        seen.add(entry.machine)


class NetrcSecret(Component):
    """The Secret with the ``.netrc`` file.

    It keeps its name and is updated in place: the kubelet renews the mounted file within about a minute,
    and no Pod restarts.

    Attributes:
        secret_name: the Secret's name.
    """

    secret_name: pulumi.Output[str]

    def __init__(self, name: str, args: NetrcSecretArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, {"namespace": args.namespace, "secretName": args.secret_name}, opts)
        machines = [(entry.machine, entry.login) for entry in args.entries]
        passwords: pulumi.Output[list[str]] = pulumi.Output.all(
            *[as_secret(entry.password) for entry in args.entries]
        )
        content = passwords.apply(
            lambda values: self._content(
                [Login(*machine, password) for machine, password in zip(machines, values, strict=True)]
            )
        )
        secret = k8s.core.v1.Secret(
            name,
            metadata=meta(args.secret_name, args.namespace),
            type="Opaque",
            string_data={SECRET_KEY: content},
            opts=self.child(),
        )
        # The name is no secret, but what is read from a Secret object is treated as one.
        self.secret_name = pulumi.Output.unsecret(secret.metadata.name)
        self.register_outputs({"secretName": self.secret_name})

    def _content(self, logins: Sequence[Login]) -> str:
        for entry in logins:
            if needs_new_python(entry.login) or needs_new_python(entry.password):
                pulumi.log.warn(
                    f"The login of {entry.machine} has a blank, a backslash, a quotation mark or a letter "
                    "that is not English. Images with Python 3.10 or older cannot read it, and ignore the "
                    "whole file without a word: use an image with Python 3.11 or newer, or another password.",
                    resource=self,
                )
        return render(logins)
