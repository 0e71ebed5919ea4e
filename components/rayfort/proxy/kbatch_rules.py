"""What is asked of a user's job, as rows of CEL: a name, what is looked at, and what the user reads.

Everything of Kubernetes' level ``baseline`` is here as well: without Istio's CNI plugin a namespace with
sidecars can be held to no level. The expressions read the variables of `kbatch_admission.variables`; sidecars
are injected into Pods and not into Jobs, so that no rule sees them.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from rayfort.proxy import kbatch_config as config
from rayfort.proxy import kbatch_template
from rayfort.proxy.kbatch_spec import KbatchProxyArgs

# Kinds of volumes that lie in the namespace or in the Pod.
VOLUMES: Final = ("configMap", "downwardAPI", "emptyDir", "persistentVolumeClaim", "secret")
SIDECAR_USER: Final = 1337  # whose traffic Istio's redirection leaves alone
_SIDECAR_VOLUMES: Final = ("credential-socket", "workload-certs", "workload-socket")
_APP_ARMOR: Final = "container.apparmor.security.beta.kubernetes.io/"  # until 1.30, and still read
_MESH_KEY: Final = "(^|[.])istio[.]io/"


@dataclass(frozen=True)
class Rule:
    """One thing that is asked of an object.

    Attributes:
        name: what the rule is called here and in the documentation.
        expression: CEL that is true for an object that is let in.
        message: what the user reads where it is false.
    """

    name: str
    expression: str
    message: str


def rules(args: KbatchProxyArgs) -> tuple[Rule, ...]:
    """All rules for the jobs of a proxy's users."""
    return (*FIXED, *_chosen(args))


def _each(condition: str) -> str:
    return f"variables.containers.all(c, {condition})"


def _not_set(*fields: str) -> str:
    return " && ".join(f"!variables.pod.?{field}.orValue(false)" for field in fields)


def _secret(field: str) -> str:
    """That the Secret which a field names is one that the platform made for the user's jobs."""
    name = f"{field}.orValue('')"
    return f"({name}.startsWith('{config.JOB_SECRET_PREFIX}') || {name} == '{config.JOB_ENV_SECRET}')"


def _listed(names: Iterable[str]) -> str:
    return json.dumps(sorted(set(names)))


def _terms(path: str, keys: str) -> str:
    """That the terms of a node affinity name known labels alone, and no node by its name."""
    return f"{path}.all(t, !has(t.matchFields) && t.?matchExpressions.orValue([]).all(e, e.key in {keys}))"


_CONTEXT: Final = "c.?securityContext"
_POD_CONTEXT: Final = "variables.pod.?securityContext"
_OWN_SECRETS: Final = (
    "the Secrets of a job are those that kbatch makes for it; give the value as `env` of the job"
)
_USERS: Final = f"{SIDECAR_USER} is the sidecar's own user, past which traffic goes; run as another"

