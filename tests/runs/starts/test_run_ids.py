"""`run --run-id`: the id is chosen, so that what is made before the run (a scaler, a dashboard) can name its keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from common.broker.connection import Connection
from common.broker.runs import RunRegistry
from tests.support.runs.harness import Harness, harnesses, wait_for

SPEC = """
name: named
steps:
  load: {{type: LoadDataFromDicts, data: [{{n: 1}}, {{n: {second}}}]}}
  keep: {{type: KeepColumns, after: load, columns: [n]}}
"""


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path)


def test_a_run_has_the_id_that_was_chosen_and_goes_on_under_it(harness: Harness, redis_url: str) -> None:
    spec = harness.write_spec(SPEC.format(second=2))
    code, output = harness.run(spec, "--broker", redis_url, "--run-id", "nightly-7")
    assert code == 0, output
    assert harness.record().run == "nightly-7"
    record = RunRegistry(Connection(redis_url)).read("nightly-7")
    assert record is not None
    assert record.signature == harness.record().signature
    code, again = harness.run(spec, "--broker", redis_url, "--run-id", "nightly-7")
    assert code == 0
    assert "nightly-7 was already complete" in again


def test_an_id_that_has_another_pipeline_or_other_data_is_refused(harness: Harness, redis_url: str) -> None:
    code, output = harness.run(harness.write_spec(SPEC.format(second=2)), "--broker", redis_url, "--run-id", "one")
    assert code == 0, output
    other = harness.write_spec(SPEC.format(second=3), "other.yaml")
    code, output = harness.run(other, "--broker", redis_url, "--run-id", "one")
    assert code == 2
    assert "run 'one' at this broker belongs to another pipeline, or to other data" in output
    code, output = harness.run(other, "--broker", redis_url, "--run-id", "one", "--fresh")
    assert code == 0, output


def test_a_pipeline_that_was_begun_under_one_id_does_not_begin_again_under_another(
    harness: Harness, redis_url: str
) -> None:
    spec = harness.write_spec(SPEC.format(second=2))
    external = ("--broker", redis_url, "--workers", "external")
    begun = harness.start_run(spec, *external, "--run-id", "one")
    registry = RunRegistry(Connection(redis_url))
    wait_for(lambda: registry.status("one")[0] == "running", 60, "the run")
    begun.process.terminate()
    assert begun.wait() == 130
    code, output = harness.run(spec, *external)
    assert code == 2
    assert "this pipeline was begun as run 'one': resume it with --run-id one" in output


def test_a_text_that_is_no_id_is_refused(harness: Harness) -> None:
    code, output = harness.run(harness.write_spec(SPEC.format(second=2)), "--run-id", "../up")
    assert code == 2
    assert "--run-id '../up' is not a valid run id" in output
