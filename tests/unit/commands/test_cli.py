"""`pipeline-coordinator` at the prompt: its help, its usage errors, and what it says of specs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from coordinator.cli import COMMANDS, group
from tests.support.places import REPOSITORY

SPEC = """\
name: demo
description: Tries things out.
steps:
  load:
    type: LoadDataFromDicts
    data: [{instruction: a}, {instruction: b}]
  left:
    type: TextGeneration
    after: load
    llm: {type: EchoLLM, latency: 0.5}
    output_mappings: {generation: answer}
    retries: 7
  right: {type: TextGeneration, after: load, llm: {type: EchoLLM}}
  join: {type: CombineOutputs, after: [left, right]}
  keep: {type: KeepColumns, after: join, columns: [instruction, answer]}
"""


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("PENSTOCK_BROKER_URL", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC)
    return path


def call(*arguments: object) -> Result:
    return CliRunner().invoke(group, [str(argument) for argument in arguments], prog_name="pipeline-coordinator")


# help and usage


def test_help_names_every_command_and_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom coordinator.cli import group\n"
        "try:\n    group(['--help'])\nexcept SystemExit:\n    pass\n"
        "print([name for name in ('redis', 'pydantic', 'rich', 'datasets', 'pyarrow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert all(f"\n  {name} " in done.stdout for name in COMMANDS)
    assert done.stdout.endswith("[]\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    result = call(command, "--help")
    assert result.exit_code == 0
    assert result.output.startswith(f"Usage: pipeline-coordinator {command} ")


def test_a_misspelt_command_is_answered_with_the_nearest() -> None:
    result = call("vaildate", "spec.yaml")
    assert result.exit_code == 2
    assert "there is no command 'vaildate'; did you mean 'validate'?" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run"], "Missing argument 'SPEC'"),
        (["run", "s", "--limit", "0"], "0 is not in the range x>=1"),
        (["run", "s", "--workers", "some"], "'some' is not one of 'local', 'external'"),
        (["gc", "--older-than", "soon"], "'soon' is not an age; write a number and a unit: 30m, 12h, 7d or 2w"),
        (["run", "--frsh", "s"], "--fresh"),
    ],
)
def test_a_wrong_option_is_one_message_and_exit_code_2(arguments: list[str], message: str) -> None:
    result = call(*arguments)
    assert result.exit_code == 2
    assert message in result.output


@pytest.mark.parametrize("command", ["pipeline-coordinator", "pipeline-worker"])
@pytest.mark.parametrize("package", ["common", "coordinator", "worker"])
def test_a_package_of_the_users_that_would_be_taken_for_ours_is_named(
    command: str, package: str, tmp_path: Path
) -> None:
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text("")
    scripts = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["scripts"]
    module, _, function = scripts[command].partition(":")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{REPOSITORY}"}
    code = f"from {module} import {function}; {function}()"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, "--help"], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert f"the package '{package}' would be imported from {tmp_path}/{package}/__init__.py" in done.stderr
    assert "Traceback" not in done.stderr


# specs


def test_validate_says_what_it_found(spec: Path) -> None:
    result = call("validate", spec)
    assert result.exit_code == 0
    assert result.output == f"{spec} is valid: 5 steps, 5 edges\n  from load to keep\n"


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("after: [left, right]", "after: [left, rihgt]", ":14: step 'join' comes after 'rihgt', which is not a step"),
        ("type: LoadDataFromDicts", "type: LoadDataFromDict", ":5: step 'load': no step has the type"),
        ("columns: [instruction, answer]", "columns: [instruction, anwser]", "did you mean 'answer'?"),
    ],
)
@pytest.mark.parametrize("command", ["validate", "info", "run"])
def test_a_mistake_is_one_message_with_file_and_line(
    spec: Path, command: str, right: str, wrong: str, message: str
) -> None:
    spec.write_text(SPEC.replace(right, wrong))
    result = call(command, spec)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith(f"pipeline-coordinator: {spec}:")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_spec_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    result = call("validate", tmp_path / "none.yaml")
    assert (result.exit_code, result.stderr) == (
        2,
        f"pipeline-coordinator: {tmp_path}/none.yaml: cannot read the spec: No such file or directory\n",
    )


def test_a_wrong_override_is_named_as_it_was_given(spec: Path) -> None:
    result = call("validate", spec, "--set", "left.retires=3")
    assert result.exit_code == 2
    assert result.stderr.startswith("pipeline-coordinator: --set left.retires: ")


def test_info_draws_the_graph(spec: Path) -> None:
    lines = call("info", spec).output.splitlines()
    assert lines[0] == "demo: 5 steps, 5 edges"
    assert lines[3:6] == [
        "load (generator)",
        "├── left -> join, below",
        "└── right -> join -> keep (leaf)",
    ]


def test_info_shows_classes_columns_and_what_is_a_leaf(spec: Path) -> None:
    lines = [line.strip() for line in call("info", spec).output.splitlines()]
    assert "left  TextGeneration  asynchronous step" in lines
    assert "keep  KeepColumns  leaf" in lines
    assert "writes   generation as answer, model_name" in lines
    assert "after    left, right" in lines
    assert "columns  answer, generation, instruction, model_name" in lines


def parameter(output: str, step: str, name: str) -> list[str]:
    """The cells of the line of a parameter, below the heading of a step."""
    below = output[output.index(f"\n{step}  ") :]
    line = next(line for line in below.splitlines() if line.strip().startswith(f"{name} "))
    return [cell.strip().removesuffix(" *") for cell in line.split("  ") if cell.strip()]


def test_info_shows_values_beside_defaults(spec: Path) -> None:
    output = call("info", spec, "--set", "right.concurrency=9").output
    assert parameter(output, "left", "retries")[:3] == ["retries", "7", "2"]
    assert parameter(output, "left", "concurrency")[:2] == ["concurrency", "50"]
    assert parameter(output, "right", "concurrency")[:3] == ["concurrency", "9", "50"]
    assert parameter(output, "left", "llm.latency")[:3] == ["llm.latency", "0.5", "0.0"]


def test_info_marks_runtime_parameters(spec: Path) -> None:
    assert "llm.generation_kwargs *" in call("info", spec).output


def test_a_password_in_a_url_is_refused_and_not_repeated(spec: Path) -> None:
    llm = "{type: OpenAILLM, model: m, base_url: 'http://me:hunter2@127.0.0.1:1/v1'}"
    spec.write_text(SPEC.replace("{type: EchoLLM}", llm))
    result = call("info", spec)
    assert result.exit_code == 2
    assert "llm.base_url' holds a password in a URL" in result.output
    assert "hunter2" not in result.output


def test_info_fits_a_narrow_terminal(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert max(map(len, call("info", spec).output.splitlines())) <= 80


def test_the_schema_is_json_schema_of_the_spec() -> None:
    result = call("schema")
    assert result.exit_code == 0
    schema = json.loads(result.stdout)
    assert schema["$schema"].endswith("/schema")
    assert {"name", "steps", "routing"} <= set(schema["properties"])
    assert schema["additionalProperties"] is False
