"""Facts about Kubernetes objects that need no cluster: names, types, ids, annotations."""

import base64
import binascii
import copy
import hashlib
import secrets
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from sandbox.plugins.properties import UNKNOWN
from sandbox.plugins.server import InvalidRequest

Object = dict[str, Any]

AUTONAMED: Final = "pulumi.com/autonamed"
SKIP_AWAIT: Final = "pulumi.com/skipAwait"
WAIT_FOR: Final = "pulumi.com/waitFor"
TIMEOUT_SECONDS: Final = "pulumi.com/timeoutSeconds"
PATCH_FORCE: Final = "pulumi.com/patchForce"
PATCH_FIELD_MANAGER: Final = "pulumi.com/patchFieldManager"
DELETION_PROPAGATION: Final = "pulumi.com/deletionPropagationPolicy"
REPLACE_UNREADY: Final = "pulumi.com/replaceUnready"

# Only consulted where no API server can say: a preview before the cluster exists.
_CLUSTER_SCOPED: Final = frozenset(
    [
        "APIService",
        "CSIDriver",
        "CSINode",
        "CertificateSigningRequest",
        "ClusterRole",
        "ClusterRoleBinding",
        "ClusterTrustBundle",
        "CustomResourceDefinition",
        "DeviceClass",
        "FlowSchema",
        "IPAddress",
        "IngressClass",
        "MutatingAdmissionPolicy",
        "MutatingAdmissionPolicyBinding",
        "MutatingWebhookConfiguration",
        "Namespace",
        "Node",
        "PersistentVolume",
        "PriorityClass",
        "PriorityLevelConfiguration",
        "ResourceSlice",
        "RuntimeClass",
        "ServiceCIDR",
        "StorageClass",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "ValidatingWebhookConfiguration",
        "VolumeAttachment",
        "VolumeAttributesClass",
    ]
)

# The engine's languages cannot spell these keys; the SDKs write them with underscores.
_SCHEMA_KEYS: Final[Mapping[str, str]] = {
    f"x_kubernetes_{key}": f"x-kubernetes-{key.replace('_', '-')}"
    for key in (
        "embedded_resource",
        "int_or_string",
        "list_map_keys",
        "list_type",
        "map_type",
        "preserve_unknown_fields",
        "validations",
    )
}
_SCHEMA_PROPERTIES: Final[Mapping[str, str]] = {server: sdk for sdk, server in _SCHEMA_KEYS.items()}

_READ_ONLY_METADATA: Final = (
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "uid",
)


class Kind(NamedTuple):
    """What the API server calls a type, e.g. `apps/v1` and `Deployment`."""

    api_version: str
    kind: str

    @property
    def group(self) -> str:
        """The API group, empty for the core group."""
        return self.api_version.rpartition("/")[0]

    def __str__(self) -> str:
        return f"{self.api_version}/{self.kind}"


def kind_of_token(token: str) -> Kind:
    """Return the kind that a type token such as `kubernetes:core/v1:Secret` means.

    Raises:
        InvalidRequest: the token is not of a Kubernetes object.
    """
    module, _, name = token.partition(":")[2].partition(":")
    group, slash, version = module.rpartition("/")
    if not slash or not group or not version or not name:
        raise InvalidRequest(f"{token} is not the type of a Kubernetes object")
    return Kind(version if group == "core" else module, name)


def token_of_kind(kind: Kind) -> str:
    """Return the type token of a kind."""
    module = kind.api_version if kind.group else f"core/{kind.api_version}"
    return f"kubernetes:{module}:{kind.kind}"


def kind_of(obj: Mapping[str, Any]) -> Kind:
    """Return the kind that the object itself states; empty strings where it does not."""
    api_version, kind = obj.get("apiVersion"), obj.get("kind")
    version = api_version if isinstance(api_version, str) else ""
    return Kind(version.removeprefix("core/"), kind if isinstance(kind, str) else "")


def scope_without_server(kind: Kind) -> bool:
    """Whether a kind is namespaced, as far as that is known without an API server."""
    known = not kind.group or kind.group.endswith(".k8s.io")
    return not (known and kind.kind in _CLUSTER_SCOPED)


