"""What is kept of the engine's events."""

from __future__ import annotations

from pulumi.automation import EngineEvent
from pulumi.automation.events import DiagnosticEvent

from sandbox.changes import Changes, follow

URN = "urn:pulumi:sandbox::rayfort::kubernetes:core/v1:Namespace::mesh"


def heard(*messages: tuple[str, str]) -> Changes:
    changes = Changes()
    for urn, text in messages:
        diagnostic = DiagnosticEvent(message=text, color="never", severity="error", urn=urn or None)
        follow(EngineEvent(sequence=0, timestamp=0, diagnostic_event=diagnostic), changes, lambda _: None)
    return changes


def test_what_the_program_and_its_host_say_is_one_error() -> None:
    said = "The stack's settings have 1 mistake; nothing was touched.\n  a: b"
    assert heard(("", f"{said}\n"), ("", f"<{{%reset%}}>an unhandled error occurred: {said}\n")).errors == [
        said
    ]


def test_a_crash_of_the_program_is_one_error_too() -> None:
    said = "python inline source runtime error: no\nTraceback (most recent call last):"
    assert heard(("", said), ("", f"an unhandled error occurred: {said}")).errors == [
        "no\nTraceback (most recent call last):"
    ]


def test_what_a_plugin_says_of_something_half_made_stands_alone() -> None:
    said = "1 error occurred:\n\t* v1/Namespace mesh was created, but is not ready: no answer\n\n"
    assert heard((URN, said)).errors == ["mesh: v1/Namespace mesh was created, but is not ready: no answer"]


def test_the_same_of_two_resources_is_kept_for_each() -> None:
    assert heard((URN, "no answer"), (f"{URN}-two", "no answer")).errors == [
        "mesh: no answer",
        "mesh-two: no answer",
    ]
