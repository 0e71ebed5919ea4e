"""What Prometheus, Kiali and Jaeger are put into, and the settings that they share."""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, field_validator

from rayfort.model import DnsName, JsonObject, Model, Quantity

Days = Annotated[int, Field(ge=1, le=36_500, strict=True)]


class Volume(Model):
    """A persistent volume.

    Args:
        size: its size; a storage class that can expand volumes lets it grow later, none lets it shrink.
        storage_class: its storage class; by default the cluster's default.
    """

    size: Quantity = "10Gi"
    storage_class: DnsName | None = None

    @field_validator("size")
    @classmethod
    def _some(cls, value: str) -> str:
        if not re.search("[1-9]", value):
            raise ValueError("is nothing; a volume has a size, such as 10Gi")
        return value


@dataclass(frozen=True)
class Surroundings:
    """What the three are put into.

    Attributes:
        namespace: where they run.
        watched: the namespaces of the mesh, theirs among them.
        mesh_namespace: the mesh's root namespace.
        revision: the istiod that injects their Pods; None for the one without a revision.
        cluster_domain: the DNS zone of Services.
        trust_domain: the mesh's trust domain.
        dns_namespace: where the DNS server runs.
        dns_addresses: addresses outside the cluster at which it answers as well.
        api_server_cidrs: addresses of the API server; empty means any.
    """

    namespace: str
    watched: tuple[str, ...]
    mesh_namespace: str
    revision: str | None
    cluster_domain: str
    trust_domain: str
    dns_namespace: str
    dns_addresses: tuple[str, ...]
    api_server_cidrs: tuple[str, ...]

    def host(self, service: str) -> str:
        """The DNS name of a Service of theirs."""
        return f"{service}.{self.namespace}.svc.{self.cluster_domain}"


def fingerprint(config: JsonObject) -> str:
    """A text that changes with a configuration: as a Pod's annotation it restarts the Pod."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:16]


def refuse(values: JsonObject, paths: Iterable[str], instead: str) -> JsonObject:
    """Chart values that set none of these dotted paths.

    Raises:
        ValueError: naming the path, and what to do instead.
    """
    for path in paths:
        inner: object = values
        for key in path.split("."):
            inner = inner.get(key) if isinstance(inner, dict) else None
        if inner is not None:
            raise ValueError(f"{path} cannot be set here; {instead}")
    return values
