"""A run with a client that is not OpenAI's: real workers ask an endpoint on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.runs.harness import Harness, harnesses
from tests.support.servers.anthropic_server import AnthropicServer, refusal
from tests.support.servers.api_server import KEY, Asked, serving_api
from tests.support.servers.on_a_thread import on_a_thread

ROWS = 12
SPEC = f"""
name: asking
steps:
  load: {{type: LoadDataFromDicts, data: {[{"instruction": f"row {n}"} for n in range(ROWS)]}, batch_size: 5}}
  ask:
    type: TextGeneration
    after: load
    input_batch_size: 5
    system_prompt: Be brief.
    llm: {{type: AnthropicLLM, model: claude-x, stream: true, max_tokens: 100}}
"""


class Busy(AnthropicServer):
    """Is overloaded at first, in the middle of a stream; refuses row 3."""

    times: int = 0

    def reply(self, asked: Asked) -> dict[str, Any]:
        self.times += 1
        prompt = asked.body["messages"][-1]["content"]
        if self.times == 1:
            return {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
        if prompt == "row 3":
            raise refusal(400, "invalid_request_error", f"prompt is too long, {KEY}")
        return super().reply(asked)


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path)


def test_claude_answers_a_run_and_a_prompt_that_it_refuses_fails_alone(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Busy()
    with on_a_thread(serving_api(server)):
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
        monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
        code, text = harness.run(harness.write_spec(SPEC))
    assert code == 3, text
    answers = [row["generation"] for row in harness.rows()]
    assert answers == [f"answer to row {n}" for n in range(ROWS) if n != 3]
    assert all(asked.body["system"] == "Be brief." for asked in server.asked)
    assert len(server.asked) == ROWS + 1, "only the answer that broke off was asked for again"
    kept = [path for path in harness.folder.rglob("*") if path.is_file()]
    assert not [path for path in kept if KEY.encode() in path.read_bytes()]
    assert KEY not in text
