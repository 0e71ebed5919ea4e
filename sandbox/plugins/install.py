"""Putting the stand-in plugins, and what runs policy packs, where the engine finds them."""

import shlex
from pathlib import Path
from typing import Final

from sandbox.plugins import attended
from sandbox.plugins.attended import PARENT

_MODULES: Final = {
    "kubernetes": "sandbox.plugins.kubernetes_provider",
    "random": "sandbox.plugins.random_provider",
}
ANALYZER: Final = "pulumi-analyzer-policy-python"


def install(directory: Path, python: Path, repo_root: Path, *, helm: Path) -> Path:
    """Write the executables `pulumi-resource-kubernetes` and `pulumi-resource-random`.

    Args:
        directory: where to; made if it does not exist.
        python: interpreter of an environment that holds the workspace's dependencies.
        repo_root: directory that holds the package `sandbox`.
        helm: program for Helm releases.

    Returns:
        The directory, to be put at the END of the engine's PATH, so that an official plugin that is
        already there is found first.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for name, module in _MODULES.items():
        script = (
            "#!/bin/sh\n"
            # Nothing else of the environment may decide which modules the plugin loads.
            f"PYTHONPATH={shlex.quote(str(repo_root.absolute()))}\n"
            f'[ -n "${{RAYFORT_HELM:-}}" ] || RAYFORT_HELM={shlex.quote(str(helm.absolute()))}\n'
            # Told here: until Python has started, an engine that was killed may be the parent no more.
            f"{PARENT}=$PPID\n"
            f"export PYTHONPATH RAYFORT_HELM {PARENT}\n"
            f'exec {shlex.quote(str(python.absolute()))} -m {module} "$@"\n'
        )
        _write(directory / f"pulumi-resource-{name}", script)
    return directory


def install_analyzer(directory: Path, python: Path) -> Path:
    """Write the executable that runs policy packs in Python, a part of Pulumi's own release.

    The engine starts it in the pack's directory, with its own address and that directory as arguments, and
    with the runtime's options of ``PulumiPolicy.yaml`` after them.

    Args:
        directory: where to; made if it does not exist.
        python: interpreter for the packs, whose environment holds what they import.

    Returns:
        The directory, to be put at the END of the engine's PATH.
    """
    directory.mkdir(parents=True, exist_ok=True)
    interpreter, program = (shlex.quote(str(path)) for path in (python.absolute(), attended.__file__))
    # Unbuffered: the engine waits for the port, which the module prints without flushing.
    run = f'{interpreter} -u -P {program} pulumi.policy "$1" "$2"'
    _write(directory / ANALYZER, f"#!/bin/sh\n{PARENT}=$PPID exec {run}\n")
    return directory


def _write(path: Path, script: str) -> None:
    temporary = path.with_suffix(".new")
    temporary.write_text(script)
    temporary.chmod(0o755)
    temporary.replace(path)  # an engine may be starting the old one right now


def install_dynamic(directory: Path, python: Path) -> Path:
    """Write the executable `pulumi-resource-pulumi-python`, which runs dynamic providers.

    Pulumi's release has it, as a script around the same module of the SDK; no package registry does.

    Args:
        directory: where to; made if it does not exist.
        python: interpreter of an environment that holds the providers' modules.

    Returns:
        The directory, for the engine's PATH.
    """
    directory.mkdir(parents=True, exist_ok=True)
    # Unbuffered: the engine waits for the port, which the module prints without flushing. As Pulumi's own it
    # outlives an engine that was killed: a provider may have something to clean up.
    script = f'#!/bin/sh\nexec {shlex.quote(str(python.absolute()))} -u -m pulumi.dynamic "$@"\n'
    _write(directory / "pulumi-resource-pulumi-python", script)
    return directory