def metadata(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the object's metadata; empty if it is absent or unknown."""
    found = obj.get("metadata")
    return found if isinstance(found, Mapping) else {}


def name_of(obj: Mapping[str, Any]) -> str:
    """Return the object's name; empty if it is absent or unknown."""
    found = metadata(obj).get("name")
    return found if isinstance(found, str) else ""


def namespace_of(obj: Mapping[str, Any]) -> str:
    """Return the object's namespace; empty if it is absent or unknown."""
    found = metadata(obj).get("namespace")
    return found if isinstance(found, str) else ""


def annotation(obj: Mapping[str, Any], key: str) -> str:
    """Return an annotation of the object; empty if it is absent or unknown."""
    annotations = metadata(obj).get("annotations")
    found = annotations.get(key) if isinstance(annotations, Mapping) else None
    return found if isinstance(found, str) else ""


def is_on(obj: Mapping[str, Any], key: str) -> bool:
    """Whether an annotation of the object says `true`."""
    return annotation(obj, key) == "true"


def title(obj: Mapping[str, Any]) -> str:
    """Return how messages name the object."""
    return f"{kind_of(obj)} {resource_id(namespace_of(obj), name_of(obj))}"


def resource_id(namespace: str, name: str) -> str:
    """Return the id under which the engine keeps an object."""
    return f"{namespace}/{name}" if namespace else name


def split_id(given: str) -> tuple[str, str]:
    """Return namespace (maybe empty) and name of an id."""
    namespace, _, name = given.rpartition("/")
    return namespace, name


def is_crd(obj: Mapping[str, Any]) -> bool:
    """Whether the object defines a custom resource."""
    kind = kind_of(obj)
    return kind.group == "apiextensions.k8s.io" and kind.kind == "CustomResourceDefinition"


def defined_scope(crd: Mapping[str, Any]) -> tuple[tuple[str, str], str] | None:
    """Return group and kind that a CustomResourceDefinition defines, and `Namespaced` or `Cluster`."""
    spec = crd.get("spec")
    names = spec.get("names") if isinstance(spec, Mapping) else None
    if not isinstance(spec, Mapping) or not isinstance(names, Mapping):
        return None
    return (str(spec.get("group")), str(names.get("kind"))), str(spec.get("scope"))


def is_secret(obj: Mapping[str, Any]) -> bool:
    """Whether the object is a core Secret."""
    return kind_of(obj) == ("v1", "Secret")


def is_named(obj: Mapping[str, Any]) -> bool:
    """Whether the program names the object itself, now or after the update."""
    given = obj.get("metadata")
    if given is UNKNOWN:
        return True
    name = metadata(obj).get("name")
    return name is UNKNOWN or bool(name)


def autoname(resource_name: str, seed: bytes) -> str:
    """Return a name for an object that has none: the resource's name and eight hexadecimal digits.

    The engine's seed makes the preview's name the one that the update uses.
    """
    suffix = hashlib.sha256(seed + resource_name.encode()).hexdigest() if seed else secrets.token_hex(4)
    return f"{resource_name}-{suffix[:8]}"


def set_name(obj: Object, name: str) -> None:
    """Give the object a name that the program did not choose, and note that on it."""
    meta = obj.setdefault("metadata", {})
    if not isinstance(meta, dict):
        return
    meta["name"] = name
    if meta.get("annotations") is UNKNOWN:
        return
    meta["annotations"] = {**(meta.get("annotations") or {}), AUTONAMED: "true"}


def to_server(value: Any) -> Any:
    """Return a deep copy with keys as the API server spells them."""
    return _renamed(value, _SCHEMA_KEYS)


def from_server(value: Any) -> Any:
    """Return a deep copy with keys as the SDKs spell them."""
    return _renamed(value, _SCHEMA_PROPERTIES)


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {names.get(key, key): _renamed(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [_renamed(item, names) for item in value]
    return value


def normalized(obj: Mapping[str, Any]) -> Object:
    """Return the object as the API server would store what is given, where that needs no server.

    Fields that only the server writes are left out; text of a Secret becomes its data.
    """
    result = copy.deepcopy(dict(obj))
    if isinstance(result.get("metadata"), dict):
        for key in _READ_ONLY_METADATA:
            result["metadata"].pop(key, None)
    if is_crd(result):
        result.pop("status", None)
        if isinstance(result.get("spec"), dict) and result["spec"].get("preserveUnknownFields") is False:
            del result["spec"]["preserveUnknownFields"]
    if is_secret(result):
        _normalize_secret(result)
    return result


def _normalize_secret(secret: Object) -> None:
    text = secret.get("stringData")
    data = secret.get("data")
    if isinstance(data, dict):
        secret["data"] = data = {key: _canonical_base64(value) for key, value in data.items()}
    if isinstance(text, dict) and (data is None or isinstance(data, dict)):
        del secret["stringData"]
        encoded = {key: _encoded(value) for key, value in text.items()}
        if encoded:
            secret["data"] = {**(data or {}), **encoded}


def _encoded(value: Any) -> Any:
    return base64.b64encode(value.encode()).decode() if isinstance(value, str) else value


def _canonical_base64(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return base64.b64encode(base64.b64decode(value)).decode()
    except (binascii.Error, ValueError):
        return value  # the server says what is wrong with it, in its own words
