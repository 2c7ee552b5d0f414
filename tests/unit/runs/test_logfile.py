"""`pipeline.log`: the shape of its lines, and that nothing sent to it can break it."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.runs.logfile import PipelineLog

RECORD = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [A-Z]+ ")


@pytest.fixture
def log(tmp_path: Path) -> Iterator[PipelineLog]:
    with PipelineLog.open(tmp_path / "pipeline.log") as log:
        yield log


def shipped(**fields: object) -> bytes:
    given = {"time": 1795348801.1234, "level": "INFO", "step": "generate", "worker": "ab12cd34", "text": "ready"}
    return json.dumps({**given, **fields}).encode()


def lines(log: PipelineLog) -> list[str]:
    return log.path.read_text(encoding="utf-8").splitlines()


def test_a_record_has_time_level_step_worker_and_text(log: PipelineLog) -> None:
    log.write_shipped(shipped())
    assert lines(log) == ["2026-11-22T12:00:01.123Z INFO step=generate worker=ab12cd34 ready"]


def test_records_are_in_the_file_as_soon_as_the_call_returns_and_are_appended(log: PipelineLog) -> None:
    log.write_shipped(shipped(text="one"), shipped(text="two"))
    assert [line.rpartition(" ")[2] for line in lines(log)] == ["one", "two"]
    with PipelineLog.open(log.path) as other:
        other.write_shipped(shipped(text="three"))
    assert [line.rpartition(" ")[2] for line in lines(log)] == ["one", "two", "three"]


def test_the_other_lines_of_a_text_are_indented(log: PipelineLog) -> None:
    log.write_shipped(shipped(level="ERROR", text="Traceback:\n  File x\nKeyError: 'k'\n"))
    first, *others = lines(log)
    assert first.endswith("Traceback:")
    assert others == ["      File x", "    KeyError: 'k'"]


def test_no_text_can_pass_for_another_record(log: PipelineLog) -> None:
    log.write_shipped(shipped(text="a\n2026-11-22T12:00:01.123Z INFO step=x forged\r\n2026-11-22T12:00:01.123Z b"))
    assert sum(bool(RECORD.match(line)) for line in lines(log)) == 1


def test_colours_go_and_a_progress_bar_is_what_it_was_at_its_end(log: PipelineLog) -> None:
    log.write_shipped(shipped(text="\x1b[31mred\x1b[0m"), shipped(text="10%\r50%\r100%"), shipped(text="bell\x07"))
    assert [line.rpartition(" ")[2] for line in lines(log)] == ["red", "100%", "bell\\x07"]


def test_a_step_or_a_worker_with_an_odd_name_stays_one_word(log: PipelineLog) -> None:
    log.write_shipped(shipped(step="a b\nc", worker=["x"]))
    assert " step=a_b_c worker=['x'] ready" in lines(log)[0]


@pytest.mark.parametrize("when", [None, "soon", 1e300, -1e300, float("nan"), [], True])
def test_a_record_with_an_odd_time_is_kept(log: PipelineLog, when: object) -> None:
    log.write_shipped(shipped(time=when))
    assert RECORD.match(lines(log)[0])
    assert lines(log)[0].endswith(" ready")


@pytest.mark.parametrize("level", [None, 20, "no level", "", "X" * 100])
def test_an_odd_level_is_written_as_info(log: PipelineLog, level: object) -> None:
    log.write_shipped(shipped(level=level))
    assert " INFO step=generate" in lines(log)[0]


@pytest.mark.parametrize("line", [b"", b"not json", b"[1]", b"null", b'{"text": 3}', b"\xff\xfe\x00", b"[" * 100_000])
def test_a_line_that_is_no_record_is_kept_and_called_so(log: PipelineLog, line: bytes) -> None:
    log.write_shipped(line, shipped())
    found = lines(log)
    assert " WARNING a worker shipped a line that is not a record:" in found[0]
    assert found[-1].endswith(" ready")


def test_a_text_without_end_is_cut(log: PipelineLog) -> None:
    log.write_shipped(shipped(text="x" * 5_000_000))
    assert log.path.stat().st_size < 25_000


@given(st.binary(max_size=200), st.text(max_size=200))
def test_whatever_is_shipped_ends_as_whole_records(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes, text: str
) -> None:
    with PipelineLog.open(tmp_path_factory.mktemp("log") / "pipeline.log") as log:
        log.write_shipped(raw, shipped(text=text))
        content = log.path.read_bytes().decode("utf-8")
    assert content.endswith("\n")
    found = content.removesuffix("\n").split("\n")
    assert sum(bool(RECORD.match(line)) for line in found) == 2
    assert all(RECORD.match(line) or line.startswith("    ") for line in found)


def test_records_of_the_coordinator_go_to_the_same_file(log: PipelineLog) -> None:
    logger = logging.Logger("coordinator.test")
    logger.addHandler(log.handler())
    before = time.time()
    try:
        raise ValueError("boom")
    except ValueError:
        logger.exception("part %d failed", 3)
    first, *others = lines(log)
    assert first.endswith("ERROR by=coordinator part 3 failed")
    assert abs(datetime.fromisoformat(first.split()[0]).timestamp() - before) < 5
    assert others[0] == "    Traceback (most recent call last):"
    assert others[-1] == "    ValueError: boom"


def test_a_record_that_cannot_be_formatted_or_written_ends_nothing_and_prints_nothing(
    log: PipelineLog, capsys: pytest.CaptureFixture[str]
) -> None:
    logger = logging.Logger("coordinator.test")
    logger.addHandler(log.handler())
    logger.info("%d of %d", "one")
    log.close()
    logger.info("after the end")
    assert capsys.readouterr() == ("", "")


def test_closing_twice_is_no_error(log: PipelineLog) -> None:
    log.close()
    log.close()
