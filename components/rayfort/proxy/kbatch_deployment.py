"""The proxy itself: its files, its Pods, its Service and who reaches it. Pure functions."""

import json
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any, Final
from urllib.parse import urlsplit

import pulumi
import yaml

from rayfort import labels, network, pod_security
from rayfort.mesh import authorization, membership, mtls
from rayfort.mesh.authorization import Identity
from rayfort.model import JsonObject
from rayfort.pod_security import PodSecurity
from rayfort.proxy import kbatch_config as config
from rayfort.proxy import kbatch_users
from rayfort.proxy.kbatch_spec import KbatchProxyArgs
from rayfort.proxy.kbatch_users import Surroundings

PATH: Final = "/etc/kbatch"
PROFILES: Final = "profiles.yaml"
TEMPLATE: Final = "job_template.yaml"
MANIFESTS: Final = "namespace_manifests.yaml"
START: Final = "kbatch_app.py"
COMPLETED: Final = "kbatch_completed.py"
START_SETTINGS: Final = "start.json"
UID: Final = 1000
# With 135 MiB each; the image's own number follows the node's processors.
WORKERS: Final = 2
_POD: Final = {labels.NAME: config.SERVICE_NAME}


def config_files(args: KbatchProxyArgs, around: Surroundings) -> dict[str, str]:
    """The files that the proxy reads, by name. An empty one would be read as no object."""
    contents: Mapping[str, Any] = {PROFILES: args.profiles, TEMPLATE: args.job_template}
    files = {name: yaml.safe_dump(content, sort_keys=True) for name, content in contents.items() if content}
    if args.dynamic_users:
        files[MANIFESTS] = yaml.safe_dump_all(namespace_manifests(args, around), sort_keys=True)
    start = json.dumps(start_settings(args, around), indent=2, sort_keys=True)
    modules = resources.files("rayfort.proxy")
    programs = {name: modules.joinpath(name).read_text() for name in (START, COMPLETED)}
    return {**files, **programs, START_SETTINGS: start}


def start_settings(args: KbatchProxyArgs, around: Surroundings) -> JsonObject:
    """What the start module is told."""
    return {
        "codeImage": args.jobs.code_image,
        "codePrefix": config.JOB_CODE_PREFIX,
        "jobEnvironment": list(config.JOB_ENVIRONMENT),
        "jobEnvironmentSecret": config.JOB_ENV_SECRET,
        "legacy": args.legacy,
        "maxBodyBytes": args.max_body_bytes,
        "restricted": kbatch_users.level(args, around) is PodSecurity.RESTRICTED,
        "secretPrefix": config.JOB_SECRET_PREFIX,
        "serviceAccount": config.JOB_ACCOUNT,
        "users": {each.name: each.namespace for each in args.members} if args.legacy else {},
    }


def namespace_manifests(args: KbatchProxyArgs, around: Surroundings) -> Iterator[JsonObject]:
    """What a proxy that makes namespaces puts into each."""

    def made(api_version: str, kind: str, name: str, **content: Any) -> JsonObject:
        return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, **content}

    for account in (config.JOB_ACCOUNT, "default"):
        yield made("v1", "ServiceAccount", account, automountServiceAccountToken=False)
    yield made("v1", "ResourceQuota", config.SERVICE_NAME, spec={"hard": dict(args.user_quota)})
    yield made("v1", "LimitRange", config.SERVICE_NAME, spec=kbatch_users.limit_range_spec())
    for name, spec in kbatch_users.network_policies(args, around, None):
        yield made("networking.k8s.io/v1", "NetworkPolicy", name, spec=spec)


def cluster_rules(args: KbatchProxyArgs) -> list[JsonObject]:
    """Rules of the ClusterRole of a proxy that makes namespaces; admission rules fence what it writes."""
    manifests = {"": ["limitranges", "resourcequotas", "serviceaccounts"]}
    policies = {"networking.k8s.io": ["networkpolicies"]}
    return [
        *config.user_rules(cron_jobs=args.cron_jobs),
        {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["create"]},
        *(
            {"apiGroups": [group], "resources": kinds, "verbs": ["create", "patch"]}
            for group, kinds in {**manifests, **policies}.items()
        ),
    ]


def environment(args: KbatchProxyArgs, files: Mapping[str, str]) -> dict[str, str]:
    """The proxy's environment, without secrets."""
    paths = {
        "KBATCH_PROFILE_FILE": PROFILES,
        "KBATCH_JOB_TEMPLATE_FILE": TEMPLATE,
        "KBATCH_NAMESPACE_MANIFESTS_FILE": MANIFESTS,
    }
    made = {"KBATCH_LABELS": json.dumps(config.dynamic_labels(args.namespace), sort_keys=True)}
    return {
        "JUPYTERHUB_API_URL": args.hub_api_url,
        # 0.5 answers 500 to every call without it.
        "JUPYTERHUB_SERVICE_NAME": config.HUB_SERVICE_NAME,
        "KBATCH_PREFIX": config.PREFIX,
        "KBATCH_JOB_TTL_SECONDS_AFTER_FINISHED": str(args.job_ttl_seconds),
        # Unknown users fail closed: the namespaces are made by Pulumi.
        "KBATCH_CREATE_USER_NAMESPACE": str(args.dynamic_users).lower(),
        "APP_PORT": str(config.PORT),
        "WEB_CONCURRENCY": str(WORKERS),
        **(made if args.dynamic_users else {}),
        **{name: f"{PATH}/{file}" for name, file in paths.items() if file in files},
    }


