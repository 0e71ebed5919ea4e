"""The charts that the sandbox's stack file names, where no chart repository can be reached."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from rayfort import versions

from sandbox import jupyterhub_chart
from sandbox.chart_files import replacing
from sandbox.operator_chart import write_chart, write_definitions_chart

# Whatever Istio's module holds is copied, since the assets are shared.
_ISTIO: Final = ("base", "istiod", "cni", "gateway")


def write(assets: Mapping[str, Path], operator_version: str, charts: Path) -> None:
    """Write all of them.

    Those of an earlier version of the sandbox are replaced; the same input gives the same bytes.

    Args:
        assets: charts and definitions by name.
        operator_version: of the operator that the definitions are of.
        charts: the directory for them.
    """
    for name in _ISTIO:
        with replacing(charts, name) as draft:
            shutil.copytree(assets[f"istio-{name}-chart"], draft)
    write_chart(assets["kuberay-crds"], assets["kuberay-rbac"], operator_version, charts)
    write_definitions_chart(assets["kuberay-crds"], operator_version, charts)
    jupyterhub_chart.write_chart(versions.JUPYTERHUB_CHART, charts)
