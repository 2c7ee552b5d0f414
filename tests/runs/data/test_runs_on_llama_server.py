"""A run on llama.cpp's own server: killed in the middle and resumed, it has each row's own answers, in order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.runs.harness import Harness, harnesses
from tests.support.runs.sight import Sight
from tests.support.servers.llama_server import llama_server, why_no_llama_server
from tests.support.servers.tiny_model import write_tiny_model

pytestmark = pytest.mark.skipif(bool(why_no_llama_server()), reason=why_no_llama_server())

ROWS = 50
SPEC = """
name: llama
steps:
  load: {{type: LoadDataFromFile, path: rows.jsonl, batch_size: 5}}
  ask:
    type: StructuredGeneration
    after: load
    input_batch_size: 5
    concurrency: 2
    num_generations: 2
    llm:
      type: OpenAILLM
      model: tiny
      provider: llamacpp
      base_url: "{url}/v1"
      stream: true
      generation_kwargs: {{max_tokens: 250}}
"""


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path)


def answers_to(number: int) -> list[str]:
    """What the row may be answered with: long, so that the run lasts long enough to be killed."""
    return [f"{word} {number} " + "z" * 150 for word in ("red", "blue", "green")]


def test_a_killed_run_resumes_and_each_row_has_its_own_answers(harness: Harness, tmp_path: Path) -> None:
    rows = [
        {"instruction": f"row {number}", "structured_output": {"format": "choice", "schema": answers_to(number)}}
        for number in range(ROWS)
    ]
    (harness.folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    model = tmp_path / "tiny.gguf"
    write_tiny_model(model)
    with llama_server(model) as url:
        spec = harness.write_spec(SPEC.format(url=url))
        command = harness.start_run(spec)
        sight = Sight(harness)
        sight.wait_for_results("ask", 2)
        sight.worker("ask").kill()
        command.kill()
        command.wait()
        assert sight.results("ask") < ROWS // 5, "it was killed in the middle"
        code, text = harness.run(spec)
    assert code == 0, text
    found = harness.rows()
    assert [row["instruction"] for row in found] == [each["instruction"] for row in rows for each in (row, row)]
    for place, row in enumerate(found):
        assert row["generation"] in answers_to(place // 2)
        assert row["model_name"] == "tiny"
    assert len({row["generation"].split()[0] for row in found}) > 1, "the answers of a row are not copies"
