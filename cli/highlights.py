"""What a reader of a plan wants to know about a resource, in a few words: pure functions over its inputs."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from cli import gcp_highlights, kind_highlights
from cli.offline import Json, Resource

SHOWN: Final = 4


def label(resource: Resource) -> str:
    """Kind and name: the name in the cluster where it has one there, else the one in Pulumi."""
    metadata = resource.inputs.get("metadata")
    place = metadata if isinstance(metadata, dict) else resource.inputs
    if resource.role == "provider":
        return f"Provider {resource.name}"
    if resource.role == "component" or not place.get("name"):
        return f"{resource.kind} {resource.name}"
    namespace = place.get("namespace")
    return f"{resource.kind} {f'{namespace}/' if namespace else ''}{place['name']}"


def highlights(resource: Resource) -> list[str]:
    """Facts about the resource, those about security first."""
    about = _ABOUT.get(resource.type, _ABOUT.get(resource.kind, _nothing))
    if resource.role == "component" and resource.type not in _ABOUT:
        about = _component
    return [*_facts(about, resource.inputs), *_options(resource.options)]


def _facts(about: Callable[[Json], Iterator[str]], inputs: Json) -> list[str]:
    try:
        return list(about(inputs))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        # A mask, or the mark of what is unknown, stands where a whole object was looked for.
        return ["details known after up"]


def ranges(numbers: Iterable[int]) -> str:
    """Numbers in words, such as ``6380-6383, 8080``."""
    spans: list[list[int]] = []
    for number in sorted(set(numbers)):
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)


def _options(options: Mapping[str, Any]) -> Iterator[str]:
    if options.get("protect"):
        yield "protected"
    if options.get("retainOnDelete"):
        yield "kept on destroy"
    if ignored := options.get("ignoreChanges"):
        yield f"left to the cluster: {_some(ignored)}"


def _some(items: Iterable[Any]) -> str:
    texts = [str(item) for item in items]
    rest = len(texts) - SHOWN
    return ", ".join(texts[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def _nothing(_inputs: Json) -> Iterator[str]:
    yield from ()


def _component(inputs: Json) -> Iterator[str]:
    for name, value in inputs.items():
        if isinstance(value, list):
            yield f"{name} {_some(value)}" if value else f"no {name}"
        elif not isinstance(value, dict):
            yield f"{name} {value}"


def _provider(inputs: Json) -> Iterator[str]:
    if "kubeconfig" in inputs:
        yield f"cluster {inputs.get('clusterIdentifier')}, with its own kubeconfig only"


def _release(inputs: Json) -> Iterator[str]:
    values = inputs.get("values", {})
    repository = (inputs.get("repositoryOpts") or {}).get("repo")
    version = f" {inputs['version']}" if "version" in inputs else ""
    mesh = values.get("meshConfig", {})
    if minimum := mesh.get("meshMTLS", {}).get("minProtocolVersion"):
        yield f"TLS {minimum.removeprefix('TLSV').replace('_', '.')} or newer"
    if providers := mesh.get("extensionProviders"):
        yield f"traces to {_some(provider.get('name') for provider in providers)}"
    yield f"chart {inputs.get('chart')}{version}{f' from {repository}' if repository else ''}"


def _files(inputs: Json) -> Iterator[str]:
    files = [str(file) for file in inputs.get("files", [])]
    yield f"objects of {_some(file.rpartition('/')[2] if '://' in file else file for file in files)}"


def _namespace(inputs: Json) -> Iterator[str]:
    labels = inputs["metadata"].get("labels", {})
    if labels.get("istio-injection") == "enabled":
        yield "sidecars injected"
    if level := labels.get("pod-security.kubernetes.io/enforce"):
        yield f"Pod security {level}"


def _peer_authentication(inputs: Json) -> Iterator[str]:
    yield f"mTLS {inputs.get('spec', {}).get('mtls', {}).get('mode')}"


def _destination_rule(inputs: Json) -> Iterator[str]:
    spec = inputs.get("spec", {})
    yield f"{spec.get('trafficPolicy', {}).get('tls', {}).get('mode')} to {spec.get('host')}"


def _sidecar(inputs: Json) -> Iterator[str]:
    hosts = (host for rule in inputs.get("spec", {}).get("egress", []) for host in rule.get("hosts", []))
    yield f"knows {_some(hosts)}"


def _telemetry(inputs: Json) -> Iterator[str]:
    for tracing in inputs.get("spec", {}).get("tracing", []):
        yield f"traces {tracing.get('randomSamplingPercentage')}% of requests"


def _authorization_policy(inputs: Json) -> Iterator[str]:
    spec = inputs.get("spec", {})
    rules = spec.get("rules", [])
    if not rules:
        yield "nothing is allowed"
    for rule in rules:
        sources = [source.get("source", {}) for source in rule.get("from", [])]
        operations = [target.get("operation", {}) for target in rule.get("to", [])]
        who = [name for source in sources for name in _callers(source)]
        hosts = [host for operation in operations for host in operation.get("hosts", [])]
        ports = [int(port) for operation in operations for port in operation.get("ports", [])]
        claims = [
            f"{each['key'].removeprefix('request.auth.')} {_some(each.get('values', []))}"
            for each in rule.get("when", [])
        ]
        yield (
            f"{str(spec.get('action', 'ALLOW')).lower()} {_some(who) or 'everyone'}"
            f"{f' with {_some(claims)}' if claims else ''} on {_some(hosts) or _ports(ports)}"
        )


def _callers(source: Json) -> Iterator[str]:
    yield from map(_identity, source.get("principals", []))
    yield from (f"namespace {name}" for name in source.get("namespaces", []))
    yield from (f"JWTs of {name.removesuffix('/*')}" for name in source.get("requestPrincipals", []))


def _request_authentication(inputs: Json) -> Iterator[str]:
    for rule in inputs.get("spec", {}).get("jwtRules", []):
        headers = _some(header.get("name") for header in rule.get("fromHeaders", []))
        yield f"JWTs of {rule.get('issuer')} for {_some(rule.get('audiences', []))} in {headers}"


def _gateway(inputs: Json) -> Iterator[str]:
    for server in inputs.get("spec", {}).get("servers", []):
        port, tls = server.get("port", {}), server.get("tls", {})
        minimum = str(tls.get("minProtocolVersion", "")).removeprefix("TLSV").replace("_", ".")
        yield f"{port.get('protocol')} on {_ports([int(port['number'])])}, TLS {minimum} or newer"
        yield f"hosts {_some(host.removeprefix('./') for host in server.get('hosts', []))}"


def _virtual_service(inputs: Json) -> Iterator[str]:
    spec = inputs.get("spec", {})
    routes = [route for rule in spec.get("http", []) for route in rule.get("route", [])]
    targets = [route.get("destination", {}) for route in routes]
    where = _some(f"{target.get('host')}:{target.get('port', {}).get('number')}" for target in targets)
    yield f"{_some(spec.get('hosts', []))} to {where}"


def _identity(principal: str) -> str:
    """``namespace/account`` of a SPIFFE principal."""
    parts = principal.split("/")
    return f"{parts[2]}/{parts[4]}" if len(parts) == 5 else principal


def _network_policy(inputs: Json) -> Iterator[str]:
    spec = inputs.get("spec", {})
    for direction, peers, verb in (("Ingress", "from", "in"), ("Egress", "to", "out")):
        if direction not in spec.get("policyTypes", []):
            continue
        rules = spec.get(direction.lower(), [])
        if not rules:
            yield f"nothing {verb}"
        for rule in rules:
            ports = _rule_ports(rule.get("ports", []))
            yield f"{verb} {peers} {_some(map(_peer, rule.get(peers, []))) or 'anywhere'} on {ports}"


def _rule_ports(ports: Iterable[Json]) -> str:
    spans = [(port.get("port"), port.get("endPort")) for port in ports]
    numbers = [
        number
        for first, last in spans
        if isinstance(first, int)
        for number in range(first, (last or first) + 1)
    ]
    return _ports(numbers)


def _ports(numbers: list[int]) -> str:
    if not numbers:
        return "every port"
    return f"port{'s' if len(numbers) > 1 else ''} {ranges(numbers)}"


def _peer(peer: Json) -> str:
    if "ipBlock" in peer:
        excepted = peer["ipBlock"].get("except")
        return f"{peer['ipBlock'].get('cidr')}{f' without {_some(excepted)}' if excepted else ''}"
    if "namespaceSelector" in peer:
        chosen = peer["namespaceSelector"].get("matchLabels", {})
        return f"namespace {_some(chosen.values())}" if chosen else "any namespace"
    chosen = peer.get("podSelector", {}).get("matchLabels", {})
    return f"Pods {_some(f'{key}={value}' for key, value in chosen.items())}" if chosen else "any Pod here"


def _secret(inputs: Json) -> Iterator[str]:
    data = inputs.get("stringData") or inputs.get("data")
    if isinstance(data, dict):
        yield f"entries {_some(data)}"
    if inputs.get("immutable"):
        yield "immutable"


def _service(inputs: Json) -> Iterator[str]:
    spec = inputs.get("spec", {})
    if spec.get("clusterIP") == "None":
        yield "headless"
    if spec.get("type", "ClusterIP") != "ClusterIP":
        yield f"type {spec['type']}"
    ports = spec.get("ports", [])
    yield _ports([port["port"] for port in ports if isinstance(port.get("port"), int)])
    protocols = sorted({str(port["appProtocol"]) for port in ports if "appProtocol" in port})
    if protocols:
        yield f"as {_some(protocols)}"


def _service_account(inputs: Json) -> Iterator[str]:
    if inputs.get("automountServiceAccountToken") is False:
        yield "no API token in Pods"


def _role(inputs: Json) -> Iterator[str]:
    for rule in inputs.get("rules", []):
        yield f"{'/'.join(rule.get('verbs', []))} {_some(rule.get('resources', []))}"


def _role_binding(inputs: Json) -> Iterator[str]:
    subjects = (
        f"{subject.get('kind')} {subject.get('namespace', '')}/{subject.get('name')}"
        for subject in inputs.get("subjects", [])
    )
    role = inputs.get("roleRef", {})
    yield f"{role.get('kind')} {role.get('name')} to {_some(subjects)}"


def _deployment(inputs: Json) -> Iterator[str]:
    spec = inputs.get("spec", {})
    containers = spec.get("template", {}).get("spec", {}).get("containers", [])
    yield f"{spec.get('replicas', 1)} x {_some(container.get('image') for container in containers)}"


def _quota(inputs: Json) -> Iterator[str]:
    yield _some(f"{name} {amount}" for name, amount in inputs.get("spec", {}).get("hard", {}).items())


def _ray_cluster(inputs: Json) -> Iterator[str]:
    spec = inputs.get("spec", {})
    head = spec.get("headGroupSpec", {}).get("template", {}).get("spec", {}).get("containers", [{}])[0]
    yield _token_source(spec.get("authOptions"), head.get("env", []))
    groups = (
        f"{group.get('groupName')} {group.get('minReplicas')}-{group.get('maxReplicas')}"
        for group in spec.get("workerGroupSpecs", [])
    )
    yield f"workers {_some(groups) or 'none'}"
    yield f"image {head.get('image')}"


def _token_source(options: Json | None, environment: Iterable[Json]) -> str:
    if options:
        name = options.get("secretName")
        source = f"of Secret {name}" if name else "made by the operator"
        return f"token {source}" if options.get("mode") == "token" else "no authentication"
    for variable in environment:
        if variable.get("name") == "RAY_AUTH_TOKEN":
            reference = variable.get("valueFrom", {}).get("secretKeyRef", {})
            return f"token of Secret {reference.get('name')}, by environment"
    return "no authentication"


def _password(inputs: Json) -> Iterator[str]:
    yield f"{inputs.get('length')} random characters"


_ABOUT: Final[Mapping[str, Callable[[Json], Iterator[str]]]] = {
    **gcp_highlights.ABOUT,
    **kind_highlights.ABOUT,
    "pulumi:providers:kubernetes": _provider,
    "kubernetes:helm.sh/v3:Release": _release,
    "kubernetes:yaml/v2:ConfigGroup": _files,
    "kubernetes:ray.io/v1:RayCluster": _ray_cluster,
    "Namespace": _namespace,
    "PeerAuthentication": _peer_authentication,
    "DestinationRule": _destination_rule,
    "Sidecar": _sidecar,
    "Telemetry": _telemetry,
    "AuthorizationPolicy": _authorization_policy,
    "RequestAuthentication": _request_authentication,
    "Gateway": _gateway,
    "VirtualService": _virtual_service,
    "NetworkPolicy": _network_policy,
    "Secret": _secret,
    "Service": _service,
    "ServiceAccount": _service_account,
    "Role": _role,
    "ClusterRole": _role,
    "RoleBinding": _role_binding,
    "ClusterRoleBinding": _role_binding,
    "Deployment": _deployment,
    "ResourceQuota": _quota,
    "RandomPassword": _password,
}
