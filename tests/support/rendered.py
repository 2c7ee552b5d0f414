"""Pipelines to render, the command that does it, and its YAML read again: as YAML 1.1, as Kubernetes reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from ruamel.yaml import YAML

from coordinator.cli import group
from tests.support.places import REPOSITORY

QUICKSTART = REPOSITORY / "examples" / "quickstart.yaml"
HARD = """
name: 9.Quotes_Big
steps:
  Load_All: {type: LoadDataFromFile, path: "in/*.jsonl"}
  load-all: {type: LoadDataFromDicts, data: [{instruction: Why?}]}
  "no":
    type: TextGeneration
    after: Load_All
    llm: {type: EchoLLM}
    resources: {gpus: 2, replicas: 3, cpus: 1.5, memory: 8000000000}
  big: {type: "elsewhere:Big", after: load-all, resources: {gpus: 1}}
"""
"""Names that are none elsewhere, GPUs, a file by pattern, and a step that cannot be imported here."""


def call(*arguments: object) -> Result:
    """The command in this process."""
    return CliRunner().invoke(group, [str(argument) for argument in arguments], prog_name="pipeline-coordinator")


def rendered(*arguments: object) -> str:
    """What `render` prints."""
    result = call("render", *arguments)
    assert result.exit_code == 0, result.output
    return result.output


def documents(text: str) -> list[dict[str, Any]]:
    yaml = YAML(typ="safe", pure=True)
    yaml.version = (1, 1)  # type: ignore[assignment]
    return list(yaml.load_all(text))


def write_hard(folder: Path) -> Path:
    path = folder / "hard.yaml"
    path.write_text(HARD)
    return path


Document = dict[str, Any]


def objects(*arguments: object) -> dict[tuple[str, str], Document]:
    """(kind, name) -> object; no two have both in common."""
    found = documents(rendered("kubernetes", *arguments))
    named = {(one["kind"], one["metadata"]["name"]): one for one in found}
    assert len(named) == len(found)
    return named


def of_kind(found: dict[tuple[str, str], Document], kind: str) -> dict[str, Document]:
    return {name: one for (of, name), one in found.items() if of == kind}


def pods(found: dict[tuple[str, str], Document]) -> dict[str, Document]:
    """The pod templates, by name of their owner."""
    kinds = ("Job", "Deployment", "StatefulSet")
    return {name: one["spec"]["template"] for (kind, name), one in found.items() if kind in kinds}


def only(template: Document) -> Document:
    (container,) = template["spec"]["containers"]
    return dict(container)
