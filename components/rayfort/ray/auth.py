"""How a Ray cluster gets its authentication token.

Source: seed 001 (token authentication). Where the seed differs: with KubeRay 1.6 and newer the token's
Secret is named by ``authOptions.secretName`` instead of being made by the operator, so that the token
can be exported and rotated by Pulumi.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import pulumi
from pydantic import Field, SecretStr, field_validator, model_validator

from rayfort import versions
from rayfort.model import JsonObject, Model, SecretInput

TOKEN_KEY: Final = "auth_token"  # noqa: S105 - the key's name
MODE_VARIABLE: Final = "RAY_AUTH_MODE"
TOKEN_VARIABLE: Final = "RAY_AUTH_TOKEN"  # noqa: S105 - the variable's name
RESERVED_PREFIX: Final = "RAY_AUTH_"
# What Ray itself generates has 64 characters, `openssl rand -base64 32` of the recipe 44.
MIN_TOKEN_LENGTH: Final = 32
MAX_TOKEN_LENGTH: Final = 4_096  # Ray's dashboard takes headers of 8 KiB
# RFC 6750's alphabet of bearer tokens.
_BEARER: Final = re.compile(r"[-A-Za-z0-9._~+/]+=*")


class TokenSource(StrEnum):
    """Where the token comes from.

    ``secret-name``: a Secret made by Pulumi, named in ``authOptions.secretName`` (KubeRay 1.6.0 and
    newer). ``operator``: a Secret made by the operator, named as the cluster (1.5.1 and newer).
    ``env``: a Secret made by Pulumi and explicit environment variables (every version).
    """

    SECRET_NAME = "secret-name"  # noqa: S105 - an option's name
    OPERATOR = "operator"
    ENV = "env"

    @property
    def since(self) -> str | None:
        """The first KubeRay version that can do it; None for every version."""
        return _SINCE[self]

    @property
    def made_by_pulumi(self) -> bool:
        """Whether Pulumi makes the Secret."""
        return self is not TokenSource.OPERATOR


_SINCE: Final[Mapping[TokenSource, str | None]] = {
    TokenSource.SECRET_NAME: versions.KUBERAY_AUTH_SECRET_NAME,
    TokenSource.OPERATOR: versions.KUBERAY_AUTH_OPTIONS,
    TokenSource.ENV: None,
}


class TokenAuth(Model):
    """Token authentication of one cluster.

    Args:
        source: where the token comes from; by default the best that the operator's version can do.
        rotation: any text; changing it makes a new token, and the Pods are replaced.
        token: a token of your own (secret), of at least 32 characters; by default Pulumi makes one. Another
            one replaces the Pods, as a rotation does.
    """

    source: TokenSource | None = None
    rotation: str = "1"
    token: SecretInput | None = Field(default=None, repr=False)

    @field_validator("token")
    @classmethod
    def _token(cls, value: SecretInput | None) -> SecretInput | None:
        if isinstance(value, SecretStr):
            check_token(value.get_secret_value())
        return value

    @model_validator(mode="after")
    def _one_token(self) -> "TokenAuth":
        if self.token is None:
            return self
        if self.source is TokenSource.OPERATOR:
            raise ValueError(
                "token is given, and with source 'operator' the operator makes one; remove either of them"
            )
        if "rotation" in self.model_fields_set:
            raise ValueError(
                "token is given, so that rotation has no effect; to rotate, set another token, and remove "
                "rotation"
            )
        return self

    def source_for(self, operator_version: str) -> TokenSource:
        """The source in force with this version of the operator.

        Raises:
            ValueError: if the source that was asked for needs a newer operator.
        """
        if self.source is None:
            best = best_source(operator_version)
            return best if self.token is None or best.made_by_pulumi else TokenSource.ENV
        since = self.source.since
        if since and not versions.at_least(operator_version, since):
            raise ValueError(
                f"auth.source {self.source.value!r} needs KubeRay {since} or newer, and the operator is "
                f"{operator_version}; use {best_source(operator_version).value!r} or leave it out"
            )
        return self.source


def best_source(operator_version: str) -> TokenSource:
    """The best token source that this version of the operator can do."""
    return next(
        source
        for source in TokenSource
        if source.since is None or versions.at_least(operator_version, source.since)
    )


def check_token(token: str) -> str:
    """Refuse a token that an HTTP header cannot carry as it is, or that can be guessed.

    Ray trims what it reads, and the operator does not: with a line break at its end Ray would start, and the
    operator could not follow a RayJob.

    Returns:
        The token.

    Raises:
        ValueError: saying what is wrong with it, without the token.
    """
    if token != token.strip():
        raise ValueError(
            "the token has white space or a line break at an end (often of a pasted file); remove it"
        )
    if not _BEARER.fullmatch(token):
        raise ValueError(
            "the token has a character that no bearer token may have; use letters, digits and -._~+/ alone, "
            "such as `openssl rand -base64 32` gives"
        )
    if len(token) < MIN_TOKEN_LENGTH:
        raise ValueError(
            f"the token has {len(token)} characters, and Ray lets anybody try as often as they like; use at "
            f"least {MIN_TOKEN_LENGTH} random ones"
        )
    if len(token) > MAX_TOKEN_LENGTH:
        raise ValueError(
            f"the token has {len(token)} characters, and a request's header has no room for more than "
            f"{MAX_TOKEN_LENGTH}; use a shorter one"
        )
    return token


def check_ray_version(ray_version: str) -> None:
    """Refuse a Ray that has no token authentication.

    Raises:
        ValueError: naming the version that is needed.
    """
    if not versions.at_least(ray_version, versions.RAY_TOKEN_AUTH):
        raise ValueError(
            f"Ray {ray_version} has no token authentication; use {versions.RAY_TOKEN_AUTH} or newer"
        )


def check_environment(names: list[str]) -> None:
    """Refuse variables with which a user would turn authentication off: KubeRay lets a user's value win.

    Raises:
        ValueError: naming the variable.
    """
    for name in names:
        if name.startswith(RESERVED_PREFIX):
            raise ValueError(
                f"{name} is set by Rayfort: a value of your own would override the authentication; "
                "remove it and use `auth`"
            )


def auth_options(source: TokenSource, secret_name: pulumi.Input[str] | None) -> JsonObject | None:
    """``spec.authOptions`` of the RayCluster, or None where the variables are set explicitly.

    The mode is always written: with an empty ``authOptions`` KubeRay makes a Secret and leaves
    authentication off.
    """
    if source is TokenSource.ENV:
        return None
    options: JsonObject = {"mode": "token"}
    if source is TokenSource.SECRET_NAME:
        options["secretName"] = secret_name
    return options


def environment(source: TokenSource, secret_name: pulumi.Input[str] | None) -> list[JsonObject]:
    """The variables for every Ray container, where the operator does not set them itself."""
    if source is not TokenSource.ENV:
        return []
    return [
        {"name": MODE_VARIABLE, "value": "token"},
        {"name": TOKEN_VARIABLE, "valueFrom": {"secretKeyRef": {"name": secret_name, "key": TOKEN_KEY}}},
    ]
