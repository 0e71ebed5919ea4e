"""kbatch-proxy in a stack: whose jobs use which Ray, what contradicts that, and what weakens it."""

from collections.abc import Iterator, Mapping

from rayfort.mesh.istio import sidecars
from rayfort.mesh.mtls import MtlsMode
from rayfort.mesh.sidecars import Sidecars
from rayfort.model import JsonObject
from rayfort.network import PRIVATE_BLOCKS, holds, reaches_metadata
from rayfort.pod_security import check_level
from rayfort.proxy import kbatch_admission as admission
from rayfort.proxy import kbatch_config as config
from rayfort.proxy.kbatch_members import Member
from rayfort.proxy.kbatch_users import RayAccess, Surroundings, jobs_in_mesh
from rayfort.ray import manifest
from rayfort.ray.auth import TokenSource
from rayfort.ray.spec import RayClusterSpec
from rayfort.workspace import Client, RayWorkspace, WorkspaceSpec

from infra.problems import NAMESPACE, Problem
from infra.settings import Settings

_KEY = f"{NAMESPACE}:kbatch"


def surroundings(settings: Settings) -> Surroundings:
    """What the proxy and users' jobs run in."""
    mesh, facts = settings.istio, settings.cluster.facts
    in_mesh: JsonObject = (
        {"mesh_namespace": mesh.namespace, "revision": mesh.revision, "tracing": mesh.tracing} if mesh else {}
    )
    return Surroundings(facts=facts, native_sidecars=sidecars(mesh, facts) is Sidecars.NATIVE, **in_mesh)


def with_users(settings: Settings, spec: WorkspaceSpec) -> WorkspaceSpec:
    """A workspace that lets the jobs of its users in."""
    members = settings.kbatch.members if settings.kbatch else ()
    jobs = [
        Client(namespace=each.namespace, service_account=config.JOB_ACCOUNT)
        for each in members
        if each.workspace == spec.name
    ]
    clients = (*spec.clients, *(job for job in jobs if job not in spec.clients))
    return spec.model_copy(update={"clients": clients})


def rays(settings: Settings, made: Mapping[str, RayWorkspace]) -> dict[str, RayAccess]:
    """The Ray of each user who has one, by the user's name."""
    specs = {spec.name: spec for spec in settings.workspaces}
    found: dict[str, RayAccess] = {}
    for each in settings.kbatch.members if settings.kbatch else ():
        if not each.workspace:
            continue
        spec = specs[each.workspace]
        cluster = _cluster(each, spec)
        ray = made[spec.name].clusters[cluster.name]
        if ray.token is None:  # refused by the settings
            continue
        found[each.name] = RayAccess(
            namespace=spec.namespace_name,
            cluster=cluster.name,
            head_service=manifest.head_service(cluster.name),
            ports=cluster.effective_ports,
            address=ray.dashboard_url,
            token=ray.token,
        )
    return found


def contradictions(settings: Settings) -> Iterator[Problem]:
    """What of kbatch's settings cannot be, beside the others."""
    kbatch, mesh, facts = settings.kbatch, settings.istio, settings.cluster.facts
    if kbatch is None:
        return
    if not facts.kubelets_at_least(admission.OLDEST_KUBELET):
        yield Problem(
            _KEY,
            f"the cluster's kubelets are {facts.kubernetes_version}, and what users may submit is decided by "
            f"admission policies, which Kubernetes has since {admission.SINCE}; leave kbatch out, or set "
            "cluster.facts.kubernetesVersion to the oldest kubelet's version",
        )
    around = surroundings(settings)
    in_mesh = mesh is not None and jobs_in_mesh(kbatch, around)
    try:
        check_level(kbatch.jobs.pod_security, sidecars=in_mesh, istio_cni=facts.istio_cni)
    except ValueError as error:
        yield Problem(f"{_KEY}.jobs.podSecurity", str(error))
    specs = {spec.name: spec for spec in settings.workspaces}
    for each in kbatch.members:
        if not each.workspace:
            continue
        key = f"{_KEY}.{each.where}"
        spec = specs.get(each.workspace)
        if spec is None:
            there = ", ".join(sorted(specs)) or "none"
            yield Problem(
                key,
                f"workspace {each.workspace} of user {each.name} is not there (known: {there}); name one",
            )
            continue
        try:
            cluster = _cluster(each, spec)
        except ValueError as error:
            yield Problem(key, str(error))
            continue
        yield from _token(settings, key, each, cluster)
        if mesh and not in_mesh and MtlsMode.STRICT in {mesh.mtls, spec.mtls}:
            why = "classic sidecars never let a job end" if kbatch.in_mesh else "inMesh is false"
            yield Problem(
                key,
                f"the jobs of user {each.name} have no sidecars ({why}), and Ray of workspace {spec.name} "
                "refuses plaintext; use native sidecars and leave inMesh out, or remove the workspace",
            )


