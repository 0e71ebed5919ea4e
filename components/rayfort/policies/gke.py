"""How a GKE cluster must be set up. Source: Google's hardening guide and golden path for GKE."""

from collections.abc import Iterator
from typing import Final

from rayfort.policies.rule import Config, Finding, Level, Resource, ResourceRule, Unproven, Violation
from rayfort.policies.values import UNKNOWN, Node, false, true

CLUSTER: Final = "gcp:container/cluster:Cluster"
NODE_POOL: Final = "gcp:container/nodePool:NodePool"
_EVERYBODY: Final = ("0.0.0.0/0", "::/0")
_METADATA_SERVER: Final = "GKE_METADATA"


def _on(node: Node, problem: str) -> Iterator[Finding]:
    """A switch that must be on."""
    if node.unknown:
        yield Unproven(node.where)
    elif not true(node):
        yield Violation(node.where, problem)


def _off(node: Node, problem: str) -> Iterator[Finding]:
    """A switch that must not be on; off where it is left out."""
    if node.unknown:
        yield Unproven(node.where)
    elif true(node):
        yield Violation(node.where, problem)


def _nodes(resource: Resource) -> Iterator[Node]:
    """The settings of nodes that a resource makes and keeps. Autopilot's nodes are Google's."""
    root = resource.root
    if resource.type == NODE_POOL:
        yield root["nodeConfig"]
    elif resource.type == CLUSTER and not true(root["enableAutopilot"]):
        switches = (root["enableAutopilot"], root["removeDefaultNodePool"])
        if any(switch.unknown for switch in switches):
            yield Node(UNKNOWN, ("nodeConfig",))
        elif not true(root["removeDefaultNodePool"]) and root["nodePools"].missing:
            yield root["nodeConfig"]
        for pool in root["nodePools"].items():
            yield pool["nodeConfig"]


def _provisioned(resource: Resource) -> Iterator[Node]:
    """The settings of the nodes that node auto-provisioning makes."""
    scaling = resource.root["clusterAutoscaling"]
    if resource.type == CLUSTER and scaling["enabled"].unknown:
        yield Node(UNKNOWN, scaling["autoProvisioningDefaults"].path)
    elif resource.type == CLUSTER and true(scaling["enabled"]):
        yield scaling["autoProvisioningDefaults"]


def _private(resource: Resource, _: Config) -> Iterator[Finding]:
    if resource.type == CLUSTER:
        node = resource.root.at("privateClusterConfig", "enablePrivateNodes")
        yield from _on(node, "nodes get public addresses; set it to true")
        for block in resource.root.at("masterAuthorizedNetworksConfig", "cidrBlocks").items():
            cidr = block["cidrBlock"]
            if cidr.unknown:
                yield Unproven(cidr.where)
            elif cidr.value in _EVERYBODY:
                yield Violation(cidr.where, "lets everybody reach the control plane; list your own networks")
    elif resource.type == NODE_POOL:
        node = resource.root.at("networkConfig", "enablePrivateNodes")
        if false(node):
            yield Violation(node.where, "nodes get public addresses; remove it")


def _identity(resource: Resource, _: Config) -> Iterator[Finding]:
    root = resource.root
    if resource.type == CLUSTER and not true(root["enableAutopilot"]):
        pool = root.at("workloadIdentityConfig", "workloadPool")
        if root["enableAutopilot"].unknown:
            yield Unproven(root["enableAutopilot"].where)
        elif not pool.unknown and not pool.text:
            yield Violation(pool.where, "Pods then act as their node; set it to PROJECT.svc.id.goog")
    for node in _nodes(resource):
        mode = node.at("workloadMetadataConfig", "mode")
        if mode.unknown:
            yield Unproven(mode.where)
        elif mode.value != _METADATA_SERVER:
            yield Violation(mode.where, f"Pods reach their node's credentials; set it to {_METADATA_SERVER}")


def _shielded(resource: Resource, _: Config) -> Iterator[Finding]:
    enabled = resource.root["enableShieldedNodes"]
    if resource.type == CLUSTER and false(enabled):
        yield Violation(enabled.where, "nodes cannot prove what they booted; remove it")
    for node in (*_nodes(resource), *_provisioned(resource)):
        shielded = node["shieldedInstanceConfig"]
        yield from _on(shielded["enableSecureBoot"], "nodes boot unsigned code; set it to true")
        monitored = shielded["enableIntegrityMonitoring"]
        if false(monitored):
            yield Violation(monitored.where, "nobody sees a changed boot; remove it")


def _account(resource: Resource, _: Config) -> Iterator[Finding]:
    for node in (*_nodes(resource), *_provisioned(resource)):
        account = node["serviceAccount"]
        if account.unknown:
            continue  # the output of another resource: an account that the program made
        if account.text in ("", "default") or account.text.endswith("-compute@developer.gserviceaccount.com"):
            yield Violation(
                account.where,
                "nodes act as the project's default account, often an editor; give them an account of their "
                "own with roles/container.defaultNodeServiceAccount",
            )


def _legacy(resource: Resource, _: Config) -> Iterator[Finding]:
    if resource.type != CLUSTER:
        return
    root = resource.root
    yield from _off(root["enableLegacyAbac"], "gives rights past RBAC; remove it")
    certificate = root.at("masterAuth", "clientCertificateConfig", "issueClientCertificate")
    yield from _off(certificate, "makes a login that cannot be revoked; set it to false")
    binding = root["rbacBindingConfig"]
    for name in ("enableInsecureBindingSystemAuthenticated", "enableInsecureBindingSystemUnauthenticated"):
        yield from _off(binding[name], "lets strangers be given rights; set it to false")


def _deletion(resource: Resource, _: Config) -> Iterator[Finding]:
    node = resource.root["deletionProtection"]
    if resource.type == CLUSTER and node.unknown:
        yield Unproven(node.where)
    elif resource.type == CLUSTER and false(node):
        yield Violation(node.where, "lets one command delete the cluster; remove it, or set it to true")


RULES: Final = (
    ResourceRule(
        name="gke-private-nodes",
        description="GKE's nodes have no public addresses, and the control plane does not answer everybody.",
        why="What the Internet cannot reach it cannot attack.",
        check=_private,
    ),
    ResourceRule(
        name="gke-workload-identity",
        description="Pods on GKE act as themselves, by Workload Identity.",
        why="Without it every Pod can take its node's credentials from the metadata server.",
        check=_identity,
    ),
    ResourceRule(
        name="gke-shielded-nodes",
        description="GKE's nodes are shielded and boot signed code alone.",
        why="Secure boot is off by default, and a changed kernel would outlive every Pod.",
        check=_shielded,
    ),
    ResourceRule(
        name="gke-node-service-account",
        description="GKE's nodes have a service account of their own.",
        why="The project's default account may often change the whole project.",
        check=_account,
    ),
    ResourceRule(
        name="gke-no-legacy-access",
        description="RBAC alone gives rights on a GKE cluster.",
        why="Legacy ABAC, client certificates and bindings to everybody pass it by.",
        check=_legacy,
    ),
    ResourceRule(
        name="gke-deletion-protection",
        description="A GKE cluster cannot be deleted by one command.",
        why="A wrong directory or a wrong stack must not end everybody's work.",
        development=Level.DISABLED,
        check=_deletion,
    ),
)
