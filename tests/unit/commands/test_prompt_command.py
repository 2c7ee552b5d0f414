"""`pipeline-coordinator prompt`: what a task sends for a row, and what comes of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from coordinator.cli import group
from tests.support.servers.chat_server import ChatServer, completion, serving
from tests.support.servers.on_a_thread import on_a_thread

SPEC = """
name: prompts
prices: {m: {input: 1000000, output: 2000000}}
steps:
  load: {type: LoadDataFromDicts, data: [{text: a long text}, {text: another text}]}
  cut: {type: TruncateTextColumn, after: load, column: text, max_length: 6}
  write:
    {type: TextGeneration, after: cut, template: "About {{ text }}", llm: {type: OpenAILLM, model: m}}
  judge:
    type: "tests.support.steps.sample_tasks:Judge"
    after: write
    retries: 0
    parse_retries: 0
    input_mappings: {question: text, answer: generation}
    output_mappings: {score: rating, model_name: judge}
    llm: {type: OpenAILLM, model: m, generation_kwargs: {temperature: 0.5}}
"""


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    def answer(body: dict[str, object]) -> tuple[int, dict[str, str], object]:
        asked = str(body["messages"])
        return completion('{"score": 4, "reason": "short"}' if "Rate" in asked and "bad" not in asked else "A text.")

    with on_a_thread(serving(answer)) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
        yield server


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC)
    return path


def prompt(spec: Path, *arguments: object) -> Result:
    words = ["prompt", str(spec), *map(str, arguments), "--allow", "tests"]
    return CliRunner().invoke(group, words, prog_name="pipeline-coordinator")


def test_it_shows_what_is_sent_for_a_row_as_the_steps_before_change_it(spec: Path, endpoint: ChatServer) -> None:
    said = prompt(spec, "write", "--row", 1)
    assert said.exit_code == 0, said.output
    assert f"Step 'write' asks model 'm' at {endpoint.url}" in said.output
    assert "[user]\nAbout anothe\n" in said.output
    assert endpoint.requests == []


def test_with_ask_it_shows_the_answer_the_columns_and_the_cost(spec: Path, endpoint: ChatServer) -> None:
    said = prompt(spec, "judge", "--ask")
    assert said.exit_code == 0, said.output
    assert "[user]\nRate the answer A text. to a long.\n" in said.output
    assert '"temperature": 0.5' in said.output
    assert 'in the form   {"schema": {"' in said.output
    assert '[assistant]\n{"score": 4, "reason": "short"}\n' in said.output
    assert "rating:       4\n" in said.output
    assert 'reason:       "short"\n' in said.output
    assert "steps before  1 answer, " in said.output
    assert "this step     1 answer, " in said.output
    assert "$" in said.output.splitlines()[-1]
    assert "sk-secret" not in said.output
    assert len(endpoint.requests) == 2


def test_without_ask_the_steps_that_ask_are_left_out_and_named(spec: Path, endpoint: ChatServer) -> None:
    said = prompt(spec, "judge")
    assert said.exit_code == 2
    assert "lacks 'generation', which may come of 'write': pass --ask" in said.output
    assert endpoint.requests == []


def test_a_row_from_a_file_needs_no_other_step(spec: Path, endpoint: ChatServer) -> None:
    file = spec.with_name("row.json")
    file.write_text(json.dumps({"text": "the question", "generation": "bad"}))
    said = prompt(spec, "judge", "--row-json", file)
    assert said.exit_code == 0, said.output
    assert "Rate the answer bad to the question." in said.output
    failing = prompt(spec, "judge", "--row-json", file, "--ask")
    assert failing.exit_code == 1
    assert "[assistant]\nA text.\n" in failing.output
    assert "The row fails: the answer of model 'm' has the wrong form" in failing.output
    assert "this step     2 answers" in failing.output
    file.write_text("[1]")
    assert "does not hold a row" in prompt(spec, "judge", "--row-json", file).output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["jugde"], "no step 'jugde' in the pipeline; did you mean 'judge'?"),
        (["cut"], "step 'cut' is a TruncateTextColumn, which is no task"),
        (["write", "--row", "2"], "step 'load' has no row 2; the first one is 0"),
    ],
)
def test_what_has_no_prompt_is_one_message(
    spec: Path, endpoint: ChatServer, arguments: list[str], message: str
) -> None:
    said = prompt(spec, *arguments)
    assert said.exit_code == 2
    assert message in said.output


def test_a_row_that_passes_the_step_by_has_no_prompt(spec: Path, endpoint: ChatServer) -> None:
    spec.write_text(SPEC.replace("template:", "skip_when: \"'another' in text or 'anothe' == text\", template:"))
    assert "[user]\nAbout a long\n" in prompt(spec, "write").output
    said = prompt(spec, "write", "--row", 1, "--ask")
    assert said.exit_code == 0, said.output
    assert said.output == (
        "The row passes step 'write' by, which asks nothing: skip_when: 'another' in text or 'anothe' == text\n"
    )
    row = json.loads('{"text": "another"}')
    file = spec.with_name("row.json")
    file.write_text(json.dumps(row))
    assert "passes step 'write' by" in prompt(spec, "write", "--row-json", file).output
    file.write_text("{}")
    assert "the row that arrives at step 'write' lacks 'text'" in prompt(spec, "write", "--row-json", file).output
    assert endpoint.requests == []


def test_a_row_passes_by_steps_before_the_one_that_is_asked_for(spec: Path, endpoint: ChatServer) -> None:
    text = SPEC.replace("max_length: 6", "max_length: 6, skip_when: \"'another' in text\"")
    text = text.replace("template:", "skip_when: generation is not none, template:")
    spec.write_text(text.replace("{text: another text}", "{text: another text, generation: mine}"))
    said = prompt(spec, "judge", "--row", 1)
    assert said.exit_code == 0, said.output
    assert "Rate the answer mine to another text." in said.output
    assert endpoint.requests == []


def test_a_generator_task_is_asked_for_its_row(tmp_path: Path, endpoint: ChatServer) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        """
name: generated
steps:
  ask: {type: "tests.support.steps.sample_tasks:Numbered", num_rows: 5, llm: {type: OpenAILLM, model: m}}
"""
    )
    assert "[user]\nSay 3.\n" in prompt(spec, "ask", "--row", 3).output
    said = prompt(spec, "ask", "--row", 3, "--ask").output
    assert 'said:         "A text."' in said
    assert len(endpoint.requests) == 1


def test_the_form_of_a_row_is_shown_as_the_endpoint_is_told_it(tmp_path: Path, endpoint: ChatServer) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        """
name: formed
steps:
  load:
    type: LoadDataFromDicts
    data: [{instruction: Which, structured_output: {format: choice, schema: ["yes", "no"]}}]
  ask: {type: StructuredGeneration, after: load, llm: {type: OpenAILLM, model: m}}
"""
    )
    said = prompt(spec, "ask").output
    assert "[user]\nWhich\n\nAnswer with exactly one of these, and with nothing else:\n- yes\n- no\n" in said
    assert 'in the form   {"format": "choice", "schema": ["yes", "no"]}' in said
