"""Dumps of distilabel as specs."""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import dedent

import pytest

from common.errors import SpecError
from common.spec.spec import load_spec
from coordinator.plan.load import prepare


@pytest.fixture(autouse=True)
def _own_import_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """`prepare` puts folders of tests on `sys.path`."""
    monkeypatch.setattr(sys, "path", [*sys.path])


def write(folder: Path, text: str) -> Path:
    path = folder / "spec.yaml"
    path.write_text(dedent(text))
    return path


def message(folder: Path, text: str) -> str:
    with pytest.raises(SpecError) as caught:
        load_spec(write(folder, text))
    return str(caught.value).replace(f"{folder}/", "")


DISTILABEL = """\
    distilabel: {version: 1.5.3}
    pipeline:
      name: my demo
      description: null
      steps:
      - name: load
        step:
          name: load
          resources: {replicas: 1, cpus: null, gpus: null, memory: null, resources: null}
          use_cache: true
          batch_size: 10
          runtime_parameters_info: [{name: batch_size, optional: true}]
          type_info: {module: tests.support.steps.sample_steps, name: Load}
      - name: gen
        step:
          name: gen
          input_mappings: {instruction: text}
          output_mappings: {}
          llm:
            generation_kwargs: {temperature: 0.5, stop: null}
            use_offline_batch_generation: false
            jobs_ids: null
            model: m
            type_info: {module: distilabel.models.llms.openai, name: OpenAILLM}
          group_generations: false
          add_raw_output: true
          num_generations: 2
          system_prompt: null
          type_info: {module: distilabel.steps.tasks.text_generation, name: TextGeneration}
      connections:
      - {from: load, to: [gen]}
      - {from: gen, to: []}
      routing_batch_functions:
      - step: load
        type_info: {module: distilabel.pipeline.routing_batch_function, name: sample_n_steps, kwargs: {n: 1}}
    requirements: []
    """


def test_a_dump_of_distilabel_becomes_the_same_pipeline_of_ours(tmp_path: Path) -> None:
    loaded = load_spec(write(tmp_path, DISTILABEL))
    assert loaded.spec.dump() == {
        "name": "my-demo",
        "steps": {
            "load": {"type": "tests.support.steps.sample_steps:Load", "resources": {"replicas": 1}, "batch_size": 10},
            "gen": {
                "type": "TextGeneration",
                "after": ["load"],
                "input_mappings": {"instruction": "text"},
                "llm": {"type": "OpenAILLM", "generation_kwargs": {"temperature": 0.5}, "model": "m"},
                "num_generations": 2,
                "system_prompt": None,
            },
        },
        "routing": {"load": {"function": "sample_n_steps", "n": 1}},
    }
    assert loaded.source.line(("steps", "gen", "llm", "model")) == 23
    assert list(prepare(write(tmp_path, DISTILABEL), allow=["tests"]).plan.steps) == ["load", "gen"]


def test_a_step_that_uses_no_cache_in_a_dump_uses_none_here(tmp_path: Path) -> None:
    loaded = load_spec(write(tmp_path, DISTILABEL.replace("use_cache: true", "use_cache: false")))
    assert loaded.spec.dump()["steps"]["load"]["use_cache"] is False


def test_all_types_of_distilabel_without_a_counterpart_are_in_one_message(tmp_path: Path) -> None:
    text = DISTILABEL.replace("name: TextGeneration", "name: MathShepherdCompleter").replace(
        "name: OpenAILLM", "name: OpenAILM"
    )
    text = text.replace("module: tests.support.steps.sample_steps, name: Load", "module: __main__, name: KeepColumns")
    assert message(tmp_path, text) == (
        "spec.yaml:13: these distilabel types have no counterpart here: __main__.KeepColumns (a class in a script: "
        "move it into a module), distilabel.models.llms.openai.OpenAILM "
        "(the closest is OpenAILLM), distilabel.steps.tasks.text_generation.MathShepherdCompleter; replace them with "
        "types that have one, or with your own classes (module: mysteps, name: MyStep)"
    )


def test_a_dump_of_another_shape_is_refused(tmp_path: Path) -> None:
    assert message(tmp_path, "pipeline:\n  name: x\n  steps: [{name: a}]\n") == (
        "spec.yaml:1: this looks like a distilabel pipeline but does not have the shape of its dumps "
        "(KeyError: 'step'); write it again with Pipeline.save"
    )
