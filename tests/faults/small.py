"""The program of the small stack: one of each kind of thing that an interruption can leave half made.

A definition, a Helm release and a workspace, which has a token, another Secret, mesh and network policies and
a Ray cluster. Mesh and operator stand already, so that a command takes seconds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
from pulumi.runtime import config
from rayfort.workspace import RayWorkspace, WorkspaceNamespace

from infra import cluster as clusters
from infra import platform
from infra.reading import decode, parse

CHART = Path(__file__).parent / "chart"
GROUP, KIND, PLURAL = "faults.rayfort.test", "Mark", "marks"
RELEASE = "small"


def main(root: Path) -> None:
    """Register the small stack; the settings are those of the whole platform."""
    settings = parse(decode(dict(config.CONFIG.get())))
    cluster = clusters.make(settings.cluster, root)
    options = pulumi.ResourceOptions(provider=cluster.provider)
    spec = settings.workspaces[0]
    args = platform._workspace(settings, spec)

    definition = k8s.apiextensions.v1.CustomResourceDefinition(
        "marks", metadata={"name": f"{PLURAL}.{GROUP}"}, spec=_definition(), opts=options
    )
    within = pulumi.ResourceOptions(providers=[cluster.provider], depends_on=[definition])
    namespace = WorkspaceNamespace(spec.name, args, within)
    inside = pulumi.ResourceOptions(provider=cluster.provider, depends_on=[namespace, definition])
    k8s.apiextensions.CustomResource(
        "mark",
        api_version=f"{GROUP}/v1",
        kind=KIND,
        metadata={"name": "mark", "namespace": namespace.namespace},
        spec={"size": (spec.quota or {}).get("requests.cpu", "")},
        opts=inside,
    )
    release = k8s.helm.v3.Release(
        RELEASE,
        name=RELEASE,
        namespace=namespace.namespace,
        chart=str(CHART),
        values={"size": (spec.quota or {}).get("requests.cpu", "")},
        opts=inside,
    )
    made = RayWorkspace(
        spec.name,
        args,
        pulumi.ResourceOptions(providers=[cluster.provider], depends_on=[release]),
        namespace=namespace,
    )
    tokens = {name: each.token for name, each in made.clusters.items()}
    pulumi.export("rayTokens", pulumi.Output.secret(tokens))
    pulumi.export("release", release.status.status)


def _definition() -> dict[str, Any]:
    schema = {
        "type": "object",
        "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
    }
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "group": GROUP,
        "scope": "Namespaced",
        "names": {"kind": KIND, "plural": PLURAL, "singular": "mark"},
        "versions": [version],
    }
