"""Names and labels that more than one component reads."""

from typing import Final

NAME: Final = "app.kubernetes.io/name"
MANAGED_BY: Final = "app.kubernetes.io/managed-by"
PART_OF: Final = "app.kubernetes.io/part-of"
RAY_CLUSTER: Final = "ray.io/cluster"
RAY_NODE_TYPE: Final = "ray.io/node-type"
RAY_HEADLESS_WORKER_SERVICE: Final = "ray.io/headless-worker-svc"
ISTIO_INJECTION: Final = "istio-injection"
ISTIO_REVISION: Final = "istio.io/rev"
ISTIO_DISCOVERY: Final = "istio-discovery"
SIDECAR_INJECT: Final = "sidecar.istio.io/inject"
EXPORT_TO: Final = "networking.istio.io/exportTo"
CANONICAL_NAME: Final = "service.istio.io/canonical-name"
NAMESPACE_NAME: Final = "kubernetes.io/metadata.name"
POD_SECURITY: Final = "pod-security.kubernetes.io"  # a prefix: enforce, audit and warn follow
WORKSPACE: Final = "rayfort.dev/workspace"
KBATCH: Final = "rayfort.dev/kbatch"  # of a user's namespace: where the kbatch-proxy is that serves the user

WAIT_FOR: Final = "pulumi.com/waitFor"
SKIP_AWAIT: Final = "pulumi.com/skipAwait"


def common(**extra: str) -> dict[str, str]:
    """The labels of every object that Rayfort makes, with ``extra`` on top."""
    return {PART_OF: "rayfort", **extra}
