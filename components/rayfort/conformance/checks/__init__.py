"""The checks, in the order in which a report lists them."""

from collections.abc import Mapping
from typing import Final

from rayfort.conformance.check import Check
from rayfort.conformance.checks import (
    access,
    credentials,
    membership,
    mesh,
    netrc,
    pods,
    ports,
    rbac,
    token,
    transport,
)

ALL: Final[Mapping[str, Check]] = {
    check.name: check
    for module in (token, netrc, credentials, transport, mesh, membership, ports, access, rbac, pods)
    for check in module.CHECKS
}
