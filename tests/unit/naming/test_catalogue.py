"""Built-in classes: each has one file and one line in the catalogue, from which all names follow."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import common.llms
import common.llms.embeddings
import common.steps
import common.steps.tasks
from common.llms.base import LLM
from common.llms.embeddings.base import Embeddings
from common.naming.catalogue import CATALOGUE, STEP_KINDS, Entry
from common.spec.spec import PipelineSpec
from common.steps.base import BaseStep, GeneratorStep, GlobalStep
from tests.support.places import REPOSITORY

BASES = {"generator step": GeneratorStep, "global step": GlobalStep, "LLM": LLM, "embeddings": Embeddings}

ADDED_STEP = """\
from common.steps.base import Step, StepInput, StepOutput


class Shout(Step):
    \"\"\"Writes `text` in capital letters.\"\"\"

    def process(self, inputs: StepInput) -> StepOutput:
        yield [{**row, "text": row["text"].upper()} for row in inputs]
"""
ADDED_LLM = """\
from common.llms.echo import EchoLLM


class ShoutLLM(EchoLLM):
    \"\"\"Answers in capital letters.\"\"\"
"""
USED = """\
import json
from pathlib import Path
from typing import Any

from common.building.build import build_steps
from common.llms import ShoutLLM
from common.spec.spec import PipelineSpec
from common.steps import Shout
from penstock.steps.tasks import ShoutAt

steps = {
    "load": {"type": "LoadDataFromDicts", "data": [{"text": "a"}]},
    "shout": {"type": "Shout", "after": "load"},
    "ask": {"type": "ShoutAt", "after": "shout", "llm": {"type": "ShoutLLM"}},
}
built = build_steps(PipelineSpec.from_dict({"name": "demo", "steps": steps}), base_dir=Path("/"))
assert type(built["shout"]) is Shout, built
assert type(built["ask"]) is ShoutAt, built
assert type(built["ask"].llm) is ShoutLLM, built
print(next(built["shout"].process([{"text": "a"}])))
"""


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.name)
def test_each_entry_leads_to_something_of_its_kind(entry: Entry) -> None:
    found = getattr(import_module(entry.module), entry.name)
    if entry.kind == "routing function":
        assert callable(found)
        return
    assert issubclass(found, BASES.get(entry.kind, BaseStep))
    assert (found.__module__, found.__name__) == (entry.module, entry.name)
    face: Any = {"LLM": common.llms, "embeddings": common.llms.embeddings}.get(entry.kind, common.steps)
    assert getattr(face, entry.name) is found
    assert (entry.name in dir(common.steps.tasks)) == (entry.kind == "task")


def test_no_name_is_there_twice() -> None:
    assert len({entry.name for entry in CATALOGUE}) == len(CATALOGUE)


def test_the_schema_of_a_spec_has_the_names_for_editors() -> None:
    schema = PipelineSpec.model_json_schema()["$defs"]
    assert schema["StepSpec"]["properties"]["type"]["examples"] == [
        entry.name for entry in CATALOGUE if entry.kind in STEP_KINDS
    ]
    assert schema["RoutingSpec"]["properties"]["function"]["examples"] == ["sample_n_steps"]


def test_a_built_in_class_is_added_by_one_file_and_one_line(tmp_path: Path) -> None:
    for folder in ("common", "coordinator", "docs", "penstock"):
        shutil.copytree(REPOSITORY / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "common" / "steps" / "shout.py").write_text(ADDED_STEP)
    (tmp_path / "common" / "steps" / "tasks" / "shout_at.py").write_text(
        "from common.steps.tasks.text_generation import TextGeneration\n\n\nclass ShoutAt(TextGeneration):\n"
        '    """Asks aloud."""\n'
    )
    (tmp_path / "common" / "llms" / "shout.py").write_text(ADDED_LLM)
    catalogue = tmp_path / "common" / "naming" / "catalogue.py"
    text = catalogue.read_text()
    lines = (
        '    Entry("step", "Shout", "common.steps.shout", "capital letters"),\n'
        '    Entry("task", "ShoutAt", "common.steps.tasks.shout_at", "asks aloud"),\n'
        '    Entry("LLM", "ShoutLLM", "common.llms.shout", "answers aloud", "loud"),\n'
    )
    catalogue.write_text(text.replace("CATALOGUE = (\n", f"CATALOGUE = (\n{lines}"))

    def run(*command: str) -> str:
        python = [sys.executable, "-P", *command]
        done = subprocess.run(python, capture_output=True, text=True, env={"PYTHONPATH": str(tmp_path)}, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run("-c", USED) == "[{'text': 'A'}]\n"
    run("docs/make_steps_page.py")
    page, spec = ((tmp_path / "docs" / name).read_text() for name in ("steps.md", "spec.md"))
    assert "## Shout\n\n_Step._ Writes `text` in capital letters." in page
    assert "## ShoutAt\n\n_Asynchronous step._ Asks aloud." in page
    assert "### ShoutLLM\n\nAnswers in capital letters." in page
    assert "| `Shout` | step | capital letters |\n" in spec
    assert "| `ShoutLLM` | LLM | answers aloud; needs `penstock[loud]` |\n" in spec
    stubs = (tmp_path / "common" / "steps" / "__init__.pyi").read_text()
    assert "from common.steps.shout import Shout as Shout\n" in stubs
    assert stubs == (tmp_path / "penstock" / "steps" / "__init__.pyi").read_text()
