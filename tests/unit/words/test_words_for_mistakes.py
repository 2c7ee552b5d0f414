"""Common mistakes end in a clear message, before anything is started if possible."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from pydantic import ValidationError

from common.errors import SpecError, UsageError
from common.llms import OpenAILLM
from common.steps import KeepColumns, TextGeneration
from common.steps.base import GeneratorStep, Step, StepInput, StepOutput, StepResources
from common.steps.decorator import step
from coordinator.cli import group
from coordinator.plan.host_check import check_host
from coordinator.plan.load import prepare
from worker.runners.attempts import call_step

# Constructors


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: KeepColumns(colums=["a"]), "KeepColumns has no parameter 'colums'; did you mean 'columns'?"),
        (lambda: OpenAILLM(model="m", tiemout=1), "OpenAILLM has no parameter 'tiemout'; did you mean 'timeout'?"),
        (lambda: StepResources(gpu=1), "StepResources has no parameter 'gpu'; did you mean 'gpus'?"),
        (
            lambda: TextGeneration(llm={"type": "OpenAILLM", "modle": "m"}),
            "TextGeneration has no parameter 'llm.modle'; did you mean 'model'?",
        ),
        (lambda: KeepColumns(columns=["a"], resources={"gpu": 1}), "'resources.gpu'; did you mean 'gpus'?"),
        (lambda: KeepColumns(columns="a", zzz=1), "KeepColumns has no parameter 'zzz'"),
    ],
)
def test_a_constructor_names_the_nearest_parameter(make: Any, message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        make()
    assert message in str(refused.value)


def test_other_errors_of_a_constructor_stay_as_they_are() -> None:
    with pytest.raises(ValidationError) as refused:
        KeepColumns(columns="a", colums=["b"])  # type: ignore[arg-type, call-arg]
    assert {error["type"] for error in refused.value.errors()} == {"list_type", "extra_forbidden"}
    assert "Input should be a valid list" in str(refused.value)


# What validate finds


def spec(folder: Path, **steps: dict[str, Any]) -> Path:
    path = folder / "spec.yaml"
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(given)}" for name, given in steps.items())
    path.write_text(f'{{"name": "demo", "steps": {{\n{lines}\n}}}}')
    return path


def validate(path: Path, *options: str) -> Result:
    return CliRunner().invoke(group, ["validate", str(path), *options])


LOAD = {"type": "LoadDataFromDicts", "data": [{"instruction": "hi"}]}
OPENAI = {"type": "OpenAILLM", "model": "m"}


def ask(llm: Any) -> dict[str, Any]:
    return {"type": "TextGeneration", "after": "load", "llm": llm}


def test_a_missing_key_is_found_by_validate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    path = spec(tmp_path, load=LOAD, ask=ask(OPENAI))
    result = validate(path)
    assert result.exit_code == 2
    assert f"{path}:3: step 'ask': model 'm' at https://api.openai.com/v1 needs a key: set the" in result.stderr
    assert validate(path, "--workers", "external").exit_code == 0
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    assert validate(path).exit_code == 0
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    assert validate(path).exit_code == 0


def test_a_key_that_a_program_has_given_is_not_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    prepared = prepare(spec(tmp_path, load=LOAD, ask=ask(OPENAI)))
    check_host(prepared, ["ask.llm.api_key"])
    with pytest.raises(SpecError, match="needs a key"):
        check_host(prepared, ["other.llm.api_key"])


def test_a_misspelt_option_of_the_model_is_found_by_validate(tmp_path: Path) -> None:
    llm = {**OPENAI, "base_url": "http://127.0.0.1:1/v1", "generation_kwargs": {"temprature": 1}}
    result = validate(spec(tmp_path, load=LOAD, ask=ask(llm)))
    assert result.exit_code == 2
    assert "spec.yaml:3: step 'ask': generation_kwargs: the API has no option" in result.stderr
    assert "'temprature'; did you mean 'temperature'?" in result.stderr


@pytest.mark.parametrize(
    ("load", "message"),
    [
        ({"type": "LoadDataFromFile", "path": "none.jsonl"}, "path '{folder}/none.jsonl' matches no file"),
        (
            {"type": "LoadDataFromFile", "path": "a.csv", "columns": ["text", "txet"]},
            "has no column 'txet'; did you mean 'text'?",
        ),
        ({"type": "LoadDataFromDisk", "dataset_path": "none"}, "none"),
        (
            {"type": "LoadDataFromFile", "path": "long.jsonl.gz"},
            "long.jsonl.gz:2: a line of more than 67,108,864 bytes",
        ),
    ],
)
def test_a_missing_or_wrong_file_is_found_by_validate(tmp_path: Path, load: dict[str, Any], message: str) -> None:
    (tmp_path / "a.csv").write_text("text\nb\n")
    with gzip.open(tmp_path / "long.jsonl.gz", "wb", compresslevel=1) as file:
        file.write(b'{"text": "a"}\n{"text": "')
        for _ in range(70):
            file.write(b"x" * (1 << 20))
    path = spec(tmp_path, load=load, keep={"type": "KeepColumns", "after": "load", "columns": ["text"]})
    result = validate(path)
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith(f"pipeline-coordinator: {path}:2: step 'load': ")
    assert message.format(folder=tmp_path) in result.stderr
    if load["type"] == "LoadDataFromFile":
        assert validate(path, "--workers", "external").exit_code == 0


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('{"a": ' + '{"k": ' * 32 + "1" + "}" * 33, "row 0: column 'a.k.k"),
        ('{"a": 18446744073709551616}', "row 0: column 'a' holds a value of type int"),
    ],
    ids=["deep", "int"],
)
def test_rows_of_a_spec_that_no_step_could_get_are_found_by_validate(tmp_path: Path, row: str, message: str) -> None:
    path = spec(tmp_path, load={"type": "LoadDataFromDicts", "data": "ROWS"})
    path.write_text(path.read_text().replace('"ROWS"', f"[{row}]"))
    result = validate(path)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"pipeline-coordinator: {path}:2: step 'load': LoadDataFromDicts has an invalid")
    assert message in result.stderr


@pytest.mark.parametrize(
    ("llm", "message"),
    [
        ("gpt-4o", "an LLM is a mapping with its type: {type: OpenAILLM, model: 'gpt-4o'}"),
        ("EchoLLM", "an LLM is a mapping with its type: {type: 'EchoLLM'}"),
        ("OpenAILLM", "an LLM is a mapping with its type: {type: 'OpenAILLM', model: ...}"),
    ],
)
def test_the_name_of_a_model_alone_says_what_to_write(tmp_path: Path, llm: str, message: str) -> None:
    result = validate(spec(tmp_path, load=LOAD, ask=ask(llm)))
    assert result.exit_code == 2
    found = f"spec.yaml:3: step 'ask': TextGeneration has an invalid value for 'llm', '{llm}': {message}"
    assert found in result.stderr
    with pytest.raises(ValidationError, match="an LLM is a mapping with its type"):
        TextGeneration(llm=llm)  # type: ignore[arg-type]


# A process without a yield

MODULE = """
from common.steps.base import GeneratorStep, Step, StepInput
from common.steps.decorator import step

