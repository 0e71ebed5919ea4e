"""The tools of the sandbox and where each comes from.

To add a tool: an entry in `TOOLS` and, for a module that is not here yet, a folder with its go.mod and go.sum
(see README.md in this folder). The version of a tool stands in that go.mod and nowhere else.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from sandbox.tools.errors import ToolchainError

_HERE = Path(__file__).parent
_SEMVER = re.compile(r"v?(\d+)\.(\d+)\.(\d+)(-[0-9A-Za-z.-]+)?")


@dataclass(frozen=True)
class Pin:
    """What a go.mod pins.

    Attributes:
        version: the version of the module itself, as "v1.36.3".
        requires: every module that the go.mod requires, with its version.
        go: the lowest Go version that may build it, as (1, 26).
    """

    version: str
    requires: Mapping[str, str]
    go: tuple[int, int]

    @property
    def major(self) -> str:
        return str(numbers(self.version)[0])

    @property
    def minor(self) -> str:
        return str(numbers(self.version)[1])


def _nothing(_pin: Pin) -> Mapping[str, str]:
    return {}


@dataclass(frozen=True)
class Module:
    """An upstream Go module, pinned by a small wrapper module of ours.

    Attributes:
        folder: the wrapper module's folder, beside this file.
        path: the upstream module path.
        disk_gb: disk that its download and build take until they are cleaned away; the biggest is
            built first.
        variables: Go variables to set in the binary, from the pin; without them most tools do not know
            their own version.
    """

    folder: str
    path: str
    disk_gb: float
    variables: Callable[[Pin], Mapping[str, str]] = _nothing


Rule = Callable[[str, str], bool]


@dataclass(frozen=True)
class Tool:
    """A program that the sandbox runs.

    Attributes:
        name: the name of the executable.
        module: the module it is built from.
        package: the Go package that is its main package.
        version_command: arguments that make it print its version; empty for a program that cannot, whose
            version is then read from the build information that Go puts in every binary.
        accepts: whether a version found on PATH will do: (found, pinned) -> bool.
        reports: the version that a correct build prints, from the pin.
        tags: Go build tags.
    """

    name: str
    module: Module
    package: str
    version_command: tuple[str, ...]
    accepts: Rule
    reports: Callable[[Pin], str] = field(default=lambda pin: pin.version)
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Asset:
    """Files out of a module that the sandbox needs beside its tools.

    Attributes:
        name: what it is asked for by.
        module: the module that holds it.
        folder: the folder inside the module.
        files: glob patterns below that folder.
    """

    name: str
    module: Module
    folder: str
    files: tuple[str, ...]


def numbers(version: str) -> tuple[int, int, int]:
    """The numbers of a semantic version, with or without the leading v; (0, 0, 0) for anything else."""
    match = _SEMVER.match(version)
    return (int(match[1]), int(match[2]), int(match[3])) if match else (0, 0, 0)


def _order(version: str) -> tuple[tuple[int, int, int], bool]:
    match = _SEMVER.match(version)
    return numbers(version), not (match and match[4])  # a pre-release comes before its release


def exactly(found: str, pinned: str) -> bool:
    """The very same version."""
    return found == pinned


def never(_found: str, _pinned: str) -> bool:
    """Not from PATH at all: it runs in a root filesystem where nothing of this machine's is at hand."""
    return False


def same_minor(found: str, pinned: str) -> bool:
    """The same major and minor version."""
    return numbers(found)[:2] == numbers(pinned)[:2]


def within_one_minor(found: str, pinned: str) -> bool:
    """The skew that Kubernetes allows between kubectl and the API server."""
    return numbers(found)[0] == numbers(pinned)[0] and abs(numbers(found)[1] - numbers(pinned)[1]) <= 1


def same_major_minor_or_newer(found: str, pinned: str) -> bool:
    """The same major version, and its minor version is not older."""
    return numbers(found)[0] == numbers(pinned)[0] and numbers(found)[1] >= numbers(pinned)[1]


