"""A stack's configuration as typed, validated models: everything under ``rayfort:``."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, model_validator
from rayfort import versions
from rayfort.cluster import kubeconfig
from rayfort.facts import ClusterFacts
from rayfort.mesh.gateway import GatewaySpec
from rayfort.mesh.istio import IstioMeshArgs
from rayfort.mesh.observability.spec import ObservabilitySpec
from rayfort.model import ImageRepository, Model
from rayfort.proxy.kbatch import KbatchProxyArgs
from rayfort.ray.operator import KubeRayOperatorArgs
from rayfort.workspace import WorkspaceSpec

from infra.problems import NAMESPACE, Problem, SettingsError


def _refused(key: str, text: str) -> SettingsError:
    return SettingsError([Problem(key, text)])


class ClusterSettings(Model):
    """Which cluster the platform is put on.

    Args:
        kind: ``existing``: a cluster that is there already.
        kubeconfig: the content of its kubeconfig (secret).
        kubeconfig_path: instead, the path of the file, relative to the project's directory.
        context: the context in it; always explicit, the ambient one is never used.
        identifier: a stable id of the cluster; by default the context.
        facts: what the cluster is like.
    """

    kind: Literal["existing"] = "existing"
    kubeconfig: SecretStr | None = None
    kubeconfig_path: str | None = Field(default=None, min_length=1)
    context: str = Field(min_length=1)
    identifier: str | None = Field(default=None, min_length=1)
    facts: ClusterFacts = ClusterFacts()

    @model_validator(mode="after")
    def _one_kubeconfig(self) -> "ClusterSettings":
        if (self.kubeconfig is None) == (self.kubeconfig_path is None):
            raise ValueError("set either `kubeconfig` (the content, as a secret) or `kubeconfigPath`")
        return self

    def read_kubeconfig(self, root: Path) -> SecretStr:
        """The kubeconfig's content, checked for the context.

        Raises:
            SettingsError: if the file cannot be read or lacks the context.
        """
        key = f"{NAMESPACE}:cluster.{'kubeconfigPath' if self.kubeconfig is None else 'kubeconfig'}"
        try:
            if self.kubeconfig is not None:
                content = self.kubeconfig.get_secret_value()
            else:
                content = (root / Path(str(self.kubeconfig_path)).expanduser()).read_text(encoding="utf-8")
            return SecretStr(kubeconfig.check(content, self.context))
        except OSError as error:
            reason = error.strerror or "it cannot be read"
            raise _refused(key, f"{self.kubeconfig_path}: {reason}; name a kubeconfig file") from None
        except UnicodeDecodeError:
            raise _refused(key, f"{self.kubeconfig_path} is not text; name a kubeconfig file") from None
        except kubeconfig.KubeconfigError as error:
            raise _refused(key, str(error)) from None


class MeshSettings(IstioMeshArgs):
    """The mesh, or that there is none.

    Args:
        enabled: false for no mesh, which leaves Ray's traffic in plaintext. (Pulumi hands a null to programs
            as empty text, so that a null cannot say it.)
    """

    enabled: bool = True


class Settings(Model):
    """Everything that a stack says.

    Args:
        cluster: the Kubernetes cluster.
        mesh: Istio.
        operator: the KubeRay operator.
        workspaces: the teams' namespaces with their Ray clusters.
        gateway: the gateway that exposes dashboards; none where it is left out.
        observability: Prometheus, Kiali and Jaeger; none where it is left out.
        kbatch: the batch proxy for JupyterHub users; none where it is left out.
        ray_image: the repository of Ray's image, where a mirror has it; the tag is the Ray version.
    """

    cluster: ClusterSettings
    mesh: MeshSettings = MeshSettings()
    operator: KubeRayOperatorArgs = KubeRayOperatorArgs()
    workspaces: tuple[WorkspaceSpec, ...] = ()
    gateway: GatewaySpec | None = None
    observability: ObservabilitySpec | None = None
    kbatch: KbatchProxyArgs | None = None
    ray_image: ImageRepository = versions.RAY_IMAGE

    @property
    def istio(self) -> IstioMeshArgs | None:
        """The mesh that the stack has, with what observability needs of it; None for none."""
        if not self.mesh.enabled:
            return None
        observability, domain = self.observability, self.cluster.facts.cluster_domain
        return observability.observed(self.mesh, domain) if observability else self.mesh
