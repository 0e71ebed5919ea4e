"""Checks of what a stack on a cluster of your own needs: Pulumi, its plugins, the kubeconfig."""

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from cli.checks import Check, State, gke
from cli.checks.sandbox import plugin
from cli.stacks import MASK, StackFile
from infra.cluster_settings import ExistingClusterSettings, GkeClusterSettings
from infra.problems import SettingsError
from infra.settings import Settings
from sandbox.engine import PROVIDERS
from sandbox.toolchain import TOOLS, Toolchain
from sandbox.tools import probe
from sandbox.tools.catalog import CATALOG

INSTALL_PULUMI: Final = "install Pulumi's own release: https://www.pulumi.com/docs/install/"
LANGUAGE_HOST: Final = "pulumi-language-python"
PASSPHRASES: Final = ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE")


def checks(root: Path, stack: StackFile, settings: Settings, *, ask: bool = True) -> Iterator[Check]:
    """The checks of a stack.

    Args:
        root: the project's directory.
        stack: its file.
        settings: what the file says.
        ask: whether clouds are asked as well, which takes seconds.
    """
    yield engine()
    yield language_host()
    home = Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi")
    for name in PROVIDERS:
        yield plugin(name, home, stand_in=False)
    if stack.passphrase and not any(os.environ.get(name) for name in PASSPHRASES):
        text = "the stack's secrets need one, and none is in the environment"
        yield Check("passphrase", State.WARN, text, f"set {' or '.join(PASSPHRASES)}, or Pulumi asks for it")
    if isinstance(settings.cluster, ExistingClusterSettings):
        yield from kubeconfig(root, settings.cluster)
    if isinstance(settings.cluster, GkeClusterSettings):
        yield from gke.checks(settings.cluster, ask=ask)
    yield from local_files(root, settings)


def engine() -> Check:
    """Pulumi's engine on PATH."""
    tool = TOOLS["pulumi"]
    pinned = tool.reports(CATALOG.pin(tool.module))
    versions = {path: probe.reported_version(tool, path) for path in probe.on_path("pulumi")}
    for path, version in versions.items():
        if version and tool.accepts(version, pinned):
            return Check("Pulumi", State.OK, f"{version} ({path})")
    if versions:
        found = ", ".join(version or "unknown" for version in versions.values())
        return Check("Pulumi", State.MISSING, f"{found} on PATH, and {pinned} is needed", INSTALL_PULUMI)
    ours = Toolchain().find("pulumi")
    text = "not on PATH" + (f" (the sandbox has its own, {ours.path}, without plugins)" if ours else "")
    return Check("Pulumi", State.MISSING, text, INSTALL_PULUMI)


def language_host() -> Check:
    """What runs a Python program for the engine."""
    path = shutil.which(LANGUAGE_HOST)
    if not path and (pulumi := shutil.which("pulumi")):
        path = shutil.which(LANGUAGE_HOST, path=str(Path(pulumi).resolve().parent))
    if path:
        return Check("language host", State.OK, path)
    return Check("language host", State.MISSING, f"{LANGUAGE_HOST} is not on PATH", INSTALL_PULUMI)


def kubeconfig(root: Path, cluster: ExistingClusterSettings) -> Iterator[Check]:
    """The kubeconfig, its context, and the program that gets its credentials."""
    if cluster.stack:
        yield Check("kubeconfig", State.OK, f"an output of stack {cluster.stack}; not asked here")
        return
    if cluster.kubeconfig and cluster.kubeconfig.get_secret_value() == MASK:
        yield Check("kubeconfig", State.OK, "encrypted in the stack's file; not read here")
        return
    try:
        content = cluster.read_kubeconfig(root).get_secret_value()
    except SettingsError as error:
        for problem in error.problems:
            text, _, remedy = problem.text.partition("; ")
            yield Check("kubeconfig", State.MISSING, text, f"{remedy or 'set it'} ({problem.key})")
        return
    place = cluster.kubeconfig_path or "in the stack's file"
    yield Check("kubeconfig", State.OK, f"{place}, context {cluster.context}")
    file = root / Path(cluster.kubeconfig_path or "kubeconfig").expanduser()
    yield from credential_plugin(content, cluster.context, file.parent)


def credential_plugin(content: str, context: str, directory: Path) -> Iterator[Check]:
    """The program that a kubeconfig's user runs for credentials, if it does.

    Args:
        content: a kubeconfig that holds the context.
        context: the context in use.
        directory: where the kubeconfig lies; relative commands start there.
    """
    parsed = yaml.safe_load(content)
    user = _named(parsed["contexts"], context)["context"]["user"]
    execute = (_named(parsed["users"], user).get("user") or {}).get("exec")
    if not execute or not execute.get("command"):
        return
    command = str(execute["command"])
    path = shutil.which(str(directory / command) if os.sep in command else command)
    if path:
        yield Check("credential plugin", State.OK, path)
        return
    hint = " ".join(str(execute.get("installHint") or "install it, or put it on PATH").split())
    yield Check(
        "credential plugin", State.MISSING, f"{command}, which gets the credentials, is not here", hint
    )


def local_files(root: Path, settings: Settings) -> Iterator[Check]:
    """Charts and definitions that the settings name by a path."""
    operator, mesh = settings.operator, settings.istio
    charts = {"operator.chart": operator.chart, "operator.crdChart": operator.crd_chart}
    if mesh:
        charts |= {"mesh.baseChart": mesh.base_chart, "mesh.istiodChart": mesh.istiod_chart}
    for key, chart in charts.items():
        if chart and chart.is_path and not (root / chart.chart).exists():
            yield Check(key, State.MISSING, f"{chart.chart} is not there", "put the chart there, or name it")
    for crd in operator.crds or ():
        if "://" not in crd and not any(root.glob(crd) if not Path(crd).is_absolute() else [Path(crd)]):
            yield Check("operator.crds", State.MISSING, f"{crd} is not there", "put the files there")


def _named(items: list[Mapping[str, Any]], name: str) -> Mapping[str, Any]:
    return next(item for item in items if item.get("name") == name)
