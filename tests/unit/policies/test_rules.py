"""Each rule, on resources that break it, that nearly do, and whose values are not known yet."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest
from rayfort.policies.catalog import RULES, stage_of
from rayfort.policies.rule import (
    Finding,
    Level,
    Resource,
    ResourceRule,
    Rule,
    StackRule,
    Stage,
    Unproven,
    Violation,
)
from rayfort.policies.values import UNKNOWN, UNKNOWN_SECRET, Node

from tests.unit.policies import cases
from tests.unit.policies.broken import BROKEN
from tests.unit.policies.cases import Case
from tests.unit.policies.fine import FINE

BY_NAME: Final[Mapping[str, Rule]] = {rule.name: rule for rule in RULES}
NETWORK_POLICY: Final = "kubernetes:networking.k8s.io/v1:NetworkPolicy"
AUTHORIZATION: Final = "kubernetes:security.istio.io/v1:AuthorizationPolicy"
FENCE: Final = "ray-namespaces-deny-by-default"


def findings(rule: str, *resources: Resource, config: Mapping[str, Any] | None = None) -> list[Finding]:
    """What a rule, of either sort, finds."""
    found = BY_NAME[rule]
    if isinstance(found, StackRule):
        return list(found.findings(resources, config))
    assert isinstance(found, ResourceRule)
    return [each for resource in resources for each in found.findings(resource, config)]


def examined(case: Case) -> list[Finding]:
    resource = Resource(case.type, "made", case.properties, "urn:made", case.protect)
    return findings(case.rule, resource, config=case.config)


@pytest.mark.parametrize("case", BROKEN, ids=str)
def test_a_broken_resource_is_named_once_at_its_place(case: Case) -> None:
    [found] = examined(case)
    assert isinstance(found, Violation)
    assert found.where == case.where


@pytest.mark.parametrize("case", BROKEN, ids=str)
def test_a_message_says_what_to_do_and_quotes_no_credential(case: Case) -> None:
    for found in examined(case):
        text = str(found)
        assert "; " in text
        assert cases.LEAKED not in text
        assert cases.GITHUB not in text


@pytest.mark.parametrize("case", FINE, ids=str)
def test_a_near_miss_breaks_nothing(case: Case) -> None:
    assert examined(case) == []


def test_every_rule_has_both_kinds_of_resources() -> None:
    for cases_ in (BROKEN, FINE):
        tried = {case.rule for case in cases_} | {FENCE}
        assert tried == set(BY_NAME)


@pytest.mark.parametrize("case", [*BROKEN, *FINE], ids=str)
def test_nothing_unknown_is_a_violation(case: Case) -> None:
    """Each value of each resource in turn is what a preview does not know."""
    before = {each.where for each in examined(case) if isinstance(each, Violation)}
    for path in paths(case.properties):
        properties = replaced(case.properties, path, UNKNOWN)
        resource = Resource(case.type, "made", properties, "urn:made", case.protect)
        after = findings(case.rule, resource, config=case.config)
        told = {each.where for each in after if isinstance(each, Violation)}
        assert told <= before, path


JUNK: Final = (None, 1, 1.5, True, "", "x", "a: [", [], {}, [[]], [None], [{}], {"": None}, {"x": ["y"]})


@pytest.mark.parametrize("rule", BY_NAME)
def test_no_nonsense_makes_a_rule_fail(rule: str) -> None:
    """A rule that raises would stop every `up`, whatever the resource is."""
    for case in (*BROKEN, *FINE):
        if case.rule != rule:
            continue
        for path in paths(case.properties):
            for junk in JUNK:
                properties = replaced(case.properties, path, junk)
                findings(rule, Resource(case.type, "made", properties), config=case.config)
        for junk in JUNK:
            findings(rule, Resource(case.type, "made", junk))


def test_no_nonsense_makes_the_rule_about_fences_fail() -> None:
    for fence in (BOTH, nothing_allowed("team", rules=[{}], action="ALLOW")):
        for path in paths(fence.properties):
            for junk in JUNK:
                odd = Resource(fence.type, "odd", replaced(fence.properties, path, junk))
                findings(FENCE, RAY, odd)


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    children = (
        value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, item in children:
        yield (*path, key)
        yield from paths(item, (*path, key))


def replaced(value: Any, path: tuple[Any, ...], by: Any) -> Any:
    if not path:
        return by
    copy = dict(value) if isinstance(value, Mapping) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], by)
    return copy


@pytest.mark.parametrize(
    ("rule", "type_", "properties", "where"),
    [
        ("mtls-strict", cases.PEER, {"spec": {"mtls": {"mode": UNKNOWN}}}, "spec.mtls.mode"),
        ("mtls-strict", cases.PEER, {"spec": UNKNOWN}, "spec.mtls.mode"),
        (
            "mtls-strict",
            cases.RELEASE,
            cases.istiod(enableAutoMtls=UNKNOWN),
            "values.meshConfig.enableAutoMtls",
        ),
        ("tls-1-3", cases.GATEWAY, cases.server(mode=UNKNOWN), "spec.servers[0].tls.mode"),
        ("tls-1-3", cases.GATEWAY, {"spec": {"servers": UNKNOWN}}, "spec.servers.*.tls.mode"),
        ("ray-token-auth", cases.RAY_CLUSTER, {"spec": UNKNOWN}, "spec.authOptions.mode"),
        ("no-credentials-in-uris", cases.RAY_JOB, {"spec": {"entrypoint": UNKNOWN}}, "spec.entrypoint"),
        ("no-public-load-balancer", cases.SERVICE, cases.service(type=UNKNOWN), "spec.type"),
        ("secrets-encrypted-in-state", cases.SECRET, {"stringData": UNKNOWN}, "stringData.*"),
        ("gke-private-nodes", cases.GKE, cases.gke(privateClusterConfig=UNKNOWN), None),
    ],
)
def test_what_a_rule_turns_on_is_told_where_it_is_unknown(
    rule: str, type_: str, properties: Mapping[str, Any], where: str | None
) -> None:
    where = where or "privateClusterConfig.enablePrivateNodes"
    assert Unproven(where) in findings(rule, Resource(type_, "made", properties))


def test_an_unknown_secret_is_a_secret() -> None:
    resource = Resource(cases.SECRET, "made", {"stringData": UNKNOWN_SECRET, "data": {"a": UNKNOWN_SECRET}})
    assert findings("secrets-encrypted-in-state", resource) == []


def test_istiods_default_takes_old_tls_everywhere() -> None:
    places = [
        str(each)
        for each in findings("tls-1-3", Resource(cases.RELEASE, "istiod", cases.chart("istiod", {})))
    ]
    assert len(places) == 2


def denied(namespace: Any, *types: str, **spec: Any) -> Resource:
    metadata = {"name": "default-deny", "namespace": namespace}
    made = {"podSelector": {}, "policyTypes": list(types), **spec}
    return Resource(NETWORK_POLICY, "deny", {"metadata": metadata, "spec": made})


def nothing_allowed(namespace: Any, **spec: Any) -> Resource:
    return Resource(
        AUTHORIZATION, "nothing", {"metadata": {"name": "x", "namespace": namespace}, "spec": spec}
    )


RAY: Final = Resource(cases.RAY_CLUSTER, "ray", cases.cluster(cases.ray_spec()), "urn:ray")
BOTH: Final = denied("team", "Ingress", "Egress")


@pytest.mark.parametrize(
    ("fence", "lacks"),
    [
        ([BOTH, nothing_allowed("team")], None),
        ([denied("team", "Ingress"), denied("team", "Egress"), nothing_allowed("team")], None),
        ([BOTH, nothing_allowed("istio-system")], None),
        ([BOTH], "AuthorizationPolicy"),
        ([denied("team"), nothing_allowed("team")], "egress"),
        ([denied("other", "Ingress", "Egress"), nothing_allowed("team")], "ingress"),
        ([denied("team", "Ingress", "Egress", ingress=[{}]), nothing_allowed("team")], "ingress"),
        ([denied("team", "Ingress", "Egress", podSelector={"matchLabels": {"a": "b"}})], "ingress"),
        ([BOTH, nothing_allowed("team", rules=[{}])], "AuthorizationPolicy"),
        ([BOTH, nothing_allowed("team", selector={"matchLabels": {"a": "b"}})], "AuthorizationPolicy"),
        ([BOTH, nothing_allowed("team", action="DENY")], "AuthorizationPolicy"),
    ],
)
def test_a_namespace_with_ray_needs_all_of_its_fence(fence: list[Resource], lacks: str | None) -> None:
    found = findings(FENCE, RAY, *fence)
    if lacks is None:
        assert found == []
        return
    [violation] = found
    assert isinstance(violation, Violation)
    assert violation.urn == "urn:ray"
    assert lacks in violation.problem


def test_a_fence_whose_namespace_is_unknown_proves_nothing() -> None:
    assert findings(FENCE, RAY, denied(UNKNOWN, "Ingress", "Egress")) == [Unproven("metadata.namespace")]
    elsewhere = Resource(
        cases.RAY_CLUSTER, "ray", {"metadata": {"namespace": UNKNOWN}, "spec": cases.ray_spec()}
    )
    assert findings(FENCE, elsewhere, BOTH) == [Unproven("metadata.namespace")]


def test_a_stack_without_ray_needs_no_fence() -> None:
    assert findings(FENCE, Resource(cases.SERVICE, "app", cases.service())) == []


def test_the_mesh_s_root_namespace_is_a_setting() -> None:
    fence = [RAY, BOTH, nothing_allowed("mesh")]
    assert findings(FENCE, *fence)
    assert findings(FENCE, *fence, config={"rootNamespace": "mesh"}) == []


def remediated(rule: str, type_: str, properties: Mapping[str, Any]) -> Any:
    found = BY_NAME[rule]
    assert isinstance(found, ResourceRule)
    assert found.remediate
    copy = json.loads(json.dumps(properties))
    found.remediate(type_, copy)
    return copy


@pytest.mark.parametrize("case", [*BROKEN, *FINE], ids=str)
def test_what_is_put_right_keeps_the_rule_and_what_is_right_stays(case: Case) -> None:
    rule = BY_NAME[case.rule]
    if not isinstance(rule, ResourceRule) or not rule.remediate:
        return
    after = remediated(case.rule, case.type, case.properties)
    if after != case.properties:
        left = list(rule.findings(Resource(case.type, "made", after), case.config))
        assert case.where not in {each.where for each in left}


def test_a_gateway_and_a_pod_are_put_right() -> None:
    gateway = remediated("tls-1-3", cases.GATEWAY, cases.server(mode="SIMPLE", credentialName="c"))
    expected = {"mode": "SIMPLE", "credentialName": "c", "minProtocolVersion": "TLSV1_3"}
    assert gateway["spec"]["servers"][0]["tls"] == expected
    silent = cases.deployment()
    del silent["spec"]["template"]["spec"]["automountServiceAccountToken"]
    pod = remediated("service-account-tokens", cases.DEPLOYMENT, silent)
    assert pod["spec"]["template"]["spec"]["automountServiceAccountToken"] is False


def test_a_token_that_was_asked_for_is_not_taken_away() -> None:
    asked = cases.deployment(automountServiceAccountToken=True)
    assert remediated("service-account-tokens", cases.DEPLOYMENT, asked) == asked


@pytest.mark.parametrize(
    ("stack", "stated", "stage"),
    [
        ("sandbox", None, Stage.DEVELOPMENT),
        ("gke-dev", None, Stage.DEVELOPMENT),
        ("Local_Test", None, Stage.DEVELOPMENT),
        ("gke-prod", None, Stage.PRODUCTION),
        ("existing", None, Stage.PRODUCTION),
        ("devices", None, Stage.PRODUCTION),
        ("", None, Stage.PRODUCTION),
        ("gke-dev", "production", Stage.PRODUCTION),
        ("payments", "development", Stage.DEVELOPMENT),
    ],
)
def test_a_stack_is_for_production_unless_it_says_otherwise(
    stack: str, stated: str | None, stage: Stage
) -> None:
    assert stage_of(stack, stated) is stage


def test_a_stage_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"rayfort-policies:stage: prod is no stage"):
        stage_of("gke", "prod")


def test_production_is_held_to_every_rule() -> None:
    for rule in RULES:
        assert rule.level(Stage.PRODUCTION) is Level.MANDATORY
        assert rule.name == rule.name.lower().replace("_", "-")
        assert rule.description.endswith(".")
        assert rule.why.endswith(".")
    assert len(BY_NAME) == len(RULES)


def test_a_key_that_may_be_a_credential_is_not_shown() -> None:
    assert Node({}, ("data", f"https://x:{cases.LEAKED}@host")).where == "data.<hidden>"
