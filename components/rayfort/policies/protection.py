"""That Pulumi refuses to delete what cannot be made again."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Final

from rayfort.mesh.observability.jaeger import CLAIM
from rayfort.policies.allowances import setting, unless_listed
from rayfort.policies.gke import CLUSTER
from rayfort.policies.kinds import is_kind
from rayfort.policies.rule import Config, Finding, Level, Resource, ResourceRule, Violation

# What others depend on, and what holds data or decrypts it.
_TYPES: Final = frozenset(
    {
        CLUSTER,
        "gcp:compute/disk:Disk",
        "gcp:filestore/instance:Instance",
        "gcp:kms/cryptoKey:CryptoKey",
        "gcp:kms/keyRing:KeyRing",
        "gcp:redis/cluster:Cluster",
        "gcp:redis/instance:Instance",
        "gcp:sql/databaseInstance:DatabaseInstance",
        "gcp:storage/bucket:Bucket",
    }
)
_SETTING: Final = "expendable"
# Traces are kept for a week in any case.
_EXPENDABLE: Final = (f"*/{CLAIM}",)


def _protected(resource: Resource, config: Config) -> Iterator[Finding]:
    volume = is_kind(resource, "", "PersistentVolumeClaim", "PersistentVolume")
    if resource.protect or not (volume or resource.type in _TYPES):
        return
    found = Violation("", "is not protected; make it with pulumi.ResourceOptions(protect=True)")
    patterns = (*_EXPENDABLE, *config.get(_SETTING, ()))
    if volume:
        yield from unless_listed(resource, patterns, [found])
    elif not any(fnmatchcase(resource.name, pattern) for pattern in patterns):
        yield found


RULES: Final = (
    ResourceRule(
        name="protected-in-production",
        description="Pulumi refuses to delete clusters, keys and what holds data.",
        why="A rename or a wrong `destroy` would delete what nobody can make again.",
        development=Level.DISABLED,
        settings={
            _SETTING: setting("What may go, by its name in the program or, for volumes, as namespace/name")
        },
        check=_protected,
    ),
)
