"""Who may submit jobs: users of JupyterHub, by name or as members of its groups."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from rayfort.model import DnsLabel, JsonObject, Model, refuse_all, repeated
from rayfort.problems import Key, key_of
from rayfort.proxy import jupyterhub_names
from rayfort.proxy import kbatch_config as config
from rayfort.proxy.jupyterhub_names import Names


class KbatchUser(Model):
    """A JupyterHub user who may submit jobs; a bare name in a stack file is one as well.

    Args:
        name: the user's name in JupyterHub, exactly: JupyterHub lower-cases the names of those who log in.
        workspace: the workspace whose Ray the user's jobs may use; None for no Ray.
        cluster: which of its Ray clusters; by default its only one.
    """

    name: str
    workspace: DnsLabel | None = None
    cluster: DnsLabel | None = None

    @model_validator(mode="before")
    @classmethod
    def _bare_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _checked(self) -> "KbatchUser":
        if problem := jupyterhub_names.problem(self.name):
            raise ValueError(problem)
        _check_cluster(self.workspace, self.cluster)
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonObject:
        made = handler(schema)
        made["type"] = ["string", "object"]
        return made


class KbatchGroup(Model):
    """Members of a group of JupyterHub, which is what the hub gives the right to submit to.

    Args:
        users: its members who may submit: each needs a namespace, and only the hub knows the others.
        workspace: the workspace whose Ray their jobs may use; None for no Ray.
        cluster: which of its Ray clusters; by default its only one.
    """

    users: tuple[str, ...]
    workspace: DnsLabel | None = None
    cluster: DnsLabel | None = None

    @model_validator(mode="after")
    def _checked(self) -> "KbatchGroup":
        found = ((index, jupyterhub_names.problem(user)) for index, user in enumerate(self.users))
        refuse_all((("users", index), problem) for index, problem in found if problem)
        if name := repeated(self.users):
            raise ValueError(f"user {name} stands twice; name each once")
        _check_cluster(self.workspace, self.cluster)
        return self


@dataclass(frozen=True)
class Member:
    """Somebody who may submit.

    Attributes:
        name: the name in JupyterHub.
        namespace: where the jobs run.
        workspace, cluster: the Ray that they may use; None for none, or for the workspace's only one.
        key: where the settings name the user, such as ``("users", 0)``.
    """

    name: str
    namespace: str
    workspace: str | None
    cluster: str | None
    key: Key

    @property
    def where(self) -> str:
        """The setting that names the user, such as ``users[0]``."""
        return key_of(self.key)


def named(
    users: Sequence[KbatchUser], groups: Mapping[str, KbatchGroup], *, legacy: bool
) -> Iterator[Member]:
    """Everybody who is listed, as often as they are.

    Args:
        users: users by name.
        groups: members of groups.
        legacy: whether their namespaces are those of kbatch-proxy 0.4.
    """
    namespace = config.legacy_namespace if legacy else config.user_namespace
    for index, user in enumerate(users):
        yield Member(user.name, namespace(user.name), user.workspace, user.cluster, ("users", index))
    for name, group in groups.items():
        for index, user_name in enumerate(group.users):
            key = ("groups", name, "users", index)
            yield Member(user_name, namespace(user_name), group.workspace, group.cluster, key)


def one_each(listed: Iterable[Member]) -> tuple[Member, ...]:
    """Everybody once, in the same order, with the workspace that any of their entries names."""
    found: dict[str, Member] = {}
    for each in listed:
        first = found.get(each.name)
        if first is None or (first.workspace is None and each.workspace):
            found[each.name] = each
    return tuple(found.values())


def name_problems(listed: Iterable[Member], hub: Names) -> Iterator[tuple[Key, str]]:
    """Users whom the hub knows by another name, or by none: nobody would have their namespaces.

    Args:
        listed: users, as often as they are listed.
        hub: what the hub makes of names.
    """
    for each in listed:
        known = hub.of(each.name)
        if known == each.name and not hub.takes(known):
            yield (
                each.key,
                f"user {each.name} does not match the hub's username_pattern, and the hub does not start "
                "with a role for such a user; change one of the two",
            )
        elif known == each.name:
            continue
        elif known == each.name.lower():
            yield (
                each.key,
                "JupyterHub lower-cases the names of those who log in, so that nobody would have the "
                f"namespace of user {each.name}; write {known}, or set namesKeepCase where the hub's "
                "authenticator keeps capitals",
            )
        else:
            yield (
                each.key,
                f"the hub's username_map makes {known} of {each.name}, so that nobody would have the "
                f"namespace of user {each.name}; write {known}",
            )


def ray_problems(listed: Iterable[Member]) -> Iterator[tuple[Key, str]]:
    """Users who are given more than one Ray."""
    rays: dict[str, Member] = {}
    for each in listed:
        if each.workspace is None:
            continue
        first = rays.setdefault(each.name, each)
        if (first.workspace, first.cluster) != (each.workspace, each.cluster):
            yield (
                each.key,
                f"user {each.name} is given the Ray of {_ray(first)} ({first.where}) and of {_ray(each)} "
                f"({each.where}); a job has one: name one of them",
            )


def legacy_problems(members: Iterable[Member], version: str) -> Iterator[tuple[Key, str]]:
    """Users whose namespace with kbatch-proxy 0.4 is another user's, the system's, or none."""
    owners: dict[str, str] = {}
    for each in members:
        if problem := config.legacy_problem(each.namespace):
            yield (
                each.key,
                f"user {each.name} has namespace {each.namespace}, {problem}, with {version}; use 0.5",
            )
        other = owners.setdefault(each.namespace, each.name)
        if other != each.name:
            yield (
                each.key,
                f"users {other} and {each.name} share namespace {each.namespace} with {version}; use 0.5",
            )


def _ray(member: Member) -> str:
    return "/".join(part for part in (member.workspace, member.cluster) if part)


def _check_cluster(workspace: str | None, cluster: str | None) -> None:
    if cluster and not workspace:
        raise ValueError(f"cluster {cluster} says nothing without its workspace; set `workspace`")
