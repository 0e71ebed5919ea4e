"""Policies as resources, alike for every component that fences something."""

from collections.abc import Iterable, Sequence
from typing import cast

import pulumi
import pulumi_kubernetes as k8s

from rayfort.component import Component, meta
from rayfort.model import JsonObject


def network_policies(
    owner: Component,
    prefix: str,
    namespace: str,
    policies: Iterable[tuple[str, JsonObject]],
    after: Sequence[pulumi.Resource],
) -> list[pulumi.Resource]:
    """NetworkPolicies of a namespace.

    Args:
        owner: the component that they belong to.
        prefix: what their names in Pulumi start with.
        namespace: where they hold.
        policies: the name and ``spec`` of each.
        after: what must be there before.
    """
    return [
        k8s.networking.v1.NetworkPolicy(
            f"{prefix}{name}",
            metadata=meta(name, namespace),
            spec=cast("k8s.networking.v1.NetworkPolicySpecArgsDict", spec),
            opts=owner.child(depends_on=after),
        )
        for name, spec in policies
    ]


def mesh_objects(
    owner: Component,
    prefix: str,
    namespace: str,
    objects: Iterable[tuple[str, str, str, JsonObject]],
    after: Sequence[pulumi.Resource],
) -> list[pulumi.Resource]:
    """Istio's objects of a namespace.

    Args:
        owner: the component that they belong to.
        prefix: what their names in Pulumi start with.
        namespace: where they hold.
        objects: the API version, kind, name and ``spec`` of each.
        after: what must be there before.
    """
    return [
        k8s.apiextensions.CustomResource(
            f"{prefix}{name}",
            api_version=api_version,
            kind=kind,
            metadata=meta(name, namespace),
            spec=spec,
            opts=owner.child(depends_on=after),
        )
        for api_version, kind, name, spec in objects
    ]
