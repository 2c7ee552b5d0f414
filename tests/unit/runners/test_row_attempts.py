"""Attempts at rows leave nothing behind that only a search for cycles would free: frames hold rows of any size."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Iterator
from weakref import WeakSet

import pytest

from common.errors import RowError
from common.llms.base import Generation
from common.llms.echo import EchoLLM
from common.llms.waiting import Waits
from common.steps.base import AsyncStep, Row, Step, StepInput, StepOutput
from common.steps.tasks.text_generation import TextGeneration
from worker.batches.outcome import FailedRow
from worker.runners.attempts import Attempts
from worker.runners.complaints import Complaints
from worker.runners.row_attempts import RowAttempts


class Large(str):
    """A value that can be watched."""


class Fails(AsyncStep):
    """Raises for each row, one error from another."""

    async def process_row(self, row: Row) -> Row:
        try:
            raise KeyError("no such thing")
        except KeyError as error:
            raise RowError("not this row") from error


class FailsTogether(Step):
    """Raises for each batch."""

    def process(self, rows: StepInput) -> StepOutput:
        raise RowError(f"none of these {len(rows)} rows")
        yield rows


class Silent(EchoLLM):
    """Answers nothing, so that each answer is a bad one."""

    async def agenerate(self, messages: list[dict[str, str]], **kwargs: object) -> Generation:  # type: ignore[override]
        return Generation("")


@pytest.fixture(autouse=True)
def nothing_is_collected(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nor does a record of the log keep an error."""
    caplog.set_level(logging.CRITICAL, "penstock.step")
    gc.disable()
    yield
    gc.enable()


def steps() -> list[AsyncStep]:
    quick = {"retries": 2, "backoff": (0.0, 0.0)}
    return [Fails(name="fails", **quick), TextGeneration(name="asks", llm=Silent(), **quick)]


@pytest.mark.parametrize("step", steps(), ids=lambda step: step.name)
def test_a_failed_row_leaves_no_cycle(step: AsyncStep) -> None:
    alive: WeakSet[Large] = WeakSet()

    async def run() -> None:
        attempts = RowAttempts(step, Complaints(step.name), Waits())
        for number in range(3):
            row = {"instruction": Large(f"row {number}")}
            alive.add(row["instruction"])
            made = await attempts.run(row, 0)
            assert isinstance(made, FailedRow)

    step.load()
    asyncio.run(run())
    assert not list(alive)


def test_a_failed_batch_leaves_no_cycle() -> None:
    step = FailsTogether(name="together", retries=1, backoff=(0.0, 0.0))
    alive: WeakSet[Large] = WeakSet()

    def run() -> None:
        values = [Large(f"row {number}") for number in range(4)]
        for value in values:
            alive.add(value)
        outcome = Attempts(step, lambda _: None, Complaints(step.name)).run(
            lambda: [[{"a": value} for value in values]]
        )
        assert len(outcome.failed) == 4

    run()
    assert not list(alive)
