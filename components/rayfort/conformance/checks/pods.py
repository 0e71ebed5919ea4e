"""What Pods are and what they may ask of their node."""

import re
from collections.abc import Iterator
from typing import Final

from rayfort import labels, network, pod_security
from rayfort.conformance.check import Check, Scope, Seen
from rayfort.conformance.checks.mesh import istiods
from rayfort.conformance.observations import (
    Observations,
    containers,
    labelled,
    name_of,
    namespace_of,
)
from rayfort.mesh import cni
from rayfort.model import JsonObject
from rayfort.pod_security import PodSecurity
from rayfort.proxy import kbatch_admission as admission
from rayfort.proxy import kbatch_config
from rayfort.ray import operator

DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
API_TOKEN: Final = "kube-api-access-"  # noqa: S105 - how the volume with the API server's token is named
_LEVELS: Final = [*PodSecurity]
# Its init container redirects traffic inside the Pod where the nodes have no plugin.
_REDIRECTION: Final = "istio-init"


def _images_judged(seen: Observations, namespace: str) -> Iterator[str]:
    yield from _images(seen.pods(namespace))


def _platform_images(seen: Observations, _: str) -> Iterator[str]:
    for app in (operator.RELEASE, kbatch_config.SERVICE_NAME, "istiod"):
        for deployment in seen.deployments(app):
            wanted = deployment["spec"]["selector"]["matchLabels"].items()
            pods = seen.pods(namespace_of(deployment))
            yield from _images([pod for pod in pods if wanted <= labelled(pod).items()])


def _images(pods: list[JsonObject]) -> Iterator[str]:
    for pod in pods:
        running = {each["name"]: each.get("imageID", "") for each in _statuses(pod)}
        for container in containers(pod["spec"]):
            image = container["image"]
            digest = DIGEST.search(running.get(container["name"], "") or image)
            if pinned(image):
                yield Seen(f"{image}{f' = {digest[0][:19]}…' if digest and digest[0] not in image else ''}")
            else:
                yield f"Pod {name_of(pod)}: {container['name']} runs {image}, which can change under its name"


def _statuses(pod: JsonObject) -> Iterator[JsonObject]:
    for kind in ("containerStatuses", "initContainerStatuses"):
        yield from pod.get("status", {}).get(kind) or ()


def pinned(image: str) -> bool:
    """Whether a reference names a digest or a tag other than ``latest``."""
    name, _, digest = image.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    return bool(digest) or tag not in {"", "latest"}


def _levels(seen: Observations, namespace: str) -> Iterator[str]:
    yield from _level(seen, namespace, _strictest(seen, sidecars=bool(istiods(seen))))


def _platform_levels(seen: Observations, _: str) -> Iterator[str]:
    for app in (operator.RELEASE, kbatch_config.SERVICE_NAME):
        for deployment in seen.deployments(app):
            yield from _level(seen, namespace_of(deployment), _strictest(seen, sidecars=bool(istiods(seen))))


def _strictest(seen: Observations, *, sidecars: bool) -> PodSecurity:
    plugin = any(cni.RELEASE in name_of(item) for item in seen.all("DaemonSet"))
    return pod_security.strictest(sidecars=sidecars, istio_cni=plugin)


def _level(seen: Observations, namespace: str, wanted: PodSecurity) -> Iterator[str]:
    space = next((item for item in seen.all("Namespace") if name_of(item) == namespace), None)
    said = labelled(space).get(f"{labels.POD_SECURITY}/enforce", "") if space else ""
    level = PodSecurity(said) if said in _LEVELS else PodSecurity.PRIVILEGED
    if _LEVELS.index(level) < _LEVELS.index(wanted):
        yield f"namespace {namespace} is held to {said or 'nothing'}, and its Pods start at {wanted}"
    else:
        why = (
            " (without Istio's CNI plugin sidecars start at no other)"
            if level is PodSecurity.PRIVILEGED
            else ""
        )
        yield Seen(f"namespace {namespace}: {level}{why}")


def _hardening(seen: Observations, namespace: str) -> Iterator[str]:
    for pod in seen.pods(namespace):
        problems = list(_soft(pod))
        yield from (f"Pod {name_of(pod)}: {problem}" for problem in problems)
        if not problems:
            yield Seen(f"Pod {name_of(pod)}: every container fits `restricted`")


def _soft(pod: JsonObject) -> Iterator[str]:
    spec = pod["spec"]
    whole = spec.get("securityContext") or {}
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(name):
            yield name
    for volume in spec.get("volumes", ()):
        if "hostPath" in volume:
            yield f"the node's {volume['hostPath'].get('path')} is mounted"
    for container in containers(spec):
        if container["name"] != _REDIRECTION:
            yield from (f"{container['name']} {what}" for what in _soft_container(container, whole))


