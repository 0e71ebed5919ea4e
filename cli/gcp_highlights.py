"""What a reader of a plan wants to know about a resource of Google Cloud: pure functions over its inputs."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

Json = dict[str, Any]


def _service(inputs: Json) -> Iterator[str]:
    yield inputs["service"]


def _provider(inputs: Json) -> Iterator[str]:
    yield f"project {inputs['project']}, region {inputs['region']}"


def _network(inputs: Json) -> Iterator[str]:
    yield "no default subnets" if not inputs.get("autoCreateSubnetworks") else "a subnet in every region"


def _subnet(inputs: Json) -> Iterator[str]:
    yield f"nodes {inputs['ipCidrRange']}"
    for part in inputs.get("secondaryIpRanges", ()):
        yield f"{part['rangeName']} {part['ipCidrRange']}"
    yield "flow logs" if inputs.get("logConfig") else "no flow logs"


def _firewall(inputs: Json) -> Iterator[str]:
    ports = ", ".join(port for rule in inputs["allows"] for port in rule["ports"])
    yield f"in from {', '.join(inputs['sourceRanges'])} on ports {ports}"


def _grant(inputs: Json) -> Iterator[str]:
    yield inputs["role"]


def _key(inputs: Json) -> Iterator[str]:
    yield f"new version every {int(inputs['rotationPeriod'].rstrip('s')) // 86400} days"


def _cluster(inputs: Json) -> Iterator[str]:
    endpoints, private = inputs["controlPlaneEndpointsConfig"], inputs["privateClusterConfig"]
    ways = ["DNS endpoint" if endpoints["dnsEndpointConfig"]["allowExternalTraffic"] else ""]
    if endpoints["ipEndpointsConfig"]["enabled"]:
        ways.append("private IP endpoint" if private["enablePrivateEndpoint"] else "public IP endpoint")
    yield f"reached by {' and '.join(way for way in ways if way)}"
    yield "private nodes" if private["enablePrivateNodes"] else "nodes with public addresses"
    yield f"Secrets {inputs['databaseEncryption']['state'].lower()}"
    yield f"{inputs['datapathProvider']}, {inputs['dnsConfig']['clusterDns']}"
    yield f"channel {inputs['releaseChannel']['channel']}"


def _pool(inputs: Json) -> Iterator[str]:
    node, bounds = inputs["nodeConfig"], inputs["autoscaling"]
    yield f"{bounds['totalMinNodeCount']}-{bounds['totalMaxNodeCount']} {node['machineType']}"
    if node.get("spot"):
        yield "spot"
    for gpu in node.get("guestAccelerators", ()):
        yield f"{gpu['count']} {gpu['type']}"
    for taint in node.get("taints", ()):
        yield f"taint {taint['key']}={taint['value']}"
    if node["shieldedInstanceConfig"]["enableSecureBoot"]:
        yield "secure boot"


ABOUT: Final[Mapping[str, Callable[[Json], Iterator[str]]]] = {
    "pulumi:providers:gcp": _provider,
    "gcp:projects/service:Service": _service,
    "gcp:projects/serviceIdentity:ServiceIdentity": _service,
    "gcp:projects/iAMMember:IAMMember": _grant,
    "gcp:kms/cryptoKeyIAMMember:CryptoKeyIAMMember": _grant,
    "gcp:artifactregistry/repositoryIamMember:RepositoryIamMember": _grant,
    "gcp:kms/cryptoKey:CryptoKey": _key,
    "gcp:compute/network:Network": _network,
    "gcp:compute/subnetwork:Subnetwork": _subnet,
    "gcp:compute/firewall:Firewall": _firewall,
    "gcp:container/cluster:Cluster": _cluster,
    "gcp:container/nodePool:NodePool": _pool,
}
