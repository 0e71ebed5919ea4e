"""A token for private remote URIs in ``runtime_env``, as an alternative to the netrc file.

Ray sends it as ``Authorization: Bearer`` to every host that any ``runtime_env`` names, public ones as well,
so that it belongs to clusters whose code all comes from one place. For machines of the netrc file the login
there wins.
"""

from typing import Final

from rayfort import versions
from rayfort.model import JsonObject
from rayfort.ray.secret_key import SecretKeyRef

VARIABLE: Final = "RAY_RUNTIME_ENV_BEARER_TOKEN"


def environment(token: SecretKeyRef | None) -> list[JsonObject]:
    """The variable for every Ray container: each node downloads for itself."""
    return [{"name": VARIABLE, "valueFrom": token.source}] if token else []


def check(token: SecretKeyRef | None, ray_version: str) -> None:
    """Refuse it for a Ray that would ignore it.

    Raises:
        ValueError: naming the version that is needed.
    """
    if token and not versions.at_least(ray_version, versions.RAY_RUNTIME_ENV_TOKEN):
        raise ValueError(
            f"runtimeEnvToken needs Ray {versions.RAY_RUNTIME_ENV_TOKEN} or newer, and rayVersion is "
            f"{ray_version}, which may ignore it; use the workspace's `netrc`"
        )
