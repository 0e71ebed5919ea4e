"""Rayfort's policies: what no stack may weaken, as rules over the resources that a program registers.

A rule is a pure function of a resource's type and inputs, so that it is tested without an engine. `pack` and
`wire` alone import `pulumi_policy`, and hand the rules to Pulumi; they need the extra ``rayfort[policies]``.
"""

from rayfort.policies.rule import Level, Resource, ResourceRule, Rule, StackRule, Stage, Unproven, Violation

__all__ = ["Level", "Resource", "ResourceRule", "Rule", "StackRule", "Stage", "Unproven", "Violation"]
