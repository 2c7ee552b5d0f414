"""However a run ends, its payloads do not stay in their folders forever."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.runs.big_rows import ROWS, Store, check_leaves, folder_store, start_workers, write_spec
from tests.support.runs.harness import Harness, harnesses, wait_for
from tests.support.runs.hosts import the_run


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path, PART_ROWS="50")


@pytest.fixture
def shared(tmp_path: Path) -> Store:
    return folder_store(tmp_path / "shared")


@pytest.fixture
def other(tmp_path: Path) -> Store:
    return folder_store(tmp_path / "other")


def cut_off(harness: Harness, url: str, store: Store) -> Path:
    """A run whose processes were all killed half way; returns its spec."""
    gate = harness.folder / "gate"
    gate.touch()
    spec = write_spec(harness)
    run = harness.start_run(spec, "--broker", url, "--workers", "external", "--payloads", store.url)
    workers = start_workers(harness, url, "blobs", "double")
    wait_for(gate.with_suffix(".waiting").exists, 60, "a worker at the gate")
    wait_for(lambda: {10, 11, 12} <= store.seqs("blobs"), 60, "what waits behind it")
    for command in (run, *workers):
        command.kill()
        command.wait()
    gate.unlink()
    gate.with_suffix(".waiting").unlink()
    return spec


def go_on(harness: Harness, url: str, spec: Path, *arguments: str) -> str:
    """The run to its end, by other workers."""
    run = harness.start_run(spec, "--broker", url, "--workers", "external", *arguments)
    wait_for(lambda: "no worker for step 'keep' yet" in run.text, 60, "what this coordinator tells workers")
    workers = start_workers(harness, url, "blobs", "double", "keep")
    assert run.wait(100) == 0, run.text
    check_leaves(workers)
    assert [row["n"] for row in harness.rows()] == list(range(ROWS))
    return run.text


def test_a_run_goes_on_with_another_folder_and_needs_neither_in_the_end(
    harness: Harness, redis_url: str, shared: Store, other: Store
) -> None:
    spec = cut_off(harness, redis_url, shared)
    assert len(harness.record().payloads) == 1
    go_on(harness, redis_url, spec, "--payloads", other.url)
    assert (shared.paths(), other.paths()) == ([], [])
    assert harness.record().payloads == []


def test_a_run_goes_on_with_its_folder_where_none_is_named(harness: Harness, redis_url: str, shared: Store) -> None:
    spec = cut_off(harness, redis_url, shared)
    go_on(harness, redis_url, spec)
    assert shared.paths() == []


def test_a_run_that_is_started_over_forgets_what_it_had_in_any_folder(
    harness: Harness, redis_url: str, shared: Store, other: Store
) -> None:
    spec = cut_off(harness, redis_url, shared)
    (harness.folder / "gate").touch()
    run = harness.start_run(
        spec, "--broker", redis_url, "--workers", "external", "--payloads", other.url, "--fresh", COORDINATOR_LEASE="5"
    )
    wait_for(lambda: other.paths() and not shared.paths(), 60, "the end of the files of the run before")
    run.kill()
    run.wait()
    (harness.folder / "gate").unlink()
    go_on(harness, redis_url, spec, "--payloads", other.url)
    assert other.paths() == []


@pytest.mark.parametrize("command", ["rm", "gc"])
@pytest.mark.parametrize("here", [True, False], ids=["with its run directory", "of another host"])
def test_a_run_is_removed_with_its_files(
    harness: Harness, redis_url: str, shared: Store, command: str, here: bool
) -> None:
    cut_off(harness, redis_url, shared)
    run_id = the_run(redis_url)
    cache = harness.folder / ("cache" if here else "elsewhere")
    chosen = [run_id] if command == "rm" else ["--older-than", "0s", "--unfinished"]
    arguments = (command, *chosen, "--broker", redis_url, "--cache-dir", cache)

    def removed() -> str | None:
        """If the run directory is elsewhere, its lease must expire first."""
        done = harness.start("pipeline-coordinator", *arguments)
        return done.text if done.wait() == 0 and "emoved" in done.text else None

    said = wait_for(removed, 60, "the end of the run")
    assert shared.paths() == []
    if command == "rm":
        assert f"{shared.url}/{run_id}" in said


def test_a_folder_that_cannot_be_emptied_keeps_the_run(harness: Harness, redis_url: str, shared: Store) -> None:
    cut_off(harness, redis_url, shared)
    record = harness.record()
    text = (harness.run_directory / "run.json").read_text()
    (harness.run_directory / "run.json").write_text(text.replace(shared.url, "s4://bucket"))
    refused = harness.start("pipeline-coordinator", "rm", record.run, "--broker", redis_url)
    assert refused.wait() == 1
    assert "payloads of the run would remain, so nothing was removed" in " ".join(refused.text.split())
    assert harness.run_directory.exists()
    assert the_run(redis_url) == record.run


def test_a_local_run_keeps_large_rows_in_its_run_directory_and_nothing_of_them_in_the_end(harness: Harness) -> None:
    gate = harness.folder / "gate"
    gate.touch()
    run = harness.start_run(write_spec(harness))
    wait_for(gate.with_suffix(".waiting").exists, 60, "a worker at the gate")
    wait_for(lambda: any((harness.run_directory / "payloads").glob("blobs-12-*")), 60, "what waits behind it")
    run.kill()
    run.wait()
    wait_for(lambda: not harness.processes(), 30, "the end of its workers")
    gate.unlink()
    code, said = harness.run(harness.folder / "spec.yaml")
    assert code == 0, said
    assert [row["n"] for row in harness.rows()] == list(range(ROWS))
    assert not (harness.run_directory / "payloads").exists()
