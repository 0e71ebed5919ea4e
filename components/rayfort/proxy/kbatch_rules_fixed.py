"""What no user's job may be, whatever the settings say: rows of CEL.

Everything of Kubernetes' level ``baseline`` is here as well: without Istio's CNI plugin a namespace with
sidecars can be held to no level. Sidecars are injected into Pods and not into Jobs: no rule sees them.
"""

from typing import Final

from rayfort.proxy import kbatch_config as config
from rayfort.proxy.kbatch_rule import Rule, each, listed, not_set

# Kinds of volumes that lie in the namespace or in the Pod.
VOLUMES: Final = ("configMap", "downwardAPI", "emptyDir", "persistentVolumeClaim", "secret")
SIDECAR_USER: Final = 1337  # whose traffic Istio's redirection leaves alone
_SIDECAR_VOLUMES: Final = ("credential-socket", "workload-certs", "workload-socket")
_APP_ARMOR: Final = "container.apparmor.security.beta.kubernetes.io/"  # until 1.30, and still read
_MESH_KEY: Final = "(^|[.])istio[.]io/"
LONGEST_GRACE: Final = 600  # in seconds: for so long a job can hold up a node that is emptied


def _secret(field: str) -> str:
    """That the Secret which a field names is one that the platform made for the user's jobs."""
    name = f"{field}.orValue('')"
    return f"({name}.startsWith('{config.JOB_SECRET_PREFIX}') || {name} == '{config.JOB_ENV_SECRET}')"


def _within_the_namespace(affinity: str) -> str:
    """That no term of an affinity to Pods, or against them, names those of other namespaces."""
    path = f"variables.pod.?affinity.?{affinity}"
    terms = (
        f"{path}.?requiredDuringSchedulingIgnoredDuringExecution.orValue([])",
        f"{path}.?preferredDuringSchedulingIgnoredDuringExecution.orValue([]).map(p, p.podAffinityTerm)",
    )
    inside = "!has(t.namespaceSelector) && t.?namespaces.orValue([]).size() == 0"
    return " && ".join(f"{found}.all(t, {inside})" for found in terms)


def _no_hosts(*places: str) -> str:
    """That what kubelet asks of a container is asked of the container, and of no other address."""
    found = ", ".join(f"c.?{place}" for place in places)
    return f"[{found}].all(p, !p.?httpGet.?host.hasValue() && !p.?tcpSocket.?host.hasValue())"


_CONTEXT: Final = "c.?securityContext"
_POD_CONTEXT: Final = "variables.pod.?securityContext"
_OWN_SECRETS: Final = (
    "the Secrets of a job are those that kbatch makes for it; give the value as `env` of the job"
)
_USERS: Final = f"{SIDECAR_USER} is the sidecar's own user, past which traffic goes; run as another"