def _soft_container(container: JsonObject, whole: JsonObject) -> Iterator[str]:
    own = container.get("securityContext") or {}
    capabilities = own.get("capabilities") or {}
    profile = own.get("seccompProfile") or whole.get("seccompProfile") or {}
    wrong = {
        "is privileged": own.get("privileged"),
        "may gain privileges": own.get("allowPrivilegeEscalation") is not False,
        "keeps capabilities": "ALL" not in (capabilities.get("drop") or ()),
        "adds capabilities": capabilities.get("add"),
        "may run as root": own.get("runAsNonRoot", whole.get("runAsNonRoot")) is not True,
        "runs as root": own.get("runAsUser", whole.get("runAsUser")) == 0,
        "has no seccomp profile": profile.get("type") not in {"RuntimeDefault", "Localhost"},
    }
    yield from (what for what, is_so in wrong.items() if is_so)


def _api_tokens(seen: Observations, namespace: str) -> Iterator[str]:
    autoscaled = {
        name_of(cluster)
        for cluster in seen.of("RayCluster", namespace)
        if cluster["spec"].get("enableInTreeAutoscaling")
    }
    for pod in seen.ray_pods(namespace):
        own = labelled(pod)
        scales = own.get(labels.RAY_NODE_TYPE) == "head" and own[labels.RAY_CLUSTER] in autoscaled
        mounted = any(_is_api_token(volume) for volume in pod["spec"].get("volumes", ()))
        if mounted and not scales:
            yield f"Pod {name_of(pod)} holds a token for the API server"
        else:
            yield Seen(
                f"Pod {name_of(pod)}: {'the autoscaler alone uses' if mounted else 'no'} API server token"
            )
    accounts = {pod["spec"].get("serviceAccountName", "default") for pod in seen.ray_pods(namespace)}
    for account in seen.of("ServiceAccount", namespace):
        if name_of(account) in accounts and account.get("automountServiceAccountToken") is not False:
            yield f"ServiceAccount {name_of(account)} hands its token to every Pod that says nothing"


def _is_api_token(volume: JsonObject) -> bool:
    """Whether a volume holds a token that the API server takes: one for no audience of its own."""
    sources = (volume.get("projected") or {}).get("sources") or ()
    return str(volume["name"]).startswith(API_TOKEN) or any(
        "serviceAccountToken" in source and not source["serviceAccountToken"].get("audience")
        for source in sources
    )


def _quota(seen: Observations, namespace: str) -> Iterator[str]:
    found = [item for item in seen.of("ResourceQuota", namespace) if item["spec"].get("hard")]
    for item in found:
        hard = item["spec"]["hard"]
        yield Seen(f"{name_of(item)}: {', '.join(f'{name}={value}' for name, value in sorted(hard.items()))}")
    if not found:
        yield "no ResourceQuota limits the namespace"


def _users(seen: Observations, _: str) -> Iterator[str]:
    for namespace in seen.users:
        problems = list(_user(seen, namespace))
        yield from (f"{namespace}: {problem}" for problem in problems)
        if not problems:
            yield Seen(f"{namespace}: level, quota, limits, identity and NetworkPolicies")


def _user(seen: Observations, namespace: str) -> Iterator[str]:
    space = next(item for item in seen.all("Namespace") if name_of(item) == namespace)
    strictest = _strictest(seen, sidecars=bool(labelled(space).get(labels.ISTIO_DISCOVERY)))
    wanted = PodSecurity.BASELINE if strictest is PodSecurity.RESTRICTED else strictest
    yield from (line for line in _level(seen, namespace, wanted) if not isinstance(line, Seen))
    if not any(item["spec"].get("hard") for item in seen.of("ResourceQuota", namespace)):
        yield "no ResourceQuota"
    if not seen.of("LimitRange", namespace):
        yield "no LimitRange"
    accounts = {name_of(item): item for item in seen.of("ServiceAccount", namespace)}
    if accounts.get(kbatch_config.JOB_ACCOUNT, {}).get("automountServiceAccountToken") is not False:
        yield f"no service account {kbatch_config.JOB_ACCOUNT} without a token"
    policies = [item["spec"] for item in seen.of("NetworkPolicy", namespace)]
    if network.default_deny_spec() not in policies:
        yield "no NetworkPolicy that denies everything"
    for spec in policies:
        if spec.get("ingress"):
            yield "somebody may connect to jobs"
        for rule in spec.get("egress") or ():
            yield from _open(rule)


def _open(rule: JsonObject) -> Iterator[str]:
    """What jobs reach by a rule that Rayfort never makes."""
    peers = rule.get("to") or [{}]
    if any(not peer.get("ipBlock") and not _named(peer) for peer in peers):
        yield "jobs may connect to every namespace"
    names_alone = {port.get("port") for port in rule.get("ports") or ()} == {53}
    for block in (peer["ipBlock"] for peer in peers if peer.get("ipBlock")):
        cut = block.get("except") or ()
        reached = [
            server
            for server in network.METADATA_BLOCKS
            if network.holds(block["cidr"], server) and server not in cut
        ]
        if reached or (network.reaches_metadata(block["cidr"]) and not names_alone):
            yield f"jobs may connect to the metadata server ({block['cidr']})"


def _named(peer: JsonObject) -> bool:
    return bool((peer.get("namespaceSelector") or {}).get("matchLabels"))


