"""A model that is served elsewhere than when the run began: the same run, which repeats no request and says so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.runs.harness import Harness, harnesses
from tests.support.servers.chat_server import Answer, ChatServer, completion, serving
from tests.support.servers.on_a_thread import on_a_thread

ROWS = 20
SPEC = f"""
name: asking
steps:
  load: {{type: LoadDataFromDicts, data: {[{"instruction": f"row {n}"} for n in range(ROWS)]}, batch_size: 5}}
  ask:
    type: TextGeneration
    after: load
    input_batch_size: 5
    on_error: fail
    retries: 0
    llm: {{type: OpenAILLM, model: m, max_retries: 0}}
"""


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path)


@contextmanager
def endpoint(name: str, knows: int = ROWS) -> Iterator[ChatServer]:
    """Answers the first rows under its own name, and refuses the others."""

    def answer(body: dict[str, Any]) -> Answer:
        asked = body["messages"][-1]["content"]
        if int(asked.removeprefix("row ")) >= knows:
            return 400, {}, {"error": {"message": "no more"}}
        return completion(f"{name} answers {asked}")

    with on_a_thread(serving(answer)) as server:
        yield server


def test_a_run_goes_on_at_another_endpoint_and_a_complete_one_says_whose_answers_it_has(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = harness.write_spec(SPEC)
    with endpoint("first", knows=10) as first, endpoint("second") as second:
        monkeypatch.setenv("OPENAI_BASE_URL", first.url)
        code, text = harness.run(spec)
        assert code == 1, text
        monkeypatch.setenv("OPENAI_BASE_URL", second.url.replace("//", "//me:secret@"))
        code, text = harness.run(spec)
        assert code == 0, text
        assert f"step 'ask' now asks {second.url} instead of {first.url}" in text
        answers = [row["generation"] for row in harness.rows()]
        assert answers == [f"{'first' if n < 10 else 'second'} answers row {n}" for n in range(ROWS)]
        assert len(second.requests) == 10
        monkeypatch.setenv("OPENAI_BASE_URL", first.url)
        code, text = harness.run(spec)
        assert code == 0, text
        assert (
            f"the answers of step 'ask' come from {first.url} and {second.url}, and this command names {first.url}"
            in text
        )
        assert "endpoint_identity" in text
        assert "secret" not in (harness.run_directory / "run.json").read_text()
