"""A run with `enable_metadata`, from the spec to the dataset."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.runs.harness import Harness, harnesses

SPEC = """
name: talk
enable_metadata: {enabled}
steps:
  load: {{type: LoadDataFromDicts, data: [{{instruction: Why is it so?}}, {{instruction: null}}]}}
  ask: {{type: TextGeneration, after: load, llm: {{type: EchoLLM}}, on_error: nulls, retries: 0, max_failure_rate: 1}}
  again:
    type: TextGeneration
    after: ask
    llm: {{type: EchoLLM}}
    template: "{{{{ generation or 'nothing' }}}}"
    num_generations: 2
    group_generations: true
"""
COLUMN = "distilabel_metadata"


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path)


def test_the_dataset_has_what_each_task_was_sent_answered_and_counted(harness: Harness) -> None:
    code, said = harness.run(harness.write_spec(SPEC.format(enabled="true")))
    assert code == 3, said
    first, failed = harness.rows()
    assert first[COLUMN]["raw_input_ask"] == [{"role": "user", "content": "Why is it so?"}]
    assert first[COLUMN]["raw_output_ask"].startswith("Echo")
    assert first[COLUMN]["statistics_ask"]["input_tokens"] == 4
    assert first[COLUMN]["raw_output_again"] == first["generation"]
    assert len(first[COLUMN]["statistics_again"]["output_tokens"]) == 2
    assert failed[COLUMN]["raw_output_ask"] is None
    assert len(failed[COLUMN]["raw_output_again"]) == 2


def test_without_it_the_dataset_has_no_such_column(harness: Harness) -> None:
    code, said = harness.run(harness.write_spec(SPEC.format(enabled="false")))
    assert code == 3, said
    assert COLUMN not in harness.rows()[0]
