"""The rules as Pulumi's policies, and what the documentation says about them."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, Final

import pulumi_policy
import pytest
import yaml
from pulumi_policy import (
    EnforcementLevel,
    PolicyCustomTimeouts,
    PolicyResourceOptions,
    ResourceValidationArgs,
)
from pulumi_policy.deserialize import SPECIAL_SECRET_SIG, SPECIAL_SIG_KEY, serialize_properties
from pulumi_policy.proxy import UNKNOWN_STRING_VALUE, UnknownValueError, unknown_checking_proxy
from rayfort.policies import pack, reference, wire
from rayfort.policies.catalog import RULES
from rayfort.policies.rule import ResourceRule, Stage
from rayfort.policies.values import UNKNOWN, UNKNOWN_SECRET, SecretText

from tests.unit import samples
from tests.unit.policies import cases

DOCUMENT: Final = samples.ROOT / "docs" / "policies.md"
OPTIONS: Final = PolicyResourceOptions(False, [], None, [], PolicyCustomTimeouts(0, 0, 0), [])


def secret(value: Any) -> dict[str, Any]:
    """A value as the engine sends what is secret."""
    return {SPECIAL_SIG_KEY: SPECIAL_SECRET_SIG, "value": value}


def policy(name: str, stage: Stage = Stage.PRODUCTION) -> pulumi_policy.ResourceValidationPolicy:
    [found] = [each for each in pack.policies(stage) if each.name == name]
    assert isinstance(found, pulumi_policy.ResourceValidationPolicy)
    return found


def arguments(type_: str, sent: dict[str, Any], *, remediation: bool = False) -> ResourceValidationArgs:
    """What Pulumi makes of what the engine sends."""
    wire.keep_secrets_apart()
    received = pulumi_policy.policy.deserialize_properties(sent, remediation)  # type: ignore[attr-defined]
    return ResourceValidationArgs(type_, unknown_checking_proxy(received), "urn", "made", OPTIONS, None)


def test_every_rule_is_a_policy_with_its_level() -> None:
    for stage in Stage:
        made = pack.policies(stage)
        assert [each.name for each in made] == [rule.name for rule in RULES]
        for each, rule in zip(made, RULES, strict=True):
            assert each.description == rule.description
            assert each.enforcement_level is EnforcementLevel(rule.level(stage))
            assert each.enforcement_level is not EnforcementLevel.REMEDIATE
            assert set(rule.settings) == set(each.config_schema.properties if each.config_schema else {})
            if isinstance(rule, ResourceRule):
                assert isinstance(each, pulumi_policy.ResourceValidationPolicy)
                assert each.has_remediation() is (rule.remediate is not None)


def test_a_validation_tells_secrets_from_plain_text_and_both_from_what_is_unknown() -> None:
    sent = {
        "plain": "a",
        "secret": secret("b"),
        "nested": secret({"list": ["c", 1.0, True]}),
        "later": UNKNOWN_STRING_VALUE,
        "laterSecret": secret(UNKNOWN_STRING_VALUE),
    }
    seen = wire.properties(arguments("x:y:Z", sent).props)
    assert seen == {
        "plain": "a",
        "secret": "b",
        "nested": {"list": ["c", 1, True]},
        "later": UNKNOWN,
        "laterSecret": UNKNOWN_SECRET,
    }
    assert not isinstance(seen["plain"], SecretText)
    assert isinstance(seen["secret"], SecretText)
    assert isinstance(seen["nested"]["list"][0], SecretText)


def test_violations_are_reported_before_what_is_not_known() -> None:
    mtls = {"mtls": {"mode": UNKNOWN_STRING_VALUE}, "portLevelMtls": {"8265": {"mode": "DISABLE"}}}
    told: list[str] = []
    with pytest.raises(UnknownValueError) as unknown:
        policy("mtls-strict").validate(
            arguments(cases.PEER, {"spec": mtls}), lambda message, urn=None: told.append(message)
        )
    assert [line.partition(":")[0] for line in told] == ["spec.portLevelMtls.8265.mode"]
    assert "spec.mtls.mode" in unknown.value.message


def test_a_remediation_keeps_secrets_and_what_is_unknown() -> None:
    sent = cases.server(mode="SIMPLE", credentialName=secret("c"), privateKey=UNKNOWN_STRING_VALUE)
    changed = policy("tls-1-3").remediate(arguments(cases.GATEWAY, sent, remediation=True))
    tls = serialize_properties(changed)["spec"]["servers"][0]["tls"]  # type: ignore[arg-type]
    assert tls == {
        "mode": "SIMPLE",
        "minProtocolVersion": "TLSV1_3",
        "credentialName": secret("c"),
        "privateKey": UNKNOWN_STRING_VALUE,
    }


def test_nothing_is_remediated_that_keeps_the_rule() -> None:
    right = cases.server(mode="SIMPLE", **cases.TLS_1_3)
    assert policy("tls-1-3").remediate(arguments(cases.GATEWAY, right, remediation=True)) is None


def test_another_way_of_reading_properties_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise every secret would look like plain text."""
    monkeypatch.setattr(pulumi_policy.policy, "deserialize_properties", lambda props: props)
    with pytest.raises(RuntimeError, match="pulumi-policy"):
        wire.keep_secrets_apart()


def test_the_stage_is_read_as_the_engine_gives_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PULUMI_CONFIG", raising=False)
    monkeypatch.setenv("PULUMI_STACK", "sandbox")
    assert pack.stage() is Stage.DEVELOPMENT
    monkeypatch.setenv("PULUMI_CONFIG", '{"rayfort-policies:stage": "production"}')
    assert pack.stage() is Stage.PRODUCTION


def test_the_library_and_its_rules_do_without_pulumis_policies() -> None:
    """They are an extra: who only deploys need not have them."""
    code = "import sys, rayfort, rayfort.policies.catalog; sys.exit('pulumi_policy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_documentation_holds_the_rules_as_they_are() -> None:
    text = DOCUMENT.read_text()
    command = "python -m rayfort.policies.reference docs/policies.md"
    assert reference.written_into(text) == text, f"run: {command}"


def test_a_document_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="lacks the marks"):
        reference.written_into("# Policies\n")


def test_the_pack_is_one_that_pulumi_runs() -> None:
    project = yaml.safe_load((samples.ROOT / "policies" / "PulumiPolicy.yaml").read_text())
    assert project["runtime"]["name"] == "python"
    assert (samples.ROOT / "policies" / "__main__.py").exists()
