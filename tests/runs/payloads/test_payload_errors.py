"""Failures of a payload store end in a message, and never in other rows."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from common.broker.connection import Connection
from common.broker.runs import RunRegistry
from common.payloads.names import parse_name
from tests.support.runs.big_rows import ROWS, SPEC, Store, check_leaves, folder_store, start_workers, write_spec
from tests.support.runs.harness import Command, Harness, harnesses, wait_for
from tests.support.runs.hosts import said, the_run
from tests.support.runs.sight import Sight


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path, PART_ROWS="50")


@pytest.fixture
def shared(tmp_path: Path) -> Store:
    return folder_store(tmp_path / "shared")


def started(harness: Harness, url: str, store: Store, *steps: str) -> tuple[Path, Command, list[Command]]:
    """A run whose worker of `double` waits at the gate, with everything before it done."""
    gate = harness.folder / "gate"
    gate.touch()
    spec = write_spec(harness)
    run = harness.start_run(spec, "--broker", url, "--workers", "external", "--payloads", store.url)
    workers = start_workers(harness, url, *(steps or ("blobs", "double")))
    wait_for(gate.with_suffix(".waiting").exists, 60, "a worker at the gate")
    wait_for(lambda: {10, 11, 12} <= store.seqs("blobs"), 60, "what it is to read next")
    return spec, run, workers


def payload(store: Store, step: str, seq: int) -> Path:
    """The file of a payload."""
    (path,) = [
        path
        for path in store.paths()
        if (name := parse_name(os.path.basename(path))) and (name.step, name.seq) == (step, seq)
    ]
    return Path(path)


@pytest.mark.parametrize("harm", ["truncated", "changed", "gone"])
def test_a_payload_that_was_harmed_halts_the_run_and_one_that_is_restored_lets_it_go_on(
    harness: Harness, redis_url: str, shared: Store, harm: str
) -> None:
    spec, run, workers = started(harness, redis_url, shared)
    file = payload(shared, "blobs", 12)
    data = file.read_bytes()
    match harm:
        case "truncated":
            file.write_bytes(data[:-1])
        case "changed":
            file.write_bytes(data.replace(b"\xc4\x04blob", b"\xc4\x04glob") + b"\xc0")
        case "gone":
            file.unlink()
    (harness.folder / "gate").unlink()
    assert run.wait(100) == 1, run.text
    assert "halted" in run.text
    assert file.name in " ".join(run.text.split()).replace(" ", ""), run.text
    assert ("missing from the store" if harm == "gone" else "was changed or truncated") in " ".join(run.text.split())
    check_leaves(workers)
    file.write_bytes(data)
    again = harness.start_run(
        spec, "--broker", redis_url, "--workers", "external", "--payloads", shared.url, "--output", "out"
    )
    workers = start_workers(harness, redis_url, "blobs", "double", "keep")
    assert again.wait(100) == 0, again.text
    check_leaves(workers)
    assert [row["n"] for row in harness.rows()] == list(range(ROWS))
    assert shared.paths() == []


def test_a_worker_that_does_not_reach_the_folder_refuses_and_harms_nothing(
    harness: Harness, redis_url: str, shared: Store
) -> None:
    _, run, workers = started(harness, redis_url, shared)
    mark = next(Path(path) for path in shared.paths() if path.endswith("penstock-run"))
    text = mark.read_bytes()
    mark.unlink()  # as where the folder is not mounted: it is there, and empty
    (elsewhere,) = start_workers(harness, redis_url, "keep")
    assert elsewhere.wait(60) == 78
    assert "does not exist, or is not the one that the coordinator uses: mount it" in elsewhere.text
    wait_for(lambda: "has left: step 'keep'" in " ".join(run.text.split()), 60, "a word from the coordinator")
    mark.write_bytes(text)
    workers += start_workers(harness, redis_url, "keep")
    (harness.folder / "gate").unlink()
    assert run.wait(100) == 0, run.text
    check_leaves(workers)
    assert [row["n"] for row in harness.rows()] == list(range(ROWS))


@contextmanager
def away(store: Store) -> Iterator[None]:
    """Each use of the run's folder fails, and not because something is missing."""
    (folder,) = Path(store.url).iterdir()
    elsewhere = folder.rename(Path(store.url).with_name("away"))
    folder.symlink_to(folder)
    try:
        yield
    finally:
        folder.unlink()
        elsewhere.rename(folder)


def test_a_store_that_is_away_is_waited_for_by_workers_and_by_the_coordinator(
    harness: Harness, redis_url: str, shared: Store
) -> None:
    gate = harness.folder / "gate"
    gate.touch()
    spec = write_spec(harness, SPEC.partition("  keep:")[0])
    arguments = ("--broker", redis_url, "--workers", "external", "--payloads", shared.url)
    run = harness.start_run(spec, *arguments, COORDINATOR_LEASE="100")
    workers = start_workers(harness, redis_url, "blobs", "double")
    registry = RunRegistry(Connection(redis_url))
    wait_for(gate.with_suffix(".waiting").exists, 60, "a worker at the gate")
    wait_for(lambda: registry.waiting(the_run(redis_url), ["double"])["double"] == 10, 60, "all that is behind it")
    run.kill(signal.SIGSTOP)
    with away(shared):
        gate.unlink()
        said(workers[1], "trying again for up to")
    Sight(harness, redis_url).wait_for_results("double", 20)
    with away(shared):
        run.kill(signal.SIGCONT)
        said(run, "waiting for the payload store")
    assert run.wait(100) == 0, run.text
    check_leaves(workers)
    assert [row["n"] for row in harness.rows()] == list(range(ROWS))


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("s4://bucket/rows", "Protocol not known: s4"),
        ("", "'' is not a folder"),
        ("/proc/nothing/here", "--payloads: /proc/nothing/here"),
        ("s3://key:secret@bucket/rows", "take its credentials from the environment"),
    ],
)
def test_a_store_that_cannot_be_used_is_an_error_before_anything_starts(harness: Harness, url: str, why: str) -> None:
    (harness.folder / "gate").touch()
    code, text = harness.run(write_spec(harness), "--payloads", url)
    assert code == 2, text
    assert why in " ".join(text.split())
    assert "secret" not in text
    assert not list((harness.folder / "cache").glob("*/*/run.json"))
