"""Mistakes that only show between settings which are each fine alone."""

from collections.abc import Iterator

from rayfort.facts import NATIVE_SIDECARS_POSSIBLE
from rayfort.mesh.gateway import gateway_problems
from rayfort.mesh.istio import sidecars
from rayfort.mesh.mtls import MtlsMode
from rayfort.mesh.sidecars import Sidecars
from rayfort.pod_security import PodSecurity, check_level, strictest
from rayfort.proxy.kbatch_config import USER_NAMESPACE_PREFIX
from rayfort.workspace import check_fits

from infra import jupyterhub, kbatch
from infra.cluster_settings import ExistingClusterSettings
from infra.pod_settings import HOST_NAMESPACES, pod_settings
from infra.problems import NAMESPACE, Problem
from infra.settings import Settings


def contradictions(settings: Settings) -> Iterator[Problem]:
    """Mistakes that only show between settings which are each fine alone."""
    if not settings.platform:
        yield from _cluster_alone(settings)
        return
    yield from _duplicates(settings)
    facts, mesh = settings.cluster.facts, settings.istio
    for index, workspace in enumerate(settings.workspaces):
        for number, cluster in enumerate(workspace.clusters):
            try:
                check_fits(cluster, facts, settings.operator_version)
            except ValueError as error:
                yield Problem(f"{NAMESPACE}:workspaces[{index}].clusters[{number}]", str(error))
    yield from _never_admitted(settings)
    yield from _unwatched(settings)
    yield from _unknown_revisions(settings)
    yield from _gateway(settings)
    yield from _observability(settings)
    yield from kbatch.contradictions(settings)
    yield from jupyterhub.contradictions(settings)
    yield from _addon(settings)
    if mesh and mesh.native_sidecars and not facts.kubelets_at_least(NATIVE_SIDECARS_POSSIBLE):
        yield Problem(
            f"{NAMESPACE}:mesh.nativeSidecars",
            f"the cluster's kubelets are {facts.kubernetes_version}, and native sidecars need "
            f"{NATIVE_SIDECARS_POSSIBLE}; leave it out, or set cluster.facts.kubernetesVersion to the oldest "
            "kubelet's version",
        )


def _cluster_alone(settings: Settings) -> Iterator[Problem]:
    """Settings of the platform in a stack that has none."""
    if isinstance(settings.cluster, ExistingClusterSettings):
        yield Problem(
            f"{NAMESPACE}:platform", "the cluster is there already, so that nothing is left; remove it"
        )
    for name, field in type(settings).model_fields.items():
        if name in settings.model_fields_set - {"cluster", "platform"}:
            yield Problem(
                f"{NAMESPACE}:{field.alias or name}",
                "is of the platform, and this stack makes the cluster alone (platform); move it to the "
                "platform's stack",
            )


def _never_admitted(settings: Settings) -> Iterator[Problem]:
    """Pods that their namespace's level of Pod security refuses."""
    sidecars, plugin = settings.istio is not None, settings.cluster.facts.istio_cni
    for index, workspace in enumerate(settings.workspaces):
        where, level = f"{NAMESPACE}:workspaces[{index}]", workspace.pod_security
        try:
            check_level(level, sidecars=sidecars, istio_cni=plugin)
        except ValueError as error:
            yield Problem(f"{where}.podSecurity", str(error))
            continue
        level = level or strictest(sidecars=sidecars, istio_cni=plugin)
        if level is not PodSecurity.PRIVILEGED:
            for key in pod_settings(workspace, HOST_NAMESPACES):
                yield Problem(
                    f"{where}.{key}",
                    f"{level} forbids it, so that the Pod would never start; leave it out, or set "
                    f"podSecurity of workspace {workspace.name} to privileged",
                )


def _unknown_revisions(settings: Settings) -> Iterator[Problem]:
    known = settings.istio.revisions if settings.istio else frozenset()
    for index, workspace in enumerate(settings.workspaces):
        if workspace.revision and workspace.revision not in known:
            there = ", ".join(sorted(known)) or "none"
            yield Problem(
                f"{NAMESPACE}:workspaces[{index}].revision",
                f"{workspace.revision} is no revision of the mesh (there is {there}), so that Pods of "
                f"workspace {workspace.name} would start without sidecars; name one, or leave it out",
            )


