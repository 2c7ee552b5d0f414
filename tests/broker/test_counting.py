"""What a worker says of the models that it asked: of each row that it keeps, once, and of no row that it loses."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from common.broker.spending import read_spent
from common.llms.base import Generation
from common.llms.metering import note_answer
from common.payloads.source import PayloadSource
from common.protocol.batch import Payload, Result
from common.protocol.codec import encode_rows
from common.settings import Settings
from common.steps.base import AsyncStep, Row, Step, StepInput, StepOutput
from tests.support.runs.broker import Run, Worker, batch, take
from worker.batches.batch_work import Packer
from worker.batches.payload_reader import PayloadReader
from worker.runners.async_runner import AsyncRunner
from worker.runners.runner import Bench, Runner
from worker.runners.sync_runner import SyncRunner

ROWS: list[Row | None] = [{"n": n} for n in range(10)]
SETTINGS = Settings(worker_lease=1.0, patience=20.0, grace=5.0)


class Asks(AsyncStep):
    """Asks a model about each row, which takes as many tokens as the row says; row 3 fails, row 4 cannot be stored."""

    copies: int = 1

    async def process_row(self, row: Row) -> list[Row]:
        note_answer("m", Generation("yes", "stop", input_tokens=100 + row["n"], output_tokens=1))
        if row["n"] == 3:
            raise ValueError("no")
        made: list[Any] = [{**row, "copy": copy} for copy in range(self.copies)]
        if row["n"] == 4:
            made = [{**one, "n": object()} for one in made]
        if row["n"] == 5:
            made[-1]["n"] = object()
        return made


@contextmanager
def running(run: Run, step: Step | AsyncStep, *, counts: bool = True) -> Iterator[Runner]:
    """A worker at work; its journal entry is there at the end of the block."""
    worker: Worker = run.worker("w1")
    packer = Packer(step, worker.worker_id, SETTINGS, None, counts=counts)
    reader = PayloadReader(PayloadSource(worker.payloads))
    bench = Bench(worker.consumer, reader, packer, SETTINGS, counts_usage=counts)
    runner = AsyncRunner(step, bench) if isinstance(step, AsyncStep) else SyncRunner(step, bench)
    runner.load()
    thread = threading.Thread(target=runner.run)
    thread.start()
    try:
        yield runner
    finally:
        runner.stop()
        thread.join(60)
        runner.unload()


def result_of(run: Run, wait_until: Callable[..., None], step: Step | AsyncStep, *, counts: bool = True) -> Result:
    with running(run, step, counts=counts):
        wait_until(run.journal, 60)
    (result,) = run.journal()
    assert isinstance(result, Result)
    return result


def dispatch(run: Run) -> None:
    run.store(Payload("g", 0), data=encode_rows(ROWS))
    run.dispatch(batch(0))


def tokens_of(rows: list[int]) -> tuple[int, int]:
    """(answers, tokens of prompts)."""
    return len(rows), sum(100 + n for n in rows)


@pytest.mark.parametrize(("copies", "lost"), [(1, [3, 4, 5]), (2, [3, 4])])
def test_the_answers_of_rows_that_fail_or_cannot_be_stored_are_spent_and_not_kept(
    run: Run, wait_until: Callable[..., None], copies: int, lost: list[int]
) -> None:
    """Of a row from which several come, the answers are kept if one of them is."""
    dispatch(run)
    result = result_of(run, wait_until, Asks(name="a", copies=copies, retries=1, backoff=(0.0, 0.0)))
    kept = result.usage.total
    assert (kept.requests, kept.input_tokens) == tokens_of([n for n in range(10) if n not in lost])
    spent = read_spent(run.connection, run.run_id).steps["a"].total
    assert (spent.requests, spent.input_tokens) == tokens_of([*range(10), 3])


def test_a_batch_that_runs_row_by_row_counts_alike(run: Run, wait_until: Callable[..., None]) -> None:
    dispatch(run)
    dead = run.worker("dead")
    take(dead)
    run.die(dead)
    result = result_of(run, wait_until, Asks(name="a", retries=0, max_deliveries=1))
    kept = result.usage.total
    assert (kept.requests, kept.input_tokens) == tokens_of([0, 1, 2, 6, 7, 8, 9])
    assert result.failed == 3


class AsksForBatches(Step):
    """Asks once per call; a call with row 3 fails."""

    def process(self, inputs: StepInput) -> StepOutput:
        note_answer("m", Generation("yes", "stop", input_tokens=len(inputs), output_tokens=1))
        if any(row["n"] == 3 for row in inputs):
            raise ValueError("no")
        yield inputs


def test_of_a_step_that_takes_batches_the_answers_of_calls_that_fail_are_not_kept(
    run: Run, wait_until: Callable[..., None]
) -> None:
    """The batch is halved until the failing row is alone; each call asks for as many tokens as it has rows."""
    dispatch(run)
    result = result_of(run, wait_until, AsksForBatches(name="a", retries=0))
    assert (result.failed, result.usage.total.input_tokens) == (1, 9)
    spent = read_spent(run.connection, run.run_id).steps["a"].total
    assert spent.input_tokens > 19
    assert spent.requests > result.usage.total.requests


def test_a_coordinator_of_an_earlier_version_gets_what_it_reads(run: Run, wait_until: Callable[..., None]) -> None:
    dispatch(run)
    result = result_of(run, wait_until, Asks(name="a", retries=0), counts=False)
    assert not result.usage
    assert not run.connection.command("EXISTS", run.keys.spent)
