"""What `validate` warns about: columns that a step overwrites, and files whose changes would go unnoticed."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from coordinator.plan.cautions import cautions
from coordinator.plan.load import prepare

DATA = "data: [{instruction: why, generation: old, n: 1}]"


def warnings(folder: Path, text: str) -> list[str]:
    (folder / "spec.yaml").write_text(dedent(text))
    return list(cautions(prepare(folder / "spec.yaml", allow=["tests"])))


def test_a_column_that_a_step_overwrites_is_named_with_its_line(tmp_path: Path) -> None:
    (line,) = warnings(
        tmp_path,
        f"""\
        name: over
        steps:
          load: {{type: LoadDataFromDicts, {DATA}}}
          ask: {{type: TextGeneration, after: load, llm: {{type: EchoLLM}}}}
        """,
    )
    assert line.startswith(f"{tmp_path / 'spec.yaml'}:4: step 'ask' overwrites the column 'generation'")
    assert "output_mappings: {generation: another_name}" in line


@pytest.mark.parametrize(
    ("mapping", "named"),
    [
        ("{generation: answer}", []),
        ("{generation: generation}", []),
        ("{model_name: n}", ["generation"]),
    ],
)
def test_a_mapping_says_what_is_meant(tmp_path: Path, mapping: str, named: list[str]) -> None:
    lines = warnings(
        tmp_path,
        f"""\
        name: over
        steps:
          load: {{type: LoadDataFromDicts, {DATA}}}
          ask: {{type: TextGeneration, after: load, llm: {{type: EchoLLM}}, output_mappings: {mapping}}}
        """,
    )
    assert [line.split("'")[3] for line in lines] == named


def test_a_step_that_leaves_out_rows_which_have_the_column_is_meant_to_write_it_for_the_others(tmp_path: Path) -> None:
    ask = "type: TextGeneration, after: load, llm: {type: EchoLLM}, skip_when: generation is not none"
    assert not warnings(
        tmp_path,
        f"""\
        name: over
        steps:
          load: {{type: LoadDataFromDicts, {DATA}}}
          ask: {{{ask}}}
        """,
    )


def test_a_second_task_overwrites_what_the_first_one_wrote(tmp_path: Path) -> None:
    lines = warnings(
        tmp_path,
        """\
        name: over
        steps:
          load: {type: LoadDataFromDicts, data: [{instruction: why}]}
          ask: {type: TextGeneration, after: load, llm: {type: EchoLLM}}
          again: {type: TextGeneration, after: ask, llm: {type: EchoLLM}}
        enable_metadata: true
        """,
    )
    assert [line.split("'")[1:4:2] for line in lines] == [["again", "generation"], ["again", "model_name"]]


def test_a_step_that_reads_what_it_writes_overwrites_nothing(tmp_path: Path) -> None:
    assert not warnings(
        tmp_path,
        f"""\
        name: over
        steps:
          load: {{type: LoadDataFromDicts, {DATA}}}
          cut: {{type: TruncateTextColumn, after: load, column: instruction, max_length: 2}}
          keep: {{type: KeepColumns, after: cut, columns: [instruction, n]}}
        """,
    )


def test_a_file_that_no_path_field_names_is_named(tmp_path: Path) -> None:
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "a.txt").write_text("hello")
    (tmp_path / "in.jsonl").write_text('{"instruction": "why"}\n')
    (line,) = warnings(
        tmp_path,
        """\
        name: files
        steps:
          load: {type: LoadDataFromFile, path: in.jsonl}
          ask:
            type: TextGeneration
            after: load
            system_prompt: prompts/a.txt
            llm: {type: EchoLLM}
        """,
    )
    assert f"{tmp_path / 'spec.yaml'}:7: step 'ask': 'system_prompt' names the file prompts/a.txt" in line
    assert "path_fields" in line


@pytest.mark.parametrize(
    ("options", "data", "warned"),
    [
        ("system_prompt: Judge., ", "{instruction: why, system_prompt: Write.}", True),
        ("system_prompt: Judge., use_row_system_prompt: true, ", "{instruction: why, system_prompt: Write.}", False),
        ("system_prompt: Judge., use_row_system_prompt: false, ", "{instruction: why, system_prompt: Write.}", False),
        ("", "{instruction: why, system_prompt: Write.}", False),
        ("system_prompt: Judge., ", "{instruction: why}", False),
    ],
)
def test_a_system_prompt_that_the_rows_replace_is_named(tmp_path: Path, options: str, data: str, warned: bool) -> None:
    lines = warnings(
        tmp_path,
        f"""\
        name: leak
        steps:
          load: {{type: LoadDataFromDicts, data: [{data}]}}
          judge: {{type: TextGeneration, after: load, {options}llm: {{type: EchoLLM}}}}
        """,
    )
    assert len(lines) == warned
    if warned:
        said = "step 'judge' sends each row's column 'system_prompt' as the system prompt, instead of its own"
        assert f"spec.yaml:4: {said}" in lines[0]
        assert "set use_row_system_prompt: false" in lines[0]


@pytest.mark.parametrize(("own", "warned"), [("", True), ("use_row_system_prompt: false, ", False)])
def test_the_system_prompt_of_one_step_that_reaches_a_later_one_is_named(
    tmp_path: Path, own: str, warned: bool
) -> None:
    lines = warnings(
        tmp_path,
        f"""\
        name: leak
        steps:
          load: {{type: LoadDataFromDicts, data: [{{instruction: why, system_prompt: Write.}}]}}
          write: {{type: TextGeneration, after: load, llm: {{type: EchoLLM}}}}
          keep: {{type: KeepColumns, after: write, columns: [generation, system_prompt]}}
          judge:
            {{type: TextGeneration, after: keep, {own}llm: {{type: EchoLLM}},
             input_mappings: {{instruction: generation}}, output_mappings: {{generation: rating}}}}
        """,
    )
    assert [line for line in lines if "as step 'write' does before it" in line] == lines
    assert len(lines) == warned


@pytest.mark.parametrize(
    "judge",
    [
        "type: Judge, criteria: {good: Is it good?}",
        "type: UltraFeedback, input_mappings: {generations: instruction}",
    ],
)
@pytest.mark.parametrize(("option", "reads"), [("", False), ("use_row_system_prompt: true, ", True)])
def test_a_judge_keeps_its_own_system_prompt_unless_its_step_says_otherwise(
    tmp_path: Path, judge: str, option: str, reads: bool
) -> None:
    spec = f"""\
        name: leak
        steps:
          load: {{type: LoadDataFromDicts, data: [{{instruction: why, system_prompt: Write.}}]}}
          write: {{type: TextGeneration, after: load, llm: {{type: EchoLLM}}}}
          judge: {{{judge}, after: write, {option}llm: {{type: EchoLLM}}, output_mappings: {{model_name: judged_by}}}}
        """
    assert not warnings(tmp_path, spec)
    step = prepare(tmp_path / "spec.yaml", allow=[]).steps["judge"]
    assert ("system_prompt" in step.inputs) is reads
