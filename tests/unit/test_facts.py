"""Facts of clusters, versions, and the value types and laws that all models share."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import semver
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from rayfort import ClusterDns, ClusterFacts, versions
from rayfort.chart import Chart
from rayfort.model import (
    Cidr,
    Cpus,
    DnsLabel,
    DnsName,
    EnvName,
    HttpUrl,
    ImageReference,
    ImageRepository,
    ImageTag,
    Port,
    Quantity,
    SemVer,
    merge,
)

NUMBERS = st.tuples(st.integers(0, 30), st.integers(0, 60), st.integers(0, 30))
LEAVES = st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2)
# Objects stand under upper-case keys and leaves under lower-case ones, so that objects meet objects.
OBJECTS = st.recursive(
    st.dictionaries(st.sampled_from("ab"), LEAVES, max_size=2),
    lambda inner: st.builds(
        lambda leaves, objects: {**leaves, **objects},
        st.dictionaries(st.sampled_from("ab"), LEAVES, max_size=2),
        st.dictionaries(st.sampled_from("XY"), inner, max_size=2),
    ),
    max_leaves=8,
)
ANY_OBJECTS = st.dictionaries(
    st.sampled_from("abc"),
    st.recursive(LEAVES, lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3)),
    max_size=3,
)


def text(numbers: tuple[int, int, int]) -> str:
    return ".".join(map(str, numbers))


def leaves(value: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    if not isinstance(value, dict):
        return {path: value}
    return {where: leaf for key, item in value.items() for where, leaf in leaves(item, (*path, key)).items()}


# Versions.


@given(NUMBERS, NUMBERS)
def test_versions_are_ordered_by_their_numbers(
    one: tuple[int, int, int], other: tuple[int, int, int]
) -> None:
    """As text 1.10.0 is before 1.9.0."""
    assert versions.at_least(text(one), text(other)) == (one >= other)


@given(NUMBERS, NUMBERS, NUMBERS)
def test_a_newer_version_can_all_that_an_older_one_can(
    one: tuple[int, int, int], two: tuple[int, int, int], floor: tuple[int, int, int]
) -> None:
    """A feature that came does not go."""
    older, newer = sorted((one, two))
    if versions.at_least(text(older), text(floor)):
        assert versions.at_least(text(newer), text(floor))


@given(NUMBERS, st.sampled_from(["-rc.0", "-alpha.1", "+build", "-rc.1+gke.7"]))
def test_a_pre_release_counts_as_its_release(numbers: tuple[int, int, int], suffix: str) -> None:
    """Whoever runs 1.31.0-rc.0 wants what 1.31.0 has."""
    assert versions.at_least(text(numbers) + suffix, text(numbers))


@pytest.mark.parametrize("version", ["", "1", "1.2", "v1.2.3", "1.2.3.4", "latest"])
def test_what_is_no_version_is_refused(version: str) -> None:
    """Compared as if it were one, it would switch features by chance."""
    with pytest.raises(ValueError, match="is not valid SemVer"):
        versions.at_least(version, "1.0.0")
    with pytest.raises(ValidationError, match="without a leading 'v'"):
        TypeAdapter(SemVer).validate_python(version)


def test_default_versions_can_what_the_defaults_ask_for() -> None:
    """The defaults must work together: token by Secret name, TLS 1.3 flag, native sidecars."""
    assert versions.at_least(versions.KUBERAY, versions.KUBERAY_AUTH_SECRET_NAME)
    assert versions.at_least(versions.RAY, versions.RAY_TOKEN_AUTH)
    assert versions.at_least(versions.ISTIO, versions.ISTIO_TLS_MIN_VERSION_FLAG)
    assert versions.at_least(versions.ISTIO, versions.ISTIO_NATIVE_SIDECARS_AUTO)


def test_versions_are_written_without_a_v() -> None:
    """Charts and images add it themselves."""
    texts = [value for name, value in vars(versions).items() if name.isupper() and isinstance(value, str)]
    numbers = [text for text in texts if text[:1].isdigit()]
    assert len(numbers) >= 10
    for number in numbers:
        assert semver.Version.is_valid(number) or number == versions.KBATCH_PROXY


# Facts.


@pytest.mark.parametrize(
    ("dns", "expected"),
    [(ClusterDns.COREDNS, True), (ClusterDns.KUBE_DNS, False), (ClusterDns.CLOUD_DNS, False)],
)
def test_only_coredns_names_pods_by_their_address(dns: ClusterDns, expected: bool) -> None:
    """The dashed address is a habit of CoreDNS; kube-dns names endpoints by a hash."""
    assert dns.names_pods_by_address is expected


@pytest.mark.parametrize(
    ("oldest", "floor", "expected"),
    [
        ("1.33.0", "1.33.0", True),
        ("1.36.3", "1.33.0", True),
        ("1.32.9", "1.33.0", False),
        ("1.33.0-gke.2100", "1.33.0", True),
        ("1.9.0", "1.33.0", False),
    ],
)
def test_kubelets_are_compared_by_version(oldest: str, floor: str, expected: bool) -> None:
    """GKE's versions have a suffix."""
    assert ClusterFacts(kubernetes_version=oldest).kubelets_at_least(floor) is expected


