"""JupyterHub: the official chart, fenced and in the mesh, with kbatch-proxy as one of its services."""

from collections.abc import Sequence
from typing import Any, Final, cast

import pulumi
import pulumi_kubernetes as k8s
import pulumi_random as random
import yaml

from rayfort import fence, labels, network, pod_security
from rayfort.component import Component, meta
from rayfort.facts import CLUSTER_DOMAIN, ClusterFacts
from rayfort.mesh import authorization, membership
from rayfort.mesh.telemetry import Tracing
from rayfort.model import as_secret
from rayfort.proxy import jupyterhub_access as access
from rayfort.proxy import jupyterhub_values as values
from rayfort.proxy.jupyterhub_spec import RELEASE, JupyterHubArgs
from rayfort.proxy.jupyterhub_values import Batch, Surroundings
from rayfort.proxy.kbatch_config import HUB_SERVICE_NAME
from rayfort.ray.auth_token import secret_name
from rayfort.release import release

SECRET: Final = "hub-secrets"  # noqa: S105 - what the Secret's name begins with
PASSWORD_KEY: Final = "password"  # noqa: S105 - the key's name
KEY_BYTES: Final = 32
TOKEN_LENGTH: Final = 48
LOCAL_PORT: Final = 8000


def api_url(namespace: str, cluster_domain: str = CLUSTER_DOMAIN) -> str:
    """The hub's API inside the cluster."""
    return f"http://{values.HUB}.{namespace}.svc.{cluster_domain}:{values.HUB_PORT}/hub/api"


def hub_of(args: JupyterHubArgs, cluster_domain: str = CLUSTER_DOMAIN) -> dict[str, str]:
    """What kbatch-proxy is told of the hub: its arguments by name."""
    return {
        "hub_namespace": args.namespace,
        "hub_api_url": api_url(args.namespace, cluster_domain),
        "hub_service_account": values.HUB_ACCOUNT,
        "hub_proxy_service_account": values.PROXY_ACCOUNT,
    }


