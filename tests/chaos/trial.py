"""One run of a scenario, from its start to the verdict."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

from common.errors import EXIT_FAILED_ROWS
from tests.chaos.faults import inject
from tests.chaos.payment import Paid, check_payment
from tests.chaos.scenario import Injected, Scenario, draw_pipeline
from tests.chaos.stage import Stage, set_up
from tests.chaos.takeovers import Takeover
from tests.chaos.verdict import Yield, check, check_ledger, check_poison, collect
from tests.support.runs.harness import wait_for

LIMIT = 180.0
"""Seconds that a run may take, however often it is disturbed."""
POLL = 0.02


@dataclass(frozen=True, slots=True)
class Trial:
    """How a scenario went.

    Args:
        injected: per kind, how often it was done; a fault whose moment did not come before the end is not counted.
        codes: exit codes of the command, in order.
    """

    scenario: Scenario
    injected: Counter[str]
    codes: tuple[int, ...]
    takeovers: tuple[Takeover, ...]
    paid: Paid
    seconds: float


@lru_cache
def left_alone(number: int) -> Yield:
    """The results of an uninterrupted run; checked against the ledger too."""
    pipeline = draw_pipeline(number)
    scenario = Scenario(-1, pipeline, "local", dict.fromkeys(pipeline.steps, 1), ())
    with TemporaryDirectory(prefix="penstock-chaos-") as folder, set_up(scenario, Path(folder)) as stage:
        code = stage.command.wait(LIMIT)
        assert code == EXIT_FAILED_ROWS, stage.command.text
        check_poison(pipeline, stage.harness)
        asked = stage.endpoint.asked().answered
        found = replace(collect(stage.harness), entries=len(stage.sight.journal()), asked=asked)
        check(stage, pipeline, found)
        assert found.kept.requests == asked.total() > 0
        return found


def play(scenario: Scenario, keep: Path | None = None) -> Trial:
    """Runs it.

    Args:
        keep: a folder for what a run that fails leaves behind: its files, and those of its broker.

    Raises:
        AssertionError: something was lost, duplicated or left behind; a note says which scenario it was.
    """
    alone = left_alone(scenario.pipeline.number)
    began = time.monotonic()
    with TemporaryDirectory(prefix="penstock-chaos-") as folder, set_up(scenario, Path(folder)) as stage:
        injected: list[Injected] = []
        try:
            codes = drive(stage, alone.entries, injected)
            end_workers(stage)
            check(stage, scenario.pipeline, alone)
            asked = stage.endpoint.asked()
            paid = check_payment(scenario, stage.harness, asked, injected, alone.asked, alone.kept)
        except BaseException as error:
            error.add_note(describe(stage, injected))
            if keep is not None:
                keep_files(stage, keep / f"seed-{scenario.seed}")
            raise
        counts = Counter(one.fault.kind for one in injected)
        return Trial(scenario, counts, codes, tuple(stage.takeovers.measured), paid, time.monotonic() - began)


def drive(stage: Stage, entries: int, injected: list[Injected]) -> tuple[int, ...]:
    """Brings the faults about, and the run to its end: whenever the command ends, it is rerun."""
    faults = list(stage.scenario.faults)
    codes: list[int] = []
    deadline = time.monotonic() + LIMIT
    while True:
        assert time.monotonic() < deadline, f"the run did not end within {LIMIT:.0f} s: {stage.command.text}"
        stage.look()
        code = stage.command.process.poll()
        is_due = code is None and faults and stage.broker.written() >= faults[0].at * entries
        if is_due and (done := inject(stage, faults[0])) is not None:
            faults.pop(0)
            injected.append(done)
        if code is not None:
            codes.append(code)
            if code == EXIT_FAILED_ROWS:
                return tuple(codes)
            assert code in stage.allowed, f"the command ended with {code}: {stage.command.text}"
            stage.run()
        stage.workers.start()
        time.sleep(POLL)


def end_workers(stage: Stage) -> None:
    """The run is complete: workers leave unasked, and those that could not serve have left."""
    stage.later.do_what_is_due(everything=True)
    stage.workers.wait_for_end()
    wait_for(lambda: not stage.harness.processes(), 20, "the end of every process")


def keep_files(stage: Stage, folder: Path) -> None:
    """Copies everything but sockets."""
    sources = {"run": stage.harness.folder}
    if stage.broker.server is not None:
        sources["broker"] = stage.broker.server.folder
    for name, source in sources.items():
        for path in source.rglob("*"):
            if path.is_file():
                target = folder / name / path.relative_to(source)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)


def describe(stage: Stage, injected: list[Injected]) -> str:
    """For a failure: the faults, and the output."""
    scenario = stage.scenario
    log = next((path.read_text()[-6000:] for path in stage.harness.folder.glob("cache/*/*/pipeline.log")), "")
    return (
        f"seed {scenario.seed}, pipeline {scenario.pipeline.number}, {scenario.topology}, {scenario.replicas}\n"
        f"asked: {stage.endpoint.asked()}\nfaults: {scenario.faults}\n"
        f"done: {[(one.fault.kind, one.step) for one in injected]}\n{scenario.pipeline.spec}\n"
        f"{stage.command.text[-3000:]}\n{log}"
    )


__all__ = ["Trial", "check_ledger", "left_alone", "play"]
