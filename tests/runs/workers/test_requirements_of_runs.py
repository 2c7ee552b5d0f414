"""Packages that are missing: the coordinator says so for local workers, each other worker for itself."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.places import STEPS_FOLDER
from tests.support.runs.harness import Harness, harnesses, wait_for

SPEC = """
name: needy
requirements: ["pydantic<1"]
steps:
  count: {type: "mysteps:Count", rows: 3}
  needy: {type: "needy_steps:Needy", after: count}
"""


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    shutil.copy(STEPS_FOLDER / "needy_steps.py", tmp_path)
    yield from harnesses(tmp_path)


def test_a_run_with_local_workers_is_refused_before_anything_starts(harness: Harness) -> None:
    code, said = harness.run(harness.write_spec(SPEC))
    assert code == 2
    assert "the pipeline needs pydantic<1" in said
    assert "step 'needy' needs penstock-nothing>=2: it is not installed" in said
    assert "pip install 'pydantic<1' 'penstock-nothing>=2'" in said
    assert not list((harness.folder / "cache").glob("*/*/run.json"))


@pytest.mark.parametrize(
    ("step", "pipeline", "missing"),
    [
        ("count", 'requirements: ["pydantic<1"]', "the pipeline needs pydantic<1"),
        ("needy", "requirements: []", "step 'needy' needs penstock-nothing>=2: it is not installed"),
    ],
)
def test_a_worker_elsewhere_leaves_before_it_loads(
    harness: Harness, redis_url: str, step: str, pipeline: str, missing: str
) -> None:
    spec = harness.write_spec(SPEC.replace('requirements: ["pydantic<1"]', pipeline))
    run = harness.start_run(spec, "--broker", redis_url, "--workers", "external")
    worker = harness.start(
        "pipeline-worker",
        *("--step", step, "--broker", redis_url, "--base-dir", harness.folder),
        *("--allow", "mysteps", "--allow", "needy_steps"),
    )
    assert worker.wait(30) == 78
    assert missing in worker.text
    wait_for(lambda: missing in run.text, what="the coordinator's word about it")
