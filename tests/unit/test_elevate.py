"""When and how a command goes on as root."""

from pathlib import Path

import pytest

from sandbox import elevate
from sandbox.node_kind import NodeKind

USER = 1000


@pytest.mark.parametrize(
    ("asked", "obstacle", "wanted"),
    [
        (None, None, True),
        (NodeKind.REAL, None, True),
        (NodeKind.SIMULATED, None, False),
        (None, "no kernel for it", False),
        (NodeKind.REAL, "no kernel for it", False),
    ],
)
def test_a_new_sandbox_is_roots_where_it_gets_a_real_node(
    tmp_path: Path, asked: NodeKind | None, obstacle: str | None, wanted: bool
) -> None:
    assert elevate.needed(tmp_path / "none", asked, lambda: obstacle, USER) is wanted


def test_root_needs_nothing(tmp_path: Path) -> None:
    assert not elevate.needed(tmp_path / "none", NodeKind.REAL, lambda: None, 0)


def test_a_sandbox_that_is_there_belongs_to_who_made_it(tmp_path: Path) -> None:
    roots = tmp_path.stat().st_uid == 0
    assert elevate.needed(tmp_path, None, lambda: "whatever the machine lacks", USER) is roots


def test_values_of_variables_are_not_told_in_the_command(tmp_path: Path) -> None:
    environment = {
        "RAYFORT_STATE": "/somewhere",
        "PULUMI_CONFIG_PASSPHRASE": "do not tell",
        "https_proxy": "http://me:secret@proxy",
        "EDITOR": "vi",
    }
    told = elevate.command(tmp_path / "rayfort", ["up", "--nodes", "real"], environment)
    assert told[:3] == [
        "sudo",
        "-n",
        "--preserve-env=PULUMI_CONFIG_PASSPHRASE,RAYFORT_STATE,https_proxy",
    ]
    assert told[-4:] == [str(tmp_path / "rayfort"), "up", "--nodes", "real"]
    assert not [word for word in told if "do not tell" in word or "secret" in word]
