"""Helm releases, alike for every chart."""

from collections.abc import Sequence

import pulumi
import pulumi_kubernetes as k8s

from rayfort.chart import Chart
from rayfort.component import Component, timeouts
from rayfort.model import JsonObject

KEPT_REVISIONS = 5
# Pulumi waits a little longer than Helm, so that it is Helm which says what went wrong.
GRACE_SECONDS = 60


def release(
    owner: Component,
    name: str,
    chart: Chart,
    *,
    release_name: str,
    namespace: str,
    values: JsonObject,
    timeout_seconds: int,
    depends_on: Sequence[pulumi.Resource],
    skip_crds: bool = False,
    retain: bool = False,
) -> k8s.helm.v3.Release:
    """A release that is installed whole or not at all.

    A release and not a rendered chart: it runs hooks, and leaves alone what a chart's own program changes
    later, such as istiod its webhooks.

    Args:
        owner: the component that it belongs to.
        name: its name in Pulumi.
        chart: where the chart comes from.
        release_name, namespace: its name and place for Helm.
        values: the chart's values; never a secret.
        timeout_seconds: how long Helm waits for what it installs, in seconds.
        depends_on: what must be there before.
        skip_crds: leave the definitions in the chart's ``crds`` alone.
        retain: keep it when the stack is destroyed.
    """
    return k8s.helm.v3.Release(
        name,
        name=release_name,
        namespace=namespace,
        chart=chart.chart,
        version=chart.version,
        repository_opts=chart.repository_opts,
        values=values,
        skip_crds=skip_crds or None,
        atomic=True,
        cleanup_on_fail=True,
        max_history=KEPT_REVISIONS,
        timeout=timeout_seconds,
        opts=owner.child(
            depends_on=depends_on,
            custom_timeouts=timeouts(timeout_seconds + GRACE_SECONDS),
            retain_on_delete=retain or None,
        ),
    )