FIXED: Final = (
    Rule(
        "host-namespaces",
        not_set("hostNetwork", "hostPID", "hostIPC"),
        "hostNetwork, hostPID and hostIPC share the node with the job; remove them",
    ),
    Rule(
        "process-namespace",
        not_set("shareProcessNamespace"),
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
        not_set("automountServiceAccountToken"),
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
        each(
            "c.?env.orValue([]).all(e, !has(e.valueFrom) || !has(e.valueFrom.secretKeyRef) || "
            f"{_secret('e.valueFrom.secretKeyRef.?name')})"
        ),
        _OWN_SECRETS,
    ),
    Rule(
        "secret-environments",
        each(f"c.?envFrom.orValue([]).all(e, !has(e.secretRef) || {_secret('e.secretRef.?name')})"),
        _OWN_SECRETS,
    ),
    Rule(
        "privileged",
        each(f"!{_CONTEXT}.?privileged.orValue(false)"),
        "a privileged container is root on the node; remove privileged",
    ),
    Rule(
        "privilege-escalation",
        each(f"!{_CONTEXT}.?allowPrivilegeEscalation.orValue(false)"),
        "allowPrivilegeEscalation lets a process become root; remove it",
    ),
    Rule(
        "capabilities",
        each(f"{_CONTEXT}.?capabilities.?add.orValue([]).size() == 0"),
        "jobs get no further capabilities; remove capabilities.add",
    ),
    Rule(
        "proc-mount",
        each(f"{_CONTEXT}.?procMount.orValue('Default') == 'Default'"),
        "procMount shows the node's /proc; remove it",
    ),
    Rule(
        "host-ports",
        each("c.?ports.orValue([]).all(p, p.?hostPort.orValue(0) == 0)"),
        "hostPort opens a port of the node; remove it",
    ),
    Rule(
        "seccomp",
        f"{_POD_CONTEXT}.?seccompProfile.?type.orValue('') != 'Unconfined' && "
        + each(f"{_CONTEXT}.?seccompProfile.?type.orValue('') != 'Unconfined'"),
        "seccompProfile Unconfined opens every system call; remove it",
    ),
    Rule(
        "app-armor",
        f"{_POD_CONTEXT}.?appArmorProfile.?type.orValue('') != 'Unconfined' && "
        + each(f"{_CONTEXT}.?appArmorProfile.?type.orValue('') != 'Unconfined'")
        + f" && !variables.annotations.exists(key, key.startsWith('{_APP_ARMOR}'))",
        "appArmorProfile Unconfined takes AppArmor away; remove it",
    ),
    Rule(
        "se-linux",
        f"!{_POD_CONTEXT}.?seLinuxOptions.hasValue() && " + each(f"!{_CONTEXT}.?seLinuxOptions.hasValue()"),
        "seLinuxOptions are the node's to choose; remove them",
    ),
    Rule(
        "sysctls",
        f"{_POD_CONTEXT}.?sysctls.orValue([]).size() == 0",
        "sysctls reach the node's kernel; remove them",
    ),
    Rule(
        "windows",
        f"!{_POD_CONTEXT}.?windowsOptions.hasValue() && " + each(f"!{_CONTEXT}.?windowsOptions.hasValue()"),
        "windowsOptions may run a process on the node itself; remove them",
    ),
    Rule(
        "sidecar-user",
        f"{_POD_CONTEXT}.?runAsUser.orValue(0) != {SIDECAR_USER} && "
        f"{_POD_CONTEXT}.?runAsGroup.orValue(0) != {SIDECAR_USER} && "
        f"!({SIDECAR_USER} in {_POD_CONTEXT}.?supplementalGroups.orValue([])) && "
        + each(
            f"{_CONTEXT}.?runAsUser.orValue(0) != {SIDECAR_USER} && "
            f"{_CONTEXT}.?runAsGroup.orValue(0) != {SIDECAR_USER}"
        ),
        _USERS,
    ),
    Rule(
        "sidecar-containers",
        each("!c.name.startsWith('istio-')"),
        "a container that is called as one of the sidecar's would change it; call it otherwise",
    ),
    Rule(
        "sidecar-volumes",
        f"variables.volumes.all(v, !v.name.startsWith('istio') && !(v.name in {listed(_SIDECAR_VOLUMES)}))",
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
        "pod-finalizers",
        "variables.job.template.?metadata.?finalizers.orValue([]).size() == 0",
        "finalizers of the Pods would keep them for ever; remove them",
    ),
    Rule(
        "pod-affinity",
        f"{_within_the_namespace('podAffinity')} && {_within_the_namespace('podAntiAffinity')}",
        "affinity to Pods of other namespaces keeps those off the nodes; remove namespaces and "
        "namespaceSelector",
    ),
    Rule(
        "probe-hosts",
        each(
            f"{_no_hosts('livenessProbe', 'readinessProbe', 'startupProbe')} && "
            f"{_no_hosts('lifecycle.?postStart', 'lifecycle.?preStop')}"
        ),
        "with host, a probe or a hook has the node call another address; remove it",
    ),
    Rule(
        "grace-period",
        f"variables.pod.?terminationGracePeriodSeconds.orValue(0) <= {LONGEST_GRACE}",
        f"terminationGracePeriodSeconds is at most {LONGEST_GRACE}: nodes that are emptied wait for it",
    ),
    Rule(
        "controller",
        "variables.job.?managedBy.orValue('kubernetes.io/job-controller') == 'kubernetes.io/job-controller'",
        "jobs are Kubernetes' own to run; remove managedBy",
    ),
)
