"""The hub of the sandbox: what the chart's values and the two Secrets say, in JupyterHub's own words."""

import os
from pathlib import Path
from typing import Any

import yaml

HERE = Path("/usr/local/etc/jupyterhub")
SECRETS = (HERE / "existing-secret", HERE / "secret")


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`over` laid on `base`, objects key by key."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def secret(key: str) -> str | None:
    """A value of the Secret that somebody made for the hub, or else of the chart's own."""
    found = [folder / key for folder in SECRETS if (folder / key).exists()]
    return found[0].read_text() if found else None


values: dict[str, Any] = {}
for folder in reversed(SECRETS):
    if (folder / "values.yaml").exists():
        values = merge(values, yaml.safe_load((folder / "values.yaml").read_text()) or {})
hub, notebook = values["hub"], values["singleuser"]

c: Any = get_config()  # type: ignore[name-defined]  # noqa: F821 - JupyterHub's
c.JupyterHub.hub_bind_url = "http://:8081"
c.JupyterHub.hub_connect_url = "http://hub:8081"
c.JupyterHub.cleanup_servers = False
c.JupyterHub.db_url = "sqlite://"
c.JupyterHub.spawner_class = "kubespawner.KubeSpawner"
c.ConfigurableHTTPProxy.should_start = False
c.ConfigurableHTTPProxy.api_url = "http://proxy-api:8001"
for trait, key in (("JupyterHub.cookie_secret", "cookie_secret"), ("CryptKeeper.keys", "keys")):
    section = trait.partition(".")[0]
    value = secret(f"hub.config.{trait}")
    if value is not None:
        c[section][key] = value.split(";") if key == "keys" else value

services = []
for name, service in hub["services"].items():
    token = secret(f"hub.services.{name}.apiToken")
    services.append({"name": name, **service, **({"api_token": token} if token else {})})
c.JupyterHub.services = services
c.JupyterHub.load_roles = [{"name": name, **role} for name, role in hub["loadRoles"].items()]

spawner = c.KubeSpawner
spawner.namespace = os.environ["POD_NAMESPACE"]
tag = notebook["image"]["tag"] or os.environ["CHART_VERSION"]
spawner.image = f"{notebook['image']['name']}:{tag}"
spawner.common_labels = {
    "app.kubernetes.io/name": os.environ["CHART_NAME"],
    "app.kubernetes.io/instance": os.environ["RELEASE_NAME"],
    "app.kubernetes.io/managed-by": "kubespawner",
}
spawner.enable_service_links = False
for trait, value in {
    "cmd": notebook["cmd"],
    "default_url": notebook["defaultUrl"],
    "start_timeout": notebook["startTimeout"],
    "uid": notebook["uid"],
    "fs_gid": notebook["fsGid"],
    "allow_privilege_escalation": notebook["allowPrivilegeEscalation"],
    "service_account": notebook["serviceAccountName"],
    "extra_labels": notebook["extraLabels"],
    "extra_annotations": notebook["extraAnnotations"],
    "environment": notebook["extraEnv"],
    "image_pull_policy": notebook["image"]["pullPolicy"],
    "cpu_limit": notebook["cpu"]["limit"],
    "cpu_guarantee": notebook["cpu"]["guarantee"],
    "mem_limit": notebook["memory"]["limit"],
    "mem_guarantee": notebook["memory"]["guarantee"],
}.items():
    if value is not None:
        spawner[trait] = value

for section, settings in hub["config"].items():
    c[section].update(settings)
for _, source in sorted(hub["extraConfig"].items()):
    exec(source)  # noqa: S102 - as the official chart does with this value
