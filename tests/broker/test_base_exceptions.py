"""A step that raises something other than an `Exception`: its rows fail as usual, in each kind of step."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from common.protocol.batch import Batch, Failure, Result
from common.steps.base import AsyncStep, GeneratorStep, GlobalStep, Step, StepInput, StepOutput
from tests.broker.test_runners import bench, dispatch, running
from tests.support.runs.broker import Run
from worker.runners.async_runner import AsyncRunner
from worker.runners.generator_runner import GeneratorRunner
from worker.runners.global_runner import GlobalRunner
from worker.runners.runner import Runner
from worker.runners.sync_runner import SyncRunner

BAD = 7
"""The row that raises."""


class OfMyOwn(BaseException):
    """As some libraries define, so that it is not caught by mistake."""


class Unreadable(BaseException):
    def __str__(self) -> str:
        raise KeyboardInterrupt


RAISED: dict[str, Callable[[], BaseException]] = {
    "the step called exit(3)": lambda: SystemExit(3),
    "the step raised KeyboardInterrupt": KeyboardInterrupt,
    "the step raised GeneratorExit": GeneratorExit,
    "the step raised CancelledError": asyncio.CancelledError,
    "the step raised OfMyOwn: no": lambda: OfMyOwn("no"),
    "the step raised Unreadable, which has no message": Unreadable,
    "the step raised BaseExceptionGroup: two": lambda: BaseExceptionGroup("two", [KeyboardInterrupt()]),
    "TimeoutError": asyncio.TimeoutError,
    "StopIteration": StopIteration,
    "StopAsyncIteration": StopAsyncIteration,
}


class Raises(Step):
    words: str

    def process(self, inputs: StepInput) -> StepOutput:
        if any(row["n"] == BAD for row in inputs):
            raise RAISED[self.words]()
        yield inputs


class RaisesLate(Step):
    """What it yields is made while it is read."""

    words: str

    def process(self, inputs: StepInput) -> Iterator[StepInput]:  # type: ignore[override]
        return map(self._pass, [inputs])

    def _pass(self, rows: StepInput) -> StepInput:
        if any(row["n"] == BAD for row in rows):
            raise RAISED[self.words]()
        return rows


class RaisesAlone(AsyncStep):
    words: str

    async def process_row(self, row: dict[str, Any]) -> dict[str, Any]:
        if row["n"] == BAD:
            raise RAISED[self.words]()
        return row


class IsCancelled(AsyncStep):
    """How a row may find itself cancelled."""

    how: str

    async def process_row(self, row: dict[str, Any]) -> dict[str, Any]:
        if row["n"] == BAD:
            await getattr(self, self.how)()
        return row

    async def future(self) -> None:
        shared = asyncio.get_running_loop().create_future()
        shared.cancel()
        await shared

    async def task(self) -> None:
        task = asyncio.ensure_future(asyncio.sleep(60))
        task.cancel()
        await task

    async def itself(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()

    async def later(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().call_soon(task.cancel)
        await asyncio.sleep(60)

    async def child_that_exits(self) -> None:
        async def leave() -> None:
            sys.exit(3)

        await asyncio.ensure_future(leave())


class Stubborn(AsyncStep):
    """Continues however often it is cancelled."""

    async def process_row(self, row: dict[str, Any]) -> dict[str, Any]:
        if row["n"] == BAD:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                await asyncio.sleep(0)
        return row


class RaisesAll(GlobalStep):
    words: str

    def process(self, inputs: StepInput) -> StepOutput:
        raise RAISED[self.words]()
        yield inputs


class RaisesAtOnce(GeneratorStep):
    words: str

    @property
    def outputs(self) -> list[str]:
        return ["n"]

    def process(self, offset: int = 0) -> Iterator[tuple[list[dict[str, Any]], bool]]:
        raise RAISED[self.words]()
        yield [{"n": 1}], True


def failed_of(run: Run, runner: Runner, wait_until: Callable[..., None]) -> str:
    """The error of the one row of ten that fails."""
    dispatch(run, 1)
    with running(runner):
        wait_until(run.journal, 60)
    assert runner.error is None
    (result,) = run.journal()
    assert isinstance(result, Result)
    assert (result.taken, result.failed) == (10, 1)
    ((letter,), _) = run.reports.letters()
    assert letter.row == {"n": BAD}
    return letter.error


def failure_of(run: Run, runner: Runner, wait_until: Callable[..., None]) -> str:
    """The reason for which the run halts."""
    with running(runner):
        wait_until(run.journal, 60)
    assert runner.error is None
    (failure,) = run.journal()
    assert isinstance(failure, Failure)
    return failure.error


SOME = ["the step raised KeyboardInterrupt", "the step raised GeneratorExit", "the step raised CancelledError"]


@pytest.mark.parametrize(("kind", "words"), [*((Raises, words) for words in RAISED), (RaisesLate, SOME[0])])
def test_a_row_of_a_step_fails(
    run: Run, wait_until: Callable[..., None], kind: Callable[..., Step], words: str
) -> None:
    step = kind(name="a", words=words, backoff=(0, 0))
    error = failed_of(run, SyncRunner(step, bench(run.worker("w1"), step)), wait_until)
    assert words in error
    assert "test_base_exceptions.py" in error or "StopIteration" in words  # which Python replaces


@pytest.mark.parametrize("words", RAISED)
def test_a_row_of_an_asynchronous_step_fails(run: Run, wait_until: Callable[..., None], words: str) -> None:
    step = RaisesAlone(name="a", words=words, backoff=(0, 0))
    error = failed_of(run, AsyncRunner(step, bench(run.worker("w1"), step)), wait_until)
    assert words in error
    assert "test_base_exceptions.py" in error or "StopIteration" in words  # which Python replaces


@pytest.mark.parametrize("limit", [None, 60.0])
@pytest.mark.parametrize("how", ["future", "task", "itself", "later", "child_that_exits"])
def test_a_row_that_is_cancelled_fails_and_the_others_do_not(
    run: Run, wait_until: Callable[..., None], how: str, limit: float | None
) -> None:
    step = IsCancelled(name="a", how=how, retries=1, backoff=(0, 0), batch_timeout=limit)
    error = failed_of(run, AsyncRunner(step, bench(run.worker("w1"), step)), wait_until)
    assert ("exit(3)" if how == "child_that_exits" else "the step raised CancelledError") in error


def test_a_row_that_takes_too_long_fails_also_where_it_does_not_let_itself_be_cancelled(
    run: Run, wait_until: Callable[..., None]
) -> None:
    step = Stubborn(name="a", retries=0, batch_timeout=0.2)
    error = failed_of(run, AsyncRunner(step, bench(run.worker("w1"), step)), wait_until)
    assert "took longer than 0.2 s (batch_timeout)" in error


@pytest.mark.parametrize("words", SOME)
def test_a_global_step_fails_the_run(run: Run, wait_until: Callable[..., None], words: str) -> None:
    dispatch(run, 1)
    step = RaisesAll(name="a", words=words, retries=0)
    assert words in failure_of(run, GlobalRunner(step, bench(run.worker("w1"), step)), wait_until)


@pytest.mark.parametrize("words", SOME)
def test_a_generator_fails_the_run(run: Run, wait_until: Callable[..., None], words: str) -> None:
    step = RaisesAtOnce(name="g", words=words, retries=1, backoff=(0, 0))
    run.dispatch(Batch("g", 0))
    assert words in failure_of(run, GeneratorRunner(step, bench(run.worker("w1", "g"), step)), wait_until)
