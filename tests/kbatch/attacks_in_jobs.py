"""What a job may not be."""

from __future__ import annotations

from typing import Any

from tests.kbatch.attack import (
    Attack,
    Refuser,
    Scene,
    another,
    job,
    submission,
    volume,
)
from tests.kbatch.deployed import ALICE, IMAGE, OWN, REGISTRY

# Kubernetes itself refuses the one without the other, and the proxy sets the other where nobody does.
_PRIVILEGED = {"securityContext": {"privileged": True, "allowPrivilegeEscalation": True}}
_CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
_IMAGES = f"the image is none of {REGISTRY}"
_FOREIGN_SECRET = {"valueFrom": {"secretKeyRef": {"name": "another", "key": "token"}}}


def _apart(term: dict[str, Any]) -> dict[str, Any]:
    """A Pod that wants no others near it."""
    return {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}


def ray_secret(scene: Scene) -> str:
    """The Secret with the token of alice's Ray, in the workspace."""
    return scene.door.deployed.sandbox.token_secret(namespace=OWN)


# What a job may not be.
JOBS = (
    submission("hostNetwork", "hostNetwork, hostPID and hostIPC", pod={"hostNetwork": True}),
    submission("hostPID", "hostNetwork, hostPID and hostIPC", pod={"hostPID": True}),
    submission("hostIPC", "hostNetwork, hostPID and hostIPC", pod={"hostIPC": True}),
    submission("shareProcessNamespace", "shareProcessNamespace", pod={"shareProcessNamespace": True}),
    submission("nodeName", "nodeName", pod={"nodeName": "simulated-0"}),
    submission("the namespace's default account", "service account", pod={"serviceAccountName": "default"}),
    submission("the platform's account", "service account", pod={"serviceAccountName": "kbatch-proxy"}),
    submission(
        "a token for the API server",
        "automountServiceAccountToken",
        pod={"automountServiceAccountToken": True},
    ),
    submission("hostPath", "a volume is none of", pod=volume(hostPath={"path": "/"})),
    submission(
        "a projected token of the account",
        "a volume is none of",
        pod=volume(projected={"sources": [{"serviceAccountToken": {"path": "token"}}]}),
    ),
    submission(
        "another Secret, projected",
        "a volume is none of",
        pod=volume(projected={"sources": [{"secret": {"name": "another"}}]}),
    ),
    submission("a volume of NFS", "a volume is none of", pod=volume(nfs={"server": "nfs", "path": "/"})),
    submission("a volume of CSI", "a volume is none of", pod=volume(csi={"driver": "secrets.example"})),
    submission(
        "a claim of its own",
        "a volume is none of",
        pod=volume(ephemeral={"volumeClaimTemplate": {"spec": _CLAIM}}),
    ),
    submission(
        "a volume of another Secret", "the Secrets of a job", pod=volume(secret={"secretName": "another"})
    ),
    submission(
        "a variable of another Secret",
        "the Secrets of a job",
        container={"env": [{"name": "STOLEN", **_FOREIGN_SECRET}]},
    ),
    Attack(
        "a variable of the Ray's own Secret",
        Refuser.ADMISSION,
        "the Secrets of a job",
        lambda scene: scene.door.submit(
            ALICE,
            job(
                container={
                    "env": [
                        {
                            "name": "RAY_AUTH_TOKEN",
                            "valueFrom": {"secretKeyRef": {"name": ray_secret(scene), "key": "auth_token"}},
                        }
                    ]
                }
            ),
        ),
        403,
    ),
    submission(
        "the environment of another Secret",
        "the Secrets of a job",
        container={"envFrom": [{"secretRef": {"name": "another"}}]},
    ),
    submission(
        "the environment of another Secret, in a second container",
        "the Secrets of a job",
        pod={
            "containers": [
                {"name": "job", "image": IMAGE},
                another(envFrom=[{"secretRef": {"name": "another"}}]),
            ]
        },
    ),
    submission("privileged", "privileged", container=_PRIVILEGED),
    submission(
        "privileged, and nothing else",
        "cannot set `allowPrivilegeEscalation` to false",
        Refuser.KUBERNETES,
        container={"securityContext": {"privileged": True}},
    ),
    submission(
        "privileged, in an init container", "privileged", pod={"initContainers": [another(**_PRIVILEGED)]}
    ),
    submission(
        "privileged, in an init container that stays",
        "privileged",
        pod={"initContainers": [another(restartPolicy="Always", **_PRIVILEGED)]},
    ),
    submission(
        "privilege escalation",
        "allowPrivilegeEscalation",
        container={"securityContext": {"allowPrivilegeEscalation": True}},
    ),
    submission(
        "an added capability",
        "capabilities",
        container={"securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}},
    ),
    submission(
        "an added capability, in an init container",
        "capabilities",
        pod={"initContainers": [another(securityContext={"capabilities": {"add": ["NET_ADMIN"]}})]},
    ),
    submission(
        "procMount",
        "procMount",
        pod={"hostUsers": False},
        container={"securityContext": {"procMount": "Unmasked"}},
    ),
    submission("hostPort", "hostPort", container={"ports": [{"containerPort": 80, "hostPort": 80}]}),
    submission(
        "no seccomp",
        "seccompProfile",
        container={"securityContext": {"seccompProfile": {"type": "Unconfined"}}},
    ),
    submission(
        "no seccomp, for the Pod",
        "seccompProfile",
        pod={"securityContext": {"seccompProfile": {"type": "Unconfined"}}},
    ),
    submission(
        "no AppArmor", "appArmorProfile", pod={"securityContext": {"appArmorProfile": {"type": "Unconfined"}}}
    ),
    submission(
        "no AppArmor, by annotation",
        "appArmorProfile",
        template={"annotations": {"container.apparmor.security.beta.kubernetes.io/job": "unconfined"}},
    ),
    submission(
        "seLinuxOptions", "seLinuxOptions", pod={"securityContext": {"seLinuxOptions": {"type": "spc_t"}}}
    ),
    submission(
        "sysctls",
        "sysctls",
        pod={"securityContext": {"sysctls": [{"name": "kernel.shm_rmid_forced", "value": "0"}]}},
    ),
    submission(
        "a user of Windows",
        "windowsOptions",
        pod={"securityContext": {"windowsOptions": {"runAsUserName": "ContainerAdministrator"}}},
    ),
    submission("the sidecar's user", "1337", container={"securityContext": {"runAsUser": 1337}}),
    submission("the sidecar's group", "1337", pod={"securityContext": {"supplementalGroups": [1337]}}),
    submission(
        "a container in the sidecar's place",
        "the sidecar's",
        pod={"initContainers": [another(name="istio-proxy")]},
    ),
    submission(
        "a volume in the sidecar's place",
        "the sidecar's",
        pod={"volumes": [{"name": "workload-socket", "emptyDir": {}}]},
    ),
    submission(
        "no sidecar, by label",
        "labels of istio.io",
        template={"labels": {"sidecar.istio.io/inject": "false"}},
    ),
    submission(
        "traffic past the sidecar, by annotation",
        "annotations of istio.io",
        template={"annotations": {"traffic.sidecar.istio.io/excludeOutboundPorts": "8265"}},
    ),
    submission(
        "another revision of the sidecar, by label",
        "labels of istio.io",
        template={"labels": {"istio.io/rev": "theirs"}},
    ),
    submission(
        "a mesh without sidecars, by label",
        "labels of istio.io",
        template={"labels": {"istio.io/dataplane-mode": "none"}},
    ),
    submission(
        "no sidecar, by annotation",
        "annotations of istio.io",
        template={"annotations": {"sidecar.istio.io/inject": "false"}},
    ),
    submission(
        "another sidecar, by template",
        "annotations of istio.io",
        template={"annotations": {"inject.istio.io/templates": "theirs"}},
    ),
    submission(
        "a mount of the sidecar's token",
        "Not found",
        Refuser.KUBERNETES,
        container={"volumeMounts": [{"name": "istio-token", "mountPath": "/token"}]},
    ),
    submission(
        "another network, by annotation",
        "metadataDomains",
        template={"annotations": {"k8s.v1.cni.cncf.io/networks": "kube-system/host"}},
    ),
    submission(
        "a device of the node, by annotation",
        "metadataDomains",
        template={"annotations": {"cdi.k8s.io/gpu": "nvidia.com/gpu=all"}},
    ),
    submission(
        "past the hub's network policy, by label",
        "metadataDomains",
        template={"labels": {"hub.jupyter.org/network-access-hub": "true"}},
    ),
    submission(
        "another queue, by label of the Job",
        "metadataDomains",
        meta={"labels": {"kueue.x-k8s.io/queue-name": "theirs"}},
    ),
    submission(
        "another owner, by annotation of the Job",
        "metadataDomains",
        meta={"annotations": {"argocd.argoproj.io/tracking-id": "theirs"}},
    ),
    submission("finalizers", "finalizers", meta={"finalizers": ["example.org/never"]}),
    submission(
        "finalizers of the Pods", "finalizers of the Pods", template={"finalizers": ["example.org/never"]}
    ),
    submission(
        "a node without other namespaces' Pods",
        "affinity to Pods",
        pod=_apart({"topologyKey": "kubernetes.io/hostname", "namespaceSelector": {}, "labelSelector": {}}),
    ),
    submission(
        "a node without the system's Pods, rather",
        "affinity to Pods",
        pod={
            "affinity": {
                "podAntiAffinity": {
                    "preferredDuringSchedulingIgnoredDuringExecution": [
                        {
                            "weight": 1,
                            "podAffinityTerm": {"topologyKey": "zone", "namespaces": ["kube-system"]},
                        }
                    ]
                }
            }
        },
    ),
    submission(
        "a probe of another address",
        "a probe or a hook",
        container={"livenessProbe": {"httpGet": {"host": "169.254.169.254", "port": 80, "path": "/"}}},
    ),
    submission(
        "a hook of another address",
        "a probe or a hook",
        container={"lifecycle": {"preStop": {"httpGet": {"host": "169.254.169.254", "port": 80}}}},
    ),
    submission(
        "no end when a node is emptied",
        "terminationGracePeriodSeconds",
        pod={"terminationGracePeriodSeconds": 10**6},
    ),
    *(
        submission(f"very large {field}", "parallelism, completions and backoffLimit", spec={field: 10**6})
        for field in ("parallelism", "completions", "backoffLimit")
    ),
    submission("another controller", "managedBy", spec={"managedBy": "example.org/mine"}),
    submission(
        "a system priority class", "priority class", pod={"priorityClassName": "system-node-critical"}
    ),
    submission("a runtime class", "runtimeClassName", pod={"runtimeClassName": "host"}),
    submission("a scheduler", "schedulerName", pod={"schedulerName": "mine"}),
    submission(
        "a label of system nodes",
        "nodeSelector",
        pod={"nodeSelector": {"node-role.kubernetes.io/control-plane": ""}},
    ),
    submission(
        "a node by affinity",
        "nodeAffinity",
        pod={
            "affinity": {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": [
                            {
                                "matchFields": [
                                    {"key": "metadata.name", "operator": "In", "values": ["simulated-0"]}
                                ]
                            }
                        ]
                    }
                }
            }
        },
    ),
    submission(
        "a toleration of system nodes",
        "toleration",
        pod={"tolerations": [{"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}]},
    ),
    submission("a toleration of everything", "toleration", pod={"tolerations": [{"operator": "Exists"}]}),
    submission(
        "another object as owner",
        "ownerReferences",
        meta={
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "Namespace", "name": "kube-system", "uid": "0" * 8}
            ]
        },
    ),
    submission("an image from elsewhere", _IMAGES, container={"image": "docker.io/evil/x:1"}),
    submission(
        "an image from elsewhere, in a second container",
        _IMAGES,
        pod={"containers": [{"name": "job", "image": IMAGE}, another(image="docker.io/evil/x:1")]},
    ),
    submission(
        "an image from elsewhere, in an init container",
        _IMAGES,
        pod={"initContainers": [another(image="registry.example/laboratory/x:1")]},
    ),
    submission(
        "an ephemeral container",
        "ephemeralContainers",
        Refuser.KUBERNETES,
        pod={"ephemeralContainers": [{"name": "debug", "image": IMAGE}]},
    ),
    submission(
        "a name that is a path",
        "metadata.generateName",
        Refuser.KUBERNETES,
        meta={"generateName": "../../x-"},
    ),
)
