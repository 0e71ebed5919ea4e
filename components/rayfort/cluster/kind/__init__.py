"""Kind: a Kubernetes cluster in containers of one machine."""

from rayfort.cluster.kind.component import KindCluster
from rayfort.cluster.kind.spec import KindClusterArgs, KindPort

__all__ = ["KindCluster", "KindClusterArgs", "KindPort"]
