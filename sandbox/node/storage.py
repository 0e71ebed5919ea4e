"""The node's storage class: directories of the node, handed out by the local-path provisioner.

It is what `kind` installs, from the manifest that its own module holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from sandbox.processes import SandboxError

MANIFEST: Final = "local-path-storage.yaml"
PROVISIONER_IMAGE: Final = "docker.io/rancher/local-path-provisioner:v0.0.30"
HELPER_IMAGE: Final = "rayfort.local/base:1"  # makes and removes the directories: needs a shell, mkdir and rm
STORAGE_CLASS: Final = "standard"

_HELPER_POD: Final = "helperPod.yaml"
_DEFAULT_CLASS: Final = "storageclass.kubernetes.io/is-default-class"

_Object = dict[str, Any]


def objects(directory: Path) -> list[_Object]:
    """The provisioner and the default storage class, in an order in which they can be applied.

    Args:
        directory: the asset with the provisioner's manifest.

    Raises:
        SandboxError: the manifest is not there, or not what is expected.
    """
    file = directory / MANIFEST
    try:
        return [_fit(manifest) for manifest in yaml.safe_load_all(file.read_text()) if manifest]
    except (OSError, yaml.YAMLError, KeyError, IndexError, TypeError) as error:
        raise SandboxError(
            f"{file} is not the local-path provisioner's manifest ({type(error).__name__}: {error}). "
            f"Delete {directory} and run `./rayfort up` again: it is made anew."
        ) from error


def _fit(manifest: Mapping[str, Any]) -> _Object:
    kind = manifest["kind"]
    if kind == "Deployment":
        return _with_image(manifest)
    if kind == "ConfigMap":
        return _with_helper(manifest)
    if kind == "StorageClass":
        metadata = {"name": STORAGE_CLASS, "annotations": {_DEFAULT_CLASS: "true"}}
        return {**manifest, "metadata": metadata}
    return dict(manifest)


def _with_image(deployment: Mapping[str, Any]) -> _Object:
    spec = deployment["spec"]
    template = spec["template"]
    container = {**template["spec"]["containers"][0], "image": PROVISIONER_IMAGE}
    pod = {**template["spec"], "containers": [container]}
    return {**deployment, "spec": {**spec, "template": {**template, "spec": pod}}}


def _with_helper(config: Mapping[str, Any]) -> _Object:
    pod = yaml.safe_load(config["data"][_HELPER_POD])
    pod["spec"]["containers"][0]["image"] = HELPER_IMAGE
    data = {**config["data"], _HELPER_POD: yaml.safe_dump(pod, sort_keys=False)}
    return {**config, "data": data}
