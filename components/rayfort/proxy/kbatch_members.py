"""Who may submit jobs: users of JupyterHub, by name or as members of its groups."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from rayfort.model import DnsLabel, JsonObject, Model, repeated
from rayfort.proxy import kbatch_config as config


class KbatchUser(Model):
    """A JupyterHub user who may submit jobs; a bare name in a stack file is one as well.

    Args:
        name: the user's name in JupyterHub, exactly.
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
        _check_name(self.name)
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
        for user in self.users:
            _check_name(user)
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
        where: the setting that names the user, such as ``users[0]``.
    """

    name: str
    namespace: str
    workspace: str | None
    cluster: str | None
    where: str


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
        yield Member(user.name, namespace(user.name), user.workspace, user.cluster, f"users[{index}]")
    for name, group in groups.items():
        for index, user_name in enumerate(group.users):
            where = f"groups.{name}.users[{index}]"
            yield Member(user_name, namespace(user_name), group.workspace, group.cluster, where)


def one_each(listed: Iterable[Member]) -> tuple[Member, ...]:
    """Everybody once, in the same order, with the workspace that any of their entries names."""
    found: dict[str, Member] = {}
    for each in listed:
        first = found.get(each.name)
        if first is None or (first.workspace is None and each.workspace):
            found[each.name] = each
    return tuple(found.values())


def ray_problems(listed: Iterable[Member]) -> Iterator[str]:
    """Users who are given more than one Ray."""
    rays: dict[str, Member] = {}
    for each in listed:
        if each.workspace is None:
            continue
        first = rays.setdefault(each.name, each)
        if (first.workspace, first.cluster) != (each.workspace, each.cluster):
            yield (
                f"user {each.name} is given the Ray of {_ray(first)} ({first.where}) and of {_ray(each)} "
                f"({each.where}); a job has one: name one of them"
            )


def legacy_problems(members: Iterable[Member]) -> Iterator[str]:
    """Users whose namespace with kbatch-proxy 0.4 is another user's, the system's, or none."""
    owners: dict[str, str] = {}
    for each in members:
        if problem := config.legacy_problem(each.namespace):
            yield f"user {each.name} has namespace {each.namespace}, {problem},"
        other = owners.setdefault(each.namespace, each.name)
        if other != each.name:
            yield f"users {other} and {each.name} share namespace {each.namespace}"


def _ray(member: Member) -> str:
    return "/".join(part for part in (member.workspace, member.cluster) if part)


def _check_name(name: str) -> None:
    if not name.strip():
        raise ValueError("a user name is empty; name a JupyterHub user")


def _check_cluster(workspace: str | None, cluster: str | None) -> None:
    if cluster and not workspace:
        raise ValueError(f"cluster {cluster} says nothing without its workspace; set `workspace`")
