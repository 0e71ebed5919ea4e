"""Files that cannot be written: one message that says what to do."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from cli.disk import told


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EFBIG, "ulimit -f"),
        (errno.EROFS, "make the disk writable"),
    ],
)
def test_what_can_be_done_is_said(number: int, remedy: str) -> None:
    said = told(OSError(number, os.strerror(number), "/some/file"))
    assert said
    assert remedy in said
    assert "/some/file" in said


def test_a_folder_that_cannot_be_copied_is_told_by_its_first_file(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("a", "b"):
        (source / name).write_text(name)

    def full(_: str, target: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), target)

    with pytest.raises(shutil.Error) as failed:
        shutil.copytree(source, tmp_path / "target", copy_function=full)
    said = told(failed.value)
    assert said
    assert said.count("No space left on device") == 1
    assert said.endswith("; free some space, then run the command again")


def test_other_errors_are_left_alone() -> None:
    assert told(ConnectionResetError(errno.ECONNRESET, "reset")) is None
    assert told(shutil.SameFileError("the same")) is None
