"""Runners at a real broker: what is left there when they are told to stop, and when the broker is away or full."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from common.broker.connection import script_text
from common.errors import UsageError
from common.payloads.source import PayloadSource
from common.protocol.batch import Batch, Failure, Payload, Result
from common.protocol.codec import encode_rows
from common.settings import Settings
from common.steps.base import (
    AsyncStep,
    BaseStep,
    GeneratorStep,
    GeneratorStepOutput,
    GlobalStep,
    Step,
    StepInput,
    StepOutput,
)
from tests.support.runs.broker import Run, Worker, batch, done, take
from tests.support.servers.proxy import Proxy
from tests.support.servers.redis_server import RedisServer
from tests.support.steps.failing_steps import Fragile, FragileAsync, calls
from tests.support.steps.steps import Double, Gated, Reverse
from worker.batches.batch_work import Packer
from worker.batches.payload_reader import PayloadReader
from worker.runners.async_runner import AsyncRunner
from worker.runners.generator_runner import GeneratorRunner
from worker.runners.global_runner import GlobalRunner
from worker.runners.runner import Bench, Runner
from worker.runners.sync_runner import SyncRunner

ROWS = [{"n": n} for n in range(10)]
SETTINGS = Settings(worker_lease=60.0, patience=20.0)


class RunsOut(GeneratorStep):
    """Raises behind its first rows, and counts how often."""

    good: int = 3
    usage: bool = False

    @property
    def outputs(self) -> list[str]:
        return ["n"]

    def process(self, offset: int = 0) -> GeneratorStepOutput:
        for n in range(offset, self.good):
            yield [{"n": n}], False
        RAISED.append(self.good)
        raise UsageError("no such file") if self.usage else RuntimeError("no answer")


RAISED: list[int] = []


class EndsBadly(GlobalStep):
    """The last row cannot be stored."""

    def process(self, inputs: StepInput) -> StepOutput:
        yield [*inputs, {"n": object()}]


def bench(worker: Worker, step: BaseStep, settings: Settings = SETTINGS) -> Bench:
    packer = Packer(step, worker.worker_id, settings, None)
    return Bench(worker.consumer, PayloadReader(PayloadSource(worker.payloads)), packer, settings)


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
    """Sends a number of batches of step `a`, with their rows."""
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
        assert worker.isolation.read(batch(0))["running"] == b"0"
    assert worker.isolation.read(batch(0))["running"] == b""
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


def test_what_was_handed_back_is_done_before_what_is_new(run: Run, wait_until: Callable[..., None]) -> None:
    dispatch(run, 100)
    first, step = run.worker("w1"), Double(name="a")
    taken = take(first, 80)  # more than a worker has room for
    first.commits.commit([done(one) for one in taken[:5]])
    first.inbox.hand_back(taken[5:])
    runner = SyncRunner(step, bench(run.worker("w2"), step))
    with running(runner):
        wait_until(lambda: len(run.journal()) == 100, 60)
    assert [entry.seq for entry in run.journal() if isinstance(entry, Result)] == list(range(100))


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


# global steps


def chunks(run: Run) -> list[bool]:
    """Which outputs of a global step `a` with 10 rows, 4 per payload, are in the broker."""
    return run.stored(*(Payload("a", seq) for seq in range(3)))


def test_what_a_global_step_gave_is_stored_though_the_broker_is_away_for_a_moment(
    run: Run, proxy: Proxy, wait_until: Callable[..., None]
) -> None:
    dispatch(run, 1)
    step = Reverse(name="a", input_batch_size=4)
    runner = GlobalRunner(step, bench(run.worker("w1", url=proxy.url), step))
    proxy.lose_reply(script_text("stage")[1].encode())
    with running(runner):
        wait_until(run.journal, 60)
    assert proxy.lost
    assert runner.error is None
    assert chunks(run) == [True, True, True]


def test_what_a_global_step_gave_waits_for_room_in_a_full_broker(
    wait_until: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    with RedisServer() as server:
        run = Run(server.url)
        run.load_scripts()
        dispatch(run, 1)
        step = Reverse(name="a", input_batch_size=4)
        runner = GlobalRunner(step, bench(run.worker("w1"), step))
        run.connection.command("CONFIG", "SET", "maxmemory", "1")
        with running(runner):
            wait_until(lambda: "is full" in caplog.text, 60)
            run.connection.command("CONFIG", "SET", "maxmemory", "0")
            wait_until(run.journal, 60)
        assert runner.error is None
        assert chunks(run) == [True, True, True]


def test_a_broker_that_stays_full_fails_the_run_of_a_global_step_in_words(wait_until: Callable[..., None]) -> None:
    with RedisServer() as server:
        run = Run(server.url)
        run.load_scripts()
        dispatch(run, 1)
        step = Reverse(name="a", input_batch_size=4)
        runner = GlobalRunner(step, bench(run.worker("w1"), step, Settings(worker_lease=60.0, patience=0.5)))
        run.connection.command("CONFIG", "SET", "maxmemory", "1")
        with running(runner):
            wait_until(run.journal, 60)
        assert runner.error is None
        (failure,) = run.journal()
        assert isinstance(failure, Failure)
        assert "is full (maxmemory reached): it has no room for the rows of step 'a'" in failure.error
        assert "--payloads URL" in failure.error


def test_a_global_step_whose_output_cannot_be_stored_leaves_none_of_it_behind(
    run: Run, wait_until: Callable[..., None]
) -> None:
    dispatch(run, 1)
    step = EndsBadly(name="a", input_batch_size=4, on_error="fail")
    with running(GlobalRunner(step, bench(run.worker("w1"), step))):
        wait_until(run.journal, 60)
    (failure,) = run.journal()
    assert isinstance(failure, Failure)
    assert chunks(run) == [False, False, False]


def test_a_payload_of_a_global_step_that_another_worker_has_now_is_left_alone(run: Run) -> None:
    run.dispatch(batch(0))
    first, second, payload = run.worker("w1"), run.worker("w2"), Payload("a", 0)
    (taken,) = take(first)
    first.staging.stage(taken, payload, b"first")
    run.die(first)
    (claimed,) = second.inbox.claim("w1", 1)
    second.staging.stage(claimed, payload, b"second")
    first.staging.stage(taken, payload, b"late")
    first.staging.unstage(taken, [payload])
    assert second.payloads.read([payload]) == [b"second"]
    second.staging.unstage(claimed, [payload])
    assert second.payloads.read([payload]) == [None]


# generators


def ran_out(run: Run, wait_until: Callable[..., None], **parameters: Any) -> tuple[list[str], int]:
    """The errors in the journal, behind three results, and how often the generator raised."""
    RAISED.clear()
    step = RunsOut(name="g", backoff=(0, 0), **parameters)
    run.dispatch(*(Batch("g", seq) for seq in range(8)))
    runner = GeneratorRunner(step, bench(run.worker("w1", "g"), step))
    with running(runner):
        wait_until(lambda: len(run.journal()) >= 4, 60)
    assert runner.error is None
    *made, failure = run.journal()
    assert [(one.seq, one.rows) for one in made if isinstance(one, Result)] == [(0, 1), (1, 1), (2, 1)]
    return [failure.error] if isinstance(failure, Failure) else [], len(RAISED)


def test_a_generator_whose_set_up_is_wrong_halts_the_run_at_once_also_behind_batches_that_wait_for_their_commit(
    run: Run, wait_until: Callable[..., None]
) -> None:
    ((error,), raised) = ran_out(run, wait_until, usage=True, retries=5)
    assert "UsageError: no such file" in error
    assert raised == 1


@pytest.mark.parametrize("retries", [0, 1, 2])
def test_a_generator_is_opened_again_as_often_as_it_says_also_behind_batches_that_wait_for_their_commit(
    run: Run, wait_until: Callable[..., None], retries: int
) -> None:
    ((error,), raised) = ran_out(run, wait_until, retries=retries)
    assert "the generator raised at row 3: RuntimeError: no answer" in error
    assert raised == 1 + retries