class Forgets(Step):
    def process(self, inputs: StepInput):
        for row in inputs:
            row["a"] = 1

class Makes(GeneratorStep):
    def process(self, offset: int = 0):
        rows = [{"a": 1}]

@step(inputs=["a"])
def Function(inputs: StepInput):
    print(inputs)
    return

class Delegates(Step):
    def process(self, inputs: StepInput):
        return self.rows(inputs)

    def rows(self, inputs):
        yield inputs
"""


@pytest.mark.parametrize(
    ("load", "after", "message"),
    [
        (LOAD, "Forgets", ":3: step 'up': Forgets.process ({module}:6) has no yield, so it produces no rows"),
        (LOAD, "Function", ":3: step 'up': Function ({module}:14) has no yield"),
        ({"type": "no_yields:Makes"}, "Delegates", ":2: step 'load': Makes.process ({module}:11) has no yield"),
        (LOAD, "Delegates", ""),
    ],
)
def test_a_process_without_a_yield_is_found_by_validate(
    tmp_path: Path, load: dict[str, Any], after: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setattr(sys, "path", [*sys.path])
    sys.modules.pop("no_yields", None)
    module = tmp_path / "no_yields.py"
    module.write_text(MODULE)
    result = validate(spec(tmp_path, load=load, up={"type": f"no_yields:{after}", "after": "load"}))
    sys.modules.pop("no_yields", None)
    assert result.exit_code == (2 if message else 0), result.output
    if message:
        assert message.format(module=module) in result.stderr
        assert "write 'yield rows" in result.stderr


class Returns(Step):
    what: Any = None

    def process(self, inputs: StepInput) -> StepOutput:
        return inputs if self.what == "rows" else self.what  # type: ignore[return-value]


@pytest.mark.parametrize(("what", "said"), [(None, "nothing"), ("rows", "a list"), (5, "a int")])
def test_a_process_that_returns_its_rows_says_so_and_is_not_tried_again(what: Any, said: str) -> None:
    with pytest.raises(UsageError, match=f"process of step 's' returns {said}, but must yield its rows"):
        call_step(Returns(name="s", what=what), [[{"a": 1}]])


def test_a_process_may_return_an_iterator() -> None:
    assert call_step(Returns(name="s", what=iter([[{"a": 1}]])), [[{"a": 1}]]) == [{"a": 1}]
    assert call_step(Returns(name="s", what=[[{"a": 1}]]), [[{"a": 1}]]) == [{"a": 1}]


@step(outputs=["a"], step_type="generator")
def Source(offset: int = 0) -> Any:
    return [{"a": 1}], True


def test_a_generator_that_returns_its_rows_says_so() -> None:
    from types import SimpleNamespace

    from worker.runners.generator_runner import chunks

    bench: Any = SimpleNamespace(rows_limit=None, first_batch_only=False)
    source: Any = Source(name="s")
    assert isinstance(source, GeneratorStep)
    with pytest.raises(UsageError, match=r"process of step 's' returns a tuple, .* 'yield rows, last'"):
        list(chunks(source, 0, bench))
