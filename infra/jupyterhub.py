"""JupyterHub in a stack: its arguments, what contradicts them, and what weakens it."""

from collections.abc import Iterator

from rayfort.proxy import jupyterhub_names, kbatch_config
from rayfort.proxy.jupyterhub_spec import DUMMY, JupyterHubArgs
from rayfort.proxy.jupyterhub_values import Batch
from rayfort.proxy.kbatch import hub_batch
from rayfort.proxy.kbatch_members import name_problems

from infra.problems import NAMESPACE, Problem, key_of
from infra.settings import Settings

_KEY = f"{NAMESPACE}:jupyterhub"


def in_mesh(settings: Settings, args: JupyterHubArgs) -> JupyterHubArgs:
    """The arguments, without a mesh where the stack has none."""
    return args.model_copy(update={"in_mesh": args.in_mesh and settings.istio is not None})


def batch(settings: Settings) -> Batch | None:
    """What the hub is told of kbatch-proxy."""
    kbatch = settings.kbatch
    if kbatch is None:
        return None
    domain = settings.cluster.facts.cluster_domain
    return hub_batch(kbatch, kbatch_config.address(kbatch.namespace, domain))


def contradictions(settings: Settings) -> Iterator[Problem]:
    """Settings of kbatch about another hub, and a hub that cannot speak with kbatch-proxy."""
    hub, kbatch = settings.jupyterhub, settings.kbatch
    if hub is None or kbatch is None:
        return
    for name in sorted(name for name in kbatch.model_fields_set if name.startswith("hub_")):
        alias = type(kbatch).model_fields[name].alias
        yield Problem(
            f"{NAMESPACE}:kbatch.{alias}",
            "is about a hub that is there already, and this stack makes one (jupyterhub); leave one of the "
            "two out",
        )
    keeps_case = kbatch.names_keep_case
    configured = jupyterhub_names.configured(hub.values)
    known = jupyterhub_names.names(keeps_case, hub.authenticator.config, configured)
    for path, text in name_problems(kbatch.named(), known):
        yield Problem(key_of(("kbatch", *path)), text)
    if keeps_case and hub.authenticator.type in jupyterhub_names.LOWER_CASE:
        yield Problem(
            f"{NAMESPACE}:kbatch.namesKeepCase",
            f"authenticator {hub.authenticator.type} lower-cases the names of those who log in; leave it out",
        )
    if settings.istio and hub.in_mesh != kbatch.in_mesh:
        outside = "jupyterhub" if kbatch.in_mesh else "kbatch"
        yield Problem(
            f"{NAMESPACE}:{outside}.inMesh",
            "JupyterHub and kbatch-proxy call each other, and the one in the mesh refuses the plaintext of "
            "the other; leave both in it",
        )


def weakened(settings: Settings) -> Iterator[Problem]:
    """What of the hub's settings switches protection off."""
    hub = settings.jupyterhub
    if hub is None:
        return
    login = hub.authenticator
    if login.type == DUMMY:
        yield Problem(
            f"{_KEY}.authenticator.type", "dummy: who knows its one password is whatever user they say"
        )
    elif login.lets_everybody_in:
        yield Problem(
            f"{_KEY}.authenticator.config",
            "allow_all: everybody with an account there may log in to JupyterHub",
        )
    if settings.istio and not hub.in_mesh:
        yield Problem(f"{_KEY}.inMesh", "traffic of JupyterHub and of its notebooks is plaintext")
