"""Resources that break each rule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from rayfort.policies.values import SecretText

from tests.unit.policies.cases import (
    CONFIG_MAP,
    DEPLOYMENT,
    GATEWAY,
    GATEWAY_API,
    GITHUB,
    GKE,
    HEAD_SPEC,
    IN_CLUSTER,
    JOB_URL,
    KUBECONFIG,
    LEAKED,
    NODES,
    PEER,
    PLAINTEXT_SUBSET,
    PROVIDER,
    RAY_CLUSTER,
    RAY_CRON_JOB,
    RAY_JOB,
    RAY_SERVICE,
    RELEASE,
    RULE,
    SECRET,
    SERVICE,
    TLS_1_3,
    TOKEN_BY_ENV,
    Case,
    chart,
    cluster,
    deployment,
    gke,
    head,
    head_pod,
    istiod,
    node_config,
    pod,
    ray_spec,
    server,
    service,
)


def _broken() -> Iterator[tuple[str, str, str, Mapping[str, Any], str]]:
    """Rule, what is wrong, type, properties and the path that must be named."""
    rule = "mtls-strict"
    yield rule, "permissive", PEER, {"spec": {"mtls": {"mode": "PERMISSIVE"}}}, "spec.mtls.mode"
    yield rule, "disabled", PEER, {"spec": {"mtls": {"mode": "DISABLE"}}}, "spec.mtls.mode"
    ports = {"mtls": {"mode": "STRICT"}, "portLevelMtls": {"8265": {"mode": "DISABLE"}}}
    yield rule, "one port", PEER, {"spec": ports}, "spec.portLevelMtls.8265.mode"
    beta = PEER.replace("/v1:", "/v1beta1:")
    yield rule, "an older API", beta, {"spec": {"mtls": {"mode": "PERMISSIVE"}}}, "spec.mtls.mode"
    plain = {"host": IN_CLUSTER, "trafficPolicy": {"tls": {"mode": "DISABLE"}}}
    yield rule, "plaintext out", RULE, {"spec": plain}, "spec.trafficPolicy.tls.mode"
    short = {"host": "ray-head", "trafficPolicy": {"portLevelSettings": [{"tls": {"mode": "DISABLE"}}]}}
    where = "spec.trafficPolicy.portLevelSettings[0].tls.mode"
    yield rule, "plaintext out on one port", RULE, {"spec": short}, where
    subset = {"host": "*.svc.cluster.local", "subsets": [PLAINTEXT_SUBSET]}
    yield rule, "plaintext to a subset", RULE, {"spec": subset}, "spec.subsets[0].trafficPolicy.tls.mode"
    auto = istiod(enableAutoMtls=False, meshMTLS=TLS_1_3, tlsDefaults=TLS_1_3)
    yield rule, "no automatic mTLS", RELEASE, auto, "values.meshConfig.enableAutoMtls"

    rule = "tls-1-3"
    where = "values.meshConfig.meshMTLS.minProtocolVersion"
    old = {"minProtocolVersion": "TLSV1_2"}
    yield rule, "sidecars at 1.2", RELEASE, istiod(meshMTLS=old, tlsDefaults=TLS_1_3), where
    yield (
        rule,
        "sidecars at automatic",
        RELEASE,
        istiod(meshMTLS={"minProtocolVersion": "TLS_AUTO"}, tlsDefaults=TLS_1_3),
        where,
    )
    yield rule, "Istio's default", RELEASE, istiod(tlsDefaults=TLS_1_3), where
    path = {**istiod(tlsDefaults=TLS_1_3), "chart": "oci://registry.example.com/charts/istiod"}
    yield rule, "the chart from a registry", RELEASE, path, where
    where = "values.meshConfig.tlsDefaults.minProtocolVersion"
    yield rule, "gateways at 1.2", RELEASE, istiod(meshMTLS=TLS_1_3, tlsDefaults=old), where
    umbrella = chart("platform", {"istiod": {"meshConfig": {"meshMTLS": old}}})
    where = "values.istiod.meshConfig.meshMTLS.minProtocolVersion"
    yield rule, "inside another chart", RELEASE, umbrella, where
    mesh = {"metadata": {"name": "istio"}, "data": {"mesh": "meshMTLS:\n  minProtocolVersion: TLSV1_2\n"}}
    yield rule, "istiod's own ConfigMap", CONFIG_MAP, mesh, "data.mesh.meshMTLS.minProtocolVersion"
    where = "spec.servers[0].tls.minProtocolVersion"
    yield rule, "a server that says nothing", GATEWAY, server(mode="SIMPLE"), where
    yield rule, "a server at 1.2", GATEWAY, server(mode="MUTUAL", minProtocolVersion="TLSV1_2"), where
    newest = server(mode="SIMPLE", maxProtocolVersion="TLSV1_2", **TLS_1_3)
    yield rule, "a server without 1.3", GATEWAY, newest, "spec.servers[0].tls.maxProtocolVersion"
    yield rule, "a plaintext server", GATEWAY, server("HTTP"), "spec.servers[0].port.protocol"

    rule = "ray-behind-sidecar"
    out = head(template={"metadata": {"labels": {"sidecar.istio.io/inject": "false"}}, "spec": pod()})
    where = "spec.headGroupSpec.template.metadata.labels.sidecar.istio.io/inject"
    yield rule, "no sidecar", RAY_CLUSTER, cluster(out), where
    past = {"traffic.sidecar.istio.io/excludeInboundPorts": "6379"}
    group = {"template": {"metadata": {"annotations": past}, "spec": pod()}}
    where = (
        "spec.workerGroupSpecs[0].template.metadata.annotations.traffic.sidecar.istio.io/excludeInboundPorts"
    )
    yield rule, "a port beside it", RAY_CLUSTER, cluster(ray_spec(workerGroupSpecs=[group])), where

    yield from _broken_ray()
    yield from _broken_leaks()
    yield from _broken_pods()
    yield from _broken_gke()


def _broken_ray() -> Iterator[tuple[str, str, str, Mapping[str, Any], str]]:
    rule, where = "ray-token-auth", "spec.authOptions.mode"
    yield rule, "nothing said", RAY_CLUSTER, cluster(ray_spec(authOptions=None)), where
    yield rule, "the empty authOptions", RAY_CLUSTER, cluster(ray_spec(authOptions={})), where
    yield rule, "disabled", RAY_CLUSTER, cluster(ray_spec(authOptions={"mode": "disabled"})), where
    half = ray_spec(authOptions=None, headGroupSpec={"template": {"spec": pod(env=TOKEN_BY_ENV)}})
    yield rule, "variables on the head alone", RAY_CLUSTER, cluster(half), where
    loud = [{"name": "RAY_AUTH_MODE", "value": "disabled"}]
    yield (
        rule,
        "a variable that wins",
        RAY_CLUSTER,
        cluster(head_pod(env=loud)),
        f"{HEAD_SPEC}.containers[0].env[0]",
    )
    elsewhere = [{"name": "RAY_AUTH_MODE", "valueFrom": {"configMapKeyRef": {"name": "x", "key": "y"}}}]
    where = f"{HEAD_SPEC}.initContainers[0].env[0]"
    hidden = head_pod(initContainers=[{"name": "i", "image": "i:1", "env": elsewhere}])
    yield rule, "a variable from elsewhere", RAY_CLUSTER, cluster(hidden), where
    yield rule, "a Ray that cannot", RAY_CLUSTER, cluster(ray_spec(rayVersion="2.46.0")), "spec.rayVersion"
    job = {"spec": {"rayClusterSpec": ray_spec(authOptions={})}}
    yield rule, "a RayJob", RAY_JOB, job, "spec.rayClusterSpec.authOptions.mode"
    serve = {"spec": {"rayClusterConfig": ray_spec(authOptions=None)}}
    yield rule, "a RayService", RAY_SERVICE, serve, "spec.rayClusterConfig.authOptions.mode"
    often = {"spec": {"jobTemplate": {"rayClusterSpec": ray_spec(authOptions=None)}}}
    yield rule, "a RayCronJob", RAY_CRON_JOB, often, "spec.jobTemplate.rayClusterSpec.authOptions.mode"


def _broken_leaks() -> Iterator[tuple[str, str, str, Mapping[str, Any], str]]:
    rule = "no-credentials-in-uris"
    environment = {"spec": {"runtimeEnvYAML": f"working_dir: {JOB_URL}\n"}}
    yield rule, "a runtime environment", RAY_JOB, environment, "spec.runtimeEnvYAML.working_dir"
    torn = {"spec": {"runtimeEnvYAML": f"working_dir: [{JOB_URL}"}}
    yield rule, "a runtime environment that is no YAML", RAY_JOB, torn, "spec.runtimeEnvYAML"
    serve = f"applications:\n- runtime_env:\n    py_modules: ['{JOB_URL}']\n"
    where = "spec.serveConfigV2.applications[0].runtime_env.py_modules[0]"
    yield rule, "a Serve application", RAY_SERVICE, {"spec": {"serveConfigV2": serve}}, where
    token = {
        "spec": {"entrypoint": f"pip install git+https://{LEAKED}@git.example.com/team/code && python x.py"}
    }
    yield rule, "a token as the user", RAY_JOB, token, "spec.entrypoint"
    variable = pod(env=[{"name": "REPO", "value": "https://$(USER):$(PASS)@git.example.com/x"}])
    where = "spec.template.spec.containers[0].env[0].value"
    yield rule, "variables in a URL", DEPLOYMENT, {"spec": {"template": {"spec": variable}}}, where
    redis = cluster(ray_spec(gcsFaultToleranceOptions={"redisAddress": f"redis://:{LEAKED}@redis:6379"}))
    yield rule, "a password without a user", RAY_CLUSTER, redis, "spec.gcsFaultToleranceOptions.redisAddress"
    signed = {"data": {"model": f"https://files.example.com/m?X-Amz-Signature={LEAKED}&x=1"}}
    yield rule, "a signed URL", CONFIG_MAP, signed, "data.model"
    values = chart("app", {"database": {"url": f"postgresql+psycopg://app:{LEAKED}@db/app"}})
    yield rule, "a chart's value", RELEASE, values, "values.database.url"
    noted = {"metadata": {"annotations": {"from": JOB_URL}}}
    yield rule, "an annotation", SERVICE, noted, "metadata.annotations.from"

    rule = "no-literal-credentials"
    literal = [{"name": "HF_TOKEN", "value": LEAKED}]
    where = f"{HEAD_SPEC}.containers[0].env[0].value"
    yield rule, "a variable", RAY_CLUSTER, cluster(head_pod(env=literal)), where
    marked = [{"name": "DB_PASSWORD", "value": SecretText(LEAKED)}]
    where = "spec.template.spec.containers[0].env[0].value"
    yield rule, "one that only Pulumi hides", DEPLOYMENT, deployment(env=marked), where
    variables = {"spec": {"runtimeEnvYAML": f"env_vars:\n  AWS_SECRET_ACCESS_KEY: {LEAKED}\n"}}
    where = "spec.runtimeEnvYAML.env_vars.AWS_SECRET_ACCESS_KEY"
    yield rule, "a runtime environment's variable", RAY_JOB, variables, where
    serve = f"applications:\n- runtime_env:\n    env_vars: {{API_KEY: {LEAKED}}}\n"
    where = "spec.serveConfigV2.applications[0].runtime_env.env_vars.API_KEY"
    yield rule, "a Serve application's variable", RAY_SERVICE, {"spec": {"serveConfigV2": serve}}, where
    bearer = {"spec": {"entrypoint": f"curl -H 'Authorization: Bearer {LEAKED}' https://x.example.com"}}
    yield rule, "a header", RAY_JOB, bearer, "spec.entrypoint"
    yield rule, "a token by its shape", CONFIG_MAP, {"data": {"notes": f"use {GITHUB} here"}}, "data.notes"
    key = {"data": {"id": "-----BEGIN RSA PRIVATE KEY-----\nabc\n"}}
    yield rule, "a private key", CONFIG_MAP, key, "data.id"
    yield rule, "a ConfigMap's entry", CONFIG_MAP, {"data": {"password": LEAKED}}, "data.password"
    yield (
        rule,
        "a chart's value",
        RELEASE,
        chart("hub", {"hub": {"adminPassword": LEAKED}}),
        "values.hub.adminPassword",
    )
    client = chart("hub", {"auth": {"client_secret": LEAKED}})
    yield rule, "a chart's client secret", RELEASE, client, "values.auth.client_secret"
    listed = chart("app", {"env": [{"name": "TOKEN", "value": LEAKED}]})
    yield rule, "a variable in a chart's values", RELEASE, listed, "values.env[0].value"
    option = pod(container={"args": ["serve", "--redis-password", LEAKED]})
    where = "spec.template.spec.containers[0].args"
    yield rule, "an argument", DEPLOYMENT, {"spec": {"template": {"spec": option}}}, where
    start = head(rayStartParams={"redis-password": LEAKED})
    where = "spec.headGroupSpec.rayStartParams.redis-password"
    yield rule, "a parameter of Ray's", RAY_CLUSTER, cluster(start), where
    fault = ray_spec(
        gcsFaultToleranceOptions={"redisAddress": "redis:6379", "redisPassword": {"value": LEAKED}}
    )
    where = "spec.gcsFaultToleranceOptions.redisPassword.value"
    yield rule, "the password of the GCS' Redis", RAY_CLUSTER, cluster(fault), where
    scaler = ray_spec(autoscalerOptions={"env": [{"name": "ACCESS_TOKEN", "value": LEAKED}]})
    yield (
        rule,
        "the autoscaler's variable",
        RAY_CLUSTER,
        cluster(scaler),
        "spec.autoscalerOptions.env[0].value",
    )

    rule = "secrets-encrypted-in-state"
    yield rule, "a Secret", SECRET, {"stringData": {"token": LEAKED}}, "stringData.token"
    yield rule, "a patch of one", f"{SECRET}Patch", {"data": {"token": "czNjcjN0"}}, "data.token"
    yield rule, "a kubeconfig with a login", PROVIDER, {"kubeconfig": KUBECONFIG}, "kubeconfig"


def _broken_pods() -> Iterator[tuple[str, str, str, Mapping[str, Any], str]]:
    rule = "no-public-load-balancer"
    yield rule, "a Service", SERVICE, service(type="LoadBalancer"), "spec.type"
    ranges = service(type="LoadBalancer", loadBalancerSourceRanges=["198.51.100.0/24"])
    yield rule, "one for few addresses", SERVICE, ranges, "spec.type"
    external = service({"networking.gke.io/load-balancer-type": "External"}, type="LoadBalancer")
    yield rule, "one that says external", SERVICE, external, "spec.type"
    yield rule, "outside addresses", SERVICE, service(externalIPs=["203.0.113.7"]), "spec.externalIPs"
    where = "spec.headGroupSpec.serviceType"
    yield rule, "Ray's head", RAY_CLUSTER, cluster(head(serviceType="LoadBalancer")), where
    own = head(headService={"spec": {"type": "LoadBalancer"}})
    yield rule, "a head's own Service", RAY_CLUSTER, cluster(own), "spec.headGroupSpec.headService.spec.type"
    ingress = cluster(head(enableIngress=True))
    yield rule, "a dashboard's Ingress", RAY_CLUSTER, ingress, "spec.headGroupSpec.enableIngress"
    serve = {"spec": {"rayClusterConfig": ray_spec(), "serveService": {"spec": {"type": "LoadBalancer"}}}}
    yield rule, "a RayService's Service", RAY_SERVICE, serve, "spec.serveService.spec.type"
    yield rule, "Istio's gateway chart by default", RELEASE, chart("gateway", {}), "values.service.type"
    hub = chart("jupyterhub", {"proxy": {"service": {}}})
    yield rule, "JupyterHub's chart by default", RELEASE, hub, "values.proxy.service.type"
    app = chart("app", {"web": {"service": {"type": "LoadBalancer"}}})
    yield rule, "another chart's value", RELEASE, app, "values.web.service.type"
    kiali = chart("kiali-server", {"deployment": {"service_type": "LoadBalancer"}})
    yield rule, "a chart's service_type", RELEASE, kiali, "values.deployment.service_type"
    public = {"spec": {"gatewayClassName": "gke-l7-global-external-managed"}}
    yield rule, "a Gateway of the Gateway API", GATEWAY_API, public, "spec.gatewayClassName"

    rule, where = "images-pinned", "spec.template.spec.containers[0].image"
    for what, image in {
        "no tag": "docker.io/rayproject/ray",
        "latest": "rayproject/ray:latest",
        "a port is no tag": "registry.example.com:5000/ray",
    }.items():
        yield rule, what, DEPLOYMENT, deployment(container={"image": image}), where
    first = deployment(initContainers=[{"name": "init", "image": "busybox"}])
    yield rule, "an init container", DEPLOYMENT, first, "spec.template.spec.initContainers[0].image"
    ray = cluster(head_pod(container={"image": "rayproject/ray:latest"}))
    yield rule, "a Ray node", RAY_CLUSTER, ray, f"{HEAD_SPEC}.containers[0].image"
    job = {"spec": {"jobTemplate": {"spec": {"template": {"spec": pod(container={"image": "a"})}}}}}
    where = "spec.jobTemplate.spec.template.spec.containers[0].image"
    yield rule, "a CronJob", "kubernetes:batch/v1:CronJob", job, where
    tagged = chart("app", {"image": {"repository": "app", "tag": "latest"}})
    yield rule, "a chart's tag", RELEASE, tagged, "values.image.tag"
    yield rule, "a chart's image", RELEASE, chart("app", {"image": "app:latest"}), "values.image"

    rule, where = "service-account-tokens", f"{HEAD_SPEC}.automountServiceAccountToken"
    head_said = cluster(head_pod(automountServiceAccountToken=None, serviceAccountName="ray-head"))
    yield rule, "a head without autoscaling", RAY_CLUSTER, head_said, where
    group = {"template": {"spec": pod(automountServiceAccountToken=True)}}
    where = "spec.workerGroupSpecs[0].template.spec.automountServiceAccountToken"
    scaled = ray_spec(enableInTreeAutoscaling=True, workerGroupSpecs=[group])
    yield rule, "a worker", RAY_CLUSTER, cluster(scaled), where
    where = "spec.template.spec.automountServiceAccountToken"
    usual = deployment(automountServiceAccountToken=None)
    yield rule, "the namespace's own account", DEPLOYMENT, usual, where
    asked = deployment(automountServiceAccountToken=True, serviceAccountName="default")
    yield rule, "its token, asked for", DEPLOYMENT, asked, where

    rule, pods = "hardened-pods", "spec.template.spec"
    yield rule, "the node's network", DEPLOYMENT, deployment(hostNetwork=True), f"{pods}.hostNetwork"
    volumes = deployment(volumes=[{"name": "v", "hostPath": {"path": "/"}}])
    yield rule, "the node's files", DEPLOYMENT, volumes, f"{pods}.volumes[0].hostPath"
    root = deployment(container={"securityContext": {"privileged": True}})
    yield rule, "privileged", DEPLOYMENT, root, f"{pods}.containers[0].securityContext.privileged"
    up = cluster(head_pod(container={"securityContext": {"allowPrivilegeEscalation": True}}))
    where = f"{HEAD_SPEC}.containers[0].securityContext.allowPrivilegeEscalation"
    yield rule, "a way to root on Ray", RAY_CLUSTER, up, where
    able = deployment(container={"securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}})
    yield rule, "a capability", DEPLOYMENT, able, f"{pods}.containers[0].securityContext.capabilities.add"

    fenceless = {"metadata": {"name": "ray", "namespace": "open"}, "spec": ray_spec()}
    yield "ray-namespaces-deny-by-default", "no fence", RAY_CLUSTER, fenceless, "metadata.namespace"


def _broken_gke() -> Iterator[tuple[str, str, str, Mapping[str, Any], str]]:
    rule, where = "gke-private-nodes", "privateClusterConfig.enablePrivateNodes"
    yield rule, "nothing said", GKE, gke(privateClusterConfig=None), where
    yield rule, "public nodes", GKE, gke(privateClusterConfig={"enablePrivateNodes": False}), where
    everybody = gke(masterAuthorizedNetworksConfig={"cidrBlocks": [{"cidrBlock": "0.0.0.0/0"}]})
    where = "masterAuthorizedNetworksConfig.cidrBlocks[0].cidrBlock"
    yield rule, "everybody", GKE, everybody, where
    pool = {"networkConfig": {"enablePrivateNodes": False}, "nodeConfig": node_config()}
    yield rule, "a public pool", NODES, pool, "networkConfig.enablePrivateNodes"

    rule = "gke-workload-identity"
    yield rule, "none", GKE, gke(workloadIdentityConfig=None), "workloadIdentityConfig.workloadPool"
    where = "nodeConfig.workloadMetadataConfig.mode"
    unsaid = {"nodeConfig": node_config(workloadMetadataConfig=None)}
    yield rule, "a pool that says nothing", NODES, unsaid, where
    bare = {"nodeConfig": node_config(workloadMetadataConfig={"mode": "GCE_METADATA"})}
    yield rule, "a pool with its node's metadata", NODES, bare, where

    rule = "gke-shielded-nodes"
    yield rule, "not shielded", GKE, gke(enableShieldedNodes=False), "enableShieldedNodes"
    where = "nodeConfig.shieldedInstanceConfig.enableSecureBoot"
    yield rule, "the default", NODES, {"nodeConfig": node_config(shieldedInstanceConfig={})}, where
    first = gke(removeDefaultNodePool=False, nodeConfig=node_config(shieldedInstanceConfig=None))
    yield rule, "the default pool", GKE, first, where
    made = gke(clusterAutoscaling={"enabled": True, "autoProvisioningDefaults": {"serviceAccount": "x"}})
    where = "clusterAutoscaling.autoProvisioningDefaults.shieldedInstanceConfig.enableSecureBoot"
    yield rule, "provisioned nodes", GKE, made, where

    rule, where = "gke-node-service-account", "nodeConfig.serviceAccount"
    yield rule, "the default", NODES, {"nodeConfig": node_config(serviceAccount=None)}, where
    named = "1234-compute@developer.gserviceaccount.com"
    yield rule, "the default by name", NODES, {"nodeConfig": node_config(serviceAccount=named)}, where

    rule = "gke-no-legacy-access"
    yield rule, "ABAC", GKE, gke(enableLegacyAbac=True), "enableLegacyAbac"
    certificate = gke(masterAuth={"clientCertificateConfig": {"issueClientCertificate": True}})
    where = "masterAuth.clientCertificateConfig.issueClientCertificate"
    yield rule, "a certificate", GKE, certificate, where
    bound = gke(rbacBindingConfig={"enableInsecureBindingSystemAuthenticated": True})
    yield rule, "bindings", GKE, bound, "rbacBindingConfig.enableInsecureBindingSystemAuthenticated"

    yield "gke-deletion-protection", "off", GKE, gke(deletionProtection=False), "deletionProtection"
    rule = "protected-in-production"
    yield rule, "a cluster", GKE, gke(), ""
    yield rule, "a bucket", "gcp:storage/bucket:Bucket", {"location": "EU"}, ""
    claim = {"metadata": {"name": "redis", "namespace": "team"}, "spec": {}}
    yield rule, "a volume", "kubernetes:core/v1:PersistentVolumeClaim", claim, ""


BROKEN: Final = tuple(Case(*each) for each in _broken())