def not_older(found: str, pinned: str) -> bool:
    """The same major version, and not older."""
    return numbers(found)[0] == numbers(pinned)[0] and _order(found) >= _order(pinned)


def _stamp(*variables: str) -> Callable[[Pin], Mapping[str, str]]:
    return lambda pin: dict.fromkeys(variables, pin.version)


def _kubernetes_variables(pin: Pin) -> Mapping[str, str]:
    # Without these the API server says v0.0.0-master, which clients refuse to parse or take for ancient.
    package = "k8s.io/component-base/version"
    return {
        f"{package}.gitVersion": pin.version,
        f"{package}.gitMajor": pin.major,
        f"{package}.gitMinor": pin.minor,
    }


def _istio_version(pin: Pin) -> str:
    # The module has no releases, only commits. Upstream calls such builds <minor>-alpha.<commit>; the minor
    # is that of the API module which goes with it.
    major, minor, _ = numbers(pin.requires["istio.io/api"])
    return f"{major}.{minor}-alpha.{pin.version.rpartition('-')[2]}"


PULUMI = Module(
    folder="pulumi",
    path="github.com/pulumi/pulumi/pkg/v3",
    disk_gb=2.5,
    variables=_stamp("github.com/pulumi/pulumi/sdk/v3/go/common/version.Version"),
)
ETCD = Module(folder="etcd", path="go.etcd.io/etcd/server/v3", disk_gb=0.6)
KUBERNETES = Module(
    folder="kubernetes", path="k8s.io/kubernetes", disk_gb=3.0, variables=_kubernetes_variables
)
HELM = Module(
    folder="helm",
    path="helm.sh/helm/v3",
    disk_gb=1.2,
    variables=_stamp("helm.sh/helm/v3/internal/version.version"),
)
KWOK = Module(
    folder="kwok",
    path="sigs.k8s.io/kwok",
    disk_gb=1.0,
    variables=_stamp("sigs.k8s.io/kwok/pkg/consts.Version"),
)
RAY_OPERATOR = Module(folder="ray-operator", path="github.com/ray-project/kuberay/ray-operator", disk_gb=1.0)
ISTIO = Module(
    folder="istio",
    path="istio.io/istio",
    disk_gb=2.5,
    variables=lambda pin: {"istio.io/istio/pkg/version.buildVersion": _istio_version(pin)},
)


COREDNS = Module(folder="coredns", path="github.com/coredns/coredns", disk_gb=1.5)

CALICO = Module(
    folder="calico",
    path="github.com/projectcalico/calico",
    disk_gb=2.0,
    # main.VERSION is the plugin's
    variables=_stamp("github.com/projectcalico/calico/felix/buildinfo.GitVersion", "main.VERSION"),
)
LOCAL_PATH = Module(
    folder="local-path-provisioner",
    path="github.com/rancher/local-path-provisioner",
    disk_gb=0.8,
    variables=_stamp("main.VERSION"),
)
CRANE = Module(
    folder="crane",
    path="github.com/google/go-containerregistry",
    disk_gb=0.3,
    variables=_stamp("github.com/google/go-containerregistry/cmd/crane/cmd.Version"),
)
ACTIONLINT = Module(
    folder="actionlint",
    path="github.com/rhysd/actionlint",
    disk_gb=0.1,
    variables=_stamp("github.com/rhysd/actionlint.version"),
)
KIND = Module(folder="kind", path="sigs.k8s.io/kind", disk_gb=0.3)
# A collector is put together from modules, by a program that OpenTelemetry's own builder writes: it lies
# beside this go.mod, with the builder's settings.
OTELCOL = Module(folder="otelcol", path="go.opentelemetry.io/collector/otelcol", disk_gb=0.8)
# A Go module in name only: it holds charts.
PROMETHEUS_CHARTS = Module(
    folder="prometheus-charts", path="github.com/prometheus-community/helm-charts", disk_gb=0.1
)


