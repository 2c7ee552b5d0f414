"""Runners at a real broker: what they leave there when they are told to stop, and when the broker is away or full."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from common.batch import Payload, Result
from common.broker.connection import script_text
from common.broker.work import WorkQueue
from common.codec import encode_rows
from common.settings import Settings
from common.steps.base import AsyncStep, Step
from tests.integration.broker import Run, batch, take
from tests.integration.failing_steps import Fragile, FragileAsync, calls
from tests.integration.steps import Double, Gated
from tests.proxy import Proxy
from worker.async_runner import AsyncRunner
from worker.payload_reader import PayloadReader
from worker.runner import Bench, Runner
from worker.sync_runner import SyncRunner
from worker.work import Packer

ROWS = [{"n": n} for n in range(10)]
SETTINGS = Settings(worker_lease=60.0, patience=20.0)


def bench(queue: WorkQueue, step: Step | AsyncStep) -> Bench:
    return Bench(queue, PayloadReader(queue, None), Packer(step, queue.worker_id, SETTINGS, None), SETTINGS)


@contextmanager
def running(runner: Runner) -> Iterator[threading.Thread]:
    """Runs it on a thread, which ends with the block; what it raises is in `runner.error`."""

    def run() -> None:
        try:
            runner.run()
        except Exception as error:
            runner.error = error

    runner.load()
    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield thread
    finally:
        runner.stop()
        thread.join(60)
        assert not thread.is_alive()
        runner.unload()


def dispatch(run: Run, number: int) -> None:
    """Sends so many batches of step `a`, with their rows."""
    for seq in range(number):
        run.store(Payload("g", seq), data=encode_rows(ROWS))
    run.dispatch(*map(batch, range(number)))


def dispatch_isolated(run: Run) -> None:
    """Sends a batch that has killed a worker."""
    dispatch(run, 1)
    dead = run.worker("dead")
    take(dead)
    run.die(dead)


@pytest.mark.parametrize(("runs", "kind"), [(SyncRunner, Fragile), (AsyncRunner, FragileAsync)])
def test_a_stop_while_a_row_that_runs_alone_waits_for_its_retry_counts_as_no_kill(
    run: Run,
    tmp_path: Path,
    wait_until: Callable[..., None],
    runs: Callable[..., Runner],
    kind: Callable[..., Step | AsyncStep],
) -> None:
    dispatch_isolated(run)
    notes = tmp_path / "notes"
    step = kind(name="a", everything=True, notes=str(notes), backoff=(600, 600), max_deliveries=1)
    worker = run.worker("w1")
    with running(runs(step, bench(worker, step))):
        wait_until(lambda: calls(str(notes)), 60)
        assert worker.isolated(batch(0))["running"] == b"0"
    assert worker.isolated(batch(0))["running"] == b""
    assert (run.pending(), run.waiting()) == ({}, 1), "handed back"


def test_a_row_that_runs_alone_is_no_dead_letter_because_the_broker_was_away_for_a_moment(
    run: Run, proxy: Proxy, wait_until: Callable[..., None]
) -> None:
    dispatch_isolated(run)
    step = Double(name="a", max_deliveries=1)
    runner = SyncRunner(step, bench(run.worker("w1", url=proxy.url), step))
    proxy.lose_reply(script_text("isolate")[1].encode())
    with running(runner):
        wait_until(run.journal, 60)
    assert proxy.lost
    assert runner.error is None
    (result,) = run.journal()
    assert isinstance(result, Result)
    assert (result.taken, result.failed) == (10, 0)


def test_a_worker_that_leaves_while_the_broker_is_away_commits_and_hands_back_when_it_is_there(
    run: Run, proxy: Proxy, tmp_path: Path, wait_until: Callable[..., None]
) -> None:
    dispatch(run, 2)
    gate = tmp_path / "gate"
    gate.touch()
    step = Gated(name="a", gate=str(gate), at=5)
    runner = SyncRunner(step, bench(run.worker("w1", url=proxy.url), step))
    with running(runner):
        wait_until(lambda: gate.with_suffix(".waiting").exists() and runner.intake.held == 2, 60)
        proxy.lose_reply(script_text("hand_back")[1].encode())
        runner.stop()
        gate.unlink()
    assert proxy.lost
    assert runner.error is None
    assert [entry.seq for entry in run.journal() if isinstance(entry, Result)] == [0]
    assert (run.pending(), run.waiting()) == ({}, 1), "handed back"
