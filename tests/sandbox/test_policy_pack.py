"""The policy pack, run by Pulumi's own engine: it needs neither a cluster nor a provider's plugin.

The resources are declared as components with the types and inputs of the real ones: a policy sees the same,
and nobody is asked to make them. `test_up.py` has the pack look at the platform itself.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pulumi
import pytest
from pulumi import automation
from rayfort.policies.catalog import RULES
from rayfort.policies.rule import Level
from rayfort.policies.values import SecretText

from sandbox.plugins.install import install_analyzer
from tests.unit.policies import cases
from tests.unit.policies.broken import BROKEN
from tests.unit.policies.cases import Case
from tests.unit.policies.fine import FINE

pytestmark = pytest.mark.sandbox

ROOT: Final = Path(__file__).parents[2]
PACK: Final = ROOT / "policies"
PERMISSIVE: Final = {"spec": {"mtls": {"mode": "PERMISSIVE"}}}


@dataclass
class Ran:
    """What the engine said under the pack.

    Attributes:
        found: level and message of each violation, by its rule and the resource's name.
        failed: whether the operation failed.
        said: all that the engine printed.
    """

    found: dict[tuple[str, str], list[tuple[str, str]]] = field(default_factory=dict)
    failed: bool = False
    said: str = ""

    def levels(self, rule: str, name: str) -> set[str]:
        """The levels at which a resource breaks a rule."""
        return {level for level, _ in self.found.get((rule, name), [])}

    def hear(self, line: str) -> None:
        """Keep what the engine prints."""
        self.said += f"{line}\n"

    def note(self, event: automation.EngineEvent) -> None:
        """Keep what the pack found."""
        if event.policy_event:
            one = event.policy_event
            name = (one.resource_urn or "").rpartition("::")[2]
            self.found.setdefault((one.policy_name, name), []).append((one.enforcement_level, one.message))


class Declared(pulumi.ComponentResource):
    """A resource of any type, with its inputs as they are."""

    def __init__(self, type_: str, name: str, inputs: Mapping[str, Any], *, protect: bool = False) -> None:
        made = outputs(dict(inputs))
        super().__init__(type_, name, made, pulumi.ResourceOptions(protect=protect))
        self.register_outputs(made)


def outputs(value: Any) -> Any:
    """A value with what is marked as secret as Pulumi's secrets, and without what is None."""
    if isinstance(value, SecretText):
        return pulumi.Output.secret(str(value))
    if isinstance(value, dict):
        return {key: outputs(item) for key, item in value.items() if item is not None}
    return [outputs(item) for item in value] if isinstance(value, list) else value


def not_known_yet() -> pulumi.Output[str]:
    """What another resource's output is in a preview."""

    def done(value: Any) -> asyncio.Future[Any]:
        future = asyncio.get_event_loop().create_future()
        future.set_result(value)
        return future

    return pulumi.Output(set(), done(None), done(False))


def declare(declared: Iterable[Case]) -> Callable[[], None]:
    """A program with a resource for each case, named by its place among them."""

    def program() -> None:
        for number, case in enumerate(declared):
            Declared(case.type, f"case-{number}", case.properties, protect=case.protect)

    return program


class Engine:
    """Pulumi's engine with a home of its own, whose path has a blank."""

    def __init__(self, home: Path, pulumi_tool: Path) -> None:
        self._home = home
        for name in ("bin", "backend"):
            (home / name).mkdir()
        (home / "bin" / "pulumi").symlink_to(pulumi_tool)
        analyzer = install_analyzer(home / "analyzers", Path(sys.executable))
        self._environment = {
            "PATH": f"{os.environ['PATH']}{os.pathsep}{analyzer}",
            "PULUMI_HOME": str(home / "home"),
            "PULUMI_BACKEND_URL": f"file://{home / 'backend'}",
            "PULUMI_CONFIG_PASSPHRASE": "for a test",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_AUTOMATION_API_SKIP_VERSION_CHECK": "true",
        }

    def stack(self, name: str, program: Callable[[], None]) -> automation.Stack:
        """A stack with an inline program."""
        return automation.create_or_select_stack(
            name,
            "policies",
            program,
            opts=automation.LocalWorkspaceOptions(
                env_vars=self._environment,
                pulumi_command=automation.PulumiCommand(root=str(self._home), skip_version_check=True),
            ),
        )

    def run(self, operation: Callable[..., object], config: Mapping[str, Any] | None = None) -> Ran:
        """Run an operation of a stack under the pack.

        Args:
            operation: ``up`` or ``preview`` of a stack.
            config: the pack's configuration.
        """
        ran, file = Ran(), self._home / "config.json"
        file.write_text(json.dumps(config or {}))
        packs = {"policy_packs": [str(PACK)], "policy_pack_configs": [str(file)]}
        try:
            operation(on_event=ran.note, on_output=ran.hear, on_error=ran.hear, **packs)
        except automation.CommandError as error:
            ran.failed = True
            ran.hear(str(error))
        return ran

    def state(self, name: str) -> list[dict[str, Any]]:
        """The resources in a stack's state, as they lie on disk."""
        [file] = (self._home / "backend" / ".pulumi" / "stacks").rglob(f"{name}.json")
        resources: list[dict[str, Any]] = json.loads(file.read_text())["checkpoint"]["latest"]["resources"]
        return resources