def _kubernetes_tool(name: str, accepts: Rule = same_minor) -> Tool:
    return Tool(name, KUBERNETES, f"k8s.io/kubernetes/cmd/{name}", ("--version",), accepts)


# Istio's own, of all that runs on nodes.
_ISTIO_AGENT_TAGS = ("agent", "disable_pgv", "grpcnotrace", "retrynotrace")

_TOOLS = (
    Tool("pulumi", PULUMI, "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi", ("version",), not_older),
    # Runs programs in YAML; and Pulumi's generators of SDKs, beside this go.mod. Built with the engine, they
    # cost little: nearly all that they are made of is in it. Their version is the engine's.
    Tool(
        "pulumi-language-yaml", PULUMI, "github.com/pulumi/pulumi-yaml/cmd/pulumi-language-yaml", (), exactly
    ),
    Tool("sdkgen", PULUMI, "rayfort.local/tools/pulumi/sdkgen", (), exactly),
    Tool("etcd", ETCD, "go.etcd.io/etcd/server/v3", ("--version",), same_minor),
    _kubernetes_tool("kube-apiserver"),
    _kubernetes_tool("kube-controller-manager"),
    _kubernetes_tool("kube-scheduler"),
    Tool("kubectl", KUBERNETES, "k8s.io/kubernetes/cmd/kubectl", ("version", "--client"), within_one_minor),
    _kubernetes_tool("kubelet", never),
    _kubernetes_tool("kube-proxy", never),
    Tool("kubeadm", KUBERNETES, "k8s.io/kubernetes/cmd/kubeadm", ("version", "-o", "short"), same_minor),
    Tool("helm", HELM, "helm.sh/helm/v3/cmd/helm", ("version", "--short"), same_major_minor_or_newer),
    Tool("kwok", KWOK, "sigs.k8s.io/kwok/cmd/kwok", ("--version",), exactly),
    Tool("ray-operator", RAY_OPERATOR, "github.com/ray-project/kuberay/ray-operator", (), exactly),
    Tool(
        "pilot-discovery",
        ISTIO,
        "istio.io/istio/pilot/cmd/pilot-discovery",
        ("version", "--short"),
        exactly,
        reports=_istio_version,
        tags=("vtprotobuf", "disable_pgv"),
    ),
    Tool(
        "pilot-agent",
        ISTIO,
        "istio.io/istio/pilot/cmd/pilot-agent",
        ("version", "--short"),
        never,
        reports=_istio_version,
        tags=_ISTIO_AGENT_TAGS,
    ),
    Tool("install-cni", ISTIO, "istio.io/istio/cni/cmd/install-cni", (), never, tags=_ISTIO_AGENT_TAGS),
    Tool("istio-cni", ISTIO, "istio.io/istio/cni/cmd/istio-cni", (), never, tags=_ISTIO_AGENT_TAGS),
    Tool(
        "calico-felix",
        CALICO,
        "github.com/projectcalico/calico/felix/cmd/calico-felix",
        ("--version",),
        never,
    ),
    Tool("calico", CALICO, "github.com/projectcalico/calico/cni-plugin/cmd/calico", ("-v",), never),
    Tool(
        "local-path-provisioner",
        LOCAL_PATH,
        "github.com/rancher/local-path-provisioner",
        ("--version",),
        never,
    ),
    Tool(
        "coredns",
        COREDNS,
        "github.com/coredns/coredns",
        ("-version",),
        never,
    ),
    Tool("kind", KIND, "sigs.k8s.io/kind", ("version", "--quiet"), exactly),
    Tool("actionlint", ACTIONLINT, "github.com/rhysd/actionlint/cmd/actionlint", ("-version",), not_older),
    Tool("otelcol", OTELCOL, "rayfort.local/tools/otelcol", ("--version",), never),
    Tool(
        "crane",
        CRANE,
        "github.com/google/go-containerregistry/cmd/crane",
        ("version",),
        same_major_minor_or_newer,
    ),
)
# What Felix reads.
_CALICO_KINDS = (
    "bgpconfigurations",
    "clusterinformations",
    "felixconfigurations",
    "globalnetworkpolicies",
    "globalnetworksets",
    "hostendpoints",
    "ippools",
    "networkpolicies",
    "networksets",
)
_ASSETS = (
    Asset("istio-base-chart", ISTIO, "manifests/charts/base", ("**/*",)),
    Asset("istio-istiod-chart", ISTIO, "manifests/charts/istio-control/istio-discovery", ("**/*",)),
    Asset("istio-cni-chart", ISTIO, "manifests/charts/istio-cni", ("**/*",)),
    # What Envoy starts from, made for Istio's build of it and good for any other.
    Asset("istio-envoy-bootstrap", ISTIO, "tools/packaging/common", ("envoy_bootstrap.json",)),
    Asset("istio-gateway-chart", ISTIO, "manifests/charts/gateway", ("**/*",)),
    Asset("kuberay-crds", RAY_OPERATOR, "config/crd/bases", ("*.yaml",)),
    # without kustomization.yaml, which no API server takes
    Asset(
        "kuberay-rbac", RAY_OPERATOR, "config/rbac", ("role*.yaml", "*_role*.yaml", "service_account.yaml")
    ),
    Asset(
        "calico-definitions",
        CALICO,
        "libcalico-go/config/crd",
        tuple(f"*_{kind}.yaml" for kind in _CALICO_KINDS),
    ),
    Asset("local-path-manifest", LOCAL_PATH, "deploy", ("local-path-storage.yaml",)),
    # With the definitions of its parts, which Helm wants to see even where they are switched off.
    Asset(
        "prometheus-chart",
        PROMETHEUS_CHARTS,
        "charts",
        (
            "prometheus/**/*",
            "alertmanager/Chart.yaml",
            "kube-state-metrics/Chart.yaml",
            "prometheus-node-exporter/Chart.yaml",
            "prometheus-pushgateway/Chart.yaml",
        ),
    ),
    # What its node images have beside Debian's packages; for a test.
    Asset("kind-node-files", KIND, "images/base/files", ("**/*",)),
    Asset("kwok-pod-stages", KWOK, "kustomize/stage/pod/fast", ("pod-*.yaml",)),
    Asset("kwok-node-stages", KWOK, "kustomize/stage/node/fast", ("node-*.yaml",)),
)

