"""A Helm chart for the KubeRay operator where the official chart repository cannot be reached.

The templates and the values (same names as the official chart's) are ours; the custom resource
definitions and the operator's rights come from the operator's own module, so they always fit its version.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Final

import yaml

from sandbox.chart_files import about, dump, replacing, write
from sandbox.processes import SandboxError

NAME: Final = "kuberay-operator"
DESCRIPTION: Final = "The KubeRay operator, for the embedded sandbox"
DEFINITIONS: Final = "kuberay-crds"
_HOME: Final = "https://github.com/ray-project/kuberay"
_ICON: Final = "https://docs.ray.io/en/latest/_static/favicon.ico"
# The definitions are files that the template reads: braces in a description are not for Helm.
_EVERY_DEFINITION: Final = """\
{{- range $path, $_ := .Files.Glob "definitions/*.yaml" }}
---
{{ $.Files.Get $path }}
{{- end }}
"""
_TEMPLATES: Final = Path(__file__).resolve().parent / "charts" / NAME
_RULES: Final = {
    "role.yaml": "files/operator-rules.yaml",
    "leader_election_role.yaml": "files/leader-election-rules.yaml",
}


def write_chart(crds: Path, rbac: Path, version: str, out: Path) -> Path:
    """Write the chart to `out/kuberay-operator` and return that directory.

    `crds` and `rbac` are the directories of the operator's module with the custom resource definitions
    and with the roles, `version` is the operator's version, with or without a leading `v`. The same input
    gives the same bytes; a chart that is there already is replaced in one step.
    Raises SandboxError if one of the directories lacks what the chart needs.
    """
    with replacing(out, NAME) as draft:
        shutil.copytree(_TEMPLATES, draft, copy_function=shutil.copyfile)
        write(draft / "Chart.yaml", dump(about(NAME, DESCRIPTION, version, home=_HOME, icon=_ICON)))
        for name, text in _definitions(crds).items():
            write(draft / "crds" / name, text)
        for name, text in _rules(rbac).items():
            write(draft / name, text)
    return out / NAME


def write_definitions_chart(crds: Path, version: str, out: Path) -> Path:
    """Write a chart with the custom resource definitions as templates to `out/kuberay-crds`; return it.

    Helm upgrades what is in a chart's templates, and leaves what is in its `crds` alone. The arguments are
    those of `write_chart`.
    """
    with replacing(out, DEFINITIONS) as draft:
        description = "KubeRay's custom resource definitions, for the embedded sandbox"
        write(draft / "Chart.yaml", dump(about(DEFINITIONS, description, version, home=_HOME, icon=_ICON)))
        for name, text in _definitions(crds).items():
            write(draft / "definitions" / name, text)
        write(draft / "templates" / "definitions.yaml", _EVERY_DEFINITION)
    return out / DEFINITIONS


def _definitions(crds: Path) -> dict[str, str]:
    found = sorted(crds.glob("*.yaml"))
    if not found:
        raise SandboxError(_incomplete(crds, "*.yaml"))
    return {path.name: path.read_text() for path in found}


def _rules(rbac: Path) -> dict[str, str]:
    texts = {target: dump({"rules": _role(rbac / source)["rules"]}) for source, target in _RULES.items()}
    # Roles that an administrator can give to people, such as rayjob-editor-role.
    for path in sorted([*rbac.glob("*_editor_role.yaml"), *rbac.glob("*_viewer_role.yaml")]):
        role = _role(path)
        texts[f"files/user-roles/{role['metadata']['name']}.yaml"] = dump({"rules": role["rules"]})
    return texts


def _role(path: Path) -> dict[str, Any]:
    try:
        return dict(yaml.safe_load(path.read_text()))
    except FileNotFoundError:
        raise SandboxError(_incomplete(path.parent, path.name)) from None


def _incomplete(directory: Path, missing: str) -> str:
    return (
        f"The KubeRay operator's files in {directory} lack {missing}. "
        "Remove the directory: the next start fetches it again."
    )
