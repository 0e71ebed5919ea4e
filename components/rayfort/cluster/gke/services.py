"""The APIs of Google Cloud that a cluster needs."""

from typing import Final

import pulumi
from pulumi_gcp import projects

from rayfort.cluster.gke.apis import APIS
from rayfort.cluster.gke.children import Children

ENGINE: Final = "container.googleapis.com"


def enable(children: Children) -> list[pulumi.Resource]:
    """Switch the APIs on; a destroy leaves them on, since others in the project may use them."""
    if not children.args.enable_apis:
        return []
    return [
        projects.Service(
            f"{children.name}-{api.partition('.')[0]}",
            projects.ServiceArgs(
                project=children.args.project,
                service=api,
                disable_on_destroy=False,
            ),
            opts=children.options(),
        )
        for api in APIS
    ]