def test_models_are_frozen_and_know_their_keys() -> None:
    """A setting that is changed or mistyped after it was checked is not checked."""
    with pytest.raises(ValidationError):
        ClusterFacts().dns = ClusterDns.KUBE_DNS  # type: ignore[misc]
    with pytest.raises(ValidationError):
        ClusterFacts(colour="blue")  # type: ignore[call-arg]


def test_keys_are_camel_case_in_yaml_and_snake_case_in_python() -> None:
    """One model serves both."""
    assert ClusterFacts.model_validate({"kubernetesVersion": "1.30.0"}) == ClusterFacts(
        kubernetes_version="1.30.0"
    )


# Charts.


@pytest.mark.parametrize(
    ("chart", "is_path"),
    [
        ({"chart": "base", "repository": "https://charts.example", "version": "1.0.0"}, False),
        ({"chart": "oci://registry.example/base", "version": "1.0.0"}, False),
        ({"chart": "https://charts.example/base.tgz", "version": "1.0.0"}, False),
        ({"chart": "charts/base"}, True),
        ({"chart": "/charts/base.tgz"}, True),
    ],
)
def test_relative_paths_of_charts_are_the_projects(
    chart: dict[str, str], is_path: bool, tmp_path: Any
) -> None:
    """Pulumi runs the program in another directory than the one that a stack's author thinks of."""
    made = Chart(**chart)
    assert made.is_path is is_path
    assert made.under(tmp_path).chart == (str(tmp_path / chart["chart"]) if is_path else chart["chart"])


@pytest.mark.parametrize(
    "chart", [{"chart": "base", "repository": "https://charts.example"}, {"chart": "oci://x.example/base"}]
)
def test_a_chart_of_a_repository_is_pinned(chart: dict[str, str]) -> None:
    """Helm would take the newest one at every `up`."""
    with pytest.raises(ValidationError, match="has no version"):
        Chart(**chart)


# Value types.

