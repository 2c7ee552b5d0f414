"""Tasks of a user's own in runs: of an installed package, found by its entry points, on workers started elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.runs.harness import Harness, harnesses
from tests.support.tasks.package import SPEC, install_package


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    install_package(tmp_path)
    yield from harnesses(tmp_path, fresh=True)


def test_tasks_of_a_package_run_on_workers_started_elsewhere(harness: Harness, redis_url: str) -> None:
    spec = harness.write_spec(SPEC)
    run = harness.start_run(spec, "--broker", redis_url, "--workers", "external")
    worker = harness.start("pipeline-worker", "--all-steps", "--broker", redis_url, "--base-dir", ".")
    assert run.wait(60) == 3, run.text
    assert worker.wait(30) == 0, worker.text
    rows = harness.rows()
    assert [row["number"] for row in rows] == [0, 1, 2]
    assert [row["rating"] is None for row in rows] == [False, True, False]
    assert rows[0]["words"] > 3
    [letter] = harness.letters()
    assert "it has no rating; the answer: Echo" in letter.error
    assert rows[1]["distilabel_metadata"]["raw_output_rate"].startswith("Echo")
    assert "wasted      2 answers" in run.text
    assert "10 answers" in run.text, "three of each step, and one more for the row that fails"
