"""A stack's configuration as typed, validated models.

Everything under ``rayfort:`` in ``stacks/Pulumi.<stack>.yaml`` is parsed in one step, before any resource
is registered. Mistakes are reported together, each with its key, the problem and the remedy.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, SecretStr, ValidationError, model_validator
from rayfort import versions
from rayfort.cluster import kubeconfig
from rayfort.facts import NATIVE_SIDECARS_POSSIBLE, ClusterFacts
from rayfort.mesh.istio import IstioMeshArgs, istiod_values
from rayfort.mesh.mtls import MtlsMode, TlsVersion
from rayfort.model import ImageRepository, Model
from rayfort.network import reaches_metadata
from rayfort.proxy.kbatch import KbatchProxyArgs
from rayfort.proxy.kbatch_config import user_namespace
from rayfort.ray.operator import KubeRayOperatorArgs
from rayfort.workspace import PodSecurity, WorkspaceSpec, check_fits

from infra.problems import NAMESPACE, Problem, SettingsError, from_validation

__all__ = ["NAMESPACE", "Problem", "Settings", "SettingsError", "decode", "parse", "weakened"]


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
        kbatch: the batch proxy for JupyterHub users; none where it is left out.
        ray_image: the repository of Ray's image, where a mirror has it; the tag is the Ray version.
    """

    cluster: ClusterSettings
    mesh: MeshSettings = MeshSettings()
    operator: KubeRayOperatorArgs = KubeRayOperatorArgs()
    workspaces: tuple[WorkspaceSpec, ...] = ()
    kbatch: KbatchProxyArgs | None = None
    ray_image: ImageRepository = versions.RAY_IMAGE

    @property
    def istio(self) -> IstioMeshArgs | None:
        """The mesh that the stack has; None for none."""
        return self.mesh if self.mesh.enabled else None


def parse(values: Mapping[str, Any]) -> Settings:
    """The settings in a stack's configuration.

    Args:
        values: the values under ``rayfort:``, by their name without the prefix, as plain data.

    Raises:
        SettingsError: with every mistake.
    """
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError(from_validation(error, Settings)) from None
    problems = list(_contradictions(settings))
    if problems:
        raise SettingsError(problems)
    return settings


def decode(config: Mapping[str, str]) -> dict[str, Any]:
    """Values as Pulumi hands them to a program (text, objects as JSON), as plain data by bare name.

    Raises:
        SettingsError: if an object is not valid JSON.
    """
    values: dict[str, Any] = {}
    for full_name, text in config.items():
        prefix, _, name = full_name.partition(":")
        if prefix != NAMESPACE:
            continue
        if not text.lstrip().startswith(("{", "[")):
            values[name] = text or None  # Pulumi hands over a null as empty text
            continue
        try:
            values[name] = json.loads(text)
        except json.JSONDecodeError:
            raise _refused(full_name, "is not valid JSON; write it as YAML in the stack file") from None
    return values


def weakened(settings: Settings) -> list[str]:
    """What this stack switched off, each with its key, for the preview and the stack's outputs."""
    return [str(problem) for problem in _weakenings(settings)]


def _weakenings(settings: Settings) -> Iterator[Problem]:
    mesh = settings.istio
    if mesh is None:
        yield Problem(f"{NAMESPACE}:mesh.enabled", "no mesh: Ray's traffic is plaintext inside the cluster")
    else:
        if mesh.mtls is not MtlsMode.STRICT:
            yield Problem(f"{NAMESPACE}:mesh.mtls", f"{mesh.mtls.value}: plaintext is taken")
        tls = _tls_in_force(mesh)
        if tls != TlsVersion.TLSV1_3:
            key = "meshConfig" if mesh.min_tls is TlsVersion.TLSV1_3 else "minTls"
            yield Problem(f"{NAMESPACE}:mesh.{key}", f"{tls}: TLS 1.2 is taken")
        if not settings.operator.in_mesh:
            yield Problem(
                f"{NAMESPACE}:operator.inMesh", "the operator cannot follow RayJobs in a STRICT mesh"
            )
    if not settings.cluster.facts.network_policy:
        yield Problem(f"{NAMESPACE}:cluster.facts.networkPolicy", "NetworkPolicies are not enforced")
    for index, workspace in enumerate(settings.workspaces):
        yield from _weakened_workspace(f"{NAMESPACE}:workspaces[{index}]", workspace)
    if settings.kbatch:
        if mesh and not settings.kbatch.in_mesh:
            yield Problem(f"{NAMESPACE}:kbatch.inMesh", "the proxy's traffic is plaintext")
        if settings.kbatch.cron_jobs:
            yield Problem(f"{NAMESPACE}:kbatch.cronJobs", "CronJobs bypass the job template")