def service_spec() -> JsonObject:
    """``spec`` of the Service.

    Opaque TCP for Istio: the hub's proxy keeps the browser's Host header, by which Istio would route it
    out of the mesh in plaintext.
    """
    port = {"port": config.PORT, "targetPort": config.PORT, "protocol": "TCP"}
    return {"selector": dict(_POD), "ports": [{"name": "tcp-http", **port, "appProtocol": "tcp"}]}


def deployment_spec(
    args: KbatchProxyArgs, files: Mapping[str, str], secret: pulumi.Input[str], revision: str | None = None
) -> JsonObject:
    """``spec`` of the Deployment.

    Its Pods are replaced when a file, a secret or the mesh's revision changes.

    Args:
        args: the proxy's arguments.
        files: the files that it reads.
        secret: the name of the Secret with the hub's token and the jobs' variables.
        revision: the istiod that injects the Pods.
    """
    injected = membership.revision_label(revision) if args.in_mesh else {}
    return {
        "replicas": args.replicas,
        "selector": {"matchLabels": dict(_POD)},
        "template": {
            "metadata": {
                # By the second label zero-to-jupyterhub lets Pods of its own namespace reach the hub.
                "labels": {**_POD, "hub.jupyter.org/network-access-hub": "true", **injected},
                "annotations": {"rayfort.dev/config": config.checksum(files)},
            },
            "spec": {
                "serviceAccountName": config.SERVICE_NAME,
                "enableServiceLinks": False,
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": UID,
                    "seccompProfile": dict(pod_security.SECCOMP),
                },
                "containers": [_container(args, files, secret)],
                "volumes": [
                    {"name": "config", "configMap": {"name": config.SERVICE_NAME}},
                    {"name": "tmp", "emptyDir": {}},
                ],
            },
        },
    }


def _container(args: KbatchProxyArgs, files: Mapping[str, str], secret: pulumi.Input[str]) -> JsonObject:
    plain = [{"name": key, "value": value} for key, value in environment(args, files).items()]
    hidden = [
        {"name": key, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}
        for key in (config.TOKEN_KEY, config.EXTRA_ENV_KEY)
    ]
    probe = {"httpGet": {"path": "/", "port": config.PORT}, "timeoutSeconds": 5, "periodSeconds": 10}
    return {
        "name": config.SERVICE_NAME,
        "image": f"{args.image_repository}:{args.image_tag}",
        "command": ["python3", f"{PATH}/{START}"],
        "ports": [{"name": "http", "containerPort": config.PORT}],
        "env": [*plain, *hidden],
        "volumeMounts": [
            {"name": "config", "mountPath": PATH, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - in the container
        ],
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "512Mi"}},
        "readinessProbe": probe,
        # Handlers block on the Kubernetes API: a slow call must not get the Pod killed.
        "livenessProbe": {**probe, "failureThreshold": 6},
        "securityContext": {**pod_security.container_security_context(), "readOnlyRootFilesystem": True},
    }


def network_policy_spec(args: KbatchProxyArgs, around: Surroundings) -> JsonObject:
    """``spec`` of the proxy's NetworkPolicy: the hub calls it, and it calls the hub and the API server."""
    facts, hub = around.facts, urlsplit(args.hub_api_url)
    port = hub.port or {"https": 443}.get(hub.scheme, 80)
    inside = ".svc" in f"{hub.hostname}."
    servers = [network.address_block(cidr) for cidr in facts.api_server_cidrs or (network.ANYWHERE,)]
    outside = [] if inside else [network.address_block(network.ANYWHERE)]
    mesh = [network.mesh_spec(around.mesh_namespace)] if args.in_mesh else []
    if args.in_mesh and around.tracing and around.tracing.namespace:
        mesh.append(network.tracing_spec(around.tracing.namespace, around.tracing.port))
    hub_rule = network.namespace_egress_spec(args.hub_namespace, [port])["egress"][0]
    return {
        **network.access_spec(_POD, [args.hub_namespace], [config.PORT]),
        "policyTypes": ["Ingress", "Egress"],
        "egress": [
            network.dns_rule(facts.dns_namespace, facts.dns_addresses),
            {**hub_rule, "to": [*hub_rule["to"], *outside]},
            {"to": servers, "ports": [{"protocol": "TCP", "port": each} for each in (443, 6443)]},
            *(rule for spec in mesh for rule in spec["egress"]),
        ],
    }


def authorization_policy(args: KbatchProxyArgs, around: Surroundings) -> tuple[str, str, str, JsonObject]:
    """The API version, kind, name and spec of the policy by which the hub and its proxy alone call it."""
    callers = [
        Identity(args.hub_namespace, account)
        for account in dict.fromkeys([args.hub_proxy_service_account, args.hub_service_account])
    ]
    spec = authorization.callers_spec(_POD, callers, [config.PORT], around.trust_domain)
    return mtls.SECURITY_API, "AuthorizationPolicy", config.SERVICE_NAME, spec
