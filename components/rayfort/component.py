"""What every component of the library does alike."""

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from rayfort import labels

TYPE_PREFIX = "rayfort:index"


class Component(pulumi.ComponentResource):
    """A component whose children are parented to it.

    The type token is ``rayfort:index:<class name>``, which is what the component host serves.
    """

    def __init__(
        self, name: str, props: pulumi.Inputs | None = None, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__(f"{TYPE_PREFIX}:{type(self).__name__}", name, props, opts)
        self._after = _list(opts.depends_on) if opts else []

    def child(
        self,
        depends_on: Sequence[pulumi.Resource] | None = None,
        *,
        ignore_changes: list[str] | None = None,
        retain_on_delete: bool | None = None,
        custom_timeouts: pulumi.CustomTimeouts | None = None,
    ) -> pulumi.ResourceOptions:
        """Options for a child: parented to this component; providers come from the component's own.

        Of the caller's options only ``depends_on`` reaches the children: Pulumi applies it to the
        component alone, whose children would then be made too early. ``aliases`` and ``protect`` are about
        the component.
        """
        return pulumi.ResourceOptions(
            parent=self,
            depends_on=[*self._after, *(depends_on or [])],
            ignore_changes=ignore_changes,
            retain_on_delete=retain_on_delete,
            custom_timeouts=custom_timeouts,
        )


def _list(depends_on: Any) -> list[pulumi.Resource]:
    if depends_on is None:
        return []
    return [depends_on] if isinstance(depends_on, pulumi.Resource) else list(depends_on)


def timeouts(seconds: int) -> pulumi.CustomTimeouts:
    """Create, update and delete time-outs of ``seconds`` each."""
    return pulumi.CustomTimeouts(create=f"{seconds}s", update=f"{seconds}s", delete=f"{seconds}s")


def meta(
    name: pulumi.Input[str],
    namespace: pulumi.Input[str] | None = None,
    extra_labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> k8s.meta.v1.ObjectMetaArgs:
    """Metadata with a literal name, the common labels, and ``extra_labels`` on top."""
    return k8s.meta.v1.ObjectMetaArgs(
        name=name,
        namespace=namespace,
        labels=labels.common(**(extra_labels or {})),
        annotations=dict(annotations) if annotations else None,
    )
