"""Which properties of an object the API server does not let change, so that it must be replaced."""

from collections.abc import Mapping
from typing import Any, Final

from sandbox.plugins.objects import is_secret, kind_of

_SELECTOR: Final = (".spec.selector",)
_TEMPLATE_JOB: Final = (".spec.completions", ".spec.parallelism", ".spec.selector", ".spec.template")
_POD_SPEC: Final = [
    "affinity",
    "automountServiceAccountToken",
    "dnsConfig",
    "dnsPolicy",
    "enableServiceLinks",
    "hostAliases",
    "hostIPC",
    "hostNetwork",
    "hostPID",
    "hostname",
    "imagePullSecrets",
    "nodeName",
    "nodeSelector",
    "overhead",
    "preemptionPolicy",
    "priority",
    "priorityClassName",
    "readinessGates",
    "restartPolicy",
    "runtimeClassName",
    "schedulerName",
    "securityContext",
    "serviceAccount",
    "serviceAccountName",
    "shareProcessNamespace",
    "subdomain",
    "terminationGracePeriodSeconds",
    "volumes",
]
_CONTAINER: Final = [
    "args",
    "command",
    "env",
    "image",
    "imagePullPolicy",
    "lifecycle",
    "livenessProbe",
    "ports",
    "readinessProbe",
    "resources",
    "securityContext",
    "stdin",
    "stdinOnce",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "tty",
    "volumeDevices",
    "volumeMounts",
    "workingDir",
]
_VOLUME_SOURCES: Final = [
    "awsElasticBlockStore",
    "azureDisk",
    "azureFile",
    "cephfs",
    "cinder",
    "csi",
    "fc",
    "flexVolume",
    "flocker",
    "gcePersistentDisk",
    "glusterfs",
    "hostPath",
    "iscsi",
    "local",
    "nfs",
    "photonPersistentDisk",
    "portworxVolume",
    "quobyte",
    "rbd",
    "scaleIO",
    "storageos",
    "vsphereVolume",
]

_BY_KIND: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("apps", "DaemonSet"): _SELECTOR,
    ("apps", "Deployment"): _SELECTOR,
    ("apps", "StatefulSet"): (
        ".spec.podManagementPolicy",
        ".spec.revisionHistoryLimit",
        ".spec.selector",
        ".spec.serviceName",
        ".spec.volumeClaimTemplates",
    ),
    ("batch", "Job"): _TEMPLATE_JOB,
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): (".roleRef",),
    ("rbac.authorization.k8s.io", "RoleBinding"): (".roleRef",),
    ("storage.k8s.io", "StorageClass"): (".parameters", ".provisioner"),
    ("", "PersistentVolume"): tuple(f".spec.{source}" for source in _VOLUME_SOURCES),
    ("", "PersistentVolumeClaim"): (
        ".spec.accessModes",
        ".spec.selector",
        ".spec.storageClassName",
        ".spec.volumeName",
    ),
    ("", "Pod"): (
        *(f".spec.{field}" for field in _POD_SPEC),
        *(f".spec.{kind}[*].{field}" for kind in ("containers", "initContainers") for field in _CONTAINER),
    ),
    ("", "ResourceQuota"): (".spec.scopes",),
    ("", "Secret"): (".type",),
    ("", "Service"): (".spec.clusterIP",),
}


def immutable_properties(
    new: Mapping[str, Any], old: Mapping[str, Any], *, mutable_secrets: bool, mutable_config_maps: bool
) -> list[str]:
    """Return the properties of an object whose change forces its replacement.

    Args:
        new: the object that is wanted.
        old: the object as it was applied last.
        mutable_secrets: whether the data of Secrets changes in place.
        mutable_config_maps: whether the data of ConfigMaps changes in place.
    """
    kind = kind_of(new)
    names = [".metadata.name", ".metadata.namespace"]
    frozen = new.get("immutable") is True or old.get("immutable") is True
    if frozen and new.get("immutable") is not True:
        names.append(".immutable")  # the server never lets go of it
    if is_secret(new) and (frozen or not mutable_secrets):
        return [*names, ".type", ".stringData", ".data"]
    if kind == ("v1", "ConfigMap") and (frozen or not mutable_config_maps):
        return [*names, ".binaryData", ".data"]
    return [*names, *_BY_KIND.get((kind.group, kind.kind), ())]
