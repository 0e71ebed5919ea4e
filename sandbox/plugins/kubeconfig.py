"""Kubeconfigs: reading one from text or files, and choosing one context of it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

_FILE_KEYS: Final = ("certificate-authority", "client-certificate", "client-key", "tokenFile")
_SECTIONS: Final = ("clusters", "contexts", "users")


class KubeconfigError(Exception):
    """The kubeconfig cannot be used; the text says why."""


def load(source: str | Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a kubeconfig as a mapping, with absolute paths in it.

    Args:
        source: the contents (YAML or JSON), a path, or an already parsed mapping. Nothing or an
            empty text means what kubectl would use: `$KUBECONFIG`, else `~/.kube/config`.

    Raises:
        KubeconfigError: the text is no kubeconfig or no file was found.
    """
    if isinstance(source, Mapping):
        return dict(source)
    if not source:
        ambient = os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
        return _merged([Path(part).expanduser() for part in ambient.split(os.pathsep) if part])
    path = _existing_path(source)
    if path:
        return _merged([path])
    return _parsed(source, "the contents of `kubeconfig`")


def select(kubeconfig: Mapping[str, Any], context: str | None, cluster: str | None) -> dict[str, Any]:
    """Return a kubeconfig with nothing but one context, its cluster and its user.

    Args:
        kubeconfig: what `load` returned.
        context: name of the context; the current one if absent.
        cluster: name of a cluster to use in place of the context's own.

    Raises:
        KubeconfigError: a name does not exist in the kubeconfig.
    """
    name = context or kubeconfig.get("current-context")
    if not name:
        raise KubeconfigError("no `context` is given and the kubeconfig has no current-context")
    chosen = dict(_named(kubeconfig, "contexts", name)["context"])
    chosen["cluster"] = cluster or chosen.get("cluster")
    users = [] if not chosen.get("user") else [_named(kubeconfig, "users", chosen["user"])]
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "contexts": [{"name": name, "context": chosen}],
        "clusters": [_named(kubeconfig, "clusters", str(chosen["cluster"]))],
        "users": users,
    }


def active_cluster(
    kubeconfig: Mapping[str, Any], context: str | None, cluster: str | None
) -> Mapping[str, Any] | None:
    """Return the address and certificates of the chosen cluster, or None if there is no such thing."""
    try:
        found: Mapping[str, Any] = select(kubeconfig, context, cluster)["clusters"][0]["cluster"]
    except KubeconfigError:
        return None
    return found


def namespace(selected: Mapping[str, Any]) -> str:
    """Return the default namespace of the context that `select` chose."""
    return selected["contexts"][0]["context"].get("namespace") or "default"


def _existing_path(source: str) -> Path | None:
    path = Path(source).expanduser() if "\n" not in source else None
    try:
        return path if path and path.is_file() else None
    except OSError:  # contents on one line are longer than a file name may be
        return None


def _merged(paths: list[Path]) -> dict[str, Any]:
    """Merge as kubectl does: of two entries with one name the first file's wins."""
    merged: dict[str, Any] = {section: [] for section in _SECTIONS}
    found = [path for path in paths if path.is_file()]
    if not found:
        raise KubeconfigError(f"no kubeconfig found: {', '.join(map(str, paths))} does not exist")
    for path in found:
        try:
            text = path.read_text()
        except OSError as error:
            raise KubeconfigError(f"cannot read the kubeconfig {path}: {error.strerror}") from None
        config = _parsed(text, f"the kubeconfig {path}")
        if config.get("current-context"):
            merged.setdefault("current-context", config["current-context"])
        for section in _SECTIONS:
            names = {entry["name"] for entry in merged[section]}
            for entry in config.get(section) or []:
                if entry.get("name") not in names:
                    merged[section].append(_with_absolute_paths(entry, path.parent))
    return merged


def _with_absolute_paths(entry: Mapping[str, Any], directory: Path) -> dict[str, Any]:
    result = dict(entry)
    for part in ("cluster", "user"):
        if isinstance(result.get(part), Mapping):
            result[part] = {
                key: str(directory.absolute() / value) if key in _FILE_KEYS and value else value
                for key, value in result[part].items()
            }
    return result


def _parsed(text: str, what: str) -> dict[str, Any]:
    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError:
        # The parser's message quotes the text, which holds keys.
        raise KubeconfigError(f"{what}: neither an existing file nor valid YAML") from None
    if not isinstance(config, dict) or "clusters" not in config:
        raise KubeconfigError(f"{what}: neither an existing file nor a kubeconfig")
    return config


def _named(kubeconfig: Mapping[str, Any], section: str, name: str) -> Mapping[str, Any]:
    entries: list[Mapping[str, Any]] = kubeconfig.get(section) or []
    for entry in entries:
        if entry.get("name") == name:
            return entry
    known = ", ".join(sorted(str(entry.get("name")) for entry in entries)) or "none"
    raise KubeconfigError(f"the kubeconfig has no {section[:-1]} {name!r} (it has: {known})")
