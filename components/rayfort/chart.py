"""Where a Helm chart comes from."""

from pathlib import Path
from typing import Annotated

import pulumi_kubernetes as k8s
from pydantic import model_validator

from rayfort.model import HttpUrl, Model, Written

# Both go to helm, which takes what begins with a dash for an option.
ChartName = Annotated[
    str,
    Written(
        r"[^-\x00-\x1f\x7f][^\x00-\x1f\x7f]{0,1023}",
        "is not a chart; write a name, a path or an oci:// reference",
    ),
]
ChartVersion = Annotated[
    str,
    Written(r"[A-Za-z0-9][-A-Za-z0-9._+]{0,127}", "is not a chart's version; write it whole, such as 1.30.3"),
]


class Chart(Model):
    """A Helm chart: a name in a repository, an ``oci://`` reference, or a path.

    Args:
        chart: the chart's name in ``repository``, an ``oci://`` reference, or the path of a directory or
            ``.tgz`` (absolute, or relative to the directory in which Pulumi runs).
        repository: URL of the chart repository; leave it out for a path or an ``oci://`` reference.
        version: the chart's version; required but for a path.
    """

    chart: ChartName
    repository: HttpUrl | None = None
    version: ChartVersion | None = None

    @model_validator(mode="after")
    def _pinned(self) -> "Chart":
        if self.version is None and not self.is_path:
            raise ValueError(
                f"chart {self.chart} has no version, so that it would be another one tomorrow; set `version`"
            )
        return self

    @property
    def repository_opts(self) -> k8s.helm.v3.RepositoryOptsArgs | None:
        """The repository in the form that a Helm release takes it."""
        return k8s.helm.v3.RepositoryOptsArgs(repo=self.repository) if self.repository else None

    def under(self, root: Path) -> "Chart":
        """The chart with a relative path resolved against ``root``."""
        if not self.is_path:
            return self
        return self.model_copy(update={"chart": str(root / Path(self.chart))})

    @property
    def is_path(self) -> bool:
        """Whether ``chart`` names a file or directory."""
        return self.repository is None and "://" not in self.chart
