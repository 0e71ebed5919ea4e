"""Who may call whom around JupyterHub: AuthorizationPolicies for each hop, by identity. Pure functions.

By ports and identities only: the ports are opaque TCP to the mesh, where rules with HTTP fields never allow.
"""

from collections.abc import Iterator, Sequence

from rayfort.mesh import authorization, mtls
from rayfort.mesh.authorization import Identity
from rayfort.model import JsonObject
from rayfort.proxy import jupyterhub_values as values
from rayfort.proxy.jupyterhub_spec import JupyterHubArgs
from rayfort.proxy.kbatch_config import SERVICE_NAME


def mesh_objects(
    args: JupyterHubArgs, batch_namespace: str | None, cluster_domain: str, trust_domain: str
) -> Iterator[tuple[str, str, str, JsonObject]]:
    """The API version, kind, name and ``spec`` of every policy of the hub's namespace.

    Args:
        args: the arguments.
        batch_namespace: where kbatch-proxy runs; None for nowhere.
        cluster_domain: the DNS zone of Services.
        trust_domain: the mesh's trust domain.
    """
    hub, proxy, notebook = (
        Identity(args.namespace, name)
        for name in (values.HUB_ACCOUNT, values.PROXY_ACCOUNT, values.NOTEBOOK_ACCOUNT)
    )
    batch = [Identity(batch_namespace, SERVICE_NAME)] if batch_namespace else []
    people = [Identity(caller.namespace, caller.service_account) for caller in args.callers]
    hops: dict[str, list[tuple[list[Identity], int]]] = {
        values.HUB: [([proxy, notebook, *batch], values.HUB_PORT)],
        values.PROXY: [
            ([hub, notebook, *people], values.PROXY_PORT),
            ([hub], values.PROXY_API_PORT),
        ],
        values.NOTEBOOK: [([hub, proxy], values.NOTEBOOK_PORT)],
    }
    yield (
        mtls.SECURITY_API,
        "AuthorizationPolicy",
        authorization.ALLOW_NOTHING,
        authorization.allow_nothing_spec(),
    )
    for component, rules in hops.items():
        yield mtls.SECURITY_API, "AuthorizationPolicy", component, _allow(component, rules, trust_domain)
    rule = mtls.destination_rule_spec(args.namespace, cluster_domain)
    yield mtls.NETWORKING_API, "DestinationRule", mtls.DEFAULT_NAME, rule


def _allow(component: str, rules: Sequence[tuple[list[Identity], int]], trust_domain: str) -> JsonObject:
    return {
        "selector": {"matchLabels": {values.COMPONENT: component}},
        "action": "ALLOW",
        "rules": [
            {
                "from": [{"source": {"principals": [each.principal(trust_domain) for each in identities]}}],
                "to": [{"operation": {"ports": [str(port)]}}],
            }
            for identities, port in rules
        ],
    }
