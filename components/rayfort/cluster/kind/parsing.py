"""What Kind and Kubernetes say, as plain values."""

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from rayfort.cluster.kind.errors import KindError


@dataclass(frozen=True)
class Access:
    """How to reach a cluster.

    Attributes:
        server: the URL of the API server.
        authority: the certificate of the cluster's authority, PEM.
        certificate: the user's certificate, PEM.
        key: the user's key, PEM (a secret).
    """

    server: str
    authority: str
    certificate: str
    key: str = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """Twelve characters that differ between two clusters, also of one name, one after the other."""
        return hashlib.sha256(self.authority.encode()).hexdigest()[:12]


def version(said: str) -> str | None:
    """The version in what ``kind version`` prints, with or without ``--quiet``."""
    found = re.search(r"(?<![\w.])v?(\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?)", said)
    return found[1] if found else None


def names(said: str) -> frozenset[str]:
    """The names that ``kind get`` prints, one a line."""
    return frozenset(line.strip() for line in said.splitlines() if line.strip())


def nodes(cluster: str, said: str) -> list[str]:
    """The nodes among the containers that ``kind get nodes`` prints for a cluster, sorted.

    A load balancer in front of several control planes is a container of the cluster and no node.
    """
    pattern = re.compile(rf"{re.escape(cluster)}-(control-plane|worker)\d*")
    return sorted(name for name in names(said) if pattern.fullmatch(name))


def last_line(said: str) -> str:
    """The last line that says something, where programs put their error."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def access(kubeconfig: str) -> Access:
    """The access in a kubeconfig as Kind writes it: one cluster, one user with a certificate.

    Raises:
        KindError: it is of another form; its content is never part of the message.
    """
    try:
        parsed = yaml.safe_load(kubeconfig)
        cluster, user = parsed["clusters"][0]["cluster"], parsed["users"][0]["user"]
        return Access(
            server=str(cluster["server"]),
            authority=_decoded(cluster["certificate-authority-data"]),
            certificate=_decoded(user["client-certificate-data"]),
            key=_decoded(user["client-key-data"]),
        )
    except (yaml.YAMLError, LookupError, TypeError, ValueError, binascii.Error):
        raise KindError(
            "kind printed a kubeconfig of another form than expected.\n"
            "  what to do: use the Kind release that docs/kind.md names"
        ) from None


def _decoded(data: str) -> str:
    return base64.b64decode(data, validate=True).decode()


def not_ready(node_list: Mapping[str, Any], expected: int) -> str | None:
    """Why a cluster's nodes are not all ready, in a few words; None where they are.

    Args:
        node_list: a NodeList of the API.
        expected: how many nodes there have to be.
    """
    items = node_list.get("items") or []
    waiting = sorted(item["metadata"]["name"] for item in items if not _ready(item))
    if waiting:
        return f"not ready: {', '.join(waiting)}"
    if len(items) < expected:
        return f"{len(items)} of {expected} nodes have registered"
    return None


def _ready(node: Mapping[str, Any]) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or []
    return any(each.get("type") == "Ready" and each.get("status") == "True" for each in conditions)
