"""The settings of a kubernetes provider: what the stand-in understands, and what it must refuse.

A setting that would change what happens, and that the stand-in does not have, is an error that names
it. Nothing that matters is ignored.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sandbox.plugins import kubeconfig
from sandbox.plugins.kubeconfig import KubeconfigError
from sandbox.plugins.properties import UNKNOWN
from sandbox.plugins.server import InvalidRequest

_UNSUPPORTED: Final[Mapping[str, str]] = {
    "renderYamlToDirectory": "rendering YAML instead of deploying",
    "alwaysRender": "rendering YAML instead of deploying",
    "skipUpdateUnreachable": "skipping updates while the cluster is unreachable",
    "rejectUnknownResources": "refusing kinds without a schema",
}
# These change what the user reads or how fast requests go, not what happens.
_WITHOUT_EFFECT: Final = frozenset(
    {
        "clusterIdentifier",
        "pluginDownloadURL",
        "suppressDeprecationWarnings",
        "suppressHelmHookWarnings",
        "version",
    }
)
_TEXTS: Final = frozenset({"kubeconfig", "context", "cluster", "namespace"})
# The environment is the fallback, as with the official plugin.
_SWITCHES: Final[Mapping[str, str]] = {
    "deleteUnreachable": "PULUMI_K8S_DELETE_UNREACHABLE",
    "enableConfigMapMutable": "PULUMI_K8S_ENABLE_CONFIGMAP_MUTABLE",
    "enableSecretMutable": "PULUMI_K8S_ENABLE_SECRET_MUTABLE",
    "enablePatchForce": "PULUMI_K8S_ENABLE_PATCH_FORCE",
    "upsertExistingObjects": "PULUMI_K8S_UPSERT_EXISTING_OBJECTS",
    "enableServerSideApply": "",
    "strictMode": "",
}
_HELM_ENVIRONMENT: Final[Mapping[str, tuple[str, str]]] = {
    "driver": ("HELM_DRIVER", "PULUMI_K8S_HELM_DRIVER"),
    "pluginsPath": ("HELM_PLUGINS", "PULUMI_K8S_HELM_PLUGINS_PATH"),
    "registryConfigPath": ("HELM_REGISTRY_CONFIG", "PULUMI_K8S_HELM_REGISTRY_CONFIG_PATH"),
    "repositoryConfigPath": ("HELM_REPOSITORY_CONFIG", "PULUMI_K8S_HELM_REPOSITORY_CONFIG_PATH"),
    "repositoryCache": ("HELM_REPOSITORY_CACHE", "PULUMI_K8S_HELM_REPOSITORY_CACHE"),
}
_HELM_WITHOUT_EFFECT: Final = frozenset({"suppressBetaWarning"})
_CLUSTER_KEYS: Final = ("kubeconfig", "context", "cluster")


@dataclass(frozen=True)
class Settings:
    """What a provider was configured with.

    Attributes:
        selected: the kubeconfig of the one context to use; None if it cannot be used.
        problem: why it cannot be used.
        default_namespace: for objects that name none.
        helm_environment: variables for helm.
        read_seconds: how long to wait for an answer of the API server; None for the default.
    """

    selected: dict[str, Any] | None
    problem: str
    default_namespace: str
    delete_unreachable: bool = False
    mutable_config_maps: bool = False
    mutable_secrets: bool = False
    patch_force: bool = False
    upsert: bool = False
    helm_environment: Mapping[str, str] = field(default_factory=dict)
    read_seconds: float | None = None


def schema() -> dict[str, Any]:
    """The settings as a schema says them: of the official plugin, those that do something here."""
    texts: dict[str, Any] = {name: {"type": "string"} for name in (*_TEXTS, "clusterIdentifier")}
    switches = {name: {"type": "boolean"} for name in _SWITCHES}
    return {"inputProperties": dict(sorted((texts | switches).items()))}


def problems(given: Mapping[str, Any]) -> dict[str, str]:
    """Return what is wrong with the inputs of a provider, by the setting's name."""
    found: dict[str, str] = {}
    for key, value in {**_from_environment(), **given}.items():
        if value in (None, "") or value is UNKNOWN or key.startswith("__"):
            continue
        if key in _UNSUPPORTED and _on(value):
            found[key] = f"the stand-in kubernetes plugin does not have {key} ({_UNSUPPORTED[key]})"
        elif key == "enableServerSideApply" and not _on(value):
            found[key] = f"the stand-in kubernetes plugin has server-side apply only: leave {key} on"
        elif key == "helmReleaseSettings":
            found |= _helm_problems(value)
        elif key == "kubeClientSettings" and not isinstance(_decoded(value), Mapping):
            found[key] = "kubeClientSettings must be a mapping with burst, qps or timeout"
        elif key not in _known():
            found[key] = f"the stand-in kubernetes plugin has no setting {key}"
    return found | (_strict_problems(given) if _on(given.get("strictMode")) else {})


