"""kbatch-proxy: JupyterHub users submit batch jobs without access to the Kubernetes API."""

from collections.abc import Mapping
from typing import cast

import pulumi
import pulumi_kubernetes as k8s
import pulumi_random as random

from rayfort import fence, labels, pod_security
from rayfort.component import Component, meta, timeouts
from rayfort.mesh import membership
from rayfort.model import JsonObject, as_secret
from rayfort.proxy import jupyterhub_values as hub
from rayfort.proxy import kbatch_admission as admission
from rayfort.proxy import kbatch_config as config
from rayfort.proxy import kbatch_deployment as proxy
from rayfort.proxy.kbatch_namespace import UserNamespaces, bind, cluster_role
from rayfort.proxy.kbatch_spec import KbatchProxyArgs
from rayfort.proxy.kbatch_users import RayAccess, Surroundings

_DEFAULT = Surroundings()


class KbatchProxy(Component):
    """The proxy, its configuration, and a namespace with exact rights for each user.

    Beside its arguments it takes facts: ``around``, what it runs in, and ``rays``, the Ray cluster that each
    user's jobs may use, by the user's name.

    Attributes:
        url: the proxy inside the cluster; the hub forwards to it.
        batch: what a hub is told of the proxy.
        hub_values: values for the zero-to-jupyterhub chart that register the service.
        user_namespaces: each user's namespace.

    Raises:
        ValueError: if a user has a workspace, and ``rays`` does not say which Ray that is.
    """

    url: pulumi.Output[str]
    batch: hub.Batch
    hub_values: JsonObject
    user_namespaces: Mapping[str, str]

    def __init__(
        self,
        name: str,
        args: KbatchProxyArgs,
        opts: pulumi.ResourceOptions | None = None,
        *,
        around: Surroundings = _DEFAULT,
        rays: Mapping[str, RayAccess] | None = None,
    ) -> None:
        given = rays or {}
        for each in args.members:
            if each.workspace and each.name not in given:
                raise ValueError(
                    f"user {each.name} has workspace {each.workspace}, and `rays` has no Ray for it; add it"
                )
        names = [each.name for each in args.members]
        super().__init__(name, {"namespace": args.namespace, "users": names}, opts)
        self._name, self._args, self._around = name, args, around
        before = self._namespace()
        files = proxy.config_files(args, around)
        settings = k8s.core.v1.ConfigMap(
            name,
            metadata=meta(config.SERVICE_NAME, args.namespace),
            data=files,
            opts=self.child(depends_on=before),
        )
        account = k8s.core.v1.ServiceAccount(
            name, metadata=meta(config.SERVICE_NAME, args.namespace), opts=self.child(depends_on=before)
        )
        secret = self._secret(before)
        fenced = [*self._fence(before), *self._admission()]
        spaces = UserNamespaces(self, name, args, around, fenced)
        users = [
            resource
            for each in args.members
            for resource in spaces.make(each.namespace, given[each.name] if each.workspace else None)
        ]
        deployment = k8s.apps.v1.Deployment(
            name,
            metadata=meta(config.SERVICE_NAME, args.namespace),
            spec=cast(
                "k8s.apps.v1.DeploymentSpecArgsDict",
                proxy.deployment_spec(args, files, secret.metadata.name, around.revision),
            ),
            opts=self.child(
                depends_on=[account, settings, secret, *fenced, *users, *self._cluster_rights()],
                custom_timeouts=timeouts(args.timeout_seconds),
            ),
        )
        service = k8s.core.v1.Service(
            name,
            metadata=meta(config.SERVICE_NAME, args.namespace),
            spec=cast("k8s.core.v1.ServiceSpecArgsDict", proxy.service_spec()),
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
        self.user_namespaces = {each.name: each.namespace for each in args.members}
        address = config.address(args.namespace, around.facts.cluster_domain)
        self.batch = hub_batch(args, address)
        self.hub_values = hub.stanza(self.batch)
        self.url = service.urn.apply(lambda _: address)
        self.register_outputs({"url": self.url, "userNamespaces": dict(self.user_namespaces)})

    def _namespace(self) -> list[pulumi.Resource]:
        args, around = self._args, self._around
        if not args.create_namespace:
            return []
        level = pod_security.strictest(sidecars=args.in_mesh, istio_cni=around.facts.istio_cni)
        injected = membership.namespace_labels(around.revision) if args.in_mesh else {}
        metadata = meta(args.namespace, extra_labels={**injected, **pod_security.namespace_labels(level)})
        return [k8s.core.v1.Namespace(self._name, metadata=metadata, opts=self.child())]

    def _fence(self, before: list[pulumi.Resource]) -> list[pulumi.Resource]:
        """Close the proxy to everybody but the hub."""
        args, around = self._args, self._around
        policy = k8s.networking.v1.NetworkPolicy(
            self._name,
            metadata=meta(config.SERVICE_NAME, args.namespace),
            spec=cast("k8s.networking.v1.NetworkPolicySpecArgsDict", proxy.network_policy_spec(args, around)),
            opts=self.child(depends_on=before),
        )
        access = [proxy.authorization_policy(args, around)] if args.in_mesh else []
        return [policy, *fence.mesh_objects(self, f"{self._name}-", args.namespace, access, before)]

    def _admission(self) -> list[pulumi.Resource]:
        """Rules of the API server for what users submit."""
        made: list[pulumi.Resource] = []
        for each in admission.policies(self._args):
            name = f"{self._name}-{each.name}"
            policy = k8s.admissionregistration.v1.ValidatingAdmissionPolicy(
                name,
                metadata=meta(each.name),
                spec=cast("k8s.admissionregistration.v1.ValidatingAdmissionPolicySpecArgsDict", each.spec),
                opts=self.child(),
            )
            binding = k8s.admissionregistration.v1.ValidatingAdmissionPolicyBinding(
                name,
                metadata=meta(each.name),
                spec=cast(
                    "k8s.admissionregistration.v1.ValidatingAdmissionPolicyBindingSpecArgsDict", each.binding
                ),
                opts=self.child(depends_on=[policy]),
            )
            made += [policy, binding]
        return made

    def _secret(self, before: list[pulumi.Resource]) -> k8s.core.v1.Secret:
        """The Secret with the hub's token and the jobs' variables, named by what is in it."""
        args = self._args
        given = args.hub_api_token
        token = as_secret(self._random_token() if given is None else given)
        plain = {key: value.get_secret_value() for key, value in args.job_env.items()}
        variables = config.extra_env(plain)
        name = pulumi.Output.unsecret(token.apply(lambda text: config.secret_name(text, variables)))
        return k8s.core.v1.Secret(
            self._name,
            metadata=meta(name, args.namespace),
            type="Opaque",
            immutable=True,
            string_data={
                config.TOKEN_KEY: token,
                config.EXTRA_ENV_KEY: pulumi.Output.secret(variables),
            },
            opts=self.child(depends_on=before),
        )

    def _random_token(self) -> pulumi.Output[str]:
        return random.RandomPassword(
            f"{self._name}-hub-token", length=48, special=False, opts=self.child()
        ).result

    def _cluster_rights(self) -> list[pulumi.Resource]:
        """Rights in the whole cluster, for a proxy that makes namespaces alone."""
        args = self._args
        if not args.dynamic_users:
            return []
        role = k8s.rbac.v1.ClusterRole(
            self._name,
            metadata=meta(cluster_role(args)),
            rules=cast("list[k8s.rbac.v1.PolicyRuleArgsDict]", proxy.cluster_rules(args)),
            opts=self.child(),
        )
        return [role, bind(self, self._name, args, None, [role])]


def hub_batch(args: KbatchProxyArgs, url: str) -> hub.Batch:
    """What the hub is told of the proxy: who may submit, and where it is.

    Args:
        args: the proxy's arguments.
        url: the proxy inside the cluster.
    """
    return hub.Batch(
        url=url,
        namespace=args.namespace,
        users=tuple(user.name for user in args.users),
        groups=tuple(args.groups),
        everybody=args.dynamic_users,
    )