TOOLS: Mapping[str, Tool] = MappingProxyType({tool.name: tool for tool in _TOOLS})
ASSETS: Mapping[str, Asset] = MappingProxyType({asset.name: asset for asset in _ASSETS})


@dataclass(frozen=True)
class Catalog:
    """Tools, assets and the folder that holds their wrapper modules."""

    tools: Mapping[str, Tool]
    assets: Mapping[str, Asset]
    folder: Path

    def directory(self, module: Module) -> Path:
        """The folder with the module's go.mod and go.sum."""
        return self.folder / module.folder

    def pin(self, module: Module) -> Pin:
        """Read what the module's go.mod pins."""
        return read_pin(self.directory(module) / "go.mod", module.path)


CATALOG = Catalog(TOOLS, ASSETS, _HERE)


def read_pin(go_mod: Path, path: str) -> Pin:
    """Read a go.mod.

    Args:
        go_mod: the file.
        path: the upstream module whose version is wanted.

    Raises:
        ToolchainError: the file does not require that module, or names no Go version.
    """
    text = go_mod.read_text()
    requires = dict(re.findall(r"^(?:require\s+|\t)(\S+) (v\S+)", text, re.MULTILINE))
    go = re.search(r"^go (\d+)\.(\d+)", text, re.MULTILINE)
    if path not in requires or go is None:
        raise ToolchainError(
            f"{go_mod}: does not say which version of {path} is wanted, or which Go builds it.\n"
            "  what to do: restore it with git"
        )
    return Pin(requires[path], requires, (int(go[1]), int(go[2])))
