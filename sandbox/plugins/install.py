"""Putting the stand-in plugins where the engine finds them."""

import shlex
from pathlib import Path
from typing import Final

_MODULES: Final = {
    "kubernetes": "sandbox.plugins.kubernetes_provider",
    "random": "sandbox.plugins.random_provider",
}


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
            "export PYTHONPATH RAYFORT_HELM\n"
            f'exec {shlex.quote(str(python.absolute()))} -m {module} "$@"\n'
        )
        path = directory / f"pulumi-resource-{name}"
        temporary = path.with_suffix(".new")
        temporary.write_text(script)
        temporary.chmod(0o755)
        temporary.replace(path)  # an engine may be starting the old one right now
    return directory
