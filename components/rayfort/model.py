"""The base of every argument model, and the value types that they share.

A component's arguments and a stack's settings are the same frozen pydantic models: camelCase keys in
stack files, snake_case names in Python, unknown keys refused.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_network
from typing import Annotated, Any
from urllib.parse import urlsplit

import pulumi
import semver
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainValidator,
    SecretStr,
    ValidationError,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

from rayfort.problems import Key

JsonObject = dict[str, Any]
MAX_DNS_NAME = 253


class Model(BaseModel):
    """A frozen model whose keys are camelCase in YAML and snake_case in Python."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        arbitrary_types_allowed=True,
        hide_input_in_errors=True,  # an input may hold a secret
    )


def _semver(value: str) -> str:
    if not semver.Version.is_valid(value):
        raise ValueError("is not a version; write MAJOR.MINOR.PATCH without a leading 'v', such as 1.6.2")
    return value


def _cidr(value: str) -> str:
    problem = "is not a CIDR block with a clean network address, such as 10.0.0.0/8"
    # Python takes an address alone, a netmask and a zone as well, and Kubernetes none of them.
    if not re.fullmatch(r"[0-9a-fA-F:.]+/[0-9]{1,3}", value):
        raise ValueError(problem)
    try:
        ip_network(value)
    except ValueError as error:
        raise ValueError(problem) from error
    return value


def _place(value: str) -> str:
    try:
        parts = urlsplit(value)
        if parts.netloc.startswith("["):
            IPv6Address(parts.hostname or "")
        known = parts.port != 0  # reading one over 65535 is an error
    except ValueError:
        known = False
    if not known:
        raise ValueError("is not a URL; in brackets is an IPv6 address, and a port is one of 1 to 65535")
    return value


def _dns_length(value: str) -> str:
    if len(value) > MAX_DNS_NAME:
        raise ValueError(f"is {len(value)} characters long, and a DNS name has at most {MAX_DNS_NAME}")
    return value


@dataclass(frozen=True)
class Written:
    """A constraint on text: a pattern for the JSON schema, and what to say where it does not match."""

    pattern: str
    problem: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(schema), "pattern": f"^({self.pattern})$"}

    def _check(self, value: str) -> str:
        if not re.fullmatch(self.pattern, value):
            raise ValueError(self.problem)
        return value


_HOST = r"([A-Za-z0-9][A-Za-z0-9._-]{0,252}|\[[0-9A-Fa-f:.]{2,45}\])"
# What follows a URL's scheme, as Go's parser takes it: no login, and '%' only before two hexadecimal digits.
URL_PLACE = rf"{_HOST}(:[0-9]{{1,5}})?([/?]([!-$&-~]|%[0-9A-Fa-f]{{2}})*)?"
_IMAGE_REPOSITORY = r"[a-z0-9]+([._-]+[a-z0-9]+)*(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*"
_IMAGE_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"

