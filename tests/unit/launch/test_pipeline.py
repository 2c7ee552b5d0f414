"""A pipeline that is written in Python: its steps and edges, as data and back."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest

from common.errors import SpecError, UsageError
from common.llms import EchoLLM, OpenAILLM
from common.steps import CombineOutputs, ExpandColumns, KeepColumns, LoadDataFromDicts, LoadDataFromFile, TextGeneration
from coordinator import Pipeline, sample_n_steps
from tests.support.steps.routing_functions import always_first
from tests.support.steps.sample_steps import Upper

ROWS = [{"text": "a"}, {"text": "b"}]


@pytest.fixture(autouse=True)
def _paths(monkeypatch: pytest.MonkeyPatch) -> None:
    """Removes what is added to `sys.path` for a pipeline."""
    monkeypatch.setattr(sys, "path", [*sys.path])


def edges(pipeline: Pipeline) -> dict[str, list[str]]:
    return {name: step.after for name, step in pipeline.spec().steps.items()}


def test_steps_of_a_with_block_belong_to_the_pipeline_and_get_names_of_their_class() -> None:
    with Pipeline("p") as pipeline:
        LoadDataFromDicts(data=ROWS)
        KeepColumns(columns=["text"])
        KeepColumns(columns=["text"])
        TextGeneration(name="ask", llm=EchoLLM())
    LoadDataFromDicts(data=ROWS)
    assert list(pipeline.steps) == ["load_data_from_dicts_0", "keep_columns_0", "keep_columns_1", "ask"]


def test_an_output_with_the_dataset_of_another_pipeline_is_refused_before_anything_is_started(tmp_path: Path) -> None:
    with Pipeline("p", cache_dir=tmp_path / "cache") as pipeline:
        LoadDataFromDicts(name="load", data=ROWS)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".penstock.json").write_text('{"run": "other-1a2b", "rows": {}, "facts": {"name": "other"}}')
    with pytest.raises(UsageError, match=r"of another pipeline, 'other'.* \(overwrite=True in Python\)"):
        pipeline.run(output=tmp_path / "out", progress=False)
    with pytest.raises(UsageError, match="--overwrite works only with --output DIR"):
        pipeline.run(overwrite=True, progress=False)
    assert not (tmp_path / "cache").exists()


def test_an_unnamed_pipeline_is_called_after_its_steps() -> None:
    with Pipeline() as pipeline:
        LoadDataFromDicts(name="load", data=ROWS) >> KeepColumns(name="keep", columns=["text"])
    assert pipeline.name == "pipeline_load_keep"


def test_steps_are_connected_one_to_one_one_to_many_and_many_to_one() -> None:
    with Pipeline("p") as pipeline:
        load = LoadDataFromDicts(name="load", data=ROWS)
        left, right = (KeepColumns(name=name, columns=["text"]) for name in ("left", "right"))
        load >> [left, right] >> CombineOutputs(name="join") >> KeepColumns(name="end", columns=["text"])
    assert edges(pipeline) == {
        "load": [],
        "left": ["load"],
        "right": ["load"],
        "join": ["left", "right"],
        "end": ["join"],
    }


def test_connect_takes_several_steps_and_a_routing_function() -> None:
    with Pipeline("p") as pipeline:
        load = LoadDataFromDicts(name="load", data=ROWS)
        left, right = (KeepColumns(name=name, columns=["text"]) for name in ("left", "right"))
        load.connect(left, right, routing_batch_function=sample_n_steps(1, seed=7))
    assert edges(pipeline)["right"] == ["load"]
    assert pipeline.dump()["routing"] == {"load": {"function": "sample_n_steps", "n": 1, "seed": 7}}


def test_a_routing_function_stands_between_a_step_and_a_list() -> None:
    with Pipeline("p") as pipeline:
        load = LoadDataFromDicts(name="load", data=ROWS)
        branches = [KeepColumns(name=name, columns=["text"]) for name in ("left", "right")]
        load >> always_first >> branches >> CombineOutputs(name="join")
    assert pipeline.dump()["routing"] == {"load": {"function": "tests.support.steps.routing_functions:always_first"}}
    assert edges(pipeline)["join"] == ["left", "right"]


def test_a_routing_function_needs_a_list_of_steps_to_choose_from() -> None:
    with Pipeline("p"):
        load, keep = LoadDataFromDicts(data=ROWS), KeepColumns(name="keep", columns=["text"])
        with pytest.raises(UsageError, match="chooses among a list of steps, not step 'keep'"):
            load >> always_first >> keep


def test_a_second_routing_function_is_refused() -> None:
    with Pipeline("p"):
        load = LoadDataFromDicts(name="load", data=ROWS)
        keep, other = (KeepColumns(name=name, columns=["text"]) for name in ("keep", "other"))
        load >> always_first >> [keep]
        with pytest.raises(UsageError, match="step 'load' already has a routing batch function"):
            load >> sample_n_steps(1) >> [other]


def test_two_steps_cannot_have_one_name() -> None:
    with Pipeline("p"):
        LoadDataFromDicts(name="load", data=ROWS)
        with pytest.raises(UsageError, match="there already is a step named 'load'"):
            KeepColumns(name="load", columns=["text"])


def test_a_cycle_is_refused_when_it_is_closed_and_names_its_steps() -> None:
    with Pipeline("p") as pipeline:
        first, second = KeepColumns(name="first", columns=["a"]), KeepColumns(name="second", columns=["a"])
        first >> second
        with pytest.raises(UsageError, match="'first' cannot come after 'second': the steps would form a cycle"):
            second >> first
    assert edges(pipeline) == {"first": [], "second": ["first"]}


def test_a_second_edge_between_two_steps_is_refused() -> None:
    with Pipeline("p"):
        first, second = KeepColumns(name="first", columns=["a"]), KeepColumns(name="second", columns=["a"])
        first >> second
        with pytest.raises(UsageError, match="step 'second' already comes after 'first'"):
            first >> second


def test_a_step_of_no_pipeline_or_of_another_one_cannot_be_connected() -> None:
    outside = KeepColumns(name="outside", columns=["a"])
    with pytest.raises(UsageError, match="step 'outside' belongs to no pipeline: create it inside"):
        outside >> KeepColumns(name="next", columns=["a"])
    with Pipeline("p"):
        inside = LoadDataFromDicts(data=ROWS)
    with pytest.raises(UsageError, match="step 'outside' is not in the pipeline"):
        inside >> outside


def test_a_step_made_elsewhere_can_be_added() -> None:
    pipeline = Pipeline("p")
    load, keep = LoadDataFromDicts(name="load", data=ROWS), KeepColumns(name="keep", columns=["text"])
    for step in (load, keep):
        pipeline.add_step(step)
    load >> keep
    assert edges(pipeline) == {"load": [], "keep": ["load"]}


@pytest.mark.parametrize("wrong", ["keep", 3, [], [1]])
def test_only_steps_can_be_connected(wrong: Any) -> None:
    with Pipeline("p"):
        with pytest.raises(UsageError, match="connects a step to a step"):
            LoadDataFromDicts(data=ROWS) >> wrong


def rich_pipeline() -> Pipeline:
    with Pipeline("rich", description="all sorts", enable_metadata=True, load_groups=[["ask"]]) as pipeline:
        load = LoadDataFromDicts(name="load", data=ROWS, batch_size=1)
        ask = TextGeneration(
            name="ask",
            llm=OpenAILLM(model="m", base_url="http://127.0.0.1:1/v1", generation_kwargs={"temperature": 0.5}),
            input_mappings={"instruction": "text"},
            resources={"replicas": 2},
            retries=5,
        )
        up = Upper(name="up")
        load >> sample_n_steps(1, seed=3) >> [ask, up]
    return pipeline


@pytest.mark.parametrize("file", ["pipeline.yaml", "pipeline.json"])
def test_a_saved_pipeline_reads_back_equal_and_with_the_same_signature(tmp_path: Path, file: str) -> None:
    pipeline = rich_pipeline()
    pipeline.save(tmp_path / file)
    again = Pipeline.from_file(tmp_path / file, allow=["tests"])
    assert again == pipeline
    assert again.signature == pipeline.signature


def test_a_dump_reads_back_equal() -> None:
    pipeline = rich_pipeline()
    assert Pipeline.from_dict(json.loads(json.dumps(pipeline.dump())), allow=["tests"]) == pipeline


def test_a_dump_holds_the_version_and_no_defaults() -> None:
    with Pipeline("p") as pipeline:
        LoadDataFromDicts(name="load", data=ROWS) >> KeepColumns(name="keep", columns=["text"])
    dump = pipeline.dump()
    assert set(dump.pop("penstock")) == {"version"}
    assert dump == {
        "name": "p",
        "steps": {
            "load": {"type": "LoadDataFromDicts", "data": ROWS},
            "keep": {"type": "KeepColumns", "after": ["load"], "columns": ["text"]},
        },
    }


def test_a_dump_never_holds_a_secret() -> None:
    with Pipeline("p") as pipeline:
        LoadDataFromDicts(data=ROWS) >> TextGeneration(
            llm=OpenAILLM(model="m", api_key="sk-planted"), input_mappings={"instruction": "text"}
        )
    assert "sk-planted" not in json.dumps(pipeline.dump())
    assert "sk-planted" not in repr(pipeline)


def test_python_yaml_and_a_dump_of_distilabel_have_one_signature(tmp_path: Path) -> None:
    data = tmp_path / "rows.jsonl"
    data.write_text('{"text": "a"}\n{"text": "b"}\n')
    with Pipeline("same") as written:
        load = LoadDataFromFile(name="load", path=str(data), batch_size=1)
        ask = TextGeneration(
            name="ask", llm=EchoLLM(), input_mappings={"instruction": "text"}, output_mappings={"generation": "answer"}
        )
        load >> ask >> KeepColumns(name="keep", columns=["text", "answer"], input_batch_size=3)
    (tmp_path / "spec.yaml").write_text(
        "name: same\n"
        "steps:\n"
        "  load: {type: LoadDataFromFile, path: rows.jsonl, batch_size: 1}\n"
        "  ask: {type: TextGeneration, after: load, llm: {type: EchoLLM}, input_mappings: {instruction: text},"
        " output_mappings: {generation: answer}, retries: 2}\n"
        "  keep: {type: KeepColumns, after: ask, columns: [text, answer], input_batch_size: 3}\n"
    )
    llm = {"type_info": {"module": "distilabel.llms.echo", "name": "EchoLLM"}, "generation_kwargs": {}}

    def step(name: str, type_name: str, **parameters: Any) -> dict[str, Any]:
        info = {"module": "distilabel.steps", "name": type_name}
        return {"name": name, "step": {"name": name, "type_info": info, **parameters}}

    dump = {
        "distilabel": {"version": "1.5.3"},
        "pipeline": {
            "name": "same",
            "steps": [
                step("load", "LoadDataFromFile", path=str(data), batch_size=1),
                step(
                    "ask",
                    "TextGeneration",
                    llm=llm,
                    input_mappings={"instruction": "text"},
                    output_mappings={"generation": "answer"},
                    use_cache=True,
                ),
                step("keep", "KeepColumns", columns=["text", "answer"], input_batch_size=3),
            ],
            "connections": [
                {"from": "load", "to": ["ask"]},
                {"from": "ask", "to": ["keep"]},
                {"from": "keep", "to": []},
            ],
            "routing_batch_functions": [],
        },
    }
    yaml = Pipeline.from_yaml(tmp_path / "spec.yaml")
    distilabel = Pipeline.from_dict(dump)
    assert written.signature == yaml.signature == distilabel.signature
    assert written == yaml == distilabel


def test_a_class_that_no_worker_can_import_is_refused_with_a_remedy() -> None:
    class Inside(Upper):
        pass

    with Pipeline("p") as pipeline:
        LoadDataFromDicts(data=ROWS) >> Inside(name="inside")
    with pytest.raises(UsageError, match=r"'.*Inside' is defined inside a function, .* top level of a module"):
        pipeline.dump()


def test_a_parameter_that_no_file_can_hold_is_refused() -> None:
    with Pipeline("p") as pipeline:
        LoadDataFromDicts(data=ROWS) >> TextGeneration(llm=EchoLLM(generation_kwargs={"temperature": math.nan}))
    with pytest.raises(UsageError, match="EchoLLM: the parameter 'generation_kwargs' holds a dict, which a spec"):
        pipeline.dump()


def test_rows_with_values_that_a_spec_cannot_keep_are_refused() -> None:
    with pytest.raises(ValueError, match=r"row 1, column 'a' holds a bytes, .* use make_generator_step"):
        LoadDataFromDicts(data=[{"a": "text"}, {"a": [b"bytes"]}])


def test_relative_paths_are_those_of_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Pipeline("p") as pipeline:
        LoadDataFromFile(name="load", path="rows.jsonl")
    assert pipeline.dump()["steps"]["load"]["path"] == str(tmp_path / "rows.jsonl")


def test_the_file_of_a_wrong_pipeline_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text("name: p\nsteps:\n  load: {type: LoadDataFromDicts, dat: []}\n")
    with pytest.raises(SpecError, match=r"spec.yaml:3: step 'load': .*no parameter 'dat'; did you mean 'data'"):
        Pipeline.from_file(tmp_path / "spec.yaml")


def test_a_pipeline_is_read_from_a_url(tmp_path: Path) -> None:
    pipeline = rich_pipeline()
    pipeline.save(tmp_path / "p.yaml")
    assert Pipeline.from_file((tmp_path / "p.yaml").as_uri(), allow=["tests"]) == pipeline
    with pytest.raises(SpecError, match="cannot read the pipeline: FileNotFoundError"):
        Pipeline.from_file((tmp_path / "none.yaml").as_uri())


def test_the_drawing_has_every_step_and_is_a_whole_document(tmp_path: Path) -> None:
    from xml.etree import ElementTree

    pipeline = rich_pipeline()
    text = pipeline.draw(tmp_path / "p.svg")
    root = ElementTree.parse(tmp_path / "p.svg").getroot()
    shown = {element.text for element in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"load", "ask", "up"} <= shown
    assert "LoadDataFromDicts, generator, routed by sample_n_steps" in shown
    assert all(name in text for name in ("load", "ask", "up"))


def test_load_stages_follow_the_groups() -> None:
    with Pipeline("p") as pipeline:
        load = LoadDataFromDicts(name="load", data=[{"a": [1, 2]}])
        load >> ExpandColumns(name="expand", columns=["a"]) >> KeepColumns(name="keep", columns=["a"])
    assert pipeline.get_load_stages() == [["load", "expand", "keep"]]
    assert pipeline.get_load_stages("sequential_step_execution") == [["load"], ["expand"], ["keep"]]
    assert pipeline.get_load_stages([[pipeline.steps["expand"]]]) == [["load"], ["expand"], ["keep"]]


def test_prices_are_part_of_the_pipeline_and_not_of_its_identity() -> None:
    def pipeline(**options: Any) -> Pipeline:
        with Pipeline("p", **options) as pipeline:
            LoadDataFromDicts(name="load", data=ROWS)
        return pipeline

    priced = pipeline(prices={"m": {"input": 1, "output": 2.5}, "n": {"input": 0, "output": 0, "cached": 0}})
    assert priced.dump()["prices"] == {
        "m": {"input": 1.0, "output": 2.5},
        "n": {"input": 0.0, "output": 0.0, "cached": 0.0},
    }
    assert Pipeline.from_dict(priced.dump()) == priced
    assert priced.signature == pipeline().signature
    assert "prices" not in priced.spec().dump_for_workers()
    with pytest.raises(SpecError, match="prices"):
        Pipeline.from_dict(priced.dump() | {"prices": {"m": {"input": -1, "output": 1}}})
    with pytest.raises(SpecError, match="output"):
        Pipeline.from_dict(priced.dump() | {"prices": {"m": {"input": 1}}})


def test_rows_that_pass_a_step_by_are_said_in_python_as_in_a_file(tmp_path: Path) -> None:
    with Pipeline("p") as pipeline:
        load = LoadDataFromDicts(name="load", data=[{"text": "a", "generation": None}])
        ask = TextGeneration(
            name="ask", llm=EchoLLM(), input_mappings={"instruction": "text"}, skip_when="generation is not none"
        )
        load >> ask
    assert pipeline.dump()["steps"]["ask"]["skip_when"] == "generation is not none"
    pipeline.save(tmp_path / "spec.yaml")
    assert Pipeline.from_yaml(tmp_path / "spec.yaml").signature == pipeline.signature
    ask.skip_when = "generatoin is not none"
    with pytest.raises(
        SpecError, match=r"skip_when of step 'ask' uses column 'generatoin'.* did you mean 'generation'"
    ):
        pipeline.prepare()