def _tls_in_force(mesh: IstioMeshArgs) -> object:
    """The oldest TLS version in the chart's values, where a user's may be laid over the setting."""
    value: object = istiod_values(mesh)
    for key in ("meshConfig", "meshMTLS", "minProtocolVersion"):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _weakened_workspace(where: str, workspace: WorkspaceSpec) -> Iterator[Problem]:
    name = workspace.name
    if workspace.mtls is not MtlsMode.STRICT:
        yield Problem(f"{where}.mtls", f"{workspace.mtls.value}: workspace {name} takes plaintext")
    if workspace.pod_security is PodSecurity.PRIVILEGED:
        yield Problem(f"{where}.podSecurity", f"workspace {name} takes privileged Pods")
    for cidr in workspace.egress.cidrs if workspace.egress else ():
        if reaches_metadata(cidr):
            yield Problem(f"{where}.egress.cidrs", f"{cidr}: Pods reach the cloud's metadata server")
    for number, cluster in enumerate(workspace.clusters):
        nodes = {"head": cluster.head} | {
            f"workerGroups[{position}]": group for position, group in enumerate(cluster.worker_groups)
        }
        for node, settings in nodes.items():
            for setting in sorted(_LOOSE_POD_SETTINGS & settings.pod_spec.keys()):
                yield Problem(
                    f"{where}.clusters[{number}].{node}.podSpec.{setting}",
                    "laid over the Pod's hardening",
                )


_LOOSE_POD_SETTINGS: Final = frozenset({"hostNetwork", "hostPID", "hostIPC", "securityContext"})


def _contradictions(settings: Settings) -> Iterator[Problem]:
    """Mistakes that only show between settings which are each fine alone."""
    yield from _duplicates(settings)
    facts, mesh = settings.cluster.facts, settings.istio
    for index, workspace in enumerate(settings.workspaces):
        for number, cluster in enumerate(workspace.clusters):
            try:
                check_fits(cluster, facts, settings.operator.version)
            except ValueError as error:
                yield Problem(f"{NAMESPACE}:workspaces[{index}].clusters[{number}]", str(error))
    yield from _unwatched(settings)
    if mesh and mesh.native_sidecars and not facts.kubelets_at_least(NATIVE_SIDECARS_POSSIBLE):
        yield Problem(
            f"{NAMESPACE}:mesh.nativeSidecars",
            f"the cluster's kubelets are {facts.kubernetes_version}, and native sidecars need "
            f"{NATIVE_SIDECARS_POSSIBLE}; leave it out, or set cluster.facts.kubernetesVersion to the oldest "
            "kubelet's version",
        )


def _unwatched(settings: Settings) -> Iterator[Problem]:
    watched = settings.operator.watch_namespaces
    for workspace in settings.workspaces if watched else ():
        if workspace.namespace_name not in watched:
            yield Problem(
                f"{NAMESPACE}:operator.watchNamespaces",
                f"namespace {workspace.namespace_name} of workspace {workspace.name} is not among them, so "
                "that its Ray clusters would never start; add it",
            )


def _duplicates(settings: Settings) -> Iterator[Problem]:
    names = [workspace.name for workspace in settings.workspaces]
    owners: dict[str, str] = {}
    for key, namespace, owner in _namespaces(settings):
        if namespace in owners and owners[namespace] != owner:
            yield Problem(
                key, f"namespace {namespace} belongs to {owners[namespace]}; give {owner} one of its own"
            )
        owners.setdefault(namespace, owner)
    for index, name in enumerate(names):
        if name in names[:index]:
            yield Problem(
                f"{NAMESPACE}:workspaces[{index}].name",
                f"workspace {name} stands twice; give each its own name",
            )


def _namespaces(settings: Settings) -> Iterator[tuple[str, str, str]]:
    """Every namespace that the stack fills: the key that sets it, its name and its owner."""
    if settings.istio:
        yield f"{NAMESPACE}:mesh.namespace", settings.istio.namespace, "the mesh"
    yield f"{NAMESPACE}:operator.namespace", settings.operator.namespace, "the operator"
    if settings.kbatch:
        yield f"{NAMESPACE}:kbatch.namespace", settings.kbatch.namespace, "kbatch-proxy"
        for index, user in enumerate(settings.kbatch.users):
            yield f"{NAMESPACE}:kbatch.users[{index}]", user_namespace(user), f"user {user}"
    for index, workspace in enumerate(settings.workspaces):
        key = f"{NAMESPACE}:workspaces[{index}].namespace"
        yield key, workspace.namespace_name, f"workspace {workspace.name}"
