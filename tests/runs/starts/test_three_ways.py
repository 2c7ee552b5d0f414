"""One pipeline, written in Python, in YAML and as a dump of distilabel: one signature, one dataset."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.runs.harness import Harness, harnesses

PYTHON = """
from common.llms import EchoLLM
from common.steps import GroupColumns, LoadDataFromFile, TextGeneration
from coordinator import Pipeline, sample_n_steps

with Pipeline("same") as pipeline:
    load = LoadDataFromFile(name="load", path="rows.jsonl", batch_size=5)
    one, two = (TextGeneration(name=name, llm=EchoLLM(prefix=name)) for name in ("one", "two"))
    group = GroupColumns(name="group", columns=["generation"])
    load >> sample_n_steps(1, seed=7) >> [one, two] >> group

if __name__ == "__main__":
    pipeline.run(progress=False)
"""
YAML = """
name: same
steps:
  load:   {type: LoadDataFromFile, path: rows.jsonl, batch_size: 5}
  one:    {type: TextGeneration, after: load, llm: {type: EchoLLM, prefix: one}}
  two:    {type: TextGeneration, after: load, llm: {type: EchoLLM, prefix: two}}
  group:  {type: GroupColumns, after: [one, two], columns: [generation]}
routing:
  load:   {function: sample_n_steps, n: 1, seed: 7}
"""


def distilabel_step(name: str, type_name: str, **parameters: object) -> dict[str, object]:
    info = {"module": "distilabel.steps", "name": type_name}
    return {"name": name, "step": {"name": name, "input_mappings": {}, "type_info": info, **parameters}}


def distilabel_dump(folder: Path) -> str:
    llm = {"generation_kwargs": {}, "type_info": {"module": "distilabel.models", "name": "EchoLLM"}}
    sample = {"module": "distilabel.pipeline.routing_batch_function", "name": "sample_n_steps"}
    pipeline = {
        "name": "same",
        "steps": [
            distilabel_step("load", "LoadDataFromFile", path=str(folder / "rows.jsonl"), batch_size=5),
            distilabel_step("one", "TextGeneration", llm={**llm, "prefix": "one"}, use_cache=True),
            distilabel_step("two", "TextGeneration", llm={**llm, "prefix": "two"}, use_cache=True),
            distilabel_step("group", "GroupColumns", columns=["generation"]),
        ],
        "connections": [
            {"from": "load", "to": ["one", "two"]},
            {"from": "one", "to": ["group"]},
            {"from": "two", "to": ["group"]},
            {"from": "group", "to": []},
        ],
        "routing_batch_functions": [{"step": "load", "type_info": {**sample, "kwargs": {"n": 1, "seed": 7}}}],
    }
    return json.dumps({"distilabel": {"version": "1.5.3"}, "pipeline": pipeline})


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path)


def test_the_three_of_them_are_one_run_with_one_dataset(harness: Harness) -> None:
    with (harness.folder / "rows.jsonl").open("w") as file:
        file.writelines(json.dumps({"instruction": f"Question {number}?"}) + "\n" for number in range(23))
    code, said = harness.run_script(PYTHON)
    assert code == 0, said
    written, digest = harness.record(), harness.digest("group")
    assert written.rows == {"group": 23}
    for text in (YAML, distilabel_dump(harness.folder)):
        spec = harness.write_spec(text)
        code, said = harness.run(spec)
        assert (code, "was already complete" in said) == (0, True), said
        assert harness.record().signature == written.signature
        code, said = harness.run(spec, "--fresh")
        assert code == 0, said
        assert harness.record().signature == written.signature
        assert harness.digest("group") == digest
