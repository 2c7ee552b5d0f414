"""A run whose model answers in a form: columns in the dataset, repairs, and dead letters with what the model said."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.runs.harness import Harness, harnesses
from tests.support.servers.chat_server import Answer, ChatServer, completion, serving
from tests.support.servers.on_a_thread import on_a_thread

SPEC = """
name: cities
enable_metadata: true
steps:
  load: {type: LoadDataFromDicts, data: [{instruction: a}, {instruction: b}, {instruction: c}]}
  ask:
    type: TextGeneration
    after: load
    retries: 1
    backoff: [0.0, 0.0]
    structured_columns: true
    on_error: nulls
    llm: {type: OpenAILLM, model: m, structured_output: {schema: "forms_of_a_run:City"}}
"""
CLASS = """
from pathlib import Path
from pydantic import BaseModel

with Path(__file__).with_suffix(".imports").open("a") as file:
    file.write("imported\\n")

class City(BaseModel):
    name: str
    people: int | None = None
"""


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path)


@contextmanager
def endpoint() -> Iterator[ChatServer]:
    """Answers `a` rightly, `b` once it is asked to repair its answer, and `c` never."""

    def answer(body: dict[str, Any]) -> Answer:
        asked = body["messages"][0]["content"]
        if asked == "a" or (asked == "b" and len(body["messages"]) == 3):
            return completion(json.dumps({"name": asked.upper(), "people": 1}))
        return completion(f"no city for {asked}")

    with on_a_thread(serving(answer)) as server:
        yield server


def test_a_run_has_the_columns_of_the_form_and_says_what_the_model_said_instead(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = harness.write_spec(SPEC)
    harness.write_spec(CLASS, "forms_of_a_run.py")
    with endpoint() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        code, text = harness.run(spec)
        asked = Counter(body["messages"][0]["content"] for _, _, body in server.requests)
    assert code in (0, 3), text
    first, second, third = harness.rows()
    assert (first["generation"], first["name"], first["people"]) == ('{"name": "A", "people": 1}', "A", 1)
    assert second["name"] == "B"
    assert (third["generation"], third["name"]) == (None, None)
    assert third["distilabel_metadata"]["raw_output_ask"] == "no city for c"
    [letter] = harness.letters()
    assert "the answer of model 'm' has the wrong form: it is not JSON" in letter.error
    assert "no city for c" in letter.error
    assert (harness.folder / "forms_of_a_run.imports").read_text() == "imported\n"  # by the coordinator alone
    assert asked == {"a": 1, "b": 2, "c": 4}
