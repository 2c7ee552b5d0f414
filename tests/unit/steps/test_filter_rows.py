"""FilterRows: the rows of which an expression or a function is true stay, and errors name what is at fault."""

from __future__ import annotations

import functools
import operator
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from common.building.build import build_step
from common.building.descriptor import step_digest
from common.building.dump import dump_step
from common.errors import RowError, SpecFault, UsageError
from common.spec.spec import StepSpec
from common.steps import FilterRows
from common.steps.base import Row
from coordinator.plan.load import prepare
from coordinator.plan.worker_command import worker_command
from worker.runners.attempts import call_step

OPERATORS = {"<": operator.lt, "<=": operator.le, "==": operator.eq, "!=": operator.ne, ">": operator.gt}


def kept(rows: list[Row], condition: str, **parameters: Any) -> list[Row]:
    return call_step(FilterRows(condition=condition, **parameters), [rows])


@given(scores=st.lists(st.integers(-3, 3)), sign=st.sampled_from(sorted(OPERATORS)), bound=st.integers(-3, 3))
def test_the_rows_that_stay_are_those_of_which_it_is_true_in_order(scores: list[int], sign: str, bound: int) -> None:
    rows = [{"id": number, "score": score} for number, score in enumerate(scores)]
    expected = [row for row in rows if OPERATORS[sign](row["score"], bound)]
    assert kept(rows, f"score {sign} {bound}") == expected


def test_a_condition_has_operators_filters_and_tests() -> None:
    rows = [{"text": "long enough", "tags": ["a"], "note": None}, {"text": "short", "tags": [], "note": "n"}]
    assert kept(rows, "text | length > 6 and 'a' in tags") == rows[:1]
    assert kept(rows, "note is none or text.startswith('s')") == rows
    odd = [{"my column": 4}, {"my column": 3}]
    assert kept(odd, "result > 3", input_mappings={"result": "my column"}) == odd[:1]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"language": "en"}, "column 'score' is missing"),
        ({"score": None, "language": "en"}, "column 'score' is None"),
        ({"score": "5", "language": "en"}, "column 'score' holds a value of type str"),
    ],
)
def test_a_row_of_which_it_cannot_be_computed_fails_and_says_which_column(row: Row, message: str) -> None:
    with pytest.raises(RowError, match=message):
        kept([row], "score >= 4 and language == 'en'")


def test_rows_that_lack_a_column_are_dropped_or_kept_on_request_and_wrong_types_still_fail() -> None:
    rows: list[Row] = [{"score": None}, {}, {"score": 5}, {"score": 1}]
    assert kept(rows, "score >= 4", on_missing="drop") == [{"score": 5}]
    assert kept(rows, "score >= 4", on_missing="keep") == rows[:3]
    with pytest.raises(RowError, match="holds a value of type str"):
        kept([{"score": "5"}], "score >= 4", on_missing="drop")