FIXED: Final = (
    Rule(
        "host-namespaces",
        _not_set("hostNetwork", "hostPID", "hostIPC"),
        "hostNetwork, hostPID and hostIPC share the node with the job; remove them",
    ),
    Rule(
        "process-namespace",
        _not_set("shareProcessNamespace"),
        "shareProcessNamespace shows the sidecar's process to the job; remove it",
    ),
    Rule(
        "node-name",
        "variables.pod.?nodeName.orValue('') == ''",
        "nodeName goes past the scheduler; remove it, and choose a profile",
    ),
    Rule(
        "service-account",
        f"variables.pod.?serviceAccountName.orValue('') == '{config.JOB_ACCOUNT}'",
        f"jobs run as service account {config.JOB_ACCOUNT}; leave serviceAccountName out",
    ),
    Rule(
        "api-token",
        _not_set("automountServiceAccountToken"),
        "jobs get no token for the API server; remove automountServiceAccountToken",
    ),
    Rule(
        "volumes",
        f"variables.volumes.all(v, {' || '.join(f'has(v.{kind})' for kind in VOLUMES)})",
        f"a volume is none of {', '.join(VOLUMES)}; use one of these",
    ),
    Rule(
        "secret-volumes",
        f"variables.volumes.all(v, !has(v.secret) || {_secret('v.secret.?secretName')})",
        _OWN_SECRETS,
    ),
    Rule(
        "secret-variables",
        _each(
            "c.?env.orValue([]).all(e, !has(e.valueFrom) || !has(e.valueFrom.secretKeyRef) || "
            f"{_secret('e.valueFrom.secretKeyRef.?name')})"
        ),
        _OWN_SECRETS,
    ),
    Rule(
        "secret-environments",
        _each(f"c.?envFrom.orValue([]).all(e, !has(e.secretRef) || {_secret('e.secretRef.?name')})"),
        _OWN_SECRETS,
    ),
    Rule(
        "privileged",
        _each(f"!{_CONTEXT}.?privileged.orValue(false)"),
        "a privileged container is root on the node; remove privileged",
    ),
    Rule(
        "privilege-escalation",
        _each(f"!{_CONTEXT}.?allowPrivilegeEscalation.orValue(false)"),
        "allowPrivilegeEscalation lets a process become root; remove it",
    ),
    Rule(
        "capabilities",
        _each(f"{_CONTEXT}.?capabilities.?add.orValue([]).size() == 0"),
        "jobs get no further capabilities; remove capabilities.add",
    ),
    Rule(
        "proc-mount",
        _each(f"{_CONTEXT}.?procMount.orValue('Default') == 'Default'"),
        "procMount shows the node's /proc; remove it",
    ),
    Rule(
        "host-ports",
        _each("c.?ports.orValue([]).all(p, p.?hostPort.orValue(0) == 0)"),
        "hostPort opens a port of the node; remove it",
    ),
    Rule(
        "seccomp",
        f"{_POD_CONTEXT}.?seccompProfile.?type.orValue('') != 'Unconfined' && "
        + _each(f"{_CONTEXT}.?seccompProfile.?type.orValue('') != 'Unconfined'"),
        "seccompProfile Unconfined opens every system call; remove it",
    ),
    Rule(
        "app-armor",
        f"{_POD_CONTEXT}.?appArmorProfile.?type.orValue('') != 'Unconfined' && "
        + _each(f"{_CONTEXT}.?appArmorProfile.?type.orValue('') != 'Unconfined'")
        + f" && !variables.annotations.exists(key, key.startsWith('{_APP_ARMOR}'))",
        "appArmorProfile Unconfined takes AppArmor away; remove it",
    ),
    Rule(
        "se-linux",
        f"!{_POD_CONTEXT}.?seLinuxOptions.hasValue() && " + _each(f"!{_CONTEXT}.?seLinuxOptions.hasValue()"),
        "seLinuxOptions are the node's to choose; remove them",
    ),
    Rule(
        "sysctls",
        f"{_POD_CONTEXT}.?sysctls.orValue([]).size() == 0",
        "sysctls reach the node's kernel; remove them",
    ),
    Rule(
        "windows",
        f"!{_POD_CONTEXT}.?windowsOptions.hasValue() && " + _each(f"!{_CONTEXT}.?windowsOptions.hasValue()"),
        "windowsOptions may run a process on the node itself; remove them",
    ),
    Rule(
        "sidecar-user",
        f"{_POD_CONTEXT}.?runAsUser.orValue(0) != {SIDECAR_USER} && "
        f"{_POD_CONTEXT}.?runAsGroup.orValue(0) != {SIDECAR_USER} && "
        f"!({SIDECAR_USER} in {_POD_CONTEXT}.?supplementalGroups.orValue([])) && "
        + _each(
            f"{_CONTEXT}.?runAsUser.orValue(0) != {SIDECAR_USER} && "
            f"{_CONTEXT}.?runAsGroup.orValue(0) != {SIDECAR_USER}"
        ),
        _USERS,
    ),
    Rule(
        "sidecar-containers",
        _each("!c.name.startsWith('istio-')"),
        "a container that is called as one of the sidecar's would change it; call it otherwise",
    ),
    Rule(
        "sidecar-volumes",
        f"variables.volumes.all(v, !v.name.startsWith('istio') && !(v.name in {_listed(_SIDECAR_VOLUMES)}))",
        "a volume is called as one of the sidecar's; call it otherwise",
    ),
    Rule(
        "mesh-labels",
        f"!variables.labels.exists(key, key.matches('{_MESH_KEY}'))",
        "labels of istio.io decide about the sidecar; remove them",
    ),
    Rule(
        "mesh-annotations",
        f"!variables.annotations.exists(key, key.matches('{_MESH_KEY}'))",
        "annotations of istio.io decide about the sidecar; remove them",
    ),
    Rule(
        "finalizers",
        "request.operation != 'CREATE' || object.metadata.?finalizers.orValue([]).size() == 0",
        "finalizers would keep the job for ever; remove them",
    ),
    Rule(
        "controller",
        "variables.job.?managedBy.orValue('kubernetes.io/job-controller') == 'kubernetes.io/job-controller'",
        "jobs are Kubernetes' own to run; remove managedBy",
    ),
)


