"""A value that stays in a Secret: objects name the Secret and the key, never what stands there."""

from typing import Annotated

from rayfort.model import JsonObject, Model, Written

SecretName = Annotated[
    str,
    Written(
        r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?",
        "is not a Secret's name; use lower-case letters, digits, '-' and '.'",
    ),
]
SecretKey = Annotated[
    str, Written(r"[-._A-Za-z0-9]{1,253}", "is not a Secret's key; use letters, digits, '-', '_' and '.'")
]


class SecretKeyRef(Model):
    """One value of a Secret in the Ray cluster's namespace, which is made by whoever knows the value.

    Args:
        name: the Secret's name.
        key: the key in it.
    """

    name: SecretName
    key: SecretKey

    @property
    def source(self) -> JsonObject:
        """``valueFrom`` of a variable."""
        return {"secretKeyRef": {"name": self.name, "key": self.key}}
