"""The manifests of `render kubernetes` at work: their commands, and the triggers that scale workers from none on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.rendered import documents
from tests.support.runs.harness import Harness, harnesses
from tests.support.runs.scaler import Scaler, on_this_host

SPEC = """
name: scaled
steps:
  load: {type: "mysteps:Count", rows: 600, batch_size: 5}
  double: {type: "mysteps:Double", after: load, input_batch_size: 5, seconds: 0.05, resources: {replicas: 2}}
  all: {type: "mysteps:Reverse", after: double}
  keep: {type: KeepColumns, after: all, columns: [n, double]}
"""


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path)


def test_workers_come_and_go_from_none_on_and_the_run_completes(harness: Harness, redis_url: str) -> None:
    spec = harness.write_spec(SPEC)
    command = harness.start("pipeline-coordinator", "render", "kubernetes", spec)
    assert command.wait() == 0, command.text
    scaler = Scaler(harness, redis_url, documents(command.text))
    (job,) = (one for one in scaler.manifests if one["kind"] == "Job")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    run = harness.start(*on_this_host(container["args"], harness.folder), BROKER_URL=redis_url)
    deadline = time.monotonic() + 90
    while run.process.poll() is None or any(scaler.workers.values()):
        assert time.monotonic() < deadline, run.text
        scaler.look()
        time.sleep(0.1)
    assert run.wait() == 0, run.text
    assert [row["n"] for row in harness.rows()] == list(range(599, -1, -1))
    slow = 2 if scaler.knows_lag else 1
    assert list(scaler.most.values()) == [1, slow, 1, 1]
    assert [worker.text for worker in scaler.ended if worker.wait() != 0] == []
    assert (harness.folder / "output" / "scaled").is_dir()
