"""A state that the engine wrote whole is not lost to one that it could not write."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import kept_state


def write(state: Path, number: int, *, cut: int | None = None) -> None:
    """As the backend does: a new file in the place of the old one, whole or cut off."""
    text = json.dumps({"checkpoint": {"resources": [{"number": number}]}}, indent=4) + "\n"
    new = state.with_suffix(".tmp")
    new.write_text(text[:cut])
    new.replace(state)


def number(state: Path) -> int:
    found: int = json.loads(state.read_text())["checkpoint"]["resources"][0]["number"]
    return found


@pytest.fixture
def state(tmp_path: Path) -> Path:
    directory = tmp_path / "a check out" / ".pulumi" / "stacks" / "rayfort"
    directory.mkdir(parents=True)
    return directory / "sandbox.json"


def states(state: Path) -> Iterator[Path]:
    return state.parents[1].rglob("sandbox.json")


def backend(state: Path) -> Path:
    return state.parents[3]


def seen(state: Path, wanted: int) -> None:
    """Wait until the last whole state is the wanted one."""
    kept = backend(state) / "last-whole-sandbox.json"
    end = time.monotonic() + 10
    while not (kept.exists() and number(kept) == wanted):
        assert time.monotonic() < end, "it was never kept"
        time.sleep(0.01)


@pytest.mark.parametrize("cut", [0, 1, 40, -1, -2, -3])
def test_a_state_that_was_cut_off_is_replaced_by_the_last_whole_one(state: Path, cut: int) -> None:
    """Wherever it was cut, also behind a brace that is not the last one."""
    with kept_state.kept(backend(state), lambda: states(state)):
        write(state, 1)
        write(state, 2)
        seen(state, 2)
        write(state, 3, cut=cut)
        state.with_name("sandbox.json.attrs").write_text('{"md5":')
        time.sleep(0.1)
        write(state, 4, cut=cut)
    assert number(state) == 2
    assert not state.with_name("sandbox.json.attrs").exists()


def test_what_a_killed_command_left_is_put_back_by_the_next(state: Path) -> None:
    with kept_state.kept(backend(state), lambda: states(state)):
        write(state, 1)
        seen(state, 1)
    write(state, 2, cut=0)
    with kept_state.kept(backend(state), lambda: states(state)):
        assert number(state) == 1


def test_a_whole_state_stays_as_it_is(state: Path) -> None:
    write(state, 1)
    with kept_state.kept(backend(state), lambda: states(state)):
        write(state, 2)
        state.with_name("sandbox.json.attrs").write_text("{}")
    assert number(state) == 2
    assert state.with_name("sandbox.json.attrs").exists()


def test_a_state_that_is_gone_stays_gone(state: Path) -> None:
    """A stack that was removed does not come back."""
    write(state, 1)
    with kept_state.kept(backend(state), lambda: states(state)):
        seen(state, 1)
        state.unlink()
    assert not state.exists()
    write(state, 2, cut=0)
    with kept_state.kept(backend(state), lambda: states(state)):
        pass
    assert not kept_state.is_whole(state), "that of a stack that was removed"


def test_without_any_whole_state_the_engine_says_what_is_wrong(state: Path) -> None:
    write(state, 1, cut=10)
    with kept_state.kept(backend(state), lambda: states(state)):
        pass
    assert not kept_state.is_whole(state)
