"""A stack that says everything that can be said, and the keys that the models know."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from infra.settings import Settings
from tests.unit import samples
from tests.unit.cluster.gke_samples import SMALL

Path_ = tuple[str | int, ...]
Json = dict[str, Any]

SCHEMA: Final[Json] = Settings.model_json_schema(by_alias=True)
TAKEN_FOR: Final = {
    "existing": "ExistingClusterSettings",
    "gke": "GkeClusterSettings",
    "kind": "KindClusterSettings",
}

_CHART: Final = {"chart": "istiod", "repository": "https://charts.example.com/istio", "version": "1.30.3"}
_NODE: Final = {
    "resources": {"cpu": "2", "memory": "8Gi", "gpu": 0, "gpuResource": "nvidia.com/gpu"},
    "numCpus": 1,
    "rayStartParams": {"log-color": "auto"},
    "env": {"DEBUG": "1"},
    "labels": {"example.com/team": "a"},
    "annotations": {"example.com/note": "any text"},
    "nodePool": "workers",
    "nodeSelector": {"example.com/zone": "a"},
    "tolerations": [{"key": "example.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
    "affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Exists"}]}]
            }
        }
    },
    "serviceAccount": "ours",
    "podSpec": {"priorityClassName": "high"},
}
_CLUSTER: Final = {
    "name": "ray",
    "rayVersion": "2.55.1",
    "image": "registry.example.com/ray:2.55.1",
    "traffic": "l4",
    "ports": {"gcs": 6379, "minWorker": 10002, "maxWorker": 10041},
    "head": _NODE,
    "workerGroups": [{**_NODE, "name": "small", "replicas": 1, "minReplicas": 0, "maxReplicas": 3}],
    "autoscaling": True,
    "auth": {"source": "secret-name", "token": "Zm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFy"},
    "netrc": True,
    "runtimeEnvToken": {"name": "download", "key": "token"},
    "gcsFaultTolerance": {
        "redisAddress": "rediss://redis.example.com:6379",
        "redisPassword": {"name": "redis", "key": "password"},
        "redisUsername": {"name": "redis", "key": "user"},
        "externalStorageNamespace": "team-a",
        "redisCidrs": ["10.9.0.0/16"],
    },
    "waitSeconds": 600,
}
EVERYTHING: Final[Mapping[str, Any]] = {
    "cluster": {
        "kind": "existing",
        "kubeconfig": samples.kubeconfig(),
        "context": samples.CONTEXT,
        "identifier": "cluster-1",
        "facts": {
            "dns": "coredns",
            "loadBalancers": True,
            "istioCni": True,
            "apiServerCidrs": ["10.0.0.1/32"],
            "dnsAddresses": ["169.254.169.254/32"],
            "storageClasses": ["standard"],
            "nodePools": {
                "workers": {
                    "labels": {"example.com/pool": "workers"},
                    "taints": [{"key": "example.com/pool", "value": "workers"}],
                    "acceleratorResource": "nvidia.com/gpu",
                    "accelerators": 4,
                    "cpus": 16,
                    "memoryGib": 64.0,
                    "forWorkers": True,
                    "hostsAtOnce": 1,
                }
            },
        },
    },
    "mesh": {
        "version": "1.30.3",
        "baseChart": _CHART,
        "istiodChart": _CHART,
        "ecdhCurves": ["X25519"],
        "nativeSidecars": True,
        "tracing": {"provider": "jaeger", "samplingPercentage": 1.0},
        "hub": "registry.example.com/istio",
        "tag": "1.30.3",
        "revision": "1-30-3",
        "canary": {
            "version": "1.31.0",
            "revision": "1-31-0",
            "istiodChart": _CHART,
            "hub": "registry.example.com/istio",
        },
        "metricsNamespaces": ["monitoring"],
        "cni": {"install": True, "chart": _CHART, "values": {"logLevel": "info"}},
        "meshConfig": {"accessLogFile": "/dev/stdout"},
        "baseValues": {"global": {"logAsJson": True}},
        "istiodValues": {"global": {"logAsJson": True}},
    },
    "operator": {
        "version": "1.6.2",
        "chart": {"chart": "charts/operator"},
        "crds": ["definitions/*.yaml"],
        "imageRepository": "registry.example.com/operator",
        "imageTag": "v1.6.2",
        "initContainerInjection": True,
        "values": {"env": [{"name": "A", "value": "b"}]},
    },
    "workspaces": [
        {
            "name": "team-a",
            "namespace": "team-a-ray",
            "quota": {"requests.cpu": "64"},
            "netrc": [{"machine": "github.com", "login": "robot", "password": samples.NETRC_PASSWORD}],
            "clusters": [_CLUSTER],
            "clients": [{"namespace": "notebooks", "serviceAccount": "hub"}],
            "metricsNamespaces": ["monitoring"],
            "egress": {"cidrs": ["0.0.0.0/0"], "ports": [443]},
            "revision": "1-31-0",
            "podSecurity": "baseline",
        },
        {"name": "team-b"},
    ],
    "gateway": {
        "expose": [
            {"workspace": "team-a", "cluster": "ray", "host": "ray.example.com", "claims": {"groups": ["a"]}}
        ],
        "domain": "example.com",
        "tls": {"credentialName": "dashboards"},
        "jwt": {
            "issuer": samples.ISSUER,
            "jwksUri": f"{samples.ISSUER}/keys",
            "audiences": ["rayfort"],
            "cookie": "login",
        },
        "claims": {"email_verified": ["true"]},
        "service": {
            "type": "LoadBalancer",
            "sourceRanges": ["192.0.2.0/24"],
            "annotations": {"example.com/a": "b"},
        },
        "revision": "1-31-0",
        "chart": _CHART,
        "values": {"podAnnotations": {"a": "b"}},
    },
    "observability": {
        "prometheus": {
            "chart": _CHART,
            "imageRepository": "registry.example.com/prometheus",
            "imageTag": "v3",
            "volume": {"size": "8Gi", "storageClass": "standard"},
            "values": {"server": {"replicaCount": 1}},
        },
        "kiali": {
            "chart": _CHART,
            "imageRepository": "registry.example.com/kiali",
            "imageTag": "v2",
            "openid": {"issuer": samples.ISSUER, "clientId": "kiali", "clientSecret": "s"},
            "values": {"deployment": {"replicas": 1}},
        },
        "jaeger": {
            "chart": _CHART,
            "imageRegistry": "registry.example.com",
            "imageTag": "v2",
            "volume": {"size": "8Gi"},
            "values": {"jaeger": {"replicas": 1}},
        },
    },
    "kbatch": {
        "users": ["alice", "bob.b"],
        "hubApiToken": samples.HUB_TOKEN,
        "userQuota": {"requests.cpu": "4"},
        "profiles": {"small": {"resources": {"limits": {"cpu": "1"}}}},
        "jobTemplate": {"metadata": {"labels": {"a": "b"}}},
        "jobEnv": {"A": samples.JOB_VALUE},
    },
    "rayImage": "docker.io/rayproject/ray",
}
GKE: Final[Mapping[str, Any]] = {
    **SMALL,
    "kind": "gke",
    "network": {"flowSampling": 0.5},
    "access": {
        "dnsEndpoint": False,
        "ipEndpoint": True,
        "publicIp": True,
        "authorizedNetworks": [{"cidr": "192.0.2.0/24", "name": "office"}],
    },
    "autoProvisioning": {"maxCpus": 8, "maxMemoryGb": 32, "maxGpus": {"nvidia-l4": 1}},
    "maintenance": {
        "start": "03:00",
        "hours": 6,
        "days": ["SA", "SU"],
        "exclusions": [{"name": "fair", "start": "2027-01-01T00:00:00Z", "end": "2027-01-08T00:00:00Z"}],
    },
    "encryption": {"rotationDays": 90},
    "labels": {"team": "platform"},
}
# What goes with every cluster, and the login that does not go with the other one.
_SMALL: Final[Mapping[str, Any]] = {
    "workspaces": [{"name": "team-a", "clusters": [{"name": "ray"}]}],
    "gateway": {
        "expose": [{"workspace": "team-a", "cluster": "ray"}],
        "domain": "example.com",
        "tls": {"credentialName": "dashboards"},
        "iap": {"audience": "/projects/1/global/backendServices/2"},
    },
}
KIND: Final[Mapping[str, Any]] = {"kind": "kind", "ports": [{"hostPort": 8443, "nodePort": 30443}]}


def stack(cluster: Mapping[str, Any] | None = None) -> Json:
    """A copy of everything on the existing cluster; or of another cluster, with one workspace on it."""
    made = {**_SMALL, "cluster": cluster} if cluster else EVERYTHING
    return dict(json.loads(json.dumps(made)))  # parts that stand twice become two


def put(values: Any, path: Path_, value: Any) -> None:
    """Set the value at a path; objects on the way are made."""
    *parents, last = path
    for part in parents:
        values = values[part] if isinstance(part, int) else values.setdefault(part, {})
    values[last] = value


def resolved(rule: Json) -> Json:
    """A rule of the schema itself, where it is a reference to one."""
    return SCHEMA["$defs"][rule["$ref"].rpartition("/")[2]] if "$ref" in rule else rule


def choices(rule: Json) -> Iterator[Json]:
    """The rules of which a value may take one; a union of models gives none, its values say which it is."""
    rule = resolved(rule)
    if "anyOf" in rule:
        for choice in rule["anyOf"]:
            yield from choices(choice)
    elif "oneOf" not in rule:
        yield rule


def keys(values: Any, rule: Json, path: Path_ = ()) -> Iterator[tuple[Path_, Json]]:
    """Every key that the models know, with its rule: of objects that ``values`` has, and of those of which
    nothing has to be said. Mappings without keys of their own (labels, variables) give those of ``values``.
    """
    for choice in _taken(values, rule):
        if choice.get("type") == "object":
            properties = choice.get("properties", {})
            more = choice.get("additionalProperties") or next(
                iter(choice.get("patternProperties", {}).values()), None
            )
            for name, inner in properties.items():
                yield (*path, name), inner
                if isinstance(values, Mapping) and values.get(name) is not None:
                    yield from keys(values[name], inner, (*path, name))
                elif "$ref" in inner and not resolved(inner).get("required"):
                    yield from keys({}, inner, (*path, name))
            if isinstance(more, dict) and isinstance(values, Mapping):
                for name in values.keys() - properties.keys():
                    yield (*path, name), more
                    yield from keys(values[name], more, (*path, name))
        if choice.get("type") == "array" and isinstance(values, list) and values:
            yield (*path, 0), choice.get("items", {})
            yield from keys(values[0], choice.get("items", {}), (*path, 0))


def _taken(values: Any, rule: Json) -> Iterator[Json]:
    if "oneOf" in resolved(rule) and isinstance(values, Mapping):
        yield SCHEMA["$defs"][TAKEN_FOR[values.get("kind", "existing")]]
    else:
        yield from choices(rule)