def _gateway(settings: Settings) -> Iterator[Problem]:
    key, gateway, mesh = f"{NAMESPACE}:gateway", settings.gateway, settings.istio
    if gateway is None:
        return
    if mesh is None:
        yield Problem(key, "is a part of the mesh, and there is none; leave it out, or set mesh.enabled")
        return
    facts = settings.cluster.facts
    for where, text in gateway_problems(gateway, settings.workspaces, mesh, facts):
        yield Problem(f"{key}.{where}", text)


def _observability(settings: Settings) -> Iterator[Problem]:
    spec, mesh = settings.observability, settings.mesh
    if spec is None:
        return
    if not mesh.enabled:
        yield Problem(
            f"{NAMESPACE}:observability", "there is no mesh to observe; leave it out, or set mesh.enabled"
        )
        return
    text = spec.tracing_problem(mesh, settings.cluster.facts.cluster_domain)
    if text:
        yield Problem(f"{NAMESPACE}:mesh.tracing", text)


def _addon(settings: Settings) -> Iterator[Problem]:
    """GKE's Ray operator, and settings of an operator that it is not."""
    key, mesh = f"{NAMESPACE}:cluster.rayOperatorAddon", settings.istio
    if settings.self_managed_operator:
        return
    if settings.operator.model_fields_set:
        yield Problem(
            f"{NAMESPACE}:operator",
            "Google installs the operator (cluster.rayOperatorAddon), and lets nobody choose its version, "
            "namespace, watched namespaces, values or sidecar; leave one of the two out",
        )
    modes = {mesh.mtls, *(workspace.mtls for workspace in settings.workspaces)} if mesh else set()
    if MtlsMode.STRICT in modes:
        yield Problem(
            key,
            "GKE's operator cannot join the mesh, so that Ray clusters with STRICT refuse it and it follows "
            "no RayJob and no RayService; leave it out, or set mesh.enabled to false",
        )
    elif mesh and sidecars(mesh, settings.cluster.facts) is Sidecars.CLASSIC:
        yield Problem(
            key,
            "GKE's operator makes workers wait for the head in an init container, which with classic "
            "sidecars never ends, and has no setting against it; leave it out, or use native sidecars",
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
    owners: dict[str, str] = {}
    for key, namespace, owner in _namespaces(settings):
        if namespace in owners and owners[namespace] != owner:
            yield Problem(
                key, f"namespace {namespace} belongs to {owners[namespace]}; give {owner} one of its own"
            )
        elif (
            settings.kbatch
            and namespace.startswith(USER_NAMESPACE_PREFIX)
            and ".users[" not in key
            and owner != "kbatch-proxy"
        ):
            yield Problem(
                key,
                f"{namespace} could be the namespace of a user of kbatch; choose one that does not start "
                f"with {USER_NAMESPACE_PREFIX}",
            )
        owners.setdefault(namespace, owner)
    seen: set[str] = set()
    for index, workspace in enumerate(settings.workspaces):
        if workspace.name in seen:
            yield Problem(
                f"{NAMESPACE}:workspaces[{index}].name",
                f"workspace {workspace.name} stands twice; give each its own name",
            )
        seen.add(workspace.name)


def _namespaces(settings: Settings) -> Iterator[tuple[str, str, str]]:
    """Every namespace that the stack fills: the key that sets it, its name and its owner."""
    if settings.istio:
        yield f"{NAMESPACE}:mesh.namespace", settings.istio.namespace, "the mesh"
    if settings.self_managed_operator:
        yield f"{NAMESPACE}:operator.namespace", settings.operator.namespace, "the operator"
    if settings.gateway:
        yield f"{NAMESPACE}:gateway.namespace", settings.gateway.namespace, "the gateway"
    if (spec := settings.observability) and spec.namespace != settings.mesh.namespace:
        yield f"{NAMESPACE}:observability.namespace", spec.namespace, "observability"
    if settings.kbatch:
        yield f"{NAMESPACE}:kbatch.namespace", settings.kbatch.namespace, "kbatch-proxy"
        for each in settings.kbatch.members:
            yield f"{NAMESPACE}:kbatch.{each.where}", each.namespace, f"user {each.name}"
    if settings.jupyterhub:
        yield f"{NAMESPACE}:jupyterhub.namespace", settings.jupyterhub.namespace, "JupyterHub"
    for index, workspace in enumerate(settings.workspaces):
        key = f"{NAMESPACE}:workspaces[{index}].namespace"
        yield key, workspace.namespace_name, f"workspace {workspace.name}"
