"""What a stack says about kbatch-proxy: the arguments, and who its users are."""

import re
from collections.abc import Iterator
from typing import Annotated, Final

from pydantic import Field, SecretStr, field_validator, model_validator

from rayfort import network, versions
from rayfort.model import (
    Cidr,
    Count,
    DnsLabel,
    DnsName,
    EnvName,
    HttpUrl,
    ImageReference,
    ImageRepository,
    ImageTag,
    JsonObject,
    Model,
    Port,
    Replicas,
    Seconds,
    SecretInput,
    Written,
    refuse_all,
    repeated,
)
from rayfort.pod_security import PodSecurity
from rayfort.problems import Key
from rayfort.proxy import kbatch_config as config
from rayfort.proxy import kbatch_template
from rayfort.proxy.jupyterhub_names import Names
from rayfort.proxy.kbatch_members import (
    KbatchGroup,
    KbatchUser,
    Member,
    legacy_problems,
    name_problems,
    named,
    one_each,
    ray_problems,
)
from rayfort.quota import Quota

NAMESPACE: Final = "batch-system"
_LEGACY_TAG: Final = re.compile(r"v?0\.4\.\d+([-.+].*)?")
_TAG: Final = re.compile(r"v?0\.5\.\d+(b\d+|rc\d+)?([-.+].*)?")

ImagePrefix = Annotated[
    str,
    Written(
        r"[a-z0-9][A-Za-z0-9._:/@-]*",
        "is neither an image nor a place of images; write for example ghcr.io/my-team/ or "
        "docker.io/rayproject/ray",
    ),
]


class JobEgress(Model):
    """Where users' jobs may connect outside of the cluster.

    Args:
        cidrs: address blocks. Metadata servers and private addresses are cut out of every block that does not
            lie among them itself.
        ports: TCP ports.
    """

    cidrs: tuple[Cidr, ...] = (network.ANYWHERE,)
    ports: tuple[Port, ...] = (443,)


class JobRules(Model):
    """What users' jobs may be; the API server refuses the others.

    Labels of nodes and tolerations are those that a profile or the job template names.

    Args:
        allowed_images: images that jobs may name: places such as ``ghcr.io/my-team/``, repositories with
            every tag, or images with a tag or digest. Any image where it is empty.
        priority_classes: the priority classes that jobs may name.
        metadata_domains: domains of labels and annotations that jobs and their Pods may have, such as
            ``kueue.x-k8s.io``; those of the job template are let in as they are, and ``istio.io`` never.
        max_pods: the most that a job may state as ``parallelism``, ``completions`` and ``backoffLimit``.
        code_image: the image that unpacks a job's code, in which `sh` and `unzip` are.
        egress: where jobs may connect outside; None for nowhere.
        hub_access: whether jobs may call JupyterHub, which they have a token of their user for.
        pod_security: the level to which users' namespaces are held; ``restricted`` asks that images run as
            another user than root. By default ``baseline``, or ``privileged`` where sidecars start at no
            other.
    """

    allowed_images: tuple[ImagePrefix, ...] = ()
    priority_classes: tuple[DnsName, ...] = ()
    metadata_domains: tuple[DnsName, ...] = ()
    max_pods: Replicas = 1000
    code_image: ImageReference = versions.KBATCH_CODE_IMAGE
    egress: JobEgress | None = JobEgress()
    hub_access: bool = False
    pod_security: PodSecurity | None = None


