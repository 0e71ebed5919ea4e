"""A user's namespace as resources, and the proxy's rights in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import pulumi
import pulumi_kubernetes as k8s

from rayfort import fence
from rayfort.component import Component, meta
from rayfort.proxy import kbatch_config as config
from rayfort.proxy import kbatch_users as users
from rayfort.proxy.kbatch_spec import KbatchProxyArgs
from rayfort.proxy.kbatch_users import RayAccess, Surroundings


@dataclass(frozen=True)
class UserNamespaces:
    """Makes the namespaces of a proxy's users, each fenced before anybody may put a job into it.

    Attributes:
        owner: the component that they belong to.
        prefix: what their names in Pulumi start with.
        args: the proxy's arguments.
        around: what jobs run in.
        after: what must be there before the proxy has any right in them.
    """

    owner: Component
    prefix: str
    args: KbatchProxyArgs
    around: Surroundings
    after: Sequence[pulumi.Resource]

    def make(self, namespace: str, ray: RayAccess | None) -> list[pulumi.Resource]:
        """Make one user's.

        Args:
            namespace: its name.
            ray: the Ray that the user's jobs may use; None for none.
        """
        name, args, around = f"{self.prefix}-{namespace}", self.args, self.around
        made = k8s.core.v1.Namespace(
            name,
            metadata=meta(namespace, extra_labels=users.namespace_labels(args, around)),
            opts=self.owner.child(),
        )
        inside: list[pulumi.Resource] = [made]
        fenced: list[pulumi.Resource] = [
            k8s.core.v1.ResourceQuota(
                name,
                metadata=meta(config.SERVICE_NAME, namespace),
                spec=k8s.core.v1.ResourceQuotaSpecArgs(hard=args.user_quota),
                opts=self.owner.child(depends_on=inside),
            ),
            k8s.core.v1.LimitRange(
                name,
                metadata=meta(config.SERVICE_NAME, namespace),
                spec=cast("k8s.core.v1.LimitRangeSpecArgsDict", users.limit_range_spec()),
                opts=self.owner.child(depends_on=inside),
            ),
            k8s.core.v1.ServiceAccount(
                f"{name}.{config.JOB_ACCOUNT}",
                metadata=meta(config.JOB_ACCOUNT, namespace),
                automount_service_account_token=False,
                opts=self.owner.child(depends_on=inside),
            ),
            *fence.network_policies(
                self.owner, f"{name}.", namespace, users.network_policies(args, around, ray), inside
            ),
            *fence.mesh_objects(
                self.owner, f"{name}.", namespace, users.mesh_policies(args, around, ray), inside
            ),
        ]
        if ray:
            environment = k8s.core.v1.Secret(
                name,
                metadata=meta(config.JOB_ENV_SECRET, namespace),
                type="Opaque",
                string_data={
                    key: pulumi.Output.secret(value) for key, value in users.job_environment(ray).items()
                },
                opts=self.owner.child(depends_on=inside),
            )
            fenced.append(environment)
        role = k8s.rbac.v1.Role(
            name,
            metadata=meta(config.SERVICE_NAME, namespace),
            rules=cast(
                "list[k8s.rbac.v1.PolicyRuleArgsDict]",
                config.user_rules(cron_jobs=args.cron_jobs, legacy=args.legacy),
            ),
            opts=self.owner.child(depends_on=inside),
        )
        bound = bind(self.owner, name, args, namespace, [role, *fenced, *self.after])
        return [*fenced, role, bound]


def bind(
    owner: Component,
    name: str,
    args: KbatchProxyArgs,
    namespace: str | None,
    after: Sequence[pulumi.Resource],
) -> pulumi.Resource:
    """The binding of the proxy's role to its service account.

    Args:
        owner: the component that it belongs to.
        name: its name in Pulumi.
        args: the proxy's arguments.
        namespace: where it holds; None for the whole cluster, with a ClusterRole.
        after: what must be there before.
    """
    role = config.SERVICE_NAME if namespace else cluster_role(args)
    kind = "Role" if namespace else "ClusterRole"
    make = k8s.rbac.v1.RoleBinding if namespace else k8s.rbac.v1.ClusterRoleBinding
    return make(
        name,
        metadata=meta(role, namespace),
        role_ref=k8s.rbac.v1.RoleRefArgs(api_group="rbac.authorization.k8s.io", kind=kind, name=role),
        subjects=[
            k8s.rbac.v1.SubjectArgs(kind="ServiceAccount", name=config.SERVICE_NAME, namespace=args.namespace)
        ],
        opts=owner.child(depends_on=after),
    )


def cluster_role(args: KbatchProxyArgs) -> str:
    """The name of the ClusterRole of a proxy that makes namespaces."""
    return f"{config.SERVICE_NAME}.{args.namespace}"
