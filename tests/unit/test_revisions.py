"""Upgrades of the mesh: a second istiod beside the first, and workspaces that move over."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from rayfort import IstioMesh, IstioMeshArgs
from rayfort.mesh import membership
from rayfort.mesh.istio import base_values, istiod_values
from rayfort.mesh.revisions import can_meet
from rayfort.mesh.sidecars import Sidecars
from rayfort.ray.operator import KubeRayOperatorArgs, chart_values

from tests.unit import samples
from tests.unit.recorder import RELEASE, Run, record

CANARY = {"version": "1.31.0", "revision": "1-31-0"}


def make(*, preview: bool = False, **settings: Any) -> Run:
    return record(lambda: IstioMesh("mesh", IstioMeshArgs(**settings), samples.on_cluster()), preview=preview)


def releases(run: Run) -> dict[str, str]:
    """The name of each release in Pulumi, by its name for Helm."""
    return {item.inputs["name"]: item.name for item in run.all(RELEASE)}


def test_without_a_revision_istiod_is_called_istiod() -> None:
    """A mesh that was made before stays what it is."""
    assert releases(make()) == {"istio-base": "mesh-base", "istiod": "mesh-istiod"}
    values = istiod_values(IstioMeshArgs())
    assert not {"revision", "revisionTags"} & values.keys()


def test_a_canary_stands_beside_the_mesh_s_own_istiod(preview: bool) -> None:
    """Each with its own release, version and webhook."""
    run = make(preview=preview, version="1.30.3", canary=CANARY)
    by_name = {item.inputs["name"]: item.inputs for item in run.all(RELEASE)}
    assert set(by_name) == {"istio-base", "istiod", "istiod-1-31-0"}
    assert by_name["istiod"]["version"] == "1.30.3"
    assert by_name["istiod-1-31-0"]["version"] == "1.31.0"
    values = by_name["istiod-1-31-0"]["values"]
    assert values["revision"] == "1-31-0"
    # Namespaces that name no revision stay with the mesh's own.
    assert "revisionTags" not in values


def test_definitions_are_the_newest_istiod_s() -> None:
    """Older istiods understand them; the other way round a field would be dropped."""
    run = make(version="1.30.3", canary=CANARY)
    versions = {item.inputs["name"]: item.inputs["version"] for item in run.all(RELEASE)}
    assert versions["istio-base"] == "1.31.0"


def test_a_canary_that_takes_over_stays_as_it_is() -> None:
    """Its release keeps its name in Pulumi and for Helm, so that nothing is made anew."""
    before = releases(make(version="1.30.3", revision="1-30-3", canary=CANARY))
    after = releases(make(version="1.31.0", revision="1-31-0"))
    assert after.items() <= before.items()
    assert set(before) - set(after) == {"istiod-1-30-3"}


def test_the_mesh_s_own_revision_serves_namespaces_that_name_none() -> None:
    """`istio-injection: enabled` is what users' own namespaces say."""
    values = istiod_values(IstioMeshArgs(revision="1-30-3"))
    assert (values["revision"], values["revisionTags"]) == ("1-30-3", ["default"])
    assert base_values(IstioMeshArgs(revision="1-30-3")) == {"defaultRevision": "1-30-3"}


def test_the_canary_has_the_mesh_s_tls_and_its_own_version_s_arguments() -> None:
    """The flag for istiod's own ports came with 1.30."""
    args = IstioMeshArgs(version="1.29.6", canary={**CANARY, "version": "1.30.0"})
    own, canary = (istiod_values(args, istiod=istiod) for istiod in args.istiods)
    assert "extraContainerArgs" not in own
    assert canary["extraContainerArgs"] == ["--tls-min-version=1.3"]
    assert own["meshConfig"] == canary["meshConfig"]


def test_policies_wait_for_both_istiods(preview: bool) -> None:
    """Either may be the one that validates them."""
    run = make(preview=preview, canary=CANARY)
    before = run.before(run.one("PeerAuthentication"))
    assert {item.urn for item in run.all(RELEASE)} <= before


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"revision": "a", "canary": {**CANARY, "revision": "a"}}, "that of the mesh's own istiod"),
        ({"canary": {**CANARY, "revision": "default"}}, "that of the mesh's own istiod"),
        ({"version": "1.29.6", "canary": CANARY}, "one minor version at a time"),
    ],
)
def test_what_istio_cannot_do_is_refused(settings: dict[str, Any], problem: str) -> None:
    """Before anything is touched."""
    with pytest.raises(ValidationError, match=problem):
        IstioMeshArgs(**settings)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("1.30.3", "1.31.0", True),
        ("1.31.0", "1.30.3", True),
        ("1.30.3", "1.30.4", True),
        ("1.29.0", "1.31.0", False),
        ("1.30.0", "2.30.0", False),
    ],
)
def test_versions_meet_within_one_minor(one: str, other: str, expected: bool) -> None:
    """What Istio supports between control planes."""
    assert can_meet(one, other) is expected


def test_pods_and_namespaces_name_their_istiod() -> None:
    """Both labels at once would give precedence to the one without a revision."""
    assert membership.namespace_labels(None) == {"istio-injection": "enabled", "istio-discovery": "enabled"}
    assert membership.namespace_labels("a") == {"istio.io/rev": "a", "istio-discovery": "enabled"}
    assert membership.pod_labels("a") == {"sidecar.istio.io/inject": "true", "istio.io/rev": "a"}


def test_the_operator_follows_the_mesh_s_revision() -> None:
    """Its namespace carries no label, its Pod does."""
    values = chart_values(KubeRayOperatorArgs(), Sidecars.NATIVE, revision="a")
    assert values["labels"] == {"sidecar.istio.io/inject": "true", "istio.io/rev": "a"}
