"""Reading a kubeconfig, and the cluster that is reached with it."""

from __future__ import annotations

import traceback
from typing import Any

import pulumi
import pytest
import yaml
from rayfort import ClusterFacts, ExistingCluster, ExistingClusterArgs
from rayfort.cluster.kubeconfig import KubeconfigError, check

from tests.unit import samples
from tests.unit.recorder import PROVIDER, record


def changed(**parts: Any) -> str:
    return yaml.safe_dump({**yaml.safe_load(samples.kubeconfig()), **parts})


def make(kubeconfig: str | pulumi.Output[str], context: str = samples.CONTEXT, **settings: Any) -> None:
    args = ExistingClusterArgs(kubeconfig=kubeconfig, context=context, **settings)
    ExistingCluster("cluster", args)


BAD = [
    ("{", samples.CONTEXT, "is not valid YAML"),
    ("token: [unclosed", samples.CONTEXT, "is not valid YAML"),
    ("a: b: c", samples.CONTEXT, "is not valid YAML"),
    ("---", samples.CONTEXT, "is not a kubeconfig"),
    ("just text", samples.CONTEXT, "is not a kubeconfig"),
    ("[]", samples.CONTEXT, "is not a kubeconfig"),
    ("kind: Config", samples.CONTEXT, "is not a kubeconfig"),
    (samples.kubeconfig(), "elsewhere", "has no context 'elsewhere' (it has: here)"),
    (changed(contexts=[]), samples.CONTEXT, "(it has: none)"),
    (changed(clusters=[]), samples.CONTEXT, "refers to cluster 'cluster', which is not in it"),
    (changed(users=None), samples.CONTEXT, "refers to user 'user', which is not in it"),
    (changed(contexts=[{"name": samples.CONTEXT}]), samples.CONTEXT, "refers to cluster None"),
    (
        changed(contexts=[{"name": samples.CONTEXT, "context": "x"}]),
        samples.CONTEXT,
        "refers to cluster None",
    ),
    (changed(contexts=["x", 5, {"name": 7}]), samples.CONTEXT, "has no context"),
]


def test_the_chosen_context_becomes_the_current_one() -> None:
    """The provider uses the current context: it must be the one that the stack names."""
    two = changed(
        contexts=[
            {"name": "here", "context": {"cluster": "cluster", "user": "user"}},
            {"name": "there", "context": {"cluster": "cluster", "user": "user"}},
        ],
        **{"current-context": "here"},
    )
    assert yaml.safe_load(check(two, "there"))["current-context"] == "there"


def test_everything_else_is_kept() -> None:
    """Users authenticate in many ways: exec plugins, certificates, tokens."""
    before = yaml.safe_load(samples.kubeconfig())
    after = yaml.safe_load(check(samples.kubeconfig(), samples.CONTEXT))
    assert after == {**before, "current-context": samples.CONTEXT}


def test_checking_twice_changes_nothing() -> None:
    """A kubeconfig that changes at every run is a diff at every run."""
    once = check(samples.kubeconfig(), samples.CONTEXT)
    assert check(once, samples.CONTEXT) == once


@pytest.mark.parametrize(("kubeconfig", "context", "problem"), BAD)
def test_what_cannot_be_used_is_refused(kubeconfig: str, context: str, problem: str) -> None:
    """A bad kubeconfig otherwise falls back to the ambient one, or fails at the first resource."""
    with pytest.raises(KubeconfigError) as caught:
        check(kubeconfig, context)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    "kubeconfig", [f"token: {samples.KUBECONFIG_TOKEN}\n  bad: [", f"- {samples.KUBECONFIG_TOKEN}"]
)
def test_the_content_is_in_no_message_and_no_traceback(kubeconfig: str) -> None:
    """YAML's own error quotes the line, with the credential in it."""
    with pytest.raises(KubeconfigError) as caught:
        check(kubeconfig, samples.CONTEXT)
    assert samples.KUBECONFIG_TOKEN not in "".join(traceback.format_exception(caught.value))


def test_yaml_tags_do_not_run_code() -> None:
    """A kubeconfig may come from anybody."""
    with pytest.raises(KubeconfigError, match="is not valid YAML"):
        check("!!python/object/apply:os.getcwd []", samples.CONTEXT)


@pytest.mark.parametrize(("kubeconfig", "context", "problem"), BAD)
def test_a_bad_kubeconfig_registers_nothing(kubeconfig: str, context: str, problem: str) -> None:
    """It is text in the stack's settings, so that it can be checked before anything is touched."""
    run = record(lambda: make(kubeconfig, context), catch=True)
    assert isinstance(run.error, KubeconfigError)
    assert problem in str(run.error)
    assert not run.resources


def test_the_provider_gets_the_content_and_never_the_ambient_one(
    preview: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK reads KUBECONFIG of the shell where a provider has none."""
    monkeypatch.setenv("KUBECONFIG", "/ambient/kubeconfig")
    provider = record(lambda: make(samples.kubeconfig()), preview=preview).one(PROVIDER)
    assert provider.hidden("kubeconfig")
    assert yaml.safe_load(provider.inputs["kubeconfig"])["current-context"] == samples.CONTEXT
    assert "/ambient" not in str(provider.inputs)


def test_the_provider_is_a_child_of_the_cluster(preview: bool) -> None:
    """Two clusters in one program each have theirs."""
    run = record(lambda: make(samples.kubeconfig()), preview=preview)
    assert run.one(PROVIDER).parent == run.one("rayfort:index:ExistingCluster").urn


def test_rotated_credentials_do_not_replace_the_cluster() -> None:
    """Pulumi replaces everything on a cluster when its provider's identifier changes, and only then."""
    named = record(lambda: make(samples.kubeconfig(), identifier="prod-1")).one(PROVIDER)
    assert named.inputs["clusterIdentifier"] == "prod-1"
    unnamed = record(lambda: make(samples.kubeconfig())).one(PROVIDER)
    assert unnamed.inputs["clusterIdentifier"] == samples.CONTEXT


def test_the_kubeconfig_is_an_output_and_a_secret(preview: bool) -> None:
    """Other programs use it; its credential must stay encrypted."""
    run = record(lambda: make(samples.kubeconfig()), preview=preview)
    assert samples.KUBECONFIG_TOKEN in str(run.registered_outputs)
    assert not [text for text in run.texts() if samples.KUBECONFIG_TOKEN in text]


def test_a_kubeconfig_of_another_resource_is_checked_when_it_is_known() -> None:
    """A cluster of the same program gives it as an output."""
    good = record(lambda: make(pulumi.Output.from_input(samples.kubeconfig())))
    assert good.one(PROVIDER).hidden("kubeconfig")
    bad = record(lambda: make(pulumi.Output.from_input("just text")), catch=True)
    assert "is not a kubeconfig" in str(bad.error)
    assert not bad.all(PROVIDER)


def test_a_kubeconfig_that_is_not_known_yet_can_be_previewed() -> None:
    """The first preview runs before the cluster is there."""

    def program() -> None:
        import pulumi_random as random

        make(random.RandomPassword("later", length=8).result)

    run = record(program, preview=True)
    assert run.one(PROVIDER).hidden("kubeconfig")


def test_facts_are_the_callers() -> None:
    """Components read facts instead of asking which cluster it is."""
    facts = ClusterFacts(kubernetes_version="1.30.0")
    made: list[ExistingCluster] = []
    args = ExistingClusterArgs(kubeconfig=samples.kubeconfig(), context=samples.CONTEXT, facts=facts)
    record(lambda: made.append(ExistingCluster("cluster", args)))
    assert made[0].facts is facts
