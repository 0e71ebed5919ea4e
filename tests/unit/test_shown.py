"""What is left of the engine's output for a person."""

from __future__ import annotations

from sandbox.shown import WithoutErrors

STACK = "  pulumi:pulumi:Stack (rayfort-sandbox):"
FOUND = "using pulumi-resource-random from $PATH at /sandbox/engine/plugins/pulumi-resource-random"


def shown(*lines: str) -> list[str]:
    kept: list[str] = []
    show = WithoutErrors(kept.append)
    for line in lines:
        show(line)
    return kept


def test_errors_are_left_to_the_message_at_the_end() -> None:
    """As the engine 3.220 printed it for a program that raised."""
    assert shown(
        "@ previewing update....",
        " ~  kubernetes:helm.sh/v3:Release kuberay refresh",
        f"    pulumi:pulumi:Stack rayfort-sandbox running warning: {FOUND}",
        "    pulumi:pulumi:Stack rayfort-sandbox running error: one",
        "    pulumi:pulumi:Stack rayfort-sandbox running error: an unhandled error occurred: one",
        "    pulumi:pulumi:Stack rayfort-sandbox  2 errors; 5 warnings",
        "Diagnostics:",
        STACK,
        f"    warning: {FOUND}",
        "    error: one",
        "      two",
        "",
        "    error: an unhandled error occurred: one",
        "      two",
        "",
        "Resources:",
        "    1 unchanged",
        "    1 errored",
    ) == [
        "@ previewing update....",
        " ~  kubernetes:helm.sh/v3:Release kuberay refresh",
        "    pulumi:pulumi:Stack rayfort-sandbox  2 errors; 5 warnings",
        "",
        "Resources:",
        "    1 unchanged",
        "    1 errored",
    ]


def test_warnings_stay_and_so_do_the_titles_above_them() -> None:
    weakened = "    warning: weakened: rayfort:mesh.mtls: PERMISSIVE: plaintext is taken"
    diagnostics = [
        "Diagnostics:",
        "  kubernetes:v1:Secret (a):",
        "    error: no",
        STACK,
        weakened,
        "",
        "Outputs:",
    ]
    assert shown(*diagnostics) == ["Diagnostics:", STACK, weakened, "", "Outputs:"]


def test_a_change_is_shown_as_it_is() -> None:
    lines = [
        " +  kubernetes:core/v1:Secret a create error",
        "  ~ weakened   : [",
        '      + [0]: "rayfort:mesh.mtls: PERMISSIVE"',
        "    ]",
        "",
        "Policies:",
        "    ⚠️ rayfort@v0.1.0 (local: /checkout/policies)",
    ]
    assert shown(*lines) == lines
