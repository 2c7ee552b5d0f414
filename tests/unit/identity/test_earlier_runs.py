"""The notice about earlier runs of a pipeline before another one starts."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import fsspec
import pytest

from common.building.signature import Identity
from coordinator.identity.earlier_runs import lines_about_earlier_runs
from coordinator.plan.load import Prepared, prepare
from coordinator.runs.run_directory import RunDirectory, RunRecord

SPEC = """\
name: demo
steps:
  load: {type: LoadDataFromDicts, data: [{instruction: a}]}
  clean: {type: KeepColumns, after: load, columns: [instruction]}
  ask: {type: TextGeneration, after: clean, template: "{{ instruction }}", llm: {type: EchoLLM}}
  side: {type: KeepColumns, after: load, columns: [instruction]}
"""


@pytest.fixture(autouse=True)
def _path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])


def prepared(folder: Path, text: str) -> Prepared:
    (folder / "spec.yaml").write_text(text)
    return prepare(folder / "spec.yaml")


def remember(folder: Path, text: str, run: str, limit: int | None = None, done: int = 1_000) -> None:
    """Leaves an earlier run."""
    pipeline = prepared(folder, text)
    identity = Identity.of(pipeline.spec, pipeline.steps, pipeline.routing, {"limit": limit})
    with RunDirectory.of(folder, "demo", identity.signature) as directory:
        directory.write(
            RunRecord(
                run=run,
                pipeline="demo",
                signature=identity.signature,
                status="complete",
                rows={"side": 300},
                done={"load": done, "ask": done},
                identity=identity.digests(),
            )
        )


def said(folder: Path, text: str, limit: int | None = None) -> list[str]:
    """The notice before a run of this spec."""
    pipeline = prepared(folder, text)
    identity = Identity.of(pipeline.spec, pipeline.steps, pipeline.routing, {"limit": limit})
    directory = RunDirectory.of(folder, "demo", identity.signature)
    return list(lines_about_earlier_runs(directory, pipeline, identity, {"limit": limit}))


def test_nothing_is_said_of_a_first_run_or_of_one_that_has_nothing_in_common(tmp_path: Path) -> None:
    assert said(tmp_path, SPEC) == []
    remember(tmp_path, SPEC, "demo-1")
    assert said(tmp_path, SPEC.replace("{instruction: a}", "{instruction: b}")) == []


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (
            '"{{ instruction }}"',
            '"Say: {{ instruction }}"',
            "steps load, clean and side are the same as in run demo-1; this is a new run, since 'template' of step "
            "'ask' changed: 1,000 answers will be requested again",
        ),
        (
            "clean: {type: KeepColumns,",
            "clean: {type: KeepColumns, input_batch_size: 7,",
            "steps load and side are the same as in run demo-1; this is a new run, since 'input_batch_size' of step "
            "'clean' changed: 1,000 answers will be requested again",
        ),
        (
            "ask: {type: TextGeneration, after: clean",
            "asked: {type: TextGeneration, after: load",
            "steps load, clean and side are the same as in run demo-1; this is a new run, since step 'ask' was "
            "removed and step 'asked' is new: 300 rows will be produced again",
        ),
    ],
)
def test_what_changed_and_what_it_costs_is_said(tmp_path: Path, old: str, new: str, line: str) -> None:
    remember(tmp_path, SPEC, "demo-1")
    assert said(tmp_path, SPEC.replace(old, new)) == [line]


def test_a_changed_source_of_an_llm_names_its_class(tmp_path: Path) -> None:
    spec = SPEC.replace("{type: EchoLLM}", '{type: "llms_of_earlier:Mine"}')
    module = tmp_path / "llms_of_earlier.py"
    module.write_text("from penstock.llms import EchoLLM\n\n\nclass Mine(EchoLLM):\n    pass\n")
    remember(tmp_path, spec, "demo-1")
    module.write_text(module.read_text() + "    # other answers\n")
    (line,) = said(tmp_path, spec)
    assert "since the source of step 'ask' or of Mine in it (or what they import) changed: 1,000 answers" in line


def test_the_run_with_most_in_common_is_the_one_that_is_compared(tmp_path: Path) -> None:
    remember(tmp_path, SPEC, "near")
    remember(tmp_path, SPEC.replace("clean: {type: KeepColumns,", "clean: {type: KeepColumns, on_error: fail,"), "far")
    (line,) = said(tmp_path, SPEC.replace("{{ instruction }}", "{{ instruction }}!"))
    assert "run near;" in line


def test_an_option_of_the_run_is_named(tmp_path: Path) -> None:
    remember(tmp_path, SPEC, "demo-1", limit=100)
    (line,) = said(tmp_path, SPEC)
    assert "since 'limit' of the run changed: 1,000 answers" in line


FILES = """\
name: files
steps:
  load: {type: LoadDataFromFile, path: "memory://in_of_0_1_test.jsonl", batch_size: 2}
  mine: {type: "steps_of_0_1_test:Mine", after: load, input_batch_size: 3}
  ask: {type: TextGeneration, after: mine, llm: {type: OpenAILLM, model: m, base_url: "http://here/v1", timeout: 3}}
  other: {type: KeepColumns, after: mine, columns: [instruction]}
routing: {mine: {function: "steps_of_0_1_test:route"}}
"""
STEPS = """\
from common.steps import Step, StepInput

class Mine(Step):
    def process(self, inputs: StepInput):
        yield inputs

def route(steps):
    return steps[:1]
"""
BY_0_1 = "e337b2bc049609890ca1be79f8796640"
"""What version 0.1 itself gave for these files."""


def test_a_run_that_version_0_1_has_not_completed_is_named(tmp_path: Path) -> None:
    files = fsspec.filesystem("memory")  # the paths of others are absolute, and in the signature
    files.pipe_file("/in_of_0_1_test.jsonl", b'{"instruction": "a"}\n')
    files.store["/in_of_0_1_test.jsonl"].modified = datetime.fromtimestamp(1_700_000_000, UTC)
    (tmp_path / "steps_of_0_1_test.py").write_text(STEPS)
    record = RunRecord(run="files-0.1", pipeline="files", signature=BY_0_1, status="stopped")
    with RunDirectory.of(tmp_path, "files", BY_0_1) as directory:
        directory.write(record)
    try:
        pipeline = prepared(tmp_path, FILES)
        identity = Identity.of(pipeline.spec, pipeline.steps, pipeline.routing, {"limit": 5})
        here = RunDirectory.of(tmp_path, "files", identity.signature)
        (line,) = lines_about_earlier_runs(here, pipeline, identity, {"limit": 5})
        assert line.startswith("version 0.1 began this pipeline as run files-0.1 and did not complete it (stopped; ")
        assert line.endswith("pipeline-coordinator rm files-0.1")
        assert list(lines_about_earlier_runs(here, pipeline, identity, {"limit": 6})) == []
    finally:
        sys.modules.pop("steps_of_0_1_test", None)
