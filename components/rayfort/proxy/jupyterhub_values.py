"""Values of the zero-to-jupyterhub chart: for a hub that is there, and for Rayfort's own. Pure functions.

Where the recipe of kbatch-proxy (seed 003) differs: the service is no administrator of the hub and has no
role, since kbatch-proxy asks the hub with the user's own token; who may use it is a role of users and groups.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Final

from rayfort import labels, network, pod_security
from rayfort.mesh import membership
from rayfort.model import JsonObject, merge
from rayfort.proxy import jupyterhub_hooks
from rayfort.proxy.jupyterhub_spec import JupyterHubArgs
from rayfort.proxy.kbatch_config import HUB_SERVICE_NAME, PREFIX, SERVICE_NAME
from rayfort.proxy.kbatch_config import PORT as KBATCH_PORT

# Names and ports of the chart.
HUB: Final = "hub"
PROXY: Final = "proxy"
PROXY_PUBLIC: Final = "proxy-public"
NOTEBOOK: Final = "singleuser-server"
COMPONENT: Final = "component"
HUB_PORT: Final = 8081
PROXY_PORT: Final = 8000
PROXY_API_PORT: Final = 8001
NOTEBOOK_PORT: Final = 8888
# Identities: the chart gives its hub one; its proxy and its notebooks would share `default`.
HUB_ACCOUNT: Final = "hub"
PROXY_ACCOUNT: Final = "hub-proxy"
NOTEBOOK_ACCOUNT: Final = "notebook"
NOTEBOOK_USER: Final = 1000
NOTEBOOK_GROUP: Final = 100
# Not from the chart's defaults: they name blocks of addresses that a cluster may not have.
_NO_EGRESS: Final[Mapping[str, bool]] = {
    "cloudMetadataServer": False,
    "dnsPortsCloudMetadataServer": False,
    "dnsPortsKubeSystemNamespace": False,
    "dnsPortsPrivateIPs": False,
    "nonPrivateIPs": False,
    "privateIPs": False,
}


@dataclass(frozen=True)
class Batch:
    """What the hub is told of kbatch-proxy.

    Attributes:
        url: the proxy inside the cluster.
        namespace: where it runs.
        users, groups: who may submit: members of the hub's groups, and users by name.
        everybody: whether every user of the hub may.
    """

    url: str
    namespace: str
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    everybody: bool = False


@dataclass(frozen=True)
class Surroundings:
    """What the hub is put into.

    Attributes:
        mesh_namespace: the mesh's root namespace; None where there is no mesh.
        revision: the istiod that injects the Pods; None for the one without a revision.
        dns_namespace: where the DNS server runs.
        dns_addresses: addresses outside the cluster at which it answers as well.
        api_server_cidrs: addresses of the API server; empty means any.
    """

    mesh_namespace: str | None = None
    revision: str | None = None
    dns_namespace: str = "kube-system"
    dns_addresses: tuple[str, ...] = ()
    api_server_cidrs: tuple[str, ...] = ()


def stanza(batch: Batch) -> JsonObject:
    """Values that a hub needs for kbatch-proxy, with the least scopes.

    A token has the scopes that both its role names and its owner has: every notebook's token asks for the
    scope, and those of users who may submit get it. The chart makes the service's own token.
    """
    scope = f"access:services!service={HUB_SERVICE_NAME}"
    who: JsonObject = {"scopes": [scope]}
    if batch.users:
        who["users"] = list(batch.users)
    if batch.groups:
        who["groups"] = list(batch.groups)
    roles: JsonObject = {
        "server": {"scopes": ["users:activity!user", "access:servers!server", scope]},
    }
    if batch.everybody:
        roles["user"] = {"scopes": ["self", scope]}
    elif batch.users or batch.groups:
        roles[f"{HUB_SERVICE_NAME}-users"] = who
    peer = _pods(batch.namespace, {labels.NAME: SERVICE_NAME})
    return {
        "hub": {
            "services": {HUB_SERVICE_NAME: {"url": batch.url}},
            "loadRoles": roles,
            # Opaque to Istio: people's Host header passes through the hub's proxy, and by it Istio would send
            # the request out of the mesh.
            "service": {"ports": {"appProtocol": "tcp"}},
            "networkPolicy": {"ingress": [{"from": [peer], "ports": [_port("http")]}]},
        },
        "proxy": {
            "chp": {
                "networkPolicy": {"egress": [{"to": [peer], "ports": [_port(KBATCH_PORT)]}]},
            }
        },
        # What kbatch's client reads; notebooks reach the hub's proxy under this name.
        "singleuser": {"extraEnv": {"KBATCH_URL": f"http://{PROXY_PUBLIC}{PREFIX}/"}},
    }


def chart_values(
    args: JupyterHubArgs, around: Surroundings, batch: Batch | None, secret: object
) -> JsonObject:
    """The values of Rayfort's own hub.

    Args:
        args: the arguments.
        around: what it is put into.
        batch: kbatch-proxy; None for none.
        secret: the name of the Secret with the hub's secrets.
    """
    computed = merge(_computed(args, around, secret), stanza(batch) if batch else {})
    values = merge(computed, args.values)
    # Rules are lists, which a merge replaces: all of them are written in one place.
    return merge(values, _policies(args, around, batch))


def _computed(args: JupyterHubArgs, around: Surroundings, secret: object) -> JsonObject:
    pod_labels = membership.revision_label(around.revision) if args.in_mesh else {}
    return {
        "hub": {
            "config": merge(
                {
                    # Administrators do not act as other users.
                    "JupyterHub": {"admin_access": False, "authenticator_class": args.authenticator.type},
                    "KubeSpawner": {
                        "pod_security_context": {
                            "runAsNonRoot": True,
                            "seccompProfile": dict(pod_security.SECCOMP),
                        },
                        "container_security_context": pod_security.container_security_context(),
                        "automount_service_account_token": False,
                    },
                },
                args.authenticator.config,
            ),
            "existingSecret": secret,
            "extraConfig": {"rayfort": hooks()},
            "service": {"ports": {"appProtocol": "tcp"}},
            "labels": pod_labels,
        },
        "proxy": {
            "service": {"type": "ClusterIP"},
            "labels": pod_labels,
            "chp": {
                "extraPodSpec": {"serviceAccountName": PROXY_ACCOUNT, "automountServiceAccountToken": False}
            },
        },
        "singleuser": {
            "uid": NOTEBOOK_USER,
            "fsGid": NOTEBOOK_GROUP,
            "serviceAccountName": NOTEBOOK_ACCOUNT,
            "allowPrivilegeEscalation": False,
            "extraLabels": pod_labels,
            # The chart's way is a privileged container; the network policy closes the address.
            "cloudMetadata": {"blockWithIptables": False},
        },
        # These need rights in the whole cluster, or Pods on every node.
        "scheduling": {"userScheduler": {"enabled": False}, "userPlaceholder": {"enabled": False}},
        "prePuller": {"hook": {"enabled": False}, "continuous": {"enabled": False}},
    }


def _policies(args: JupyterHubArgs, around: Surroundings, batch: Batch | None) -> JsonObject:
    """The chart's NetworkPolicies: each hop by name, beside those that the chart always writes."""
    common = [network.dns_rule(around.dns_namespace, around.dns_addresses)]
    if args.in_mesh and around.mesh_namespace:
        istiod = {"to": [_namespace(around.mesh_namespace)], "ports": [_port(network.ISTIOD_XDS_PORT)]}
        common.append(istiod)
    peers = [_pods(batch.namespace, {labels.NAME: SERVICE_NAME})] if batch else []
    to_batch = [{"to": peers, "ports": [_port(KBATCH_PORT)]}] if peers else []
    # The API server, and the identity provider that people log in with.
    outside = {
        "to": [network.address_block(block) for block in around.api_server_cidrs or (network.ANYWHERE,)],
        "ports": [_port(443), _port(6443)],
    }
    login = {"to": [network.address_block(network.ANYWHERE)], "ports": [_port(443)]}
    callers = sorted({caller.namespace for caller in args.callers})
    # The chart opens the port to everybody, so that its notebooks need no rule.
    own: JsonObject = {"podSelector": {"matchLabels": {COMPONENT: NOTEBOOK}}}
    people = [{"from": [own, *map(_namespace, callers)], "ports": [_port("http")]}]
    egress = args.notebook_egress
    notebooks = (
        [{"to": [network.public_block(b) for b in egress.cidrs], "ports": [_port(p) for p in egress.ports]}]
        if egress
        else []
    )
    fenced: JsonObject = {
        "enabled": True,
        "interNamespaceAccessLabels": "ignore",
        "egressAllowRules": dict(_NO_EGRESS),
    }
    return {
        "hub": {
            "networkPolicy": {
                **fenced,
                "ingress": [{"from": peers, "ports": [_port("http")]}] if peers else [],
                "egress": [*common, outside, login, *to_batch],
            }
        },
        "proxy": {
            "chp": {
                "networkPolicy": {
                    **fenced,
                    "allowedIngressPorts": [],
                    "ingress": people,
                    "egress": [*common, *to_batch],
                }
            }
        },
        "singleuser": {"networkPolicy": {**fenced, "ingress": [], "egress": [*common, *notebooks]}},
    }