class KbatchProxyArgs(Model):
    """Arguments of `KbatchProxy`.

    Args:
        namespace: where the proxy runs; never ``kbatch-…``, which could be a user's.
        create_namespace: whether Rayfort makes it.
        hub_namespace: where JupyterHub runs.
        hub_service_account: the hub's identity in the mesh; it asks whether the proxy is there.
        hub_proxy_service_account: the identity of the hub's proxy, through which users come.
        hub_api_url: the hub's API inside the cluster.
        hub_api_token: the token under which the hub registers the service; a random one where unset.
        users: the JupyterHub users who may submit, as names or with the workspace whose Ray they may use;
            each gets a namespace. Others are refused.
        groups: members of JupyterHub's groups who may submit, by group.
        names_keep_case: whether the hub's authenticator keeps capitals in users' names; JupyterHub's own
            lower-cases them, as nearly all do.
        dynamic_users: makes namespaces for whoever comes with the right scope, without Ray and sidecars.
            The proxy needs cluster-wide rights for it; admission rules fence them.
        user_quota: hard limits of each user's namespace: ``pods`` are those that have not ended,
            ``count/pods`` all of them.
        cron_jobs: whether users may make CronJobs.
        jobs: what users' jobs may be.
        profiles: kbatch profiles by name; public to everyone who reaches the proxy.
        job_template: laid over every job, in Kubernetes' spelling: it wins over what the user says, and lists
            are appended.
        job_env: variables for every job (secret as a whole), such as those of Dask Gateway in the seed.
        job_ttl_seconds: how long finished jobs are kept, in seconds.
        max_body_bytes: the largest request that the proxy takes, in bytes.
        image_repository, image_tag: the image: 0.5 from 0.5.0b1 on. 0.4 is taken with fences of its own.
        replicas: number of Pods.
        in_mesh: whether the Pods of the proxy and of jobs get sidecars.
        timeout_seconds: how long to wait for the Deployment, in seconds.
    """

    namespace: DnsLabel = NAMESPACE
    create_namespace: bool = True
    hub_namespace: DnsLabel = "jupyterhub"
    hub_service_account: DnsLabel = "hub"
    hub_proxy_service_account: DnsLabel = "default"
    hub_api_url: HttpUrl = "http://hub.jupyterhub.svc.cluster.local:8081/hub/api"
    hub_api_token: SecretInput | None = Field(default=None, repr=False)
    users: tuple[KbatchUser, ...] = ()
    groups: dict[str, KbatchGroup] = {}
    names_keep_case: bool = False
    dynamic_users: bool = False
    user_quota: Quota = {
        "count/jobs.batch": "50",
        "count/pods": "1000",
        "pods": "100",
        "requests.cpu": "16",
        "requests.memory": "64Gi",
    }
    cron_jobs: bool = False
    jobs: JobRules = JobRules()
    profiles: JsonObject = {}
    job_template: JsonObject = {}
    job_env: dict[EnvName, SecretStr] = Field(default={}, repr=False)
    job_ttl_seconds: Count = 3600
    max_body_bytes: int = Field(default=2 * 1024 * 1024, ge=64 * 1024, strict=True)
    image_repository: ImageRepository = versions.KBATCH_PROXY_IMAGE
    image_tag: ImageTag = versions.KBATCH_PROXY
    replicas: Replicas = 2
    in_mesh: bool = True
    timeout_seconds: Seconds = 300

    @field_validator("namespace")
    @classmethod
    def _not_a_users(cls, value: str) -> str:
        if value.startswith(config.USER_NAMESPACE_PREFIX):
            raise ValueError(
                f"{value} could be the namespace of a user named {value.removeprefix('kbatch-')!r}; "
                "choose one that does not start with kbatch-"
            )
        return value

    @field_validator("users")
    @classmethod
    def _users(cls, value: tuple[KbatchUser, ...]) -> tuple[KbatchUser, ...]:
        if name := repeated(user.name for user in value):
            raise ValueError(f"user {name} stands twice; name each once")
        return value

    @field_validator("groups")
    @classmethod
    def _groups(cls, value: dict[str, KbatchGroup]) -> dict[str, KbatchGroup]:
        if any(not name.strip() for name in value):
            raise ValueError("a group's name is empty; name a group of JupyterHub")
        return value

    @field_validator("job_template")
    @classmethod
    def _template(cls, value: JsonObject) -> JsonObject:
        refuse_all(((), problem) for problem in kbatch_template.problems(value))
        return value

    @field_validator("profiles")
    @classmethod
    def _profiles(cls, value: JsonObject) -> JsonObject:
        refuse_all(((), problem) for problem in kbatch_template.profile_problems(value))
        return value

    @field_validator("job_env")
    @classmethod
    def _of_all(cls, value: dict[str, SecretStr]) -> dict[str, SecretStr]:
        refuse_all(
            (
                (name,),
                "would be the same for every user; remove it, and name the `workspace` of each user, whose "
                "Ray and token the user's jobs then get",
            )
            for name in config.JOB_ENVIRONMENT
            if name in value
        )
        return value

    @field_validator("image_tag")
    @classmethod
    def _known(cls, value: str) -> str:
        if not (_TAG.fullmatch(value) or _LEGACY_TAG.fullmatch(value)):
            raise ValueError(
                f"{value} is no version of kbatch-proxy that Rayfort can fence; use "
                f"{versions.KBATCH_PROXY} or a newer 0.5"
            )
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> "KbatchProxyArgs":
        refuse_all(_contradictions(self))
        return self

    @property
    def legacy(self) -> bool:
        """Whether the proxy is 0.4, which has no prefix for namespaces, no scopes and no Secrets."""
        return bool(_LEGACY_TAG.fullmatch(self.image_tag))

    @property
    def members(self) -> tuple[Member, ...]:
        """Everybody who may submit, each once, in the order of the settings."""
        return one_each(self.named())

    def named(self) -> Iterator[Member]:
        """Everybody whom the settings name, as often as they do."""
        return named(self.users, self.groups, legacy=self.legacy)


def _contradictions(args: KbatchProxyArgs) -> Iterator[tuple[Key, str]]:
    yield from name_problems(args.named(), Names(args.names_keep_case))
    yield from ray_problems(args.named())
    if args.dynamic_users and args.members:
        yield (
            ("dynamicUsers",),
            "makes namespaces for everybody, and users or groups list some; leave one of the two out",
        )
    if not args.legacy:
        return
    version = f"kbatch-proxy {args.image_tag}"
    if args.dynamic_users:
        yield (
            ("dynamicUsers",),
            f"{version} makes namespaces named as their users, kube-system among them; leave it out, or use "
            "0.5",
        )
    if args.job_env:
        yield ("jobEnv",), f"{version} writes it in clear text into every job; leave it out, or use 0.5"
    if args.cron_jobs:
        yield ("cronJobs",), f"{version} loses the code of CronJobs; leave it out, or use 0.5"
    yield from legacy_problems(args.members, version)