def _chosen(args: KbatchProxyArgs) -> tuple[Rule, ...]:
    """The rules that follow from the settings."""
    template = kbatch_template.pod_of(args.job_template)
    nodes = _listed(kbatch_template.node_keys(args.profiles, args.job_template))
    taints = _listed(kbatch_template.toleration_keys(args.profiles, args.job_template))
    priorities = _listed(["", *args.jobs.priority_classes, template.get("priorityClassName", "")])
    classes = _listed(["", template.get("runtimeClassName", "")])
    schedulers = _listed(["default-scheduler", template.get("schedulerName", "default-scheduler")])
    affinity = "variables.pod.?affinity.?nodeAffinity"
    required = f"{affinity}.?requiredDuringSchedulingIgnoredDuringExecution.?nodeSelectorTerms.orValue([])"
    preferred = (
        f"{affinity}.?preferredDuringSchedulingIgnoredDuringExecution.orValue([]).map(p, p.preference)"
    )
    # Of Jobs that a CronJob makes it is the owner.
    owners = "all(o, o.kind == 'CronJob')" if args.cron_jobs else "size() == 0"
    return (
        *_images(args),
        Rule(
            "priority-class",
            f"variables.pod.?priorityClassName.orValue('') in {priorities}",
            "the job names a priority class that kbatch.jobs.priorityClasses does not list; leave it out",
        ),
        Rule(
            "runtime-class",
            f"variables.pod.?runtimeClassName.orValue('') in {classes}",
            "the runtime class is the platform's to choose; leave runtimeClassName out",
        ),
        Rule(
            "scheduler",
            f"variables.pod.?schedulerName.orValue('default-scheduler') in {schedulers}",
            "the scheduler is the platform's to choose; leave schedulerName out",
        ),
        Rule(
            "node-selector",
            f"variables.pod.?nodeSelector.orValue({{}}).all(key, key in {nodes})",
            "nodeSelector names a label that no profile names; choose a profile",
        ),
        Rule(
            "node-affinity",
            f"{_terms(required, nodes)} && {_terms(preferred, nodes)}",
            "nodeAffinity names a node or a label that no profile names; choose a profile",
        ),
        Rule(
            "tolerations",
            f"variables.pod.?tolerations.orValue([]).all(t, t.?key.orValue('') in {taints})",
            "a toleration names a taint that no profile names; choose a profile",
        ),
        Rule(
            "time-to-live",
            "variables.job.?ttlSecondsAfterFinished.orValue(-1) >= 0 && "
            f"variables.job.?ttlSecondsAfterFinished.orValue(-1) <= {args.job_ttl_seconds}",
            f"finished jobs are kept for at most {args.job_ttl_seconds} seconds; set ttlSecondsAfterFinished",
        ),
        Rule(
            "owners",
            f"request.operation != 'CREATE' || object.metadata.?ownerReferences.orValue([]).{owners}",
            "a job belongs to its user; remove ownerReferences",
        ),
    )


def _images(args: KbatchProxyArgs) -> tuple[Rule, ...]:
    if not args.jobs.allowed_images:
        return ()
    return (
        Rule(
            "images",
            _each(" || ".join(_image(each) for each in (*args.jobs.allowed_images, args.jobs.code_image))),
            f"the image is none of {', '.join(args.jobs.allowed_images)}; use one of these",
        ),
    )


def _image(allowed: str) -> str:
    """That an image is of a place or a repository, or this very one; the beginning of a name is neither."""
    image = "c.?image.orValue('')"
    if allowed.endswith(("/", ":", "@")):
        return f"{image}.startsWith({json.dumps(allowed)})"
    rest = " || ".join(f"{image}.startsWith({json.dumps(allowed + mark)})" for mark in "/:@")
    return f"{image} == {json.dumps(allowed)} || {rest}"