def _token(settings: Settings, key: str, member: Member, cluster: RayClusterSpec) -> Iterator[Problem]:
    try:
        source = cluster.auth.source_for(settings.operator_version)
    except ValueError:  # told where the cluster stands
        return
    if source is TokenSource.OPERATOR:
        yield Problem(
            key,
            f"the operator makes the token of cluster {cluster.name}, which the jobs of user {member.name} "
            "would need a copy of; leave auth.source of the cluster out, or remove the workspace",
        )


def weakened(settings: Settings) -> Iterator[Problem]:
    """What of kbatch's settings switches protection off."""
    kbatch, mesh = settings.kbatch, settings.istio
    if kbatch is None:
        return
    if mesh and not kbatch.in_mesh:
        yield Problem(f"{_KEY}.inMesh", "the proxy's traffic is plaintext")
    if mesh and kbatch.in_mesh and not surroundings(settings).native_sidecars:
        yield Problem(_KEY, "users' jobs have no sidecars, since classic ones never let a job end")
    if kbatch.legacy:
        yield Problem(
            f"{_KEY}.imageTag",
            f"kbatch-proxy {kbatch.image_tag} names namespaces as their users, checks no scope and keeps no "
            "Secrets: only Rayfort's start module and the users' list stand between; use 0.5",
        )
    if kbatch.cron_jobs:
        yield Problem(f"{_KEY}.cronJobs", "jobs go on being made when their user may submit no more")
    if kbatch.dynamic_users:
        yield Problem(
            f"{_KEY}.dynamicUsers", "the proxy makes namespaces, and reads the Pods and logs of all"
        )
    for cidr in kbatch.jobs.egress.cidrs if kbatch.jobs.egress else ():
        if reaches_metadata(cidr):
            yield Problem(f"{_KEY}.jobs.egress.cidrs", f"{cidr}: jobs reach the cloud's metadata server")
        elif any(holds(block, cidr) for block in PRIVATE_BLOCKS):
            yield Problem(f"{_KEY}.jobs.egress.cidrs", f"{cidr}: jobs reach a private network")


def _cluster(member: Member, spec: WorkspaceSpec) -> RayClusterSpec:
    """The Ray cluster that a user's jobs use.

    Raises:
        ValueError: if the settings do not say which, or one that is not there.
    """
    names = [cluster.name for cluster in spec.clusters]
    there = ", ".join(sorted(names))
    if not names:
        raise ValueError(f"workspace {spec.name} of user {member.name} has no Ray cluster; name another")
    if member.cluster is None and len(names) > 1:
        raise ValueError(
            f"workspace {spec.name} of user {member.name} has more than one Ray cluster; set `cluster` to "
            f"one of {there}"
        )
    wanted = member.cluster or names[0]
    if wanted not in names:
        raise ValueError(
            f"cluster {wanted} of user {member.name} is not in workspace {spec.name} (known: {there}); name "
            "one"
        )
    return spec.clusters[names.index(wanted)]