class JupyterHub(Component):
    """JupyterHub by its official chart.

    Its Pods join the mesh, each hop is allowed by identity, and its secrets travel in a Secret of their own,
    whose name changes with them. One secret stays the chart's: the token between the hub and its proxy, which
    the chart makes and keeps in the namespace.

    Beside its arguments it takes ``batch``, what the hub is told of kbatch-proxy, and facts: ``facts`` of the
    cluster, ``mesh_namespace``, where istiod runs, ``revision``, the mesh's own, and ``tracing``, where
    sidecars send traces.

    Attributes:
        namespace: where it runs.
        url: its proxy inside the cluster.
        api_token: the token under which kbatch-proxy is registered (secret); None without kbatch-proxy.
        secret_name: the name of the Secret with the hub's secrets.
        access: how people reach it, and how they log in.
    """

    namespace: str
    url: pulumi.Output[str]
    api_token: pulumi.Output[str] | None
    secret_name: pulumi.Output[str]
    access: dict[str, pulumi.Output[str]]

    def __init__(
        self,
        name: str,
        args: JupyterHubArgs,
        opts: pulumi.ResourceOptions | None = None,
        *,
        batch: Batch | None = None,
        facts: ClusterFacts | None = None,
        mesh_namespace: str | None = None,
        revision: str | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        super().__init__(name, {"namespace": args.namespace, "version": args.version}, opts)
        self._name, self._args, self._tracing = name, args, tracing
        self.namespace = args.namespace
        facts = facts or ClusterFacts()
        around = Surroundings(
            mesh_namespace=mesh_namespace,
            revision=revision,
            dns_namespace=facts.dns_namespace,
            dns_addresses=facts.dns_addresses,
            api_server_cidrs=facts.api_server_cidrs,
        )
        before: list[pulumi.Resource] = []
        if args.create_namespace:
            level = pod_security.strictest(sidecars=args.in_mesh, istio_cni=facts.istio_cni)
            injected = membership.namespace_labels(revision) if args.in_mesh else {}
            metadata = meta(args.namespace, extra_labels={**injected, **pod_security.namespace_labels(level)})
            before.append(k8s.core.v1.Namespace(name, metadata=metadata, opts=self.child()))
        before += self._surroundings(facts.cluster_domain, mesh_namespace, batch, before)
        self.api_token = self._password("kbatch-token") if batch else None
        secret = self._secrets(before)
        self.secret_name = pulumi.Output.unsecret(secret.metadata.name)
        hub = release(
            self,
            name,
            args.chart_source,
            release_name=RELEASE,
            namespace=args.namespace,
            values=values.chart_values(args, around, batch, self.secret_name),
            timeout_seconds=args.timeout_seconds,
            depends_on=[*before, secret],
        )
        address = f"http://{values.PROXY_PUBLIC}.{args.namespace}.svc.{facts.cluster_domain}"
        self.url = hub.status.apply(lambda _: address)
        self.access = self._access()
        self.register_outputs({"namespace": self.namespace, "url": self.url})

    def _surroundings(
        self,
        cluster_domain: str,
        mesh_namespace: str | None,
        batch: Batch | None,
        before: Sequence[pulumi.Resource],
    ) -> list[pulumi.Resource]:
        """Identities, the notebooks' Service, and the fence."""
        args, prefix = self._args, f"{self._name}-"
        accounts = [
            k8s.core.v1.ServiceAccount(
                f"{prefix}{account}",
                metadata=meta(account, args.namespace),
                automount_service_account_token=False,
                opts=self.child(depends_on=before),
            )
            for account in (values.PROXY_ACCOUNT, values.NOTEBOOK_ACCOUNT)
        ]
        packets = [(network.DEFAULT_DENY, network.default_deny_spec())]
        if args.in_mesh and self._tracing and self._tracing.namespace:
            spec = network.tracing_spec(self._tracing.namespace, self._tracing.port)
            packets.append(("allow-tracing", spec))
        made: list[pulumi.Resource] = [
            *accounts,
            *fence.network_policies(self, prefix, args.namespace, packets, before),
        ]
        if not args.in_mesh:
            return made
        service = k8s.core.v1.Service(
            f"{prefix}notebooks",
            # Only the hub and its proxy call notebooks: nobody else's sidecar has to know each of them. There
            # are none at first, which nobody shall wait for.
            metadata=meta(
                "notebooks", args.namespace, annotations={labels.EXPORT_TO: ".", labels.SKIP_AWAIT: "true"}
            ),
            spec=cast("k8s.core.v1.ServiceSpecArgsDict", values.notebooks_service_spec()),
            opts=self.child(depends_on=before),
        )
        objects = access.mesh_objects(
            args, batch.namespace if batch else None, cluster_domain, authorization.TRUST_DOMAIN
        )
        return [*made, service, *fence.mesh_objects(self, prefix, args.namespace, objects, before)]

    def _secrets(self, before: Sequence[pulumi.Resource]) -> k8s.core.v1.Secret:
        """The Secret that the chart reads beside its values; its name changes with what it holds."""
        args = self._args
        password = self._password("password") if args.authenticator.makes_password else None
        content: dict[str, Any] = {
            "hub.config.JupyterHub.cookie_secret": self._key("cookie-secret"),
            "hub.config.CryptKeeper.keys": self._key("auth-state-key"),
            "values.yaml": _secret_values(args, password),
        }
        if password is not None:
            content[PASSWORD_KEY] = password
        if self.api_token is not None:
            content[f"hub.services.{HUB_SERVICE_NAME}.apiToken"] = self.api_token
        if args.database_password is not None:
            content["hub.db.password"] = as_secret(args.database_password)
        whole = pulumi.Output.json_dumps(content)  # secret, as what it holds
        named = pulumi.Output.unsecret(whole.apply(lambda text: secret_name(SECRET, text)))
        return k8s.core.v1.Secret(
            f"{self._name}-secrets",
            metadata=meta(named, args.namespace),
            type="Opaque",
            immutable=True,
            string_data=content,
            opts=self.child(depends_on=before),
        )

    def _password(self, name: str) -> pulumi.Output[str]:
        made = random.RandomPassword(
            f"{self._name}-{name}", length=TOKEN_LENGTH, special=False, opts=self.child()
        )
        return pulumi.Output.secret(made.result)

    def _key(self, name: str) -> pulumi.Output[str]:
        made = random.RandomBytes(f"{self._name}-{name}", length=KEY_BYTES, opts=self.child())
        return pulumi.Output.secret(made.hex)

    def _access(self) -> dict[str, pulumi.Output[str]]:
        args = self._args
        forward = f"kubectl -n {args.namespace} port-forward svc/{values.PROXY_PUBLIC} {LOCAL_PORT}:80"
        found = {
            "url": self.url.apply(lambda _: args.public_url or f"http://127.0.0.1:{LOCAL_PORT}"),
            "portForward": self.url.apply(lambda _: forward),
        }
        if args.authenticator.makes_password:
            found["readPassword"] = self.secret_name.apply(
                lambda secret: (
                    f"kubectl -n {args.namespace} get secret {secret} "
                    f"--template='{{{{.data.{PASSWORD_KEY} | base64decode}}}}'"
                )
            )
        return found


def _secret_values(args: JupyterHubArgs, password: pulumi.Output[str] | None) -> pulumi.Output[str]:
    """``values.yaml`` of the Secret: the authenticator's secrets."""
    sections = {
        name: {key: as_secret(value) for key, value in section.items()}
        for name, section in args.authenticator.sections(password).items()
    }

    def written(known: Any) -> str:
        return yaml.safe_dump(values.secret_sections(known), sort_keys=True)

    return pulumi.Output.from_input(sections).apply(written)
