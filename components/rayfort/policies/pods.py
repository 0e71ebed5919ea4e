"""What Pods run and what they may do on their node and in the cluster."""

from collections.abc import Callable, Iterator
from typing import Any, Final

from rayfort.policies.allowances import ALLOWED, allowed, setting, unless_listed
from rayfort.policies.kinds import Pods, is_release, pods
from rayfort.policies.rule import Finding, Resource, ResourceCheck, ResourceRule, Unproven, Violation
from rayfort.policies.values import Node, Unknown, false, true

_MOUNT: Final = "automountServiceAccountToken"
# Istio's injection puts the sidecar's own image here.
_INJECTED: Final = "auto"
_LATEST: Final = "latest"
_PIN: Final = "name a version's tag or a digest"
_HOST: Final = ("hostNetwork", "hostPID", "hostIPC")
# What Kubernetes' level `baseline` lets a container add.
_BASELINE: Final = frozenset(
    {
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    }
)
_ALLOWED: Final = {ALLOWED: setting("Objects that the rule leaves alone, as namespace/name")}


def _images(resource: Resource) -> Iterator[Finding]:
    for each in pods(resource):
        for container in each.containers():
            yield from _image(container["image"])
    if is_release(resource):
        for node in resource.root["values"].walk():
            name = node.path[-1] if node.path else ""
            latest = name == "tag" and node.value == _LATEST
            if latest or (name == "image" and tag_of(node.text) == _LATEST):
                yield Violation(node.where, f"moves under what runs; {_PIN}")


def _image(node: Node) -> Iterator[Finding]:
    if node.unknown:
        yield Unproven(node.where)
    elif node.text and node.text != _INJECTED and tag_of(node.text) in ("", _LATEST):
        yield Violation(node.where, f"has no tag, or latest, and moves under what runs; {_PIN}")


def tag_of(image: str) -> str:
    """The tag of an image, or its digest if it has one; empty for neither."""
    name, _, digest = image.partition("@")
    return digest or name.rpartition("/")[2].partition(":")[2]


def _tokens(resource: Resource) -> Iterator[Finding]:
    for each in pods(resource):
        if each.spec.missing:
            continue
        node, account = each.spec[_MOUNT], each.spec["serviceAccountName"]
        if node.unknown:
            yield Unproven(node.where)
        elif false(node):
            continue
        elif each.ray and not each.autoscaled:
            yield Violation(
                node.where,
                "gives a token for the API to everybody's code on Ray, which needs none; set it to false",
            )
        elif not each.ray and account.text in ("", "default") and not account.unknown:
            yield Violation(
                node.where,
                "gives the namespace's own account's token to these Pods; set it to false, or "
                "give them a service account of their own",
            )


def _withhold(type_: str, properties: dict[str, Any]) -> None:
    """Withhold the token wherever the rule asks for it."""
    resource = Resource(type_, "", properties)
    for each in pods(resource):
        spec = each.spec.value
        own = each.spec["serviceAccountName"].text not in ("", "default")
        if isinstance(spec, dict) and not each.autoscaled and (each.ray or not own):
            spec.setdefault(_MOUNT, False)


def _hardened(resource: Resource) -> Iterator[Finding]:
    for each in pods(resource):
        for name in _HOST:
            yield from _off(each.spec[name], "shares it with the node; remove it")
        for volume in each.spec["volumes"].items():
            path = volume["hostPath"]
            if volume.unknown:
                yield Unproven(volume.where)
            elif not path.missing:
                yield Violation(path.where, "is a directory of the node; use another kind of volume")
        yield from _containers(each)


def _containers(each: Pods) -> Iterator[Finding]:
    for container in each.containers():
        context = container["securityContext"]
        yield from _off(context["privileged"], "is root on the node; remove it")
        yield from _off(context["allowPrivilegeEscalation"], "lets a process become root; set it to false")
        added = context.at("capabilities", "add")
        beyond = [item for item in added.items() if item.text not in _BASELINE]
        if any(isinstance(item.value, Unknown) for item in beyond):
            yield Unproven(added.where)
        elif beyond:
            yield Violation(added.where, "goes beyond Kubernetes' level baseline; remove it")


def _off(node: Node, problem: str) -> Iterator[Finding]:
    if node.unknown:
        yield Unproven(node.where)
    elif true(node):
        yield Violation(node.where, problem)


def _unless_allowed(check: Callable[[Resource], Iterator[Finding]]) -> ResourceCheck:
    return lambda resource, config: unless_listed(resource, allowed(config), check(resource))


RULES: Final = (
    ResourceRule(
        name="images-pinned",
        description="Every image has a tag that says its version, or a digest.",
        why="What runs would change without anybody changing the stack.",
        settings=_ALLOWED,
        check=_unless_allowed(_images),
    ),
    ResourceRule(
        name="service-account-tokens",
        description="Pods that do not need the Kubernetes API get no token for it.",
        why="Ray runs its users' code in its Pods: a token there is theirs. Ray's head needs one for "
        "autoscaling alone; other Pods may have one with a service account of their own.",
        settings=_ALLOWED,
        check=_unless_allowed(_tokens),
        remediate=_withhold,
    ),
    ResourceRule(
        name="hardened-pods",
        description="Pods are not privileged and share nothing with their node.",
        why="A way onto the node is a way to every other Pod there.",
        settings=_ALLOWED,
        check=_unless_allowed(_hardened),
    ),
)