def _admission(seen: Observations, _: str) -> Iterator[str]:
    for deployment in seen.deployments(kbatch_config.SERVICE_NAME):
        users = {labels.KBATCH: namespace_of(deployment)}
        policies = {name_of(item): item["spec"] for item in seen.all(admission.POLICY)}
        for resource in ("jobs", "cronjobs"):
            name = admission.policy_name(resource, namespace_of(deployment))
            spec = policies.get(name)
            if spec is None and resource == "cronjobs":
                continue
            bound = any(
                item["spec"].get("policyName") == name
                and "Deny" in item["spec"].get("validationActions", ())
                and _selects(item["spec"].get("matchResources") or {}, users)
                for item in seen.all(admission.BINDING)
            )
            if spec is None or not bound:
                yield f"no policy decides what {resource} users submit"
                continue
            missing = admission.missing(spec)
            if missing:
                yield f"{name} lacks {', '.join(missing)}"
            elif spec.get("failurePolicy", "Fail") != "Fail":
                yield f"{name} lets everything in where it fails"
            else:
                yield Seen(f"{name}: {len(spec['validations'])} rules")


def _selects(match: JsonObject, wanted: dict[str, str]) -> bool:
    """Whether a binding holds for namespaces with these labels at least."""
    selector = match.get("namespaceSelector") or {}
    narrower = (selector.get("matchLabels") or {}).items() - wanted.items()
    others = match.get("objectSelector") or match.get("excludeResourceRules") or match.get("resourceRules")
    return not narrower and not selector.get("matchExpressions") and not others


def _proxy_fence(seen: Observations, _: str) -> Iterator[str]:
    for deployment in seen.deployments(kbatch_config.SERVICE_NAME):
        own = deployment["spec"]["template"]["metadata"].get("labels") or {}
        guards = [
            item
            for item in seen.of("NetworkPolicy", namespace_of(deployment))
            if ((item["spec"].get("podSelector") or {}).get("matchLabels") or {}).items() <= own.items()
        ]
        if not guards:
            yield f"no NetworkPolicy guards {name_of(deployment)}"
        for item in guards:
            for rule in item["spec"].get("ingress") or ():
                peers = rule.get("from") or [{}]
                if any(not (peer.get("namespaceSelector") or {}).get("matchLabels") for peer in peers):
                    yield f"NetworkPolicy {name_of(item)} lets more than named namespaces in"
                else:
                    yield Seen(f"NetworkPolicy {name_of(item)}: the hub's namespace alone")


_LEVEL: Final = "leave `podSecurity` out, or set `cluster.facts.istioCni` where nodes take the plugin"

CHECKS: Final = (
    Check(
        "images-pinned",
        "Every image of the workspace is named by a tag other than `latest`, or by a digest",
        "seed 001: the Ray that was reviewed is the Ray that runs",
        "name a version or a digest in `image`",
        _images_judged,
    ),
    Check(
        "platform-images-pinned",
        "Every image of the platform is named by a tag other than `latest`, or by a digest",
        "seed 002: the istiod and the operator that were reviewed are those that run",
        "name a version in `imageTag` or `tag`",
        _platform_images,
        Scope.PLATFORM,
    ),
    Check(
        "pod-security-level",
        "The workspace is held to the strictest level at which its Pods start",
        "pod security: what a Pod may ask of its node",
        _LEVEL,
        _levels,
    ),
    Check(
        "platform-pod-security-level",
        "Operator and kbatch-proxy are held to the strictest level at which their Pods start",
        "pod security: what a Pod may ask of its node",
        _LEVEL,
        _platform_levels,
        Scope.PLATFORM,
    ),
    Check(
        "containers-hardened",
        "No container runs as root, gains privileges, keeps capabilities or goes without seccomp",
        "pod security: what makes a Pod fit",
        "remove `securityContext` from `podSpec` of the node",
        _hardening,
    ),
    Check(
        "no-api-token",
        "Ray's Pods hold no token for the API server, but for an autoscaler's",
        "security model: code on Ray runs as the Ray cluster",
        "leave `automountServiceAccountToken` to Rayfort; run `pulumi up --refresh`",
        _api_tokens,
    ),
    Check(
        "quota",
        "A quota limits what the workspace takes",
        "security model: Pod Security, quota",
        "set `quota` of the workspace",
        _quota,
    ),
    Check(
        "kbatch-users-fenced",
        "Each namespace of a kbatch user has its level, quota, limits, identity and NetworkPolicies",
        "seed 003: users' jobs are fenced",
        "run `pulumi up --refresh`",
        _users,
        Scope.PLATFORM,
    ),
    Check(
        "kbatch-jobs-admitted",
        "The API server decides what kbatch's users may submit",
        "security model: kbatch forwards any Pod",
        "run `pulumi up --refresh`, and remove other bindings",
        _admission,
        Scope.PLATFORM,
    ),
    Check(
        "kbatch-proxy-fenced",
        "Only the hub's namespace reaches kbatch-proxy",
        "seed 003: the hub is the one door",
        "run `pulumi up --refresh`, and remove other NetworkPolicies",
        _proxy_fence,
        Scope.PLATFORM,
    ),
)
