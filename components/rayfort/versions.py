"""Every chart, image and upstream version that Rayfort deploys by default: one line each.

All of them are settings; these are the values used when a stack says nothing. The versions of the
sandbox's own tools stand in ``sandbox/tools/*/go.mod``, where the Go tool chain checks them by hash.
"""

from typing import Final

import semver

RAY: Final = "2.55.1"
KUBERAY: Final = "1.6.2"
ISTIO: Final = "1.30.3"
KBATCH_PROXY: Final = "0.5.0b1"
PROMETHEUS_CHART: Final = "29.27.0"
KIALI_CHART: Final = "2.29.0"
JAEGER_CHART: Final = "4.11.1"
JUPYTERHUB_CHART: Final = "4.4.0"

KUBERAY_CHART_REPOSITORY: Final = "https://ray-project.github.io/kuberay-helm/"
ISTIO_CHART_REPOSITORY: Final = "https://istio-release.storage.googleapis.com/charts"
PROMETHEUS_CHART_REPOSITORY: Final = "https://prometheus-community.github.io/helm-charts"
KIALI_CHART_REPOSITORY: Final = "https://kiali.org/helm-charts"
JAEGER_CHART_REPOSITORY: Final = "https://jaegertracing.github.io/helm-charts"
JUPYTERHUB_CHART_REPOSITORY: Final = "https://hub.jupyter.org/helm-chart/"

RAY_IMAGE: Final = "docker.io/rayproject/ray"
KBATCH_PROXY_IMAGE: Final = "ghcr.io/kbatch-dev/kbatch-proxy"
KBATCH_CODE_IMAGE: Final = "docker.io/library/busybox:1.37.0"  # unpacks the code of users' jobs

# Kind supports a node image with the release that it was built for; digests: release notes of that release.
KIND: Final = "0.33.0"
KIND_NODE_REPOSITORY: Final = "docker.io/kindest/node"
KIND_NODE_DIGESTS: Final = {
    "1.37.0": "sha256:a1ed56cfb0e7b93589bdf97c8cd566405a265939e3620fc4f5de89adff580ae5",
    "1.36.4": "sha256:099e049362a1526b2db71494e1947aae99bd16290d7c895f2b7ea312e3cbfaed",
    "1.35.8": "sha256:07b2536e30b803ed61d1677a79df6115f798ce64c80f9e22f6ed45afd09323c0",
    "1.34.11": "sha256:44e222ee2132dab25ff87301682f89eb82c7880ea3a1bf543bfe9708fd08d67d",
}
KIND_KUBERNETES: Final = "1.36.4"  # the minor version of the sandbox, where everything is tested

KUBERAY_CRD_URL: Final = (
    "https://raw.githubusercontent.com/ray-project/kuberay/v{version}/helm-chart/kuberay-operator/crds/{file}"
)

# What a version can do; sources: KubeRay pull requests 4179, 4554, 4185; Ray 2.52 release notes.
KUBERAY_AUTH_OPTIONS: Final = "1.5.1"
KUBERAY_AUTH_SECRET_NAME: Final = "1.6.0"  # noqa: S105 - a version
KUBERAY_UPGRADE_STRATEGY: Final = "1.6.0"
KUBERAY_CRON_JOB: Final = "1.6.0"
RAY_TOKEN_AUTH: Final = "2.52.0"  # noqa: S105 - a version
RAY_RUNTIME_ENV_TOKEN: Final = "2.55.0"  # noqa: S105 - a version; the oldest in which it was seen to work
ISTIO_TLS_MIN_VERSION_FLAG: Final = "1.30.0"
ISTIO_NATIVE_SIDECARS_AUTO: Final = "1.27.0"


def at_least(version: str, floor: str) -> bool:
    """Whether ``version`` is ``floor`` or newer; both are ``MAJOR.MINOR.PATCH`` with optional suffixes.

    A pre-release counts as its release (``1.31.0-rc.0`` has what ``1.31.0`` has), since a stack that
    runs one wants that release's features.

    Raises:
        ValueError: if either is not a semantic version.
    """
    return parse(version).finalize_version() >= parse(floor)


def newest(*candidates: str) -> str:
    """The newest of some versions."""
    return max(candidates, key=parse)


def parse(version: str) -> semver.Version:
    """A version in its parts.

    Raises:
        ValueError: if it is not a semantic version.
    """
    return semver.Version.parse(version)
