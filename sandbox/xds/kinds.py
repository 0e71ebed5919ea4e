"""The four kinds of configuration that a sidecar asks for, and every type that may occur in them."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from google.protobuf import descriptor_pool, message_factory

_PREFIX: Final = "type.googleapis.com/"
_EXTENSIONS: Final = ("envoy.extensions", "envoy.type", "udpa.type", "xds.type", "xds.core")


@dataclass(frozen=True)
class Kind:
    """One kind of configuration: its short name and the message that it consists of."""

    name: str
    message: Any

    @property
    def url(self) -> str:
        """How discovery requests call it."""
        return f"{_PREFIX}{self.message.DESCRIPTOR.full_name}"


CLUSTERS: Final = Kind("CDS", Cluster)
ENDPOINTS: Final = Kind("EDS", ClusterLoadAssignment)
LISTENERS: Final = Kind("LDS", Listener)
ROUTES: Final = Kind("RDS", RouteConfiguration)
KINDS: Final = {kind.url: kind for kind in (CLUSTERS, ENDPOINTS, LISTENERS, ROUTES)}


@cache
def load_extensions() -> None:
    """Make every extension type of Envoy known, so that an `Any` which holds one can be read.

    Istio's own (such as its statistics and ALPN filters) belong to no package and stay opaque.
    """
    for root in _EXTENSIONS:
        package = importlib.import_module(root)
        for module in pkgutil.walk_packages(package.__path__, f"{root}."):
            if module.name.endswith("_pb2"):
                importlib.import_module(module.name)


def message_class(type_url: str) -> Any | None:
    """The class of what an `Any` of this type holds; None if no package here has it."""
    load_extensions()
    try:
        found = descriptor_pool.Default().FindMessageTypeByName(type_url.rpartition("/")[2])
    except KeyError:
        return None
    return message_factory.GetMessageClass(found)
