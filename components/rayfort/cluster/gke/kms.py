"""The key with which GKE encrypts Secrets, and the right to use it, which GKE needs before the cluster."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pulumi
from pulumi_gcp import kms, projects

from rayfort.cluster.gke.children import Children
from rayfort.cluster.gke.services import ENGINE
from rayfort.cluster.gke.spec import GkeClusterArgs

ROLE: Final = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
SECONDS_PER_DAY: Final = 86400


@dataclass(frozen=True)
class SecretsKey:
    """The key.

    Attributes:
        id: what GKE is told.
        ready: what must be there before the cluster.
    """

    id: pulumi.Input[str]
    ready: tuple[pulumi.Resource, ...]


def key_args(args: GkeClusterArgs, ring: pulumi.Input[str]) -> kms.CryptoKeyArgs:
    """The key for Secrets."""
    return kms.CryptoKeyArgs(
        key_ring=ring,
        name="kubernetes-secrets",
        purpose="ENCRYPT_DECRYPT",
        rotation_period=f"{args.encryption.rotation_days * SECONDS_PER_DAY}s",
        labels=args.labels or None,
    )


def make(children: Children, after: Sequence[pulumi.Resource]) -> SecretsKey:
    """Register the key and the right to it; a key that is given is its owner's matter."""
    name, args = children.name, children.args
    if args.encryption.key:
        return SecretsKey(args.encryption.key, ())
    # Without a name of its own: Google never deletes a key ring, and a second `up` would find it taken.
    ring = kms.KeyRing(
        f"{name}-secrets",
        kms.KeyRingArgs(project=args.project, location=args.region),
        opts=children.options(*after, protect=args.deletion_protection),
    )
    key = kms.CryptoKey(
        f"{name}-secrets",
        key_args(args, ring.id),
        opts=children.options(protect=args.deletion_protection),
    )
    engine = projects.ServiceIdentity(
        f"{name}-engine",
        projects.ServiceIdentityArgs(project=args.project, service=ENGINE),
        opts=children.options(*after),
    )
    grant = kms.CryptoKeyIAMMember(
        f"{name}-secrets",
        kms.CryptoKeyIAMMemberArgs(crypto_key_id=key.id, role=ROLE, member=engine.member),
        opts=children.options(),
    )
    return SecretsKey(key.id, (grant,))
