"""`@step`: what a function becomes, and which functions cannot."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from common.building.build import build_steps, resolve_step
from common.errors import SpecFault, UnknownType, UsageError
from common.naming.registry import spec_type
from common.spec.spec import PipelineSpec
from common.steps import (
    AsyncStep,
    GeneratorStep,
    GlobalStep,
    Row,
    RuntimeParameter,
    Step,
    StepInput,
    StepOutput,
    step,
)
from common.steps.base import BaseStep
from coordinator.plan.dag import build_plan
from tests.support.steps import sample_functions
from tests.support.steps.sample_functions import Halve, Numbers, Scale, Total, Zip

MODULE = "tests.support.steps.sample_functions"


def pipeline(**steps: dict[str, Any]) -> tuple[PipelineSpec, dict[str, BaseStep]]:
    own = {name: each | {"type": f"{MODULE}:{each['type']}"} for name, each in steps.items()}
    spec = PipelineSpec.from_dict({"name": "demo", "steps": own})
    return spec, build_steps(spec, allow=["tests"], base_dir=Path("/"))


def test_each_type_of_step_is_a_class_of_its_kind() -> None:
    kinds = {Numbers: GeneratorStep, Scale: Step, Total: GlobalStep, Zip: Step, Halve: AsyncStep}
    assert all(issubclass(made, kind) for made, kind in kinds.items())
    assert not issubclass(Scale, GlobalStep)


def test_the_class_has_the_name_module_and_docstring_of_the_function() -> None:
    assert (Scale.__name__, Scale.__qualname__, Scale.__module__) == ("Scale", "Scale", MODULE)
    assert inspect.getdoc(Scale) == "Multiplies."
    assert spec_type(Scale) == f"{MODULE}:Scale"


def test_columns_are_those_of_the_decorator() -> None:
    assert Scale(name="s").inputs == ["n"]
    assert Scale(name="s").outputs == ["scaled"]
    assert Total(name="t").inputs == {"n": True, "label": False}
    assert Zip(name="z").inputs == []


def test_runtime_parameters_are_given_to_the_function() -> None:
    assert next(Scale(name="s", factor=3, shift=1).process([{"n": 2}])) == [{"n": 2, "scaled": 7}]
    assert next(Total(name="t", scale=10).process([{"n": 1}, {"n": 2}])) == [{"total": 30}]
    assert next(Zip(name="z", mark="-").process([{"n": 1}], [{"n": 2}])) == [{"both": "1-2"}]
    assert next(Numbers(name="n", rows=3).process(1)) == ([{"n": 1}, {"n": 2}], True)
    assert asyncio.run(Halve(name="h", by=3).process_row({"n": 9})) == {"n": 9, "half": 3}


def test_a_default_may_be_a_field_with_a_description_and_a_limit() -> None:
    assert Total.model_fields["scale"].description == "Times."
    with pytest.raises(ValueError, match="greater than 0"):
        Total(name="t", scale=0)


def test_a_pipeline_of_decorated_steps_is_built_and_planned() -> None:
    spec, steps = pipeline(
        count={"type": "Numbers", "rows": 4},
        scale={"type": "Scale", "after": "count", "factor": 2},
        half={"type": "Halve", "after": "count"},
        zip={"type": "Zip", "after": ["scale", "half"]},
        total={"type": "Total", "after": "count"},
    )
    assert build_plan(spec, steps, {}).leaves == ("zip", "total")


def test_a_decorated_step_after_two_steps_is_told_to_take_both() -> None:
    spec, steps = pipeline(
        one={"type": "Numbers"}, two={"type": "Numbers"}, scale={"type": "Scale", "after": ["one", "two"], "factor": 1}
    )
    with pytest.raises(SpecFault) as caught:
        build_plan(spec, steps, {})
    assert caught.value.message == (
        "step 'scale' comes after 'one', 'two', but Scale takes the rows of one step; join them first, for example "
        "with CombineOutputs, or write Scale(*inputs: StepInput)"
    )


def test_a_wrong_parameter_of_a_decorated_step_is_named_with_the_nearest_one() -> None:
    with pytest.raises(SpecFault, match="has no parameter 'facter'; did you mean 'factor'"):
        pipeline(one={"type": "Numbers"}, scale={"type": "Scale", "after": "one", "facter": 1})


def test_the_rows_may_come_after_the_parameters() -> None:
    @step()
    def Last(times: RuntimeParameter[int], inputs: StepInput) -> StepOutput:
        yield inputs * (times or 0)

    assert next(Last(name="l", times=2).process([{"n": 1}])) == [{"n": 1}, {"n": 1}]


def none() -> StepOutput:
    yield []


def two(one: StepInput, other: StepInput) -> StepOutput:
    yield one


def plain(inputs: StepInput, factor: int = 1) -> StepOutput:
    yield inputs


def widest(inputs: StepInput, **options: RuntimeParameter[int]) -> StepOutput:
    yield inputs


def taken(inputs: StepInput, retries: RuntimeParameter[int] = 1) -> StepOutput:
    yield inputs


def hidden(inputs: StepInput, load: RuntimeParameter[int] = 1) -> StepOutput:
    yield inputs


def unknown(inputs: NoSuchName) -> StepOutput:  # type: ignore[name-defined] # noqa: F821
    yield inputs


def endless(count: RuntimeParameter[int] = 1) -> Any:
    yield [], True


def fed(inputs: StepInput, offset: int = 0) -> Any:
    yield [], True


async def waits(inputs: StepInput) -> Any:
    return inputs


async def streams(row: Row) -> Any:
    yield row


def sits(row: Row) -> Row:
    return row


@pytest.mark.parametrize(
    ("function", "options", "said"),
    [
        (none, {}, "no argument has the type StepInput for the rows: def none(inputs: StepInput)"),
        (two, {}, "several arguments have the type StepInput (one, other); each takes the rows of one predecessor"),
        (
            plain,
            {},
            "the argument 'factor' would get no value; annotate a parameter of the step with Runtime",
        ),
        (widest, {}, "the runtime parameter 'options' must be an argument that can be passed by name"),
        (taken, {}, "every Step already has a parameter 'retries'; rename this one"),
        (hidden, {}, "a runtime parameter cannot be called 'load'"),
        (unknown, {}, "an annotation cannot be read (name 'NoSuchName' is not defined)"),
        (
            endless,
            {"step_type": "generator"},
            "must be able to restart at any row: def endless(offset: int = 0)",
        ),
        (fed, {"step_type": "generator"}, "a generator step takes no rows, but 'inputs' is a StepInput; remove it"),
        (plain, {"step_type": "generator", "inputs": ["n"]}, "a generator step takes no rows, so it has no inputs"),
        (plain, {"step_type": "nromal"}, "there is no step type 'nromal'; did you mean 'normal'?"),
        (waits, {}, "an asynchronous function takes one row at a time"),
        (waits, {"step_type": "async"}, "an asynchronous step takes one row, but 'inputs' is a StepInput"),
        (streams, {"step_type": "async"}, "it is an asynchronous generator"),
        (sits, {"step_type": "async"}, "write an asynchronous step as 'async def sits(row)'"),
    ],
)
def test_a_function_that_does_not_fit_is_refused(function: Callable[..., Any], options: Any, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        step(**options)(function)
    assert said in str(caught.value)


def test_what_is_refused_is_named_with_its_place() -> None:
    with pytest.raises(UsageError, match=rf"@step cannot turn 'none' into a step \({__file__}:\d+\): "):
        step()(none)


def test_the_decorator_without_brackets_is_told_so() -> None:
    with pytest.raises(UsageError, match=r"write @step\(\) above 'plain'"):
        step(plain)  # type: ignore[call-overload]


def test_the_function_is_found_from_the_class() -> None:
    from common.steps.decorator import function_of

    assert function_of(sample_functions.Scale) is not None
    assert function_of(Step) is None


def test_a_module_with_a_function_that_does_not_fit_is_named_with_the_place_of_the_function(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wrong_steps.py").write_text("from common.steps import step\n\n@step()\ndef Wrong():\n    yield []\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UnknownType) as caught:
        resolve_step("wrong_steps:Wrong", ["wrong_steps"])
    assert str(caught.value) == (
        "the module 'wrong_steps' of 'wrong_steps:Wrong' cannot be imported: @step cannot turn 'Wrong' into a step "
        f"({tmp_path}/wrong_steps.py:3): no argument has the type StepInput for the rows: def Wrong(inputs: StepInput)"
    )