def test_a_value_that_is_neither_true_nor_false_fails() -> None:
    with pytest.raises(RowError, match="a value of type int, neither true nor false"):
        kept([{"score": 1}], "score")


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("score >", "'score >' is not an expression over columns"),
        ("a }} {{ b", "is not an expression over columns"),
        ("1 > 0", "uses no column"),
        ("(" * 2_000 + "a" + ")" * 2_000, "nested too deeply"),
        ("a" * 10_001, "at most 10,000 characters"),
    ],
    ids=["broken", "two", "constant", "deep", "long"],
)
def test_a_condition_that_is_no_expression_is_refused_at_once(condition: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        FilterRows(condition=condition)


def test_a_condition_reaches_nothing_of_python_and_ends_soon() -> None:
    for condition in ("text.__class__ == 1", "(text * 9999999) | length > 1", "range(10**9) | length > text | length"):
        with pytest.raises(RowError):
            kept([{"text": "abc"}], condition)
    assert FilterRows(condition="score > 1").inputs == {"score": True}
    assert FilterRows(condition="score > 1", on_missing="keep").inputs == {"score": False}


# a function


def is_long(row: Row) -> bool:
    return len(row["text"]) > 3


async def is_asynchronous(row: Row) -> bool:
    return True


def takes_two(row: Row, other: Row) -> bool:
    return True


@functools.cache
def is_cached(row: Row) -> bool:
    return True


def says_how_long(row: Row) -> int:
    return len(row["text"])


def says_in_numpy(row: Row) -> Any:
    import numpy as np

    return np.int64(len(row["text"])) > 3


HERE = __name__


@pytest.mark.parametrize("function", [is_long, f"{HERE}:is_long", says_in_numpy])
def test_a_function_says_which_rows_stay(function: Any) -> None:
    rows: list[Row] = [{"text": "long"}, {"text": "no"}, {"text": "longer"}]
    step = FilterRows(function=function)
    assert call_step(step, [rows]) == [rows[0], rows[2]]
    assert step.function == (function if isinstance(function, str) else f"{HERE}:{function.__name__}")
    assert not step.inputs


def test_a_function_sees_the_columns_that_are_mapped_for_it() -> None:
    step = FilterRows(function=is_long, input_mappings={"text": "body"})
    assert step.inputs == {"text": True}
    assert call_step(step, [[{"body": "long"}, {"body": "no"}]]) == [{"body": "long"}]


def test_what_is_neither_true_nor_false_fails() -> None:
    with pytest.raises(RowError, match=f"{HERE}:says_how_long returned a value of type int; it must return True or"):
        call_step(FilterRows(function=says_how_long), [[{"text": "x"}]])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, "it needs a condition, such as 'score >= 4', or a function, such as 'mysteps:keep'"),
        ({"condition": "a > 1", "function": is_long}, "it has a condition and a function; keep one of them"),
        ({"function": is_long, "on_missing": "drop"}, "on_missing is about a condition"),
        ({"function": f"{HERE}:is_logn"}, f"has no function 'is_logn'; did you mean '{HERE}:is_long'"),
        ({"function": f"{HERE}:RowError"}, "has no function 'RowError'"),
        ({"function": f"{HERE}:HERE"}, "has no function 'HERE'"),
        ({"function": "no_such_module:keep"}, "the module 'no_such_module' of 'no_such_module:keep' was not found"),
        ({"function": "sample_n_steps"}, "'sample_n_steps' is not the name of a function; write module:function"),
        ({"function": is_asynchronous}, "is not a plain function: write 'def is_asynchronous\\(row\\)', not async"),
        ({"function": takes_two}, "is called with a row: write 'def takes_two\\(row\\)' \\(missing a required"),
        ({"function": Row}, "is not a function: write 'def keep\\(row\\)' at the top level of a module"),
        ({"function": is_cached}, "is not a function: write 'def keep"),
        ({"function": 3}, "Input should be a valid string"),
    ],
)
def test_what_cannot_say_it_is_refused_at_once(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        FilterRows(**parameters)


def test_a_function_that_no_worker_can_import_is_refused_at_once() -> None:
    with pytest.raises(UsageError, match="is a lambda, where no worker can import it"):
        FilterRows(function=lambda row: True)


def test_a_function_must_be_allowed_and_its_code_is_that_of_the_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    spec = StepSpec(type="FilterRows", after=["load"], function="predicates_of_test:keep")
    file = tmp_path / "predicates_of_test.py"
    file.write_text("import helper_of_predicates\n\n\ndef keep(row):\n    return True\n")
    helper = file.with_name("helper_of_predicates.py")
    helper.write_text("")
    with pytest.raises(SpecFault, match=r"'predicates_of_test:keep' is not allowed here.*--allow predicates_of_test"):
        build_step("filter", spec, base_dir=tmp_path)
    step = build_step("filter", spec, allow=["predicates_of_test"], base_dir=tmp_path)
    assert dump_step(step, ["load"]) == spec.model_dump()
    before = step_digest(step)
    assert step_digest(step) == before
    helper.write_text("CHANGED = True\n")
    changed = step_digest(step)
    file.write_text(file.read_text().replace("True", "False"))
    assert len({before, changed, step_digest(step)}) == 3


def test_a_worker_on_another_host_is_told_to_allow_its_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    path = tmp_path / "spec.yaml"
    load, keep = (
        "{type: LoadDataFromDicts, data: [{text: a}]}",
        "{type: FilterRows, after: load, function: 'own_of_test:f'}",
    )
    path.write_text(f"name: p\nsteps:\n  load: {load}\n  keep: {keep}\n")
    (tmp_path / "own_of_test.py").write_text("def f(row):\n    return True\n")
    command = worker_command(prepare(path), "keep", "p-1", None)
    assert "--allow own_of_test" in command
