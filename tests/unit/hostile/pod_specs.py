"""Parts of a Pod's spec: what is right and easily taken for wrong, and what the API server refuses."""

from __future__ import annotations

from typing import Any, Final

Json = dict[str, Any]

_HELPER: Final = {"name": "helper", "image": "registry.example.com/helper:1"}
_SIDECAR: Final = {**_HELPER, "restartPolicy": "Always"}

GOOD: Final[tuple[Json, ...]] = (
    {"shareProcessNamespace": False, "setHostnameAsFQDN": True, "enableServiceLinks": False},
    {"terminationGracePeriodSeconds": 0, "priorityClassName": "high", "schedulerName": "other"},
    {"volumes": [{"name": "null", "emptyDir": {}}, {"name": "0", "emptyDir": {"sizeLimit": 1073741824}}]},
    {"volumes": [{"name": "a" * 63, "emptyDir": {"medium": "Memory", "sizeLimit": "1.5Gi"}}]},
    {
        "volumes": [
            {
                "name": "all",
                "projected": {
                    "defaultMode": 288,
                    "sources": [
                        {"secret": {"name": "ours", "items": [{"key": "a.b", "path": "a/b"}]}},
                        {
                            "downwardAPI": {
                                "items": [
                                    {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
                                ]
                            }
                        },
                    ],
                },
            }
        ]
    },
    {"initContainers": [{**_HELPER, "resources": {"limits": {"cpu": 1, "memory": "1e9"}}}]},
    {"initContainers": [{**_HELPER, "restartPolicy": "Always", "livenessProbe": {"httpGet": {"port": 80}}}]},
    {
        "initContainers": [
            {**_HELPER, "startupProbe": {"httpGet": {"port": "web"}}, "restartPolicy": "Always"}
        ]
    },
    {"securityContext": {"fsGroup": 0, "supplementalGroups": [1, 2], "sysctls": []}, "hostAliases": []},
    {"dnsConfig": {"options": [{"name": "ndots", "value": "2"}]}},
)

# The key that the message names, and the part that is wrong.
BAD: Final[tuple[tuple[str, Json], ...]] = (
    ("hostIpc", {"hostIpc": True}),
    ("terminationGracePeriodSeconds", {"terminationGracePeriodSeconds": "30"}),
    ("terminationGracePeriodSeconds", {"terminationGracePeriodSeconds": 1.5}),
    ("hostNetwork", {"hostNetwork": "yes"}),
    ("priorityClassName", {"priorityClassName": 1}),
    ("nodeSelector.zone", {"nodeSelector": {"zone": True}}),
    ("securityContext", {"securityContext": []}),
    ("imagePullSecrets", {"imagePullSecrets": {"name": "ours"}}),
    ("imagePullSecrets[0]", {"imagePullSecrets": ["ours"]}),
    ("volumes[0].name", {"volumes": [{"name": "A_B", "emptyDir": {}}]}),
    ("volumes[0].name", {"volumes": [{"emptyDir": {}}]}),
    ("volumes[1].name", {"volumes": [{"name": "a", "emptyDir": {}}, {"name": "a", "emptyDir": {}}]}),
    ("volumes[0].emptyDir.sizeLimit", {"volumes": [{"name": "a", "emptyDir": {"sizeLimit": "much"}}]}),
    ("volumes[0].emptydir", {"volumes": [{"name": "a", "emptydir": {}}]}),
    ("initContainers[0].env[0].value", {"initContainers": [{**_HELPER, "env": [{"name": "A", "value": 1}]}]}),
    ("initContainers[0].args", {"initContainers": [{**_HELPER, "args": "-c"}]}),
    ("initContainers[0].args[1]", {"initContainers": [{**_HELPER, "args": ["-n", 1]}]}),
    (
        "initContainers[0].resources.limits.cpu",
        {"initContainers": [{**_HELPER, "resources": {"limits": {"cpu": "1 CPU"}}}]},
    ),
    (
        "initContainers[0].ports[0].containerPort",
        {"initContainers": [{**_HELPER, "ports": [{"containerPort": "web"}]}]},
    ),
    ("tolerations", {"tolerations": {"operator": "Exists"}}),
)
