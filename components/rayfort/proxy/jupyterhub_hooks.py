"""What the hub is told beside its values: a notebook's tokens reach it by reference.

KubeSpawner writes them into the Pod, where everybody reads them who may read Pods. These hooks leave names
there, and keep the values in a Secret that goes with the Pod. The hub runs this file as a part of its
configuration, so that it imports nothing but Python's own.
"""

from __future__ import annotations

import secrets
from typing import Any

TOKENS = ("JUPYTERHUB_API_TOKEN", "JPY_API_TOKEN")
KEPT = "_rayfort_tokens"  # on the spawner, between the two hooks


def by_reference(spawner: Any, pod: Any) -> Any:
    """Put references in the place of a Pod's tokens; KubeSpawner's ``modify_pod_hook``."""
    name = f"{pod.metadata.name}-{secrets.token_hex(4)}"
    found: dict[str, str] = {}
    for container in pod.spec.containers:
        for variable in container.env or []:
            if variable.name in TOKENS and variable.value:
                found[variable.name] = variable.value
                variable.value = None
                variable.value_from = {"secretKeyRef": {"name": name, "key": variable.name}}
    setattr(spawner, KEPT, (name, found))
    return pod


async def keep(spawner: Any, pod: Any) -> None:
    """Make the Secret that they refer to, owned by the Pod; KubeSpawner's ``after_pod_created_hook``."""
    name, found = getattr(spawner, KEPT)
    delattr(spawner, KEPT)
    meta = pod["metadata"]
    owner = {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": spawner.namespace, "ownerReferences": [owner]},
        "type": "Opaque",
        "immutable": True,
        "stringData": found,
    }
    await spawner.api.create_namespaced_secret(spawner.namespace, secret)