def _from_environment() -> dict[str, str]:
    """Settings that only the environment gives and that the stand-in must not pass over."""
    variables = {
        "enableServerSideApply": "PULUMI_K8S_ENABLE_SERVER_SIDE_APPLY",
        "skipUpdateUnreachable": "PULUMI_K8S_SKIP_UPDATE_UNREACHABLE",
    }
    return {key: os.environ[name] for key, name in variables.items() if os.environ.get(name)}


def _known() -> frozenset[str]:
    others = {"helmReleaseSettings", "kubeClientSettings"}
    return frozenset({*_UNSUPPORTED, *_WITHOUT_EFFECT, *_TEXTS, *_SWITCHES, *others})


def _helm_problems(value: Any) -> dict[str, str]:
    settings = _decoded(value)
    if not isinstance(settings, Mapping):
        return {"helmReleaseSettings": "helmReleaseSettings must be a mapping"}
    return {
        f"helmReleaseSettings.{key}": f"the stand-in kubernetes plugin has no helmReleaseSettings.{key}"
        for key in settings
        if key not in _HELM_ENVIRONMENT and key not in _HELM_WITHOUT_EFFECT
    }


def _strict_problems(given: Mapping[str, Any]) -> dict[str, str]:
    return {
        key: f'strict mode requires Provider "{key}" argument'
        for key in ("kubeconfig", "context")
        if not given.get(key)
    }


def settings(given: Mapping[str, Any]) -> Settings:
    """Return the settings that the inputs of a provider mean.

    A kubeconfig that cannot be used is not an error yet: nothing may need the cluster.

    Raises:
        InvalidRequest: a setting is not understood; every such setting is named.
    """
    found = problems(given)
    if found:
        raise InvalidRequest("; ".join(found.values()))
    given = {key: value for key, value in given.items() if value not in (None, "")}
    selected, problem = None, ""
    try:
        config = kubeconfig.load(_decoded_kubeconfig(given.get("kubeconfig")))
        selected = kubeconfig.select(config, given.get("context"), given.get("cluster"))
    except KubeconfigError as error:
        problem = str(error)
    ambient = kubeconfig.namespace(selected) if selected else "default"
    client = _decoded(given.get("kubeClientSettings")) or {}
    timeout = client.get("timeout") or os.environ.get("PULUMI_K8S_CLIENT_TIMEOUT")
    return Settings(
        selected=selected,
        problem=problem,
        default_namespace=given.get("namespace") or ambient,
        delete_unreachable=_switch(given, "deleteUnreachable"),
        mutable_config_maps=_switch(given, "enableConfigMapMutable"),
        mutable_secrets=_switch(given, "enableSecretMutable"),
        patch_force=_switch(given, "enablePatchForce"),
        upsert=_switch(given, "upsertExistingObjects"),
        helm_environment=_helm_environment(_decoded(given.get("helmReleaseSettings")) or {}),
        read_seconds=float(timeout) if timeout else None,
    )


def replacements(olds: Mapping[str, Any], news: Mapping[str, Any], changed: set[str]) -> list[str]:
    """Return the changed settings that mean another cluster, so that all in it must be replaced.

    While `clusterIdentifier` is set and unchanged it alone says that the cluster is the same one.
    """
    old_id, new_id = olds.get("clusterIdentifier"), news.get("clusterIdentifier")
    if new_id is not None and old_id == new_id:
        return []
    found = ["clusterIdentifier"] if old_id is not None and new_id is not None else []
    unknown = [key for key in _CLUSTER_KEYS if news.get(key) is UNKNOWN]
    if unknown:
        return [*found, unknown[0]]
    old, new = _active_cluster(olds), _active_cluster(news)
    if old is not None and new is not None and old != new:
        found += [key for key in _CLUSTER_KEYS if key in changed]
    return found


def _active_cluster(given: Mapping[str, Any]) -> Mapping[str, Any] | None:
    source = given.get("kubeconfig")
    if not source or source is UNKNOWN:
        return None
    try:
        config = kubeconfig.load(_decoded_kubeconfig(source))
    except KubeconfigError:
        return None
    return kubeconfig.active_cluster(config, given.get("context"), given.get("cluster"))


def _helm_environment(given: Mapping[str, Any]) -> dict[str, str]:
    found = {
        name: given.get(key) or os.environ.get(fallback)
        for key, (name, fallback) in _HELM_ENVIRONMENT.items()
    }
    return {name: str(value) for name, value in found.items() if value}


def _switch(given: Mapping[str, Any], key: str) -> bool:
    return _on(given[key]) if key in given else _on(os.environ.get(_SWITCHES[key]))


def _on(value: Any) -> bool:
    return value is True or value == "true" or (isinstance(value, str) and value not in ("false", ""))


def _decoded(value: Any) -> Any:
    """The SDKs send every setting that is not text as JSON."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def _decoded_kubeconfig(value: Any) -> Any:
    decoded = _decoded(value)
    return decoded if isinstance(decoded, Mapping) else value
