"""No secret is ever shown: what the engine masks, and what Rayfort's policies take for a credential."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pulumi.runtime import rpc
from rayfort.review.comment import comment
from rayfort.review.events import read
from rayfort.review.model import Review, to_json
from rayfort.review.secrets import redact
from rayfort.review.summarize import summarize

from tests.unit.policies import cases
from tests.unit.policies.broken import BROKEN

URN = "urn:pulumi:gke-prod::rayfort::rayfort:index:RayWorkspace$"
TOKEN = "ghp_" + "A1b2" * 9
PASSWORD = "correct-horse-battery-staple"
LEAKING = {"no-credentials-in-uris", "no-literal-credentials", "secrets-encrypted-in-state"}


def step(
    type_: str, old: dict[str, Any], new: dict[str, Any], paths: list[str] | None = None, op: str = "update"
) -> list[str]:
    """The events of one step."""

    def state(inputs: dict[str, Any]) -> dict[str, Any]:
        return {"type": type_, "urn": f"{URN}{type_}::x", "custom": True, "inputs": inputs, "outputs": inputs}

    metadata = {
        "op": op,
        "urn": f"{URN}{type_}::x",
        "type": type_,
        "old": state(old),
        "new": state(new),
        "detailedDiff": {path: {"diffKind": "update"} for path in paths or ()},
    }
    return [json.dumps({"sequence": 1, "timestamp": 0, "resOutputsEvent": {"metadata": metadata}})]


def diagnostic(message: str, severity: str = "error") -> str:
    event = {"message": message, "color": "never", "severity": severity}
    return json.dumps({"sequence": 2, "timestamp": 0, "diagnosticEvent": event})


def policy(message: str) -> str:
    event = {"message": message, "policyName": "p", "enforcementLevel": "mandatory", "resourceUrn": ""}
    return json.dumps({"sequence": 3, "timestamp": 0, "policyEvent": event})


def said(events: list[str]) -> str:
    """Everything that leaves the library: the comment, and the file between the jobs."""
    review: Review = summarize(read(events), "gke-prod")
    return comment([review]) + to_json([review])


def secret(value: str) -> dict[str, str]:
    return {rpc._special_sig_key: rpc._special_secret_sig, "ciphertext": value}


def test_what_the_engine_marks_as_secret_is_named_and_not_shown() -> None:
    new = {"env": secret(PASSWORD), "deep": {"list": [secret(PASSWORD)]}}
    text = said(
        step(
            "x:y:Z", {"env": secret("old"), "deep": {"list": [secret("older")]}}, new, ["env", "deep.list[0]"]
        )
    )
    assert PASSWORD not in text
    assert "`env` (secret)" in text
    assert "`deep.list[0]` (secret)" in text


@pytest.mark.parametrize("key", ["data", "stringData"])
def test_a_kubernetes_secret_shows_its_keys_alone(key: str) -> None:
    """Even where nobody marked it."""
    old, new = (
        {"kind": "Secret", "metadata": {"name": "s"}, key: {"k": value}} for value in ("before", PASSWORD)
    )
    text = said(step("kubernetes:core/v1:Secret", old, new, [f"{key}.k"]))
    assert PASSWORD not in text
    assert (
        "before"
        not in json.loads(text[text.index("{") :])["reviews"][0]["changes"][0]["properties"][0].values()
    )
    assert f"`{key}.k` (secret)" in text


@pytest.mark.parametrize("case", [case for case in BROKEN if case.rule in LEAKING], ids=str)
def test_whatever_the_policies_call_a_leak_is_not_shown(case: cases.Case) -> None:
    properties = json.loads(json.dumps(case.properties, default=str))
    for old, new in (({}, properties), (properties, {}), (properties, properties)):
        paths = [str(key) for key in properties]
        events = [*step(case.type, old, new, paths), *step(case.type, old, new)]
        text = said(events)
        assert cases.LEAKED not in text
        assert cases.GITHUB not in text


@settings(deadline=None)
@given(
    st.sampled_from(
        [
            f"https://bot:{TOKEN}@git.example.com/x.git",
            f"clone failed: https://{TOKEN}@git.example.com",
            f"the token is {TOKEN}.",
            f"--password={PASSWORD} --verbose",
            f"--password {PASSWORD}",
            f"DB_PASSWORD={PASSWORD}",
            f'{{"password": "{PASSWORD}"}}',
            f"Authorization: Bearer {TOKEN}",
            f"-----BEGIN PRIVATE KEY-----\n{PASSWORD}\n-----END PRIVATE KEY-----",
            f"https://x.example/?token={PASSWORD}",
        ]
    ),
    st.text(max_size=40),
    st.text(max_size=40),
)
def test_messages_lose_their_credentials(text: str, before: str, after: str) -> None:
    whole = f"{before}\n{text}\n{after}"
    for shown in (
        redact(whole),
        said([diagnostic(whole)]),
        said([policy(whole)]),
        said([diagnostic(whole, "warning")]),
    ):
        assert TOKEN not in shown
        assert PASSWORD not in shown


def test_a_secret_that_one_resource_shows_is_masked_in_what_is_said_about_another() -> None:
    deployment = {
        "kind": "Deployment",
        "apiVersion": "apps/v1",
        "spec": {"template": {"spec": {"containers": [{"env": [{"name": "HF_TOKEN", "value": PASSWORD}]}]}}},
    }
    events = [
        *step("kubernetes:apps/v1:Deployment", {}, deployment, ["spec"]),
        diagnostic(f"the webhook says {PASSWORD} is bad"),
    ]
    assert PASSWORD not in said(events)


SECRETS = st.text(alphabet="abcdefghkmnpqrstuvwxyzABCDEF0123456789", min_size=12, max_size=24).map(
    "S3cr3t".__add__
)


@settings(deadline=None)
@given(
    SECRETS,
    st.recursive(
        st.just("leaf"),
        lambda inner: (
            st.lists(inner, min_size=1, max_size=2)
            | st.dictionaries(st.sampled_from("abc"), inner, min_size=1)
        ),
        max_leaves=6,
    ),
)
def test_a_marked_secret_is_shown_nowhere_however_deep(value: str, shape: Any) -> None:
    def filled(item: Any) -> Any:
        if isinstance(item, dict):
            return {key: filled(each) for key, each in item.items()}
        return [filled(each) for each in item] if isinstance(item, list) else secret(value)

    new = {"root": filled(shape)}
    for paths in (None, ["root"]):
        assert value not in said(step("x:y:Z", {"root": "plain"}, new, paths))


def test_ordinary_values_are_shown() -> None:
    text = said(
        step("kubernetes:core/v1:Service", {"spec": {"type": "ClusterIP"}}, {"spec": {"type": "NodePort"}})
    )
    assert "`spec.type`: `ClusterIP` → `NodePort`" in text
