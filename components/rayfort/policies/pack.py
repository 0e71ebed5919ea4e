"""The rules as a policy pack of Pulumi. The only module, with `wire`, that needs `pulumi_policy`."""

import os
from collections.abc import Callable, Iterable
from typing import Any, Final

from pulumi.runtime import get_config_env
from pulumi_policy import (
    EnforcementLevel,
    Policy,
    PolicyConfigSchema,
    PolicyPack,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.proxy import UNKNOWN_STRING_VALUE, UnknownValueError

from rayfort.policies import wire
from rayfort.policies.catalog import RULES, stage_of
from rayfort.policies.rule import (
    Finding,
    Remediation,
    Resource,
    ResourceRule,
    Rule,
    StackRule,
    Stage,
    Unproven,
)

NAME: Final = "rayfort"
STAGE_SETTING: Final = "rayfort-policies:stage"


def serve() -> None:
    """Serve the pack to the engine that started this process; does not return.

    Raises:
        ValueError: if the stack's configuration names no stage.
    """
    wire.keep_secrets_apart()
    PolicyPack(NAME, policies(stage()))


def stage() -> Stage:
    """What the stack that is checked is for; production where none is named (`pulumi policy publish`)."""
    return stage_of(os.environ.get("PULUMI_STACK", ""), get_config_env().get(STAGE_SETTING))


def policies(at: Stage) -> list[Policy]:
    """Every rule as a policy of Pulumi, with its level at a stage."""
    return [_policy(rule, EnforcementLevel(rule.level(at).value)) for rule in RULES]


def _policy(rule: Rule, level: EnforcementLevel) -> Policy:
    schema = PolicyConfigSchema(dict(rule.settings)) if rule.settings else None  # type: ignore[arg-type]
    if isinstance(rule, ResourceRule):
        return ResourceValidationPolicy(
            rule.name,
            rule.description,
            _validate_resource(rule),
            level,
            schema,
            remediate=_remediate(rule.remediate) if rule.remediate else None,
        )
    if isinstance(rule, StackRule):
        return StackValidationPolicy(rule.name, rule.description, _validate_stack(rule), level, schema)
    raise TypeError(f"{rule.name} is neither a rule about resources nor one about stacks")


def _validate_resource(rule: ResourceRule) -> Callable[[ResourceValidationArgs, ReportViolation], None]:
    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        resource = Resource(
            args.resource_type, args.name, wire.properties(args.props), args.urn, bool(args.opts.protect)
        )
        _report(rule.findings(resource, args.get_config()), report)

    return validate


def _validate_stack(rule: StackRule) -> Callable[[StackValidationArgs, ReportViolation], None]:
    def validate(args: StackValidationArgs, report: ReportViolation) -> None:
        resources = [
            Resource(
                item.resource_type, item.name, wire.properties(item.props), item.urn, bool(item.opts.protect)
            )
            for item in args.resources
        ]
        _report(rule.findings(resources, args.get_config()), report)

    return validate


def _report(findings: Iterable[Finding], report: ReportViolation) -> None:
    """Report what was found, and then that something could not be told yet, which Pulumi shows as such."""
    unproven: Unproven | None = None
    for finding in findings:
        if isinstance(finding, Unproven):
            unproven = unproven or finding
        else:
            report(str(finding), finding.urn or None)
    if unproven:
        raise UnknownValueError(UNKNOWN_STRING_VALUE, [unproven.where])


def _remediate(change: Remediation) -> Callable[[ResourceValidationArgs], Any]:
    def remediate(args: ResourceValidationArgs) -> Any:
        before, after = wire.changeable(args.props), wire.changeable(args.props)
        change(args.resource_type, after)
        return None if after == before else after

    return remediate
