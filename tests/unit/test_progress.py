"""Progress is told without ever getting in the way."""

import io
import os
import pty
import re
import threading
import time

import pytest

from sandbox.progress import Progress, duration


def lines(stream: io.StringIO) -> list[str]:
    return stream.getvalue().splitlines()


def wait_until(condition: object, seconds: float = 5.0) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (0.44, "0.4 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
    ],
)
def test_durations_are_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_step_is_a_start_line_and_an_end_line_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    with Progress(stream=stream).step("building etcd"):
        pass
    start, end = lines(stream)
    assert start == "building etcd ..."
    assert re.fullmatch(r"building etcd: done in \d+\.\d s", end)


def test_a_long_step_gives_signs_of_life_with_its_newest_note() -> None:
    stream = io.StringIO()
    with Progress(stream=stream, heartbeat=0.02).step("building etcd") as step:
        step.note("old")
        step.note("12 packages\nand a second line")
        wait_until(lambda: len(lines(stream)) >= 4)
    count = len(lines(stream))
    assert re.fullmatch(r"building etcd \.\.\. \d+\.\d s \(12 packages\)", lines(stream)[2])
    assert "second line" not in stream.getvalue()
    time.sleep(0.1)
    assert len(lines(stream)) == count, "a step that has ended says nothing more"


def test_a_short_step_has_no_heartbeat() -> None:
    stream = io.StringIO()
    with Progress(stream=stream).step("quick"):
        time.sleep(0.05)
    assert len(lines(stream)) == 2


@pytest.mark.parametrize(
    ("error", "verdict"), [(RuntimeError("x"), "failed after"), (KeyboardInterrupt(), "interrupted after")]
)
def test_errors_pass_through_after_an_end_line_that_says_so(error: BaseException, verdict: str) -> None:
    stream = io.StringIO()
    with pytest.raises(type(error)), Progress(stream=stream).step("building etcd"):
        raise error
    assert lines(stream)[-1].startswith(f"building etcd: {verdict} ")


def test_many_steps_at_once_keep_their_lines_whole() -> None:
    stream = io.StringIO()
    progress = Progress(stream=stream, heartbeat=0.001)

    def work(number: int) -> None:
        for round_ in range(5):
            with progress.step(f"step-{number}-{round_}"):
                time.sleep(0.005)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(
        re.fullmatch(r"step-\d-\d( \.\.\.( \d+\.\d s)?|: done in \d+\.\d s)", line) for line in lines(stream)
    )
    assert sum("done in" in line for line in lines(stream)) == 40


def test_quiet_says_nothing_and_hides_no_error() -> None:
    stream = io.StringIO()
    progress = Progress(quiet=True, stream=stream, heartbeat=0.001)
    progress.say("hello")
    with pytest.raises(RuntimeError), progress.step("building etcd") as step:
        step.note("note")
        time.sleep(0.02)
        raise RuntimeError
    assert stream.getvalue() == ""


def test_it_writes_to_stderr_and_leaves_stdout_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress().step("building etcd"):
        pass
    out, err = capsys.readouterr()
    assert out == ""
    assert "building etcd" in err


def test_work_goes_on_when_the_reader_has_gone() -> None:
    read, write = os.pipe()
    os.close(read)
    done = False
    stream = os.fdopen(write, "w", buffering=1)
    try:
        with Progress(stream=stream, heartbeat=0.001).step("building etcd"):
            time.sleep(0.02)
            done = True
    finally:
        with pytest.raises(BrokenPipeError):
            stream.close()  # what the stream itself could not get rid of
    assert done


def test_work_goes_on_when_the_stream_is_closed() -> None:
    stream = io.StringIO()
    progress = Progress(stream=stream)
    stream.close()
    with progress.step("building etcd"):
        pass
    progress.say("still alive")


def test_a_stream_that_was_closed_before_the_start_is_none() -> None:
    stream = io.StringIO()
    stream.close()
    with Progress(stream=stream).step("building etcd"):
        pass


def test_what_the_stream_cannot_encode_is_replaced_and_the_stream_lives_on() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    progress = Progress(stream=stream)
    progress.say("Wörter")
    progress.say("after")
    assert raw.getvalue() == b"W?rter\nafter\n"


def on_terminal(monkeypatch: pytest.MonkeyPatch, term: str) -> tuple[Progress, int, io.TextIOBase]:
    monkeypatch.setenv("TERM", term)
    monkeypatch.setenv("COLUMNS", "60")
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    reader, writer = pty.openpty()
    stream = os.fdopen(writer, "w", encoding="utf-8")
    return Progress(stream=stream), reader, stream


def read_for(reader: int, text: str) -> str:
    seen = b""
    while text.encode() not in seen:
        seen += os.read(reader, 4096)
    return seen.decode(errors="replace")


def test_on_a_terminal_the_running_steps_are_live_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    progress, reader, stream = on_terminal(monkeypatch, "xterm")
    with progress.step("building etcd") as etcd, progress.step("building helm") as helm:
        etcd.note("[12] packages")
        helm.note("x" * 200)
        seen = read_for(reader, "[12] packages")
        seen += read_for(reader, "…")  # too long for the terminal: cut, not wrapped
    seen += read_for(reader, "building etcd: done in")
    stream.close()
    os.close(reader)
    assert "building helm: done in" in seen
    assert "\x1b[?25h" in seen, "the cursor is shown again"


def test_a_terminal_that_cannot_move_its_cursor_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    progress, reader, stream = on_terminal(monkeypatch, "dumb")
    with progress.step("building etcd"):
        pass
    seen = read_for(reader, "done in")
    stream.close()
    os.close(reader)
    assert "\x1b" not in seen


def test_force_color_does_not_make_a_log_file_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    stream = io.StringIO()
    with Progress(stream=stream).step("building etcd"):
        pass
    assert "\x1b" not in stream.getvalue()
