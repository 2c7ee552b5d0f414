"""Run directories that were copied, moved, or restored from a backup: their original is kept as it is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from common.broker.runs import RunRegistry
from common.errors import Fenced, UsageError
from common.protocol.wire import PROTOCOL
from coordinator.cli import group
from coordinator.identity.known_run import check_copy
from coordinator.local.socket_folder import SocketFolder
from coordinator.runs.lookup import FoundRun, find_run
from coordinator.runs.removal import remove_run
from coordinator.runs.run_directory import RunDirectory, RunRecord, holder_of
from tests.support.runs.broker import Run
from tests.support.runs.harness import Harness, harnesses, wait_for

SPEC = """
name: first
steps:
  load: {{type: "mysteps:Count", rows: 200, batch_size: 10}}
  double: {{type: "mysteps:Gated", after: load, input_batch_size: 10, gate: "{gate}", at: 50}}
"""


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path)


def test_removing_a_copy_does_nothing_to_the_run_that_goes_on(harness: Harness, gate: Path) -> None:
    run = harness.start_run(harness.write_spec(SPEC.format(gate=gate)))
    wait_for(gate.with_suffix(".waiting").exists, 60, "someone at the gate")
    folder = SocketFolder.of(harness.run_directory / "broker")
    assert folder is not None
    for command in (["rm", harness.record().run], ["gc", "--older-than", "0s", "--unfinished"]):
        shutil.copytree(harness.folder / "cache", harness.folder / "copy", dirs_exist_ok=True)
        removal = harness.start("pipeline-coordinator", *command, "--cache-dir", harness.folder / "copy")
        assert removal.wait() == 0, removal.text
        assert list((harness.folder / "copy").iterdir()) == []
        assert folder.socket.exists()
    gate.unlink()
    assert run.wait() == 0, run.text
    assert len(harness.rows()) == 200


class StoppedRun:
    """A run that has keys in a broker and payloads in a folder, and can be resumed."""

    def __init__(self, redis_url: str, folder: Path) -> None:
        self.run = Run(redis_url)
        self.run.connection.command("DEL", self.run.keys.lease)
        self.registry = RunRegistry(self.run.connection)
        self.registry.add(self.run.run_id)
        self.payloads = folder / "payloads" / self.run.run_id
        self.payloads.mkdir(parents=True)
        self.directory = RunDirectory(folder / "cache" / "demo" / "aaaa")
        with self.directory:
            self.record = self.directory.write(
                RunRecord(
                    run=self.run.run_id,
                    pipeline="demo",
                    signature="aaaa",
                    status="stopped",
                    broker=redis_url,
                    payloads=[str(self.payloads)],
                )
            )

    @property
    def is_whole(self) -> bool:
        return self.payloads.is_dir() and self.run.run_id in self.registry.run_ids()

    @property
    def is_gone(self) -> bool:
        return not self.payloads.exists() and self.run.everything() == {}


@pytest.fixture
def stopped(redis_url: str, tmp_path: Path) -> StoppedRun:
    return StoppedRun(redis_url, tmp_path)


@pytest.mark.parametrize("place", ["cache/demo/aaaa.bak", "backup/demo/aaaa"])
def test_what_a_run_has_elsewhere_is_removed_with_the_original_alone(
    stopped: StoppedRun, tmp_path: Path, place: str
) -> None:
    copy = tmp_path / place
    shutil.copytree(stopped.directory.path, copy)
    removed = remove_run(find_run(str(copy), None, None), None)
    assert removed.original == stopped.directory.path
    assert not copy.exists()
    assert stopped.is_whole
    remove_run(find_run(stopped.run.run_id, tmp_path / "cache", None), None)
    assert stopped.is_gone


def test_of_a_run_whose_id_another_pipeline_has_taken_over_only_the_directory_is_removed(
    stopped: StoppedRun,
) -> None:
    stopped.run.control.update(
        protocol=PROTOCOL,
        spec='{"steps": {}}',
        options=json.dumps({"payloads": [str(stopped.payloads)]}),
        signature="bbbb",
    )
    command = ["rm", stopped.run.run_id, "--cache-dir", str(stopped.directory.path.parent.parent)]
    result = CliRunner().invoke(group, command, catch_exceptions=False)
    assert "Another pipeline now uses its id at the broker, so the keys there are kept" in result.output
    assert not stopped.directory.path.exists()
    assert stopped.is_whole


def test_a_run_directory_that_was_moved_is_the_original(stopped: StoppedRun, tmp_path: Path) -> None:
    stopped.directory.path.rename(tmp_path / "cache" / "demo" / "moved")
    moved = RunDirectory(tmp_path / "cache" / "demo" / "moved")
    check_copy(moved, moved.read())
    remove_run(find_run(stopped.run.run_id, tmp_path / "cache", None), None)
    assert stopped.is_gone


def test_a_lease_is_that_of_the_directory_that_was_there_not_of_a_backup_in_its_place(stopped: StoppedRun) -> None:
    directory = stopped.directory
    lease = replace(holder_of(directory), token="live", pid=4711)
    stopped.run.connection.command("SET", stopped.run.keys.lease, lease.dump())
    assert directory.is_of(lease)
    directory.path.rename(directory.path.with_name("live"))
    shutil.copytree(directory.path.with_name("live"), directory.path)
    assert not directory.is_of(lease)
    with pytest.raises(Fenced, match="is coordinated by process 4711"):
        remove_run(FoundRun(stopped.run.run_id, directory, stopped.record), None)
    assert stopped.is_whole


def test_a_copy_does_not_go_on_with_what_its_original_has_elsewhere(stopped: StoppedRun, tmp_path: Path) -> None:
    shutil.copytree(stopped.directory.path, tmp_path / "copy")
    copy = RunDirectory(tmp_path / "copy")
    with pytest.raises(UsageError, match=f"{copy.path} is a copy of {stopped.directory.path}, and both have run "):
        check_copy(copy, copy.read())
    check_copy(stopped.directory, stopped.record)
    alone = stopped.record.model_copy(update={"broker": None, "payloads": []})
    check_copy(copy, alone)