DIGEST = "sha256:" + "0a" * 32
VALUES: list[tuple[Any, list[Any], list[Any]]] = [
    (
        DnsLabel,
        ["a", "team-a", "a" * 63, "x1"],
        ["", "A", "1a", "-a", "a-", "a_b", "a.b", "a" * 64, "a\n", "é"],
    ),
    (
        DnsName,
        ["cluster.local", "corp.example", "a", "10.example"],
        ["", ".", "a.", ".a", "a..b", "-a.b", "A.b", "a b"],
    ),
    (
        Quantity,
        ["1", "500m", "0.5", "4Gi", 2, 0.5],
        ["", "-1", "4GiB", "4 Gi", "Gi", "1,5", ".5", True, None],
    ),
    (Cpus, ["1", "500m", "0.5", 4], ["", "4Gi", "1k", "-1", "1.5m", True]),
    (Cidr, ["10.0.0.0/8", "0.0.0.0/0", "10.0.0.1/32", "fd00::/8"], ["", "10.0.0.1/8", "10.0.0.0/33", "x"]),
    (Port, [1, 8080, 65535], [0, 65536, -1, "8080", True, 1.5, None]),
    (EnvName, ["A", "_a1", "RAY_x"], ["", "1A", "A-B", "A B", "A="]),
    (
        HttpUrl,
        ["https://charts.example", "http://127.0.0.1:8080/charts", "https://x.example/a/"],
        ["", "charts.example", "ftp://x.example", "https://", "https://user:pw@x.example", "https://x y"],
    ),
    (
        ImageRepository,
        ["rayproject/ray", "docker.io/rayproject/ray", "localhost:5000/ray", "gcr.io/a/b-c/d_e"],
        ["", "ray:2.55", "Ray", "ray/", "/ray", f"ray@{DIGEST}", "docker.io/ray:latest"],
    ),
    (ImageTag, ["2.55.1", "v1.6.2", "latest", "_x"], ["", ".x", "-x", "a:b", "a/b", "x" * 129]),
    (
        ImageReference,
        [
            "ray",
            "ray:2.55.1",
            "localhost:5000/ray:x",
            "r.example/ray@sha256:" + "a" * 64,
            "ray:t@sha256:" + "0" * 64,
        ],
        ["", "Ray", "ray:", "ray@sha256:12", "ray image", "https://r.example/ray", "ray:a:b"],
    ),
    (SemVer, ["1.0.0", "1.31.0-rc.0", "2.55.1+cpu"], ["v1.0.0", "1.0", "1", "latest"]),
]


@pytest.mark.parametrize(("kind", "value"), [(kind, value) for kind, good, _ in VALUES for value in good])
def test_what_kubernetes_takes_is_taken(kind: Any, value: Any) -> None:
    """A check that is stricter than the cluster locks somebody out."""
    assert TypeAdapter(kind).validate_python(value) == (str(value) if kind in (Quantity, Cpus) else value)


@pytest.mark.parametrize(("kind", "value"), [(kind, value) for kind, _, bad in VALUES for value in bad])
def test_what_kubernetes_refuses_is_refused(kind: Any, value: Any) -> None:
    """Found here it names a key; found there it names an object, half-way through an update."""
    with pytest.raises(ValidationError):
        TypeAdapter(kind).validate_python(value)


# merge.


@given(ANY_OBJECTS)
def test_an_empty_object_changes_nothing(value: dict[str, Any]) -> None:
    """On either side."""
    assert merge({}, value) == value
    assert merge(value, {}) == value


@given(ANY_OBJECTS)
def test_laying_an_object_over_itself_changes_nothing(value: dict[str, Any]) -> None:
    """The same settings twice are the same settings."""
    assert merge(value, value) == value


@given(ANY_OBJECTS, ANY_OBJECTS)
def test_what_is_laid_over_wins(base: dict[str, Any], over: dict[str, Any]) -> None:
    """Every value of the upper one is in the result, where the upper one has it."""
    merged = leaves(merge(base, over))
    for path, value in leaves(over).items():
        assert merged[path] == value


@given(ANY_OBJECTS, ANY_OBJECTS)
def test_keys_that_only_one_has_are_kept(base: dict[str, Any], over: dict[str, Any]) -> None:
    """Additions do not take away."""
    merged = merge(base, over)
    assert merged.keys() == base.keys() | over.keys()
    for key in base.keys() - over.keys():
        assert merged[key] == base[key]


@given(OBJECTS, OBJECTS, OBJECTS)
def test_layers_can_be_grouped_as_one_likes(one: Any, two: Any, three: Any) -> None:
    """Where objects meet objects: defaults, a site's settings and a stack's give one result."""
    assert merge(merge(one, two), three) == merge(one, merge(two, three))


@given(ANY_OBJECTS, ANY_OBJECTS)
def test_merging_changes_neither_side(base: dict[str, Any], over: dict[str, Any]) -> None:
    """Models are shared between components."""
    before = copy.deepcopy((base, over))
    merge(base, over)
    assert (base, over) == before