@pytest.fixture(scope="module")
def engine(tools: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return Engine(tmp_path_factory.mktemp("a policy engine"), tools["pulumi"])


def test_every_broken_resource_is_named_with_its_rule_and_nothing_that_it_leaks(engine: Engine) -> None:
    """One program breaks every rule; as a stack for production it does not pass."""
    ran = engine.run(engine.stack("production", declare(BROKEN)).preview)
    assert {case.rule for case in BROKEN} == {rule.name for rule in RULES}
    silent = [
        str(case)
        for number, case in enumerate(BROKEN)
        if ran.levels(case.rule, f"case-{number}") != {Level.MANDATORY}
    ]
    assert not silent, ran.said
    for (rule, name), messages in ran.found.items():
        case = BROKEN[int(name.removeprefix("case-"))]
        if case.rule == rule and case.where:
            assert any(case.where in message for _, message in messages), messages
    assert ran.failed
    assert cases.LEAKED not in ran.said
    assert cases.GITHUB not in ran.said


def test_near_misses_break_nothing(engine: Engine) -> None:
    """Secrets among them reach the pack as secrets."""
    by_themselves = [case for case in FINE if not case.config]
    ran = engine.run(engine.stack("production-near-misses", declare(by_themselves)).preview)
    loud = {
        str(case): ran.found[case.rule, f"case-{number}"]
        for number, case in enumerate(by_themselves)
        if (case.rule, f"case-{number}") in ran.found
    }
    assert not loud
    assert "rayfort@v0.1.0" in ran.said  # the pack did run


def test_in_development_weak_settings_are_told_and_unknown_ones_are_named(engine: Engine) -> None:
    def program() -> None:
        Declared(cases.PEER, "weak", PERMISSIVE)
        Declared(cases.PEER, "later", {"spec": {"mtls": {"mode": not_known_yet()}}})
        unknown_name = {"name": not_known_yet(), "namespace": "team"}
        Declared(cases.PEER, "strict", {"metadata": unknown_name, "spec": {"mtls": {"mode": "STRICT"}}})
        bucket = "gcp:storage/bucket:Bucket"
        Declared(bucket, "unprotected", {"name": "b"})

    ran = engine.run(engine.stack("sandbox", program).preview)
    assert not ran.failed, ran.said
    assert ran.levels("mtls-strict", "weak") == {Level.ADVISORY}
    [(level, message)] = ran.found["mtls-strict", "later"]
    assert level == Level.ADVISORY
    assert "spec.mtls.mode" in message
    assert "can't be known during preview" in message
    assert set(ran.found) == {("mtls-strict", "weak"), ("mtls-strict", "later")}


def test_a_stack_says_what_it_is_for_and_what_may_be_public(engine: Engine) -> None:
    def program() -> None:
        Declared(cases.PEER, "weak", PERMISSIVE)
        for name in ("listed", "other"):
            metadata = {"name": name, "namespace": "team"}
            Declared(cases.SERVICE, name, {"metadata": metadata, "spec": {"type": "LoadBalancer"}})

    stack = engine.stack("dev", program)
    stack.set_config("rayfort-policies:stage", automation.ConfigValue("production"))
    config = {"no-public-load-balancer": {"enforcementLevel": "advisory", "allowed": ["team/listed"]}}
    ran = engine.run(stack.preview, config)
    assert ran.failed
    assert ran.levels("mtls-strict", "weak") == {Level.MANDATORY}
    assert ran.levels("no-public-load-balancer", "other") == {Level.ADVISORY}
    assert not ran.levels("no-public-load-balancer", "listed")


def test_a_mandatory_rule_ends_an_up_before_the_resource_is_made(engine: Engine) -> None:
    ran = engine.run(engine.stack("production-up", lambda: _declare_one(PERMISSIVE)).up)
    assert ran.failed
    assert ran.levels("mtls-strict", "one") == {Level.MANDATORY}
    assert not [each for each in engine.state("production-up") if each["urn"].endswith("::one")]


def _declare_one(inputs: Mapping[str, Any]) -> None:
    Declared(cases.PEER, "one", inputs)


def test_what_can_be_put_right_is_put_right_where_that_is_asked_for(engine: Engine) -> None:
    """An `up`, after which the state holds what the pack made of the inputs, secrets still encrypted."""
    variables = [{"name": "HF_TOKEN", "value": SecretText(cases.LEAKED)}]

    def program() -> None:
        Declared(cases.GATEWAY, "gateway", cases.server(mode="SIMPLE"))
        Declared(cases.DEPLOYMENT, "app", cases.deployment(env=variables, automountServiceAccountToken=None))

    levels = {
        "tls-1-3": "remediate",
        "service-account-tokens": "remediate",
        "no-literal-credentials": "advisory",
    }
    stack = engine.stack("production-put-right", program)
    ran = engine.run(stack.up, levels)
    assert not ran.failed, ran.said
    assert set(ran.found) == {("no-literal-credentials", "app")}
    made = {each["urn"].rpartition("::")[2]: each for each in engine.state("production-put-right")}
    server = made["gateway"]["inputs"]["spec"]["servers"][0]
    assert server["tls"] == {"mode": "SIMPLE", "minProtocolVersion": "TLSV1_3"}
    spec = made["app"]["inputs"]["spec"]["template"]["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert "ciphertext" in spec["containers"][0]["env"][0]["value"]
