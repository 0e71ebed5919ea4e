"""How a namespace or a Pod says that it is in the mesh, and which istiod injects its sidecar."""

from typing import Final

from rayfort import labels

DISCOVERED: Final = {labels.ISTIO_DISCOVERY: "enabled"}


def namespace_labels(revision: str | None) -> dict[str, str]:
    """Labels of a namespace whose Pods get sidecars.

    Args:
        revision: the istiod that injects them; None for the one without a revision.
    """
    injected = {labels.ISTIO_REVISION: revision} if revision else {labels.ISTIO_INJECTION: "enabled"}
    return {**injected, **DISCOVERED}


def pod_labels(revision: str | None) -> dict[str, str]:
    """Labels of a Pod that gets a sidecar whatever its namespace says.

    Args:
        revision: the istiod that injects it; None for the one without a revision.
    """
    return {labels.SIDECAR_INJECT: "true", **revision_label(revision)}


def revision_label(revision: str | None) -> dict[str, str]:
    """The label that names a revision; none where there is no revision."""
    return {labels.ISTIO_REVISION: revision} if revision else {}
