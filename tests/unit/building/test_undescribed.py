"""Pipelines with steps that this process cannot import: what is said of them, and what is checked nevertheless."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from common.building.descriptor import describe_step
from common.building.signature import run_signature
from common.building.stand_in import Undescribed
from common.errors import SpecError
from common.steps.base import StepResources
from coordinator.cli import group
from coordinator.plan.load import Prepared, prepare
from coordinator.plan.pipeline_options import pipeline_options
from coordinator.plan.routing import Routing
from tests.support.steps import sample_steps as samples

SPEC = """name: far
steps:
  load: {type: LoadDataFromDicts, data: [{text: a}]}
  far: {type: "no_such_module:Far", after: load, size: 3}
  keep: {type: KeepColumns, after: far, columns: [upper]}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    before = list(sys.path)
    yield tmp_path
    sys.path[:] = before
    sys.modules.pop("half_there", None)


def read(folder: Path, text: str = SPEC, *, external: bool = True) -> Prepared:
    path = folder / "spec.yaml"
    path.write_text(text)
    return prepare(path, allow=["tests"], external=external)


def fault(folder: Path, text: str, *, external: bool = True) -> str:
    with pytest.raises(SpecError) as caught:
        read(folder, text, external=external)
    return str(caught.value)


def test_a_step_of_a_module_that_is_not_here_waits_for_a_worker(folder: Path) -> None:
    prepared = read(folder)
    assert list(prepared.undescribed) == ["far"]
    assert prepared.undescribed["far"].startswith(f"{folder}/spec.yaml:4: step 'far': 'no_such_module:Far'")
    assert isinstance(prepared.steps["far"], Undescribed)
    assert list(prepared.plan.steps) == ["load", "far", "keep"]


def test_so_does_one_whose_module_imports_what_is_not_here(folder: Path) -> None:
    (folder / "half_there.py").write_text("import no_such_package\n")
    prepared = read(folder, SPEC.replace("no_such_module", "half_there"))
    assert "No module named 'no_such_package'" in prepared.undescribed["far"]


def test_so_does_one_with_an_llm_that_is_not_here(folder: Path) -> None:
    text = SPEC.replace("no_such_module:Far", "TextGeneration").replace("size: 3", 'llm: {type: "no_such_module:LLM"}')
    assert list(read(folder, text).undescribed) == ["far"]


def test_with_local_workers_it_is_a_mistake(folder: Path) -> None:
    assert "'no_such_module:Far' is not allowed here" in fault(folder, SPEC, external=False)


@pytest.mark.parametrize(
    ("type_name", "message"),
    [
        ("KeepColums", "no step has the type 'KeepColums'; did you mean 'KeepColumns'?"),
        ("tests.support.steps.sample_steps:Uper", "has no class 'Uper'; did you mean"),
        ("tests.support.steps.sample_steps:NotAStep", "is not the class of a step"),
        ("antigravity:Step", "'antigravity:Step' is not allowed here"),
        ("half_there:Far", "cannot be imported: SyntaxError"),
    ],
)
def test_what_is_wrong_everywhere_is_a_mistake_with_external_workers_too(
    folder: Path, type_name: str, message: str
) -> None:
    (folder / "half_there.py").write_text("def\n")
    assert message in fault(folder, SPEC.replace("no_such_module:Far", type_name))


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("after: load", "after: laod", "4: step 'far' comes after 'laod'"),
        ("after: load", "after: keep", "the steps form a cycle: far -> keep -> far"),
        ("size: 3", "on_error: explode", "4: step 'far': no_such_module:Far has an invalid value for 'on_error'"),
        (
            "size: 3",
            "input_batch_size: 0",
            "4: step 'far': no_such_module:Far has an invalid value for 'input_batch_size'",
        ),
        ("columns: [upper]", "colums: [upper]", "5: step 'keep': KeepColumns has no parameter 'colums'"),
    ],
)
def test_the_rest_is_checked(folder: Path, right: str, wrong: str, message: str) -> None:
    assert message in fault(folder, SPEC.replace(right, wrong))


