"""A Helm chart for JupyterHub where the official chart repository cannot be reached.

Templates and configuration are ours, the names of the values are the official chart's; what runs is the real
JupyterHub, KubeSpawner and configurable-http-proxy.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from sandbox.chart_files import about, dump, replacing, write

NAME: Final = "jupyterhub"
_TEMPLATES: Final = Path(__file__).resolve().parent / "charts" / NAME


def write_chart(version: str, out: Path) -> Path:
    """Write the chart to `out/jupyterhub` and return that directory.

    The same input gives the same bytes; a chart that is there already is replaced in one step.
    """
    with replacing(out, NAME) as draft:
        shutil.copytree(_TEMPLATES, draft, copy_function=shutil.copyfile)
        chart = about(
            NAME,
            "JupyterHub, for the embedded sandbox",
            version,
            home="https://z2jh.jupyter.org",
            icon="https://hub.jupyter.org/helm-chart/images/hublogo.svg",
        )
        write(draft / "Chart.yaml", dump(chart))
    return out / NAME
