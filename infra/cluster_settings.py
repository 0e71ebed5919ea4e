"""Which cluster the platform is put on: one that is there, or one that the stack makes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Discriminator, Field, SecretStr, Tag, model_validator
from rayfort.cluster import GkeClusterArgs, KindClusterArgs, kubeconfig
from rayfort.cluster.gke.spec import RayOperatorAddon
from rayfort.facts import ClusterFacts
from rayfort.model import Model

from infra.problems import NAMESPACE, UNKNOWN_KIND, Problem, SettingsError


def _refused(key: str, text: str) -> SettingsError:
    return SettingsError([Problem(key, text)])


class ExistingClusterSettings(Model):
    """A cluster that is there already.

    Args:
        kind: ``existing``, ``gke`` or ``kind``.
        kubeconfig: the content of its kubeconfig (secret).
        kubeconfig_path: instead, the path of the file, relative to the project's directory.
        stack: instead, the stack that makes the cluster, as ``organization/project/stack``; with Pulumi's own
            backends in files and buckets the organization is the word ``organization``.
        context: the context in it; always explicit, the ambient one is never used.
        identifier: a stable id of the cluster; by default the context.
        facts: what the cluster is like.
    """

    kind: Literal["existing"] = "existing"
    kubeconfig: SecretStr | None = None
    kubeconfig_path: str | None = Field(default=None, min_length=1)
    stack: str | None = Field(default=None, pattern=r"^[^/\s]+/[^/\s]+/[^/\s]+$")
    context: str = Field(min_length=1)
    identifier: str | None = Field(default=None, min_length=1)
    facts: ClusterFacts = ClusterFacts()

    @model_validator(mode="after")
    def _one_kubeconfig(self) -> "ExistingClusterSettings":
        if [self.kubeconfig, self.kubeconfig_path, self.stack].count(None) != 2:
            raise ValueError(
                "set one of `kubeconfig` (the content, as a secret), `kubeconfigPath`, and `stack` (that "
                "makes the cluster)"
            )
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
                path = root / Path(str(self.kubeconfig_path)).expanduser()
                if path.is_char_device() or path.is_fifo():  # which may never end
                    raise _refused(key, f"{self.kubeconfig_path} is no file; name a kubeconfig file")
                content = path.read_text(encoding="utf-8")
            return SecretStr(kubeconfig.check(content, self.context))
        except OSError as error:
            reason = error.strerror or "it cannot be read"
            raise _refused(key, f"{self.kubeconfig_path}: {reason}; name a kubeconfig file") from None
        except RuntimeError:
            raise _refused(
                key, f"{self.kubeconfig_path}: there is no such user; name a kubeconfig file"
            ) from None
        except UnicodeDecodeError:
            raise _refused(key, f"{self.kubeconfig_path} is not text; name a kubeconfig file") from None
        except kubeconfig.KubeconfigError as error:
            raise _refused(key, str(error)) from None


class GkeClusterSettings(GkeClusterArgs):
    """A cluster of Google Kubernetes Engine that the stack makes.

    Args:
        kind: ``gke``.
    """

    kind: Literal["gke"]


class KindClusterSettings(KindClusterArgs):
    """A cluster in containers of this machine that the stack makes.

    Args:
        kind: ``kind``.
    """

    kind: Literal["kind"]


# In angle brackets, which no key has: pydantic puts them between the keys when it says where a mistake is.
_TAGS: Final = {"existing": "<existing>", "gke": "<gke>", "kind": "<kind>"}


def _tag(value: Any) -> str | None:
    kind = value.get("kind", "existing") if isinstance(value, Mapping) else getattr(value, "kind", "existing")
    return _TAGS.get(kind) if isinstance(kind, str) else None


ClusterSettings = Annotated[
    Annotated[ExistingClusterSettings, Tag("<existing>")]
    | Annotated[GkeClusterSettings, Tag("<gke>")]
    | Annotated[KindClusterSettings, Tag("<kind>")],
    Discriminator(
        _tag,
        custom_error_type=UNKNOWN_KIND,
        custom_error_message="must be one of 'existing', 'gke' or 'kind'",
    ),
]


def addon(cluster: ClusterSettings) -> RayOperatorAddon | None:
    """GKE's own Ray operator, where the stack has it."""
    return cluster.ray_operator_addon if isinstance(cluster, GkeClusterSettings) else None
