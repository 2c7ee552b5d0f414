"""The examples of the documents run: scripts as they stand, specs with a model that needs no endpoint."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.runs.harness import REPOSITORY, Harness, harnesses
from tests.support.servers.api_server import KEY
from tests.support.servers.argilla_server import serving_argilla
from tests.support.servers.on_a_thread import on_a_thread

PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
FENCED = re.compile(r"^```(?:yaml|python) (?P<mark>\S+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def examples(mark: str) -> list[object]:
    return [
        pytest.param(found["text"], id=f"{page.stem}-{number}")
        for page in PAGES
        for number, found in enumerate(FENCED.finditer(page.read_text()))
        if found["mark"] == mark
    ]


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    """A folder with what is beside the examples: the quickstart's data and steps, and those that the README shows."""
    for harness in harnesses(tmp_path):
        shutil.copytree(REPOSITORY / "examples", tmp_path, dirs_exist_ok=True)
        (steps,) = (found["text"] for found in FENCED.finditer(PAGES[0].read_text()) if found["mark"] == "mysteps.py")
        with (tmp_path / "mysteps.py").open("a") as file:
            file.write(steps.partition("\n\n\n")[2])
        with (tmp_path / "data" / "quotes.jsonl").open("w") as file:
            file.writelines(json.dumps({"text": f"Quote {number}."}) + "\n" for number in range(3))
        yield harness


@pytest.fixture
def argilla(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A server for the steps that push to one, named by the environment as on a worker's host."""
    with on_a_thread(serving_argilla()) as server:
        monkeypatch.setenv("ARGILLA_API_URL", server.url)
        monkeypatch.setenv("ARGILLA_API_KEY", KEY)
        yield


@pytest.mark.usefixtures("argilla")
@pytest.mark.parametrize("text", examples("spec"))
def test_a_spec_of_the_documents_runs(harness: Harness, text: str) -> None:
    spec = harness.folder / "spec.yaml"
    spec.write_text(re.sub(r"llm: \{type: OpenAILLM.*\}", "llm: {type: EchoLLM}", text))
    code, output = harness.run(spec, "--limit", "20")
    assert code == 0, output
    assert sum(harness.record().rows.values()) > 0


@pytest.mark.parametrize("text", examples("runs"))
def test_a_script_of_the_documents_runs(harness: Harness, text: str) -> None:
    command = harness.start_script(text)
    assert command.wait() == 0, command.text
    assert "is complete" in command.text
