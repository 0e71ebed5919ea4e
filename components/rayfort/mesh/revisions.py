"""The istiods of a mesh: the one that everybody uses, and a second one while the mesh is upgraded.

Source: Istio's canary upgrades. A revision is an istiod of its own, with its own injection webhook; a
namespace's label says which one injects its Pods.
"""

from dataclasses import dataclass

from rayfort import versions
from rayfort.chart import Chart
from rayfort.model import ImageRepository, ImageTag, JsonObject, Model, Revision, SemVer

# The tag behind `istio-injection: enabled`.
DEFAULT_TAG = "default"


class Canary(Model):
    """A second istiod beside the mesh's own, to which workspaces move one after the other.

    Args:
        version: its version, at most one minor away from the mesh's.
        revision: its name, such as ``1-31-0``; workspaces name it in ``revision``.
        istiod_chart: where its chart comes from; by default the official repository.
        hub, tag: registry and tag of its images, where a mirror has them; the mesh's by default for ``hub``.
    """

    version: SemVer
    revision: Revision
    istiod_chart: Chart | None = None
    hub: ImageRepository | None = None
    tag: ImageTag | None = None


@dataclass(frozen=True)
class Istiod:
    """One istiod.

    Attributes:
        version: its version.
        revision: its name; None for the one without.
        chart: where its chart comes from.
        hub, tag: registry and tag of its images; None for the chart's.
        default: whether Pods of namespaces that name no revision are its own.
    """

    version: str
    revision: str | None
    chart: Chart
    hub: str | None
    tag: str | None
    default: bool

    @property
    def release_name(self) -> str:
        """The name of its Helm release and of its Deployment."""
        return f"istiod-{self.revision}" if self.revision else "istiod"

    @property
    def values(self) -> JsonObject:
        """The chart's values that make it this one."""
        if not self.revision:
            return {}
        tags = {"revisionTags": [DEFAULT_TAG]} if self.default else {}
        return {"revision": self.revision, **tags}


def can_meet(one: str, other: str) -> bool:
    """Whether Istio supports two versions in one mesh: of the same minor version, or of neighbours."""
    first, second = versions.parse(one), versions.parse(other)
    return first.major == second.major and abs(first.minor - second.minor) <= 1
