"""The token that a Ray cluster asks of everyone who connects."""

import hashlib
from typing import Final

import pulumi
import pulumi_kubernetes as k8s
import pulumi_random as random
from pydantic import Field

from rayfort.component import Component, meta
from rayfort.model import DnsLabel, Model, SecretInput, as_secret
from rayfort.ray.auth import TOKEN_KEY, check_token

# 48 of 62 characters are 285 bits. No special characters: the token goes into an HTTP header.
TOKEN_LENGTH: Final = 48
HASH_LENGTH: Final = 8


def secret_name(prefix: str, token: str) -> str:
    """The name of the Secret that holds ``token``: a new token has a new name.

    The eight hexadecimal digits of its hash tell nothing useful about a token of 285 bits.
    """
    return f"{prefix}-{hashlib.sha256(token.encode()).hexdigest()[:HASH_LENGTH]}"


class RayAuthTokenArgs(Model):
    """Arguments of `RayAuthToken`.

    Args:
        namespace: the namespace of the Ray cluster.
        prefix: what the Secret's name begins with; a hash of the token follows.
        rotation: any text; changing it makes a new token.
        token: a token to take instead of a random one (secret).
    """

    namespace: DnsLabel
    prefix: DnsLabel
    rotation: str = "1"
    token: SecretInput | None = Field(default=None, repr=False)


class RayAuthToken(Component):
    """A token in an immutable Secret with the key ``auth_token``, named by the token's hash.

    It is random unless one is given.

    Since the name changes with the token, whatever refers to it changes as well: Pulumi makes the new
    Secret, updates the RayCluster, whose Pods are replaced, and deletes the old Secret last.

    Attributes:
        token: the token (secret).
        secret_name: the Secret's name; not a secret, so that diffs show it.
    """

    token: pulumi.Output[str]
    secret_name: pulumi.Output[str]

    def __init__(self, name: str, args: RayAuthTokenArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, {"namespace": args.namespace, "rotation": args.rotation}, opts)
        if args.token is not None:
            # What is another resource's output is known, and so checked, only now.
            self.token = as_secret(args.token).apply(check_token)
        else:
            password = random.RandomPassword(
                name,
                length=TOKEN_LENGTH,
                special=False,
                keepers={"rotation": args.rotation},
                opts=self.child(),
            )
            self.token = pulumi.Output.secret(password.result)
        name_by_hash = pulumi.Output.unsecret(self.token.apply(lambda token: secret_name(args.prefix, token)))
        secret = k8s.core.v1.Secret(
            name,
            metadata=meta(name_by_hash, args.namespace),
            type="Opaque",
            immutable=True,
            string_data={TOKEN_KEY: self.token},
            opts=self.child(),
        )
        # Wait for the Secret itself: Pods that refer to it must find it.
        self.secret_name = pulumi.Output.unsecret(secret.metadata.name)
        self.register_outputs({"secretName": self.secret_name, "token": self.token})
