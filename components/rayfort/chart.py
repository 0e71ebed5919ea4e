"""Where a Helm chart comes from."""

from pathlib import Path

import pulumi_kubernetes as k8s
from pydantic import Field, model_validator

from rayfort.model import HttpUrl, Model


class Chart(Model):
    """A Helm chart: a name in a repository, an ``oci://`` reference, or a path.

    Args:
        chart: the chart's name in ``repository``, an ``oci://`` reference, or the path of a directory or
            ``.tgz`` (absolute, or relative to the directory in which Pulumi runs).
        repository: URL of the chart repository; leave it out for a path or an ``oci://`` reference.
        version: the chart's version; required but for a path.
    """

    chart: str = Field(min_length=1)
    repository: HttpUrl | None = None
    version: str | None = Field(default=None, min_length=1)

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
