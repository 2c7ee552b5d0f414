"""Standard output as a step finds it: a text stream like any other, whose lines go to the log, within bounds."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest

from worker.host.printed import LINES_A_SECOND, LINES_BEGUN, LONGEST_TEXT, PrintedLines
from worker.host.standard_streams import text_stream

LOGGER = logging.getLogger("penstock.step.say")


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> PrintedLines:
    caplog.set_level(logging.INFO, LOGGER.name)
    return PrintedLines(LOGGER, logging.INFO, 1)


def test_it_is_a_stream_as_any_program_expects_it(lines: PrintedLines, caplog: pytest.LogCaptureFixture) -> None:
    stream = text_stream(lines)
    stream.reconfigure(line_buffering=True)
    assert (stream.fileno(), stream.encoding, stream.isatty(), stream.errors) == (1, "utf-8", False, "backslashreplace")
    stream.buffer.write(b"bytes \xff\n")
    stream.writelines(["a\n", "b\n"])
    print("no end", end=" ", file=stream)
    print("\udc80", file=stream)
    assert caplog.messages == ["bytes \\xff", "a", "b", "no end \\udc80"]


def test_the_last_state_of_a_line_that_was_overwritten_counts(
    lines: PrintedLines, caplog: pytest.LogCaptureFixture
) -> None:
    for percent in range(101):
        lines.write(b"\r%d %%" % percent)
    lines.write(b"\nwindows\r\n")
    assert caplog.messages == ["100 %", "windows"]


def test_a_long_line_is_cut_with_a_mark(lines: PrintedLines, caplog: pytest.LogCaptureFixture) -> None:
    lines.write(b"x" * 50_000 + b"\n")
    assert caplog.messages == ["x" * LONGEST_TEXT + " [cut: 50,000 bytes]"]


def test_lines_that_are_too_many_are_dropped_whole_and_counted(
    lines: PrintedLines, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 10.0
    monkeypatch.setattr("worker.host.printed.time.monotonic", lambda: now)
    stream = text_stream(lines)
    for number in range(3 * LINES_A_SECOND):
        print("line", number, file=stream)
    print("torn", end="", file=stream)
    now = 12.0
    print(" in two\nand on", file=stream)
    lines.say_dropped()
    lines.say_dropped()
    *printed, last, said = caplog.messages
    assert printed == [f"line {number}" for number in range(LINES_A_SECOND)]
    assert last == "and on"
    assert said.startswith("2,001 printed lines were dropped: the step prints more than 1,000 lines")


def test_a_line_without_an_end_comes_out_at_the_end_also_of_a_thread_that_is_gone(
    lines: PrintedLines, caplog: pytest.LogCaptureFixture
) -> None:
    stream = text_stream(lines)
    for number in range(3):
        thread = threading.Thread(target=print, args=("thread", number), kwargs={"end": "", "file": stream})
        thread.start()
        thread.join()
    print("one\nlast", end="", file=stream)
    assert caplog.messages == ["one"]
    lines.end_lines()
    lines.end_lines()
    assert caplog.messages == ["one", "thread 0", "thread 1", "thread 2", "last"]
    print(" and on", file=stream)
    assert caplog.messages[-1] == " and on"


def test_lines_without_an_end_of_many_threads_are_not_kept_for_ever(
    lines: PrintedLines, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(LINES_BEGUN + 5):
        thread = threading.Thread(target=lines.write, args=(b"%d" % number,))
        thread.start()
        thread.join()
    assert caplog.messages == ["0", "1", "2", "3", "4"]


def test_a_line_that_another_thread_ends_at_any_moment_disturbs_no_other(
    lines: PrintedLines, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.host.printed.LINES_BEGUN", 2)
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:

        def say(end: Callable[[], None], moment: int) -> int:
            caplog.clear()
            one.submit(lines.write, b"one").result()
            other.submit(lines.write, b"other").result()
            with at_instruction(moment, lambda: other.submit(lines.write, b"\n").result()) as passed:
                end()
            lines.end_lines()
            assert sorted(caplog.messages) == sorted(["one", "other", *(["mine"] if end == begin else [])])
            return passed()

        def begin() -> None:
            assert lines.write(b"mine") == 4

        for end in (begin, lines.end_lines):
            moment = 0
            while say(end, moment) > moment:
                moment += 1
            assert moment > 50


@contextmanager
def at_instruction(number: int, act: Callable[[], object]) -> Iterator[Callable[[], int]]:
    """Acts before one instruction that this thread takes in `PrintedLines`; returns how many it has taken."""
    taken = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal taken
        if not isinstance(frame.f_locals.get("self"), PrintedLines):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            if taken == number:
                act()
            taken += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield lambda: taken
    finally:
        sys.settrace(before)
