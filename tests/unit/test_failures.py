"""What a failed run of Pulumi says."""

from __future__ import annotations

from sandbox import failures

GO_ON = "run the same command again"


def test_what_is_the_same_for_many_resources_is_said_once() -> None:
    reasons = [f"object-{number}: the cluster is unreachable: no answer" for number in range(24)]
    said = failures.message("up", [*reasons, "update failed"], otherwise="?").splitlines()
    assert said[:2] == [
        "pulumi up failed:",
        "object-0, object-1, object-2 and 21 more: the cluster is unreachable: no answer",
    ]
    assert GO_ON in said[2]
    assert len(said) == 3


def test_a_state_that_cannot_be_written_is_said_once() -> None:
    engine = (
        "{}-step event returned an error: failed to save snapshot: An IO error occurred while writing the "
        'new snapshot file: blob (key ".pulumi/stacks/rayfort/sandbox.json") (code=Unknown): open '
        "/a check out/backend/.pulumi/stacks/rayfort/sandbox.json.{}.tmp: read-only file system"
    )
    reasons = [
        "a: " + engine.format("post", "18ea42086ae08b97"),
        "b: " + engine.format("pre", "18ea420fe955afc2"),
    ]
    said = failures.message("up", reasons, otherwise="?").splitlines()
    assert said[1] == (
        "a, b: the state cannot be written: /a check out/backend/.pulumi/stacks/rayfort/sandbox.json: "
        "read-only file system"
    )
    assert len(said) == 3


def test_what_differs_is_said_each() -> None:
    said = failures.message("destroy", ["a: x", "b: y", "no name: z"], otherwise="?").splitlines()
    assert said[1:4] == ["a: x", "b: y", "no name: z"]


def test_an_engine_that_was_killed_is_told_from_one_that_gave_no_reason() -> None:
    killed = failures.without_reason("\n code: -9\n stdout: Updating (sandbox)\n stderr: \n")
    assert "ended by signal 9" in killed
    assert "stdout" not in killed
    assert failures.without_reason("\n code: 255\n stdout: \n stderr: \n") == "code: 255\n stdout: \n stderr:"
    assert failures.message("up", [], otherwise=killed).splitlines()[1] == killed


def test_of_an_engine_that_failed_between_steps_its_errors_are_said_alone() -> None:
    said = "\n code: 255\n stdout: Updating:\n ~  a update\n stderr: error: saving: x.json{}: no space left"
    assert failures.without_reason(said.format(".18ea42da8f33cfab.tmp")) == "saving: x.json: no space left"


def test_nothing_is_to_be_gone_on_with_where_nothing_was_done() -> None:
    refused = "The stack's settings have a mistake; nothing was touched.\n  a: b"
    assert GO_ON not in failures.message("up", [refused], otherwise="?")
    assert GO_ON not in failures.message("preview", ["a: b"], otherwise="?")
    assert GO_ON not in failures.message("up", ["rule (mandatory) a: b"], otherwise="?", violated=True)
