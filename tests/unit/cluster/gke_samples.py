"""GKE clusters that the tests share."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Final

from rayfort import GkeClusterArgs

from tests.unit import samples

PROJECT: Final = "my-project-1"
SMALL: Final[Mapping[str, Any]] = {
    "name": "small",
    "project": PROJECT,
    "location": "us-west1-b",
    "nodePools": [{"name": "default", "machineType": "e2-standard-4", "minNodes": 2, "maxNodes": 2}],
}


def small(**changes: Any) -> GkeClusterArgs:
    """A zonal cluster with one pool."""
    return GkeClusterArgs.model_validate({**copy.deepcopy(dict(SMALL)), **changes})


def stack_cluster(name: str) -> dict[str, Any]:
    """What a stack file of the repository says about its cluster."""
    cluster: dict[str, Any] = samples.stack_values(name)["rayfort:cluster"]
    return cluster


def of_stack(name: str, **changes: Any) -> GkeClusterArgs:
    """The cluster of a stack file of the repository."""
    values = {key: value for key, value in stack_cluster(name).items() if key != "kind"}
    return GkeClusterArgs.model_validate({**values, **changes})
