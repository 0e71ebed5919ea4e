"""The Python environment that `./rayfort` makes before anything else runs."""

from pathlib import Path

import pytest

from cli import bootstrap


def test_an_environment_of_another_checkout_is_left_alone(tmp_path: Path) -> None:
    others = tmp_path / "theirs"
    others.mkdir()
    (others / bootstrap.STAMP).write_text("their stamp")
    root = tmp_path / "ours"
    (root / ".rayfort").mkdir(parents=True)
    (root / ".rayfort" / "venv").symlink_to(others)
    with pytest.raises(bootstrap.BootstrapError, match="remove the link"):
        bootstrap.make(root, "our stamp")
    assert [file.name for file in others.iterdir()] == [bootstrap.STAMP]
