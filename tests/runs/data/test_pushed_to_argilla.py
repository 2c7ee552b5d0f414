"""Runs that push rows to Argilla."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.runs.harness import Harness, harnesses
from tests.support.servers.api_server import KEY
from tests.support.servers.argilla_server import serving_argilla
from tests.support.servers.on_a_thread import on_a_thread

STEPS = """
import os
import signal
from pathlib import Path

from common.steps import Row, TextGenerationToArgilla


class DiesAfterPushing(TextGenerationToArgilla):
    cause: str
    at: str

    async def process_row(self, row: Row) -> Row:
        pushed = await super().process_row(row)
        if row["instruction"] == self.at and Path(self.cause).exists():
            Path(self.cause).unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return pushed
"""


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path)


def test_rows_that_a_killed_worker_had_pushed_are_pushed_again_and_are_one_record_each(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARGILLA_API_KEY", KEY)
    with on_a_thread(serving_argilla()) as server:
        cause = harness.folder / "cause"
        cause.touch()
        (harness.folder / "argilla_steps.py").write_text(STEPS)
        spec = harness.write_spec(
            f"""
name: argilla
steps:
  gen: {{type: "mysteps:Count", rows: 40, batch_size: 5}}
  ask: {{type: TextGeneration, after: gen, llm: {{type: EchoLLM}}, input_mappings: {{instruction: text}}}}
  push:
    type: "argilla_steps:DiesAfterPushing"
    after: ask
    dataset_name: numbers
    api_url: {server.url}
    input_mappings: {{instruction: text}}
    input_batch_size: 5
    cause: "{cause}"
    at: row 17
"""
        )
        code, text = harness.run(spec)
        assert code == 0, text
        assert [row["n"] for row in harness.rows()] == list(range(40))
        records = server.dataset("numbers").records
        assert sorted(record["fields"]["text"] for record in records.values()) == sorted(f"row {n}" for n in range(40))
        pushed = [
            item["fields"]["text"] for _, path, body in server.asked if path.endswith("bulk") for item in body["items"]
        ]
        assert pushed.count("row 17") == 2
    kept = [path for path in harness.run_directory.rglob("*") if path.is_file()]
    assert [path.name for path in kept if KEY.encode() in path.read_bytes()] == []


def test_a_server_that_stays_away_halts_the_run_which_can_be_resumed(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARGILLA_API_KEY", KEY)
    spec = harness.write_spec(
        """
name: away
steps:
  load: {type: LoadDataFromDicts, data: [{instruction: a, generation: b}]}
  push: {type: TextGenerationToArgilla, after: load, dataset_name: numbers}
"""
    )
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and nobody listens
        monkeypatch.setenv("ARGILLA_API_URL", f"http://127.0.0.1:{closed.getsockname()[1]}")
        code, text = harness.run(spec, PATIENCE="2")
        assert code == 1, text
        assert "Argilla at http://127.0.0.1" in text
    with on_a_thread(serving_argilla()) as server:
        monkeypatch.setenv("ARGILLA_API_URL", server.url)
        code, text = harness.run(spec)
        assert code == 0, text
        assert len(server.dataset("numbers").records) == 1
    assert harness.letters() == []