def hooks() -> str:
    """The part of the hub's configuration that keeps notebooks' tokens out of their Pods."""
    source = resources.files("rayfort.proxy").joinpath("jupyterhub_hooks.py").read_text()
    settings = (
        f"c.KubeSpawner.modify_pod_hook = {jupyterhub_hooks.by_reference.__name__}",
        f"c.KubeSpawner.after_pod_created_hook = {jupyterhub_hooks.keep.__name__}",
    )
    return "\n".join((source, *settings, ""))


def notebooks_service_spec() -> JsonObject:
    """``spec`` of the headless Service of all notebooks.

    The hub and its proxy call them by the addresses of their Pods, which Istio knows only as addresses of a
    headless Service with opaque TCP ports: without it the calls leave the mesh in plaintext, and are refused.
    """
    return {
        "clusterIP": "None",
        "publishNotReadyAddresses": True,
        "selector": {COMPONENT: NOTEBOOK},
        "ports": [
            {
                "name": "tcp-notebook",
                "port": NOTEBOOK_PORT,
                "targetPort": NOTEBOOK_PORT,
                "protocol": "TCP",
                "appProtocol": "tcp",
            }
        ],
    }


def secret_sections(sections: Mapping[str, Mapping[str, object]]) -> JsonObject:
    """``values.yaml`` of the Secret that the chart reads beside its values."""
    return (
        {"hub": {"config": {name: dict(section) for name, section in sections.items()}}} if sections else {}
    )


def _pods(namespace: str, pod: Mapping[str, str]) -> JsonObject:
    return {**_namespace(namespace), "podSelector": {"matchLabels": dict(pod)}}


def _namespace(name: str) -> JsonObject:
    return {"namespaceSelector": {"matchLabels": {labels.NAMESPACE_NAME: name}}}


def _port(port: int | str) -> JsonObject:
    return {"protocol": "TCP", "port": port}
