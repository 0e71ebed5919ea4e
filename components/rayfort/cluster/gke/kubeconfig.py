"""The kubeconfig of a GKE cluster: it holds no credential, but the name of the program that gets one."""

from typing import Final

import yaml

from rayfort.cluster.gke.access import PluginCredentials

PLUGIN: Final = "gke-gcloud-auth-plugin"
INSTALL_HINT: Final = (
    "install it with `gcloud components install gke-gcloud-auth-plugin`, or as the package "
    "google-cloud-cli-gke-gcloud-auth-plugin"
)
APPLICATION_DEFAULT_FLAG: Final = "--use_application_default_credentials"
IMPERSONATE_FLAG: Final = "--impersonate_service_account"


def kubeconfig(
    context: str,
    endpoint: str,
    certificate_authority: str | None,
    credentials: PluginCredentials = PluginCredentials.GCLOUD,
    impersonate: str | None = None,
) -> str:
    """A kubeconfig for one cluster, as YAML.

    Args:
        context: the name of its only context.
        endpoint: the control plane's DNS name or address, without a scheme.
        certificate_authority: the cluster's own certificate authority, in base64; None for the DNS endpoint,
            whose certificate is a public one.
        credentials: whose credentials the plugin uses.
        impersonate: a service account that acts instead of whoever they are of.

    Raises:
        ValueError: if there is no endpoint: the cluster has none of the kind that was asked for.
    """
    if not endpoint:
        raise ValueError(f"{context} has no endpoint of the kind that `access` asks for; look at it in GKE")
    cluster = {"server": f"https://{endpoint}"}
    if certificate_authority:
        cluster["certificate-authority-data"] = certificate_authority
    execute: dict[str, object] = {
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "command": PLUGIN,
        "installHint": INSTALL_HINT,
        "interactiveMode": "IfAvailable",
        "provideClusterInfo": True,
    }
    flags = [APPLICATION_DEFAULT_FLAG] if credentials is PluginCredentials.APPLICATION_DEFAULT else []
    if impersonate:
        flags.append(f"{IMPERSONATE_FLAG}={impersonate}")
    if flags:
        execute["args"] = flags
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": context, "cluster": cluster}],
            "users": [{"name": context, "user": {"exec": execute}}],
            "contexts": [{"name": context, "context": {"cluster": context, "user": context}}],
            "current-context": context,
        },
        sort_keys=True,
    )
