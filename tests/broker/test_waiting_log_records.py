"""Log records that wait at the broker for the coordinator: how many, and how many bytes of them."""

from __future__ import annotations

import pytest

from common.broker.reports import LOG_BYTES, LOG_LENGTH
from tests.support.runs.broker import Run


def waiting(run: Run) -> list[bytes]:
    return [fields[b"m"] for _, fields in run.reports.log()]


def test_a_long_log_record_drops_only_as_many_short_ones_as_there_are_too_many_bytes(run: Run) -> None:
    worker = run.worker("w1")
    short = [b"%04d" % number for number in range(900)]
    assert worker.log.send(short) == 0
    assert worker.log.send([b"x" * 200_000]) == 0
    assert waiting(run) == [*short, b"x" * 200_000]
    assert worker.log.send([b"y" * (LOG_BYTES - 200_000 - 100 * 4)]) == 800
    assert [record[:4] for record in waiting(run)] == [*short[800:], b"xxxx", b"yyyy"]
    assert worker.log.send([b"z" * (LOG_BYTES + 1)]) == 102
    assert worker.log.send([b"last"]) == 1
    assert waiting(run) == [b"last"], "what alone is too long stays until the next one comes"


def test_bytes_of_log_records_that_were_written_down_do_not_count(run: Run) -> None:
    worker = run.worker("w1")
    for _ in range(3):
        assert worker.log.send([b"x" * (LOG_BYTES // 2), b"y" * (LOG_BYTES // 2)]) == 0
        run.reports.drop(run.keys.log, [entry for entry, _ in run.reports.log()[:1]])
        assert worker.log.send([b"z"] * 10) == 0
        run.reports.drop(run.keys.log, [entry for entry, _ in run.reports.log()])


def test_no_more_log_records_wait_than_there_may(run: Run) -> None:
    worker = run.worker("w1")
    assert [worker.log.send([b"x"] * (LOG_LENGTH // 2)) for _ in range(3)] == [0, 0, LOG_LENGTH // 2]
    assert run.connection.command("XLEN", run.keys.log) == LOG_LENGTH


@pytest.mark.parametrize("total", ["x", "-1", "inf", "nan", "1e300", ""])
def test_entries_of_the_log_that_are_none_of_ours_hold_up_no_record(run: Run, total: str) -> None:
    run.connection.command("XADD", run.keys.log, "*", "m", "strange", "total", total)
    run.connection.command("HSET", run.keys.progress, "logged", total)
    assert run.worker("w1").log.send([b"x", b"y"]) == 0
    assert waiting(run) == [b"strange", b"x", b"y"]
