"""Ray's state in a Redis, so that it survives the head: GCS fault tolerance.

Source: KubeRay's ``gcsFaultToleranceOptions``. Without it a replaced head, by a rotated token for one, starts
from nothing.
"""

from collections.abc import Iterable
from typing import Annotated, Final

from pydantic import model_validator

from rayfort.model import Cidr, DnsLabel, JsonObject, Model, Written
from rayfort.ray.secret_key import SecretKeyRef

CLEANUP_NODE: Final = "redis-cleanup"  # the node type of the Job with which KubeRay deletes the state
# KubeRay sets them from the options, and refuses a spec that has them otherwise, by an event alone.
OWN_VARIABLES: Final = frozenset(
    {"RAY_REDIS_ADDRESS", "REDIS_USERNAME", "REDIS_PASSWORD", "RAY_external_storage_namespace"}
)
OWN_PARAMETERS: Final = frozenset({"redis-username", "redis-password"})
OWN_ANNOTATIONS: Final = frozenset({"ray.io/ft-enabled", "ray.io/external-storage-namespace"})

RedisAddress = Annotated[
    str,
    Written(
        r"(rediss?://)?[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?:[0-9]{1,5}",
        "is not a Redis address; write host:port, or rediss://host:port for TLS, without a login in it",
    ),
]
StorageNamespace = Annotated[
    str,
    Written(
        r"[A-Za-z0-9]([-._A-Za-z0-9]{0,61}[A-Za-z0-9])?",
        "is not a storage namespace; use at most 63 letters, digits, '-', '_' and '.'",
    ),
]


class GcsFaultTolerance(Model):
    """Where Ray keeps its state.

    Args:
        redis_address: ``host:port`` of a Redis, or ``rediss://host:port`` for TLS.
        redis_password: the Secret with its password.
        redis_username: the Secret with its user name, for a Redis with users.
        external_storage_namespace: what keeps this cluster's state apart from others' in that Redis; by
            default the RayCluster's uid, so that a RayCluster that is made anew starts from nothing.
        redis_namespace: the Kubernetes namespace of the Redis: the head may connect there, and its sidecar
            learns of its Services.
        redis_cidrs: where the Redis is outside, its addresses: the head may connect there.
    """

    redis_address: RedisAddress
    redis_password: SecretKeyRef | None = None
    redis_username: SecretKeyRef | None = None
    external_storage_namespace: StorageNamespace | None = None
    redis_namespace: DnsLabel | None = None
    redis_cidrs: tuple[Cidr, ...] = ()

    @model_validator(mode="after")
    def _reachable(self) -> "GcsFaultTolerance":
        if not 0 < self.port <= 65535:
            raise ValueError(f"redisAddress: {self.port} is not a port; use 1 to 65535")
        if (self.redis_namespace is None) == (not self.redis_cidrs):
            raise ValueError(
                "say where the Redis is, since nothing else lets the head out to it: redisNamespace for one "
                "in this Kubernetes cluster, or redisCidrs for one outside"
            )
        return self

    @property
    def port(self) -> int:
        """The port of the Redis."""
        return int(self.redis_address.rpartition(":")[2])

    @property
    def options(self) -> JsonObject:
        """``spec.gcsFaultToleranceOptions`` of the RayCluster."""
        options: JsonObject = {"redisAddress": self.redis_address}
        for name, reference in (
            ("redisUsername", self.redis_username),
            ("redisPassword", self.redis_password),
        ):
            if reference:
                options[name] = {"valueFrom": reference.source}
        if self.external_storage_namespace:
            options["externalStorageNamespace"] = self.external_storage_namespace
        return options


def check_names(what: str, names: Iterable[str], own: frozenset[str]) -> None:
    """Refuse settings of a node with which KubeRay would refuse the whole cluster.

    Raises:
        ValueError: naming the first of them.
    """
    for name in names:
        if name in own:
            raise ValueError(
                f"{what} {name} belongs to `gcsFaultTolerance`, which takes a password from a Secret; set it "
                "there"
            )
