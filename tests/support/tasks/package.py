"""An installed package of a user's own with three tasks, and a pipeline that names them."""

from __future__ import annotations

from pathlib import Path

PACKAGE = """
from penstock.errors import RowError
from penstock.steps.tasks import GeneratorTask, Task, task

class Ask(GeneratorTask):
    outputs = ["number", "instruction"]

    def seed_row(self, number):
        return {"number": number}

    def format_input(self, row):
        return f"Question {row['number']}"

    def format_output(self, text, row):
        return {"instruction": text}

class Rate(Task):
    inputs = ["instruction"]
    outputs = ["rating"]

    def format_input(self, row):
        return row["instruction"]

    def format_output(self, text, row):
        if "Question 1" in text:
            raise RowError("it has no rating")
        return {"rating": len(text)}

@task(outputs=["words"])
def Words(answer):
    '''Count {{ instruction }}'''
    return {"words": len(answer.split())}
"""
ENTRY_POINTS = "[penstock.steps]\nAsk = packed:Ask\nRate = packed:Rate\nWords = packed:Words\n"
SPEC = """
name: packed
enable_metadata: true
steps:
  ask: {type: Ask, num_rows: 3, batch_size: 2, llm: {type: EchoLLM}}
  words: {type: Words, after: ask, llm: {type: EchoLLM}, output_mappings: {model_name: model_name}}
  rate: {type: Rate, after: words, llm: {type: EchoLLM}, on_error: nulls, output_mappings: {model_name: model_name}}
"""
"""Three rows, of which one has no rating."""


def install_package(folder: Path) -> None:
    """As pip would, into a folder of the module search path."""
    (folder / "packed.py").write_text(PACKAGE)
    info = folder / "packed-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: packed\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