def test_columns_behind_it_are_not_judged(folder: Path) -> None:
    assert read(folder).columns() == {"load": {"text"}, "far": None, "keep": {"upper"}}


def test_whether_it_ends_the_branches_around_it_is_not_judged(folder: Path) -> None:
    """It may be a global step."""
    text = """name: routed
steps:
  load: {type: LoadDataFromDicts, data: [{text: a}]}
  one: {type: "tests.support.steps.sample_steps:Join", after: load}
  two: {type: "tests.support.steps.sample_steps:Join", after: load}
  far: {type: "no_such_module:Far", after: one}
  more: {type: LoadDataFromDicts, data: [{text: a}]}
  join: {type: "tests.support.steps.sample_steps:Join", after: [far, more]}
routing: {load: {function: sample_n_steps, n: 1}}
"""
    prepared = read(folder, text)
    every = describe_step(samples.All(name="far"))
    assert prepared.with_descriptors({"far": every}).plan.steps["far"].kind == "global"
    with pytest.raises(SpecError, match=r"spec\.yaml:8: step 'join' joins 'far' with 'more'"):
        prepared.with_descriptors({"far": describe_step(samples.Join(name="far"))})


def test_once_it_is_described_everything_is_judged(folder: Path) -> None:
    prepared = read(folder)
    known = prepared.with_descriptors({"far": describe_step(samples.Upper(name="far", input_batch_size=3))})
    assert (known.undescribed, known.plan.steps["far"].batch_size) == ({}, 3)
    assert known.columns()["far"] == {"text", "upper"}
    with pytest.raises(SpecError, match=r"spec\.yaml:5: step 'keep' needs column 'upper'"):
        prepared.with_descriptors({"far": describe_step(samples.Ask(name="far"))})
    with pytest.raises(SpecError, match=r"spec\.yaml:4: step 'far' comes after 'load', but Load is a generator step"):
        prepared.with_descriptors({"far": describe_step(samples.Load(name="far"))})


def test_the_run_is_told_by_what_the_spec_says(folder: Path) -> None:
    def signature(text: str) -> str:
        prepared = read(folder, text)
        return run_signature(prepared.spec, prepared.steps, prepared.routing, {})

    assert signature(SPEC) == signature(SPEC)
    assert signature(SPEC) == signature(SPEC.replace("size: 3", "size: 3, retries: 7"))
    for other in ("size: 4", "size: 3, input_batch_size: 3", "size: 3, on_error: nulls"):
        assert signature(SPEC) != signature(SPEC.replace("size: 3", other))


@pytest.mark.parametrize("command", ["validate", "info"])
def test_the_commands_say_who_can_check_it(folder: Path, command: str) -> None:
    path = folder / "spec.yaml"
    path.write_text(SPEC)
    here = CliRunner().invoke(group, [command, str(path)])
    assert here.exit_code != 0
    there = CliRunner().invoke(group, [command, str(path), "--workers", "external"])
    assert there.exit_code == 0, there.output
    assert "can only be checked by one of its workers" in there.output


def test_workers_are_told_anew_once_it_is_known(folder: Path) -> None:
    """What waits for a global step goes to the file store: also the rows of the step before it."""
    prepared = read(folder)
    asked = pipeline_options(prepared, Routing(prepared))
    assert (asked.undescribed, asked.described, asked.spill) == (("far",), (), ())
    assert (set(asked.digests), asked.unchecked) == ({"load", "keep"}, ("keep",))
    every = describe_step(samples.All(name="far", resources=StepResources(gpus=2)))
    known = read(folder, SPEC.replace("[upper]", "[text]")).with_descriptors({"far": every})
    told = pipeline_options(known, Routing(known))
    assert (told.undescribed, told.described, told.spill) == ((), ("far",), ("load", "far"))
    assert (set(told.digests), told.unchecked, told.devices["far"]) == ({"load", "keep"}, (), 2)
