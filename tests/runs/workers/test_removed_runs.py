"""Workers of a run that is removed while they serve it, or load their step for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from common.broker.connection import Connection
from common.broker.inbox import Taken
from common.broker.runs import RunRegistry
from common.errors import RunGone
from common.protocol.batch import Batch, Payload
from common.protocol.keys import Keys
from coordinator.cli import group
from coordinator.runs.run_directory import RunDirectory
from tests.support.runs.broker import Run
from tests.support.runs.harness import Command, Harness, harnesses, wait_for
from tests.support.runs.hosts import MINE, coordinator, run_ids, said, worker

SPEC = """
name: {name}
steps:
  load: {{type: "mysteps:Count", rows: {rows}, batch_size: 10}}
  double: {{type: "mysteps:Gated", after: load, input_batch_size: 10, gate: "{gate}", at: {at}}}
"""
STEPS = (("--step", "load"), ("--step", "double"))
ALL_STEPS = (("--all-steps",),)
ROWS = 200
GONE = "no longer has this run: it has lost its data, or the run was removed"


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path)


def begin(harness: Harness, url: str, gate: Path, at: int | None, name: str = "first", rows: int = 400) -> Command:
    text = SPEC.format(name=name, rows=rows, gate=gate, at="null" if at is None else at)
    return coordinator(harness, harness.write_spec(text, f"{name}.yaml"), url)


def start(harness: Harness, url: str, which: tuple[str, ...], *arguments: str) -> Command:
    return harness.start("pipeline-worker", *which, "--broker", url, *MINE, *arguments)


def wait_at_gate(gate: Path) -> None:
    wait_for(lambda: gate.with_suffix(".waiting").exists(), 60, "someone at the gate")


def remove(harness: Harness, url: str, run: Command) -> str:
    """Kills the coordinator, and removes its run."""
    (run_id,) = run_ids(url)
    run.kill()
    run.wait()
    removal = harness.start("pipeline-coordinator", "rm", run_id, "--broker", url)
    assert removal.wait() == 0, removal.text
    return run_id


def check_next(harness: Harness, url: str, gate: Path, workers: list[Command]) -> None:
    """The next run has its rows from the same workers."""
    run = begin(harness, url, gate, 0, "second", 50)
    assert run.wait(90) == 0, run.text
    (dataset,) = (harness.folder / "cache" / "second").glob("*/dataset")
    assert [row["double"] for row in harness.rows("double", dataset)] == [2 * n for n in range(50)]
    assert [one.process.poll() for one in workers] == [None] * len(workers), [one.text for one in workers]


def check_removed(url: str, run_id: str) -> None:
    """What the keepers of its workers still write is dropped by the broker itself."""
    connection = Connection(url)
    left = connection.command("KEYS", Keys(run_id).everything)
    assert [key for key in left if connection.command("TTL", key) == -1] == []


@pytest.mark.parametrize("which", [STEPS, ALL_STEPS], ids=["step", "all-steps"])
@pytest.mark.parametrize("at", [50, None], ids=["while-they-work", "while-one-loads"])
def test_workers_that_stay_serve_the_next_run(
    harness: Harness, redis_url: str, gate: Path, which: tuple[tuple[str, ...], ...], at: int | None
) -> None:
    workers = [start(harness, redis_url, one, "--stay") for one in which]
    run = begin(harness, redis_url, gate, at)
    wait_at_gate(gate)
    removed = remove(harness, redis_url, run)
    if at is None:  # a step that loads is not waited for
        said(workers[-1], GONE)
    gate.unlink()
    for one in workers:
        said(one, GONE)
    check_next(harness, redis_url, gate, workers)
    assert not any("starting another" in one.text for one in workers)
    check_removed(redis_url, removed)


@pytest.mark.parametrize("at", [50, None], ids=["while-they-work", "while-one-loads"])
def test_workers_of_that_run_alone_say_so_and_end_with_1(
    harness: Harness, redis_url: str, gate: Path, at: int | None
) -> None:
    workers = [worker(harness, redis_url, "double"), start(harness, redis_url, ("--all-steps",))]
    run = begin(harness, redis_url, gate, at)
    wait_for(lambda: len(_lines(gate)) == (2 if at is None else 1), 60, "workers at the gate")
    removed = remove(harness, redis_url, run)
    if at is not None:
        gate.unlink()
    assert [one.wait(60) for one in workers] == [1, 1], [one.text for one in workers]
    for one in workers:
        assert f"{GONE}; restart this worker once the run is resumed" in one.text
        assert "starting another" not in one.text
    check_removed(redis_url, removed)


def _lines(gate: Path) -> list[str]:
    path = gate.with_suffix(".waiting")
    return path.read_text().splitlines() if path.exists() else []


def test_the_same_command_finishes_a_removal_that_was_cut_off_and_begins_anew(harness: Harness) -> None:
    spec = harness.write_spec(f'name: alone\nsteps:\n  load: {{type: "mysteps:Count", rows: {ROWS}}}\n')
    assert harness.run(spec)[0] == 0
    directory = RunDirectory(harness.run_directory)
    with directory:
        directory.condemn()
    for file in (directory.path / "dataset").rglob("*.parquet"):
        file.unlink()
    code, text = harness.run(spec)
    assert code == 0, text
    assert "finishing the removal of an earlier run first" in text
    assert [row["n"] for row in harness.rows()] == list(range(ROWS))
    assert list(directory.path.glob(".*")) == []


def test_a_broker_keeps_nothing_of_a_run_whose_removal_was_cut_off(redis_url: str, tmp_path: Path) -> None:
    run = Run(redis_url)
    registry = RunRegistry(run.connection)
    registry.add(run.run_id)
    keys = Keys(run.run_id)
    run.connection.command("XADD", keys.journal, "1-0", "entry", "any")
    run.connection.command("SET", keys.payload("a", 0, 0), "rows")
    run.connection.command("UNLINK", keys.run, keys.progress, keys.lease)  # as far as it got
    registry.add("another")
    assert run.run_id in registry.run_ids()
    arguments = ["gc", "--older-than", "0s", "--broker", redis_url, "--cache-dir", str(tmp_path)]
    result = CliRunner().invoke(group, arguments, catch_exceptions=False)
    assert f"removed {run.run_id} at the broker" in result.output
    assert run.connection.command("KEYS", keys.everything) == []
    assert run.run_id not in registry.run_ids()


def test_a_worker_writes_nothing_of_a_run_that_was_removed(redis_url: str) -> None:
    run = Run(redis_url)
    worker = run.worker("w1")
    RunRegistry(run.connection).delete(run.run_id)
    writes: list[Callable[[], object]] = [
        lambda: worker.membership.join({"step": "a"}),
        worker.membership.stay_known,
        lambda: worker.membership.tell({"step": "a", "refused": "no"}),
        worker.notes.note_loaded,
        worker.notes.note_columns,
        lambda: worker.log.send([b"a line"]),
        lambda: worker.staging.stage(Taken("1-0", Batch("a", 0), 1), Payload("a", 0), b"rows"),
        worker.generator.own,
        lambda: worker.inbox.read(1, 0),
    ]
    for write in writes:
        with pytest.raises(RunGone, match="it has lost its data, or the run was removed"):
            write()
    assert worker.notes.describe(b"what it is") is None
    worker.membership.leave()
    assert run.everything() == {}
