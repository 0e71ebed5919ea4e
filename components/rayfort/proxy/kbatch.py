"""kbatch-proxy: JupyterHub users submit batch jobs without access to the Kubernetes API."""

from collections.abc import Mapping
from typing import Final, cast

import pulumi
import pulumi_kubernetes as k8s
import pulumi_random as random
from pydantic import Field, SecretStr, field_validator

from rayfort import fence, labels, network, pod_security, versions
from rayfort.component import Component, meta, timeouts
from rayfort.facts import CLUSTER_DOMAIN
from rayfort.mesh import authorization, membership, mtls
from rayfort.model import (
    Count,
    DnsLabel,
    EnvName,
    HttpUrl,
    ImageRepository,
    ImageTag,
    JsonObject,
    Model,
    Quantity,
    Seconds,
    SecretInput,
    as_secret,
)
from rayfort.pod_security import PodSecurity
from rayfort.proxy import kbatch_config as config

NAMESPACE: Final = "batch-system"
UID: Final = 1000


class KbatchProxyArgs(Model):
    """Arguments of `KbatchProxy`.

    Args:
        namespace: where the proxy runs; never ``kbatch-…``, which could be a user's.
        create_namespace: whether Rayfort makes it.
        hub_namespace: where JupyterHub runs; only its Pods may call the proxy.
        hub_api_url: the hub's API inside the cluster.
        hub_api_token: the token under which the hub registers the service; a random one where unset.
        users: the JupyterHub users who may submit; each gets a namespace. Others are refused.
        user_quota: hard limits of each user's namespace.
        cron_jobs: whether users may make CronJobs, which bypass the job template.
        profiles: kbatch profiles by name; public to everyone who reaches the proxy.
        job_template: laid over every job; without booleans, which kbatch-proxy cannot read.
        job_env: variables for every job (secret as a whole), such as those of Dask Gateway in the seed.
        job_ttl_seconds: how long finished jobs are kept, in seconds.
        image_repository, image_tag: the image.
        replicas: number of Pods.
        in_mesh: whether the Pods get a sidecar.
        timeout_seconds: how long to wait for the Deployment, in seconds.
    """

    namespace: DnsLabel = NAMESPACE
    create_namespace: bool = True
    hub_namespace: DnsLabel = "jupyterhub"
    hub_api_url: HttpUrl = "http://hub.jupyterhub.svc.cluster.local:8081/hub/api"
    hub_api_token: SecretInput | None = Field(default=None, repr=False)
    users: tuple[str, ...] = ()
    user_quota: dict[str, Quantity] = {
        "count/jobs.batch": "50",
        "requests.cpu": "16",
        "requests.memory": "64Gi",
    }
    cron_jobs: bool = False
    profiles: JsonObject = {}
    job_template: JsonObject = {}
    job_env: dict[EnvName, SecretStr] = Field(default={}, repr=False)
    job_ttl_seconds: Count = 3600
    image_repository: ImageRepository = versions.KBATCH_PROXY_IMAGE
    image_tag: ImageTag = versions.KBATCH_PROXY
    replicas: int = Field(default=2, ge=1, strict=True)
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
    def _users(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for user in value:
            if not user.strip():
                raise ValueError("a user name is empty; name a JupyterHub user")
            if value.count(user) > 1:
                raise ValueError(f"user {user} stands twice; name each once")
        return value

    @field_validator("job_template")
    @classmethod
    def _no_booleans(cls, value: JsonObject) -> JsonObject:
        where = config.first_boolean(value)
        if where:
            raise ValueError(
                f"{where} is a boolean, which kbatch-proxy {versions.KBATCH_PROXY} cannot read: every "
                "submission would fail; leave it out (users' namespaces refuse privileged Pods in any case)"
            )
        return value


class KbatchProxy(Component):
    """The proxy, its configuration, and a namespace with exact rights for each user.

    Beside its arguments it takes facts: ``cluster_domain``, the DNS zone of Services, ``istio_cni``, whether
    nodes take Istio's CNI plugin, and ``revision``, the mesh's own.

    Attributes:
        url: the proxy inside the cluster; the hub forwards to it.
        hub_values: values for the zero-to-jupyterhub chart that register the service.
        user_namespaces: each user's namespace.
    """

    url: pulumi.Output[str]
    hub_values: JsonObject
    user_namespaces: Mapping[str, str]

    def __init__(
        self,
        name: str,
        args: KbatchProxyArgs,
        opts: pulumi.ResourceOptions | None = None,
        *,
        cluster_domain: str = CLUSTER_DOMAIN,
        istio_cni: bool = False,
        revision: str | None = None,
    ) -> None:
        super().__init__(name, {"namespace": args.namespace, "users": list(args.users)}, opts)
        self._name, self._args = name, args
        before: list[pulumi.Resource] = []
        if args.create_namespace:
            level = pod_security.strictest(sidecars=args.in_mesh, istio_cni=istio_cni)
            injected = membership.namespace_labels(revision) if args.in_mesh else {}
            metadata = meta(args.namespace, extra_labels={**injected, **pod_security.namespace_labels(level)})
            before.append(k8s.core.v1.Namespace(name, metadata=metadata, opts=self.child()))
        account = k8s.core.v1.ServiceAccount(
            name, metadata=meta(config.SERVICE_NAME, args.namespace), opts=self.child(depends_on=before)
        )
        settings, secret = self._configuration(before)
        files = config.config_files(args.profiles, args.job_template)
        self._fence(before)
        deployment = k8s.apps.v1.Deployment(
            name,
            metadata=meta(config.SERVICE_NAME, args.namespace),
            spec=cast("k8s.apps.v1.DeploymentSpecArgsDict", deployment_spec(args, files, revision)),
            opts=self.child(
                depends_on=[account, settings, secret, *self._users()],
                custom_timeouts=timeouts(args.timeout_seconds),
            ),
        )
        service = k8s.core.v1.Service(
            name,
            metadata=meta(config.SERVICE_NAME, args.namespace),
            spec=cast("k8s.core.v1.ServiceSpecArgsDict", service_spec()),
            opts=self.child(depends_on=[deployment]),
        )
        k8s.policy.v1.PodDisruptionBudget(
            name,
            metadata=meta(config.SERVICE_NAME, args.namespace),
            spec=k8s.policy.v1.PodDisruptionBudgetSpecArgs(
                max_unavailable=1,
                selector=k8s.meta.v1.LabelSelectorArgs(match_labels={labels.NAME: config.SERVICE_NAME}),
            ),
            opts=self.child(depends_on=before),
        )
        self.user_namespaces = {user: config.user_namespace(user) for user in args.users}
        address = config.address(args.namespace, cluster_domain)
        self.hub_values = config.hub_values(address)
        self.url = service.urn.apply(lambda _: address)
        self.register_outputs({"url": self.url, "userNamespaces": dict(self.user_namespaces)})

    def _fence(self, before: list[pulumi.Resource]) -> None:
        """Close the proxy to everybody but the hub's namespace."""
        args, service, callers = self._args, config.SERVICE_NAME, [self._args.hub_namespace]
        pod, ports = {labels.NAME: service}, [config.PORT]
        policy = network.access_spec(pod, callers, ports)
        k8s.networking.v1.NetworkPolicy(
            self._name,
            metadata=meta(service, args.namespace),
            spec=cast("k8s.networking.v1.NetworkPolicySpecArgsDict", policy),
            opts=self.child(depends_on=before),
        )
        if args.in_mesh:
            access = authorization.access_spec(pod, callers, ports)
            kind = (mtls.SECURITY_API, "AuthorizationPolicy", service, access)
            fence.mesh_objects(self, f"{self._name}-", args.namespace, [kind], before)

    def _configuration(self, before: list[pulumi.Resource]) -> tuple[pulumi.Resource, pulumi.Resource]:
        """The ConfigMap with the files and the Secret with token and job variables."""
        args = self._args
        settings = k8s.core.v1.ConfigMap(
            self._name,
            metadata=meta(config.SERVICE_NAME, args.namespace),
            data=config.config_files(args.profiles, args.job_template),
            opts=self.child(depends_on=before),
        )
        given = args.hub_api_token
        token = as_secret(self._random_token() if given is None else given)
        variables = {key: value.get_secret_value() for key, value in args.job_env.items()}
        secret = k8s.core.v1.Secret(
            self._name,
            metadata=meta(config.SERVICE_NAME, args.namespace),
            string_data={
                config.TOKEN_KEY: token,
                config.EXTRA_ENV_KEY: pulumi.Output.secret(config.extra_env(variables)),
            },
            opts=self.child(depends_on=before),
        )
        return settings, secret

    def _random_token(self) -> pulumi.Output[str]:
        return random.RandomPassword(
            f"{self._name}-hub-token", length=48, special=False, opts=self.child()
        ).result

    def _users(self) -> list[pulumi.Resource]:
        return [resource for user in self._args.users for resource in self._user(user)]

    def _user(self, user: str) -> list[pulumi.Resource]:
        """One user's namespace: Pod security, quota, network policy, and the proxy's Role in it."""
        args, namespace = self._args, config.user_namespace(user)
        name = f"{self._name}-{namespace}"
        made = k8s.core.v1.Namespace(
            name, metadata=meta(namespace, extra_labels=user_namespace_labels()), opts=self.child()
        )
        inside = [made]
        quota = k8s.core.v1.ResourceQuota(
            name,
            metadata=meta(config.SERVICE_NAME, namespace),
            spec=k8s.core.v1.ResourceQuotaSpecArgs(hard=args.user_quota),
            opts=self.child(depends_on=inside),
        )
        limits = k8s.core.v1.LimitRange(
            name,
            metadata=meta(config.SERVICE_NAME, namespace),
            spec=cast("k8s.core.v1.LimitRangeSpecArgsDict", config.limit_range_spec()),
            opts=self.child(depends_on=inside),
        )
        policy = k8s.networking.v1.NetworkPolicy(
            name,
            metadata=meta("jobs", namespace),
            spec=cast("k8s.networking.v1.NetworkPolicySpecArgsDict", jobs_policy()),
            opts=self.child(depends_on=inside),
        )
        role = k8s.rbac.v1.Role(
            name,
            metadata=meta(config.SERVICE_NAME, namespace),
            rules=cast("list[k8s.rbac.v1.PolicyRuleArgsDict]", config.user_rules(cron_jobs=args.cron_jobs)),
            opts=self.child(depends_on=inside),
        )
        binding = k8s.rbac.v1.RoleBinding(
            name,
            metadata=meta(config.SERVICE_NAME, namespace),
            role_ref=k8s.rbac.v1.RoleRefArgs(
                api_group="rbac.authorization.k8s.io", kind="Role", name=config.SERVICE_NAME
            ),
            subjects=[
                k8s.rbac.v1.SubjectArgs(
                    kind="ServiceAccount", name=config.SERVICE_NAME, namespace=args.namespace
                )
            ],
            opts=self.child(depends_on=[role]),
        )
        return [quota, limits, policy, role, binding]


def user_namespace_labels() -> dict[str, str]:
    """Labels of a user's namespace; kbatch forwards any Pod spec, Kubernetes refuses the dangerous ones.

    ``restricted`` would refuse every job without a word to its user: it asks for booleans in each container,
    which kbatch's client does not send and its job template cannot hold. These Pods have no sidecars, so that
    Istio's CNI plugin makes no difference.
    """
    return {labels.MANAGED_BY: "kbatch", **pod_security.namespace_labels(PodSecurity.BASELINE)}


def jobs_policy() -> JsonObject:
    """``spec`` of the NetworkPolicy of a user's jobs: nobody calls them, and they call no metadata server.

    Pods are named beside the blocks because some network plugins do not count them among addresses.
    """
    anywhere = [network.address_block(block) for block in ("0.0.0.0/0", "::/0")]
    return {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
        "egress": [{"to": [{"namespaceSelector": {}}, *anywhere]}],
    }


def service_spec() -> JsonObject:
    """``spec`` of the Service.

    Opaque TCP for Istio: the hub's proxy keeps the browser's Host header, by which Istio would route it
    out of the mesh in plaintext.
    """
    return {
        "selector": {labels.NAME: config.SERVICE_NAME},
        "ports": [
            {
                "name": "tcp-http",
                "port": config.PORT,
                "targetPort": config.PORT,
                "protocol": "TCP",
                "appProtocol": "tcp",
            }
        ],
    }


def deployment_spec(
    args: KbatchProxyArgs, files: Mapping[str, str], revision: str | None = None
) -> JsonObject:
    """``spec`` of the Deployment; its Pods are replaced when the mesh's revision changes."""
    injected = membership.revision_label(revision) if args.in_mesh else {}
    selector = {labels.NAME: config.SERVICE_NAME}
    plain = config.environment(args.hub_api_url, args.job_ttl_seconds, files)
    secret = {
        key: {"secretKeyRef": {"name": config.SERVICE_NAME, "key": key}}
        for key in (config.TOKEN_KEY, config.EXTRA_ENV_KEY)
    }
    probe = {"httpGet": {"path": "/", "port": config.PORT}, "timeoutSeconds": 5, "periodSeconds": 10}
    container: JsonObject = {
        "name": config.SERVICE_NAME,
        "image": f"{args.image_repository}:{args.image_tag}",
        "ports": [{"name": "http", "containerPort": config.PORT}],
        "env": [
            *({"name": key, "value": value} for key, value in plain.items()),
            *({"name": key, "valueFrom": source} for key, source in secret.items()),
        ],
        "volumeMounts": [
            {"name": "config", "mountPath": config.CONFIG_PATH, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - in the container
        ],
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "512Mi"}},
        "readinessProbe": probe,
        # Handlers block on the Kubernetes API: a slow call must not get the Pod killed.
        "livenessProbe": {**probe, "failureThreshold": 6},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    return {
        "replicas": args.replicas,
        "selector": {"matchLabels": selector},
        "template": {
            "metadata": {
                "labels": {**selector, "hub.jupyter.org/network-access-hub": "true", **injected},
                "annotations": {"rayfort.dev/config": config.checksum(files)},
            },
            "spec": {
                "serviceAccountName": config.SERVICE_NAME,
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": UID,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [container],
                "volumes": [
                    {"name": "config", "configMap": {"name": config.SERVICE_NAME}},
                    {"name": "tmp", "emptyDir": {}},
                ],
            },
        },
    }