SemVer = Annotated[str, AfterValidator(_semver)]
Cidr = Annotated[str, AfterValidator(_cidr)]
# Strict: true and "1" are no numbers. Kubernetes counts in 32 bits.
MAX_COUNT = 2**31 - 1
Port = Annotated[int, Field(ge=1, le=65535, strict=True)]
Count = Annotated[int, Field(ge=0, le=MAX_COUNT, strict=True)]
Replicas = Annotated[int, Field(ge=1, le=MAX_COUNT, strict=True)]
Seconds = Annotated[int, Field(ge=10, le=604_800, strict=True)]  # a week
DnsLabel = Annotated[
    str,
    Written(
        r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?",
        "is not a Kubernetes name; use at most 63 lower-case letters, digits and '-', "
        "starting with a letter and not ending with '-'",
    ),
]
# A part of names such as `istiod-1-31-0`, and a label's value.
Revision = Annotated[
    str,
    Written(
        r"[a-z0-9]([-a-z0-9]{0,54}[a-z0-9])?",
        "is not a revision; use at most 56 lower-case letters, digits and '-', such as 1-31-0",
    ),
]
DnsName = Annotated[
    str,
    Written(
        r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*",
        "is not a DNS name; write for example cluster.local, without a dot at the end, and at most 63 "
        "characters between two dots",
    ),
    AfterValidator(_dns_length),
]
HttpUrl = Annotated[
    str,
    Written(
        rf"https?://{URL_PLACE}",
        "is not a URL; write https://host/path, without a login in it",
    ),
    AfterValidator(_place),
]
EnvName = Annotated[
    str,
    Written(r"[A-Za-z_][A-Za-z0-9_]*", "is not an environment variable's name; use letters, digits and '_'"),
]
Quantity = Annotated[
    str,
    Field(coerce_numbers_to_str=True),
    Written(
        r"[0-9]{1,15}(\.[0-9]{1,9})?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?",
        "is not a Kubernetes quantity; write for example 500m, 2 or 4Gi",
    ),
]
Cpus = Annotated[
    str,
    Field(coerce_numbers_to_str=True),
    Written(r"[0-9]{1,9}(\.[0-9]{1,9})?|[0-9]{1,9}m", "is not a number of CPUs; write for example 500m or 2"),
]
ExtendedResource = Annotated[
    str,
    Written(
        r"(?![^/]*kubernetes\.io/)[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*"
        r"/[A-Za-z0-9]([-._A-Za-z0-9]{0,61}[A-Za-z0-9])?",
        "is not an extended resource; write domain/name, such as nvidia.com/gpu",
    ),
]
ImageRepository = Annotated[
    str,
    Written(
        _IMAGE_REPOSITORY,
        "is not an image repository; write registry/name without tag or digest, such as "
        "docker.io/rayproject/ray",
    ),
]
ImageTag = Annotated[
    str, Written(_IMAGE_TAG, "is not an image tag; use letters, digits, '_', '.' and '-', such as v1.6.2")
]
ImageReference = Annotated[
    str,
    Written(
        rf"{_IMAGE_REPOSITORY}(:{_IMAGE_TAG})?(@sha256:[0-9a-f]{{64}})?",
        "is not an image reference; write registry/name:tag or registry/name@sha256:digest",
    ),
]


def _secret_input(value: Any) -> SecretStr | pulumi.Output[str]:
    if value == "":
        raise ValueError("is empty; set it with `pulumi config set --secret --path`, or leave it out")
    if isinstance(value, str):
        return SecretStr(value)
    if isinstance(value, SecretStr | pulumi.Output):
        return value
    raise ValueError("is not text; set it with `pulumi config set --secret --path`")


SecretInput = Annotated[
    SecretStr | pulumi.Output[str], PlainValidator(_secret_input), WithJsonSchema({"type": "string"})
]
"""A secret given as text (from a stack's encrypted configuration) or as an output of another resource."""


def as_secret(value: SecretInput) -> pulumi.Output[str]:
    """The value as an output that Pulumi encrypts in its state and masks in its log."""
    return pulumi.Output.secret(value.get_secret_value() if isinstance(value, SecretStr) else value)


def repeated(names: Iterable[str]) -> str | None:
    """The first name that stands twice; None where each stands once."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def refuse_all(problems: Iterable[tuple[Key, str]]) -> None:
    """Refuse a value for everything that is wrong with it, from inside of a validator.

    Args:
        problems: what is wrong, each with where it stands below the value: keys and numbers of entries, or
            nothing for the value itself.

    Raises:
        ValidationError: with all of them, where there are any.
    """
    details = [
        InitErrorDetails(
            type=PydanticCustomError("value_error", "{error}", {"error": text}), loc=where, input=None
        )
        for where, text in problems
    ]
    if details:
        raise ValidationError.from_exception_data("settings", details, hide_input=True)


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> JsonObject:
    """``base`` with ``over`` laid on top: objects are merged key by key, everything else is replaced."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged
