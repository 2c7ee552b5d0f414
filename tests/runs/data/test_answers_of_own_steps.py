"""Answers that steps of a user's own have paid for: in batches, in generators, for vectors; real processes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.runs.data.test_answers_of_runs import complete, endpoint, numbered, write_rows
from tests.support.runs.harness import REPOSITORY, Harness, harnesses, wait_for
from tests.support.runs.sight import Sight
from tests.support.servers.chat_server import Answer, ChatServer, completion

SPEC = """
name: own
steps:
  load: {{type: LoadDataFromFile, path: rows.jsonl, batch_size: 5}}
  ask:
    type: "asking_steps:{kind}"
    after: load
    input_batch_size: {batch}
    retries: 1
    backoff: [0.01, 0.02]
    {more}
    {field}: {{type: {client}, model: m, base_url: "{url}"}}
  last: {{type: KeepColumns, after: ask, columns: {columns}}}
"""
PROMPTS = [f"row {number % 9}" for number in range(12)]
"""Three of them twice."""


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    for harness in harnesses(tmp_path):
        steps = REPOSITORY / "tests" / "support" / "steps" / "asking_steps.py"
        (harness.folder / "asking_steps.py").write_text(steps.read_text())
        yield harness


def write(
    harness: Harness,
    chat: ChatServer,
    kind: str,
    batch: int = 5,
    columns: str = "[instruction, generation]",
    more: str = "",
) -> Path:
    field, client = ("embeddings", "OpenAIEmbeddings") if kind.startswith("Embed") else ("llm", "OpenAILLM")
    text = SPEC.format(kind=kind, batch=batch, columns=columns, url=chat.url, field=field, client=client, more=more)
    return harness.write_spec(text)


def bill_of(harness: Harness) -> dict[str, Any]:
    newest = max((harness.folder / "cache").glob("*/*/run.json"), key=lambda path: path.stat().st_mtime)
    status = harness.start("pipeline-coordinator", "status", "--json", newest.parent)
    assert status.wait() == 0, status.text
    bill: dict[str, Any] = json.loads(status.text)["bill"]
    return bill


def requests(bill: dict[str, Any]) -> tuple[int, int, int]:
    kept, spent, saved = (bill[name]["requests"] for name in ("kept", "spent", "saved"))
    return kept, spent, saved


def test_a_step_that_takes_batches_pays_for_no_answer_twice(harness: Harness) -> None:
    write_rows(harness, PROMPTS)
    with endpoint(numbered()) as chat:
        first = complete(harness, write(harness, chat, "AskTogether"))
        assert len(chat.requests) == len({answer for _, answer in first}) == 12
        assert requests(bill_of(harness)) == (12, 12, 0)
        other = write(harness, chat, "AskTogether", batch=4, columns="[generation, instruction]")
        assert sorted(complete(harness, other)) == sorted(first)
        assert requests(bill_of(harness)) == (0, 0, 12)
        assert sorted(complete(harness, other, "--fresh")) == sorted(first)
        assert len(chat.requests) == 12
        write_rows(harness, ["new", *PROMPTS])
        assert sorted(complete(harness, other)[1:]) == sorted(first)
        assert len(chat.requests) == 13


def test_a_global_step_pays_for_no_answer_twice(harness: Harness) -> None:
    write_rows(harness, PROMPTS)
    with endpoint(numbered()) as chat:
        first = complete(harness, write(harness, chat, "AskForAll"))
        assert complete(harness, write(harness, chat, "AskForAll"), "--fresh") == first
        assert len(chat.requests) == 12


def bad_at(*places: int) -> Callable[[dict[str, Any]], Answer]:
    """Numbered answers; those at some places are bad."""
    numbers = count()

    def answer(body: dict[str, Any]) -> Answer:
        number = next(numbers)
        return completion("bad" if number in places else f"answer {number} to {body['messages'][-1]['content']}")

    return answer


def test_of_a_batch_that_fails_only_the_row_that_fails_alone_is_paid_for_again(harness: Harness) -> None:
    write_rows(harness, ["same"] * 10)
    with endpoint(bad_at(3)) as chat:
        rows = complete(harness, write(harness, chat, "AskTogether", batch=10))
        assert len(chat.requests) == 10 + 1
        assert len({answer for _, answer in rows}) == 10, "equal prompts have an answer each"
        assert complete(harness, write(harness, chat, "AskTogether", batch=10), "--fresh")
        # The bad answer was marked by nobody: a step says by BadAnswer that an answer is at fault.
        assert len(chat.requests) == 11


def test_a_killed_worker_of_a_batch_step_finds_what_it_had(harness: Harness) -> None:
    write_rows(harness, [f"row {number}" for number in range(200)])
    with endpoint(numbered(), delay=0.02) as chat:
        run = harness.start_run(write(harness, chat, "AskTogether", batch=10))
        wait_for(lambda: len(chat.requests) > 60, what="some answers")
        Sight(harness).worker("ask").kill()
        assert run.wait() == 0, run.text
        assert len({row["generation"] for row in harness.rows()}) == 200
        # A batch in flight, and some of the last tenth of a second.
        assert len(chat.requests) - 200 <= 10 + 60


GENERATOR = """
name: own
steps:
  ask: {{type: "asking_steps:AskForRows", rows: {rows}, batch_size: {batch}, retries: 2, backoff: [0.01, 0.02],
        llm: {{type: OpenAILLM, model: m, base_url: "{url}"}}}}
  last: {{type: KeepColumns, after: ask, columns: {columns}}}
"""


def write_generator(
    harness: Harness, chat: ChatServer, batch: int = 5, columns: str = "[instruction, generation]", rows: int = 20
) -> Path:
    return harness.write_spec(GENERATOR.format(url=chat.url, batch=batch, columns=columns, rows=rows))


def test_a_generator_pays_for_no_answer_twice_and_is_counted(harness: Harness) -> None:
    with endpoint(bad_at(7)) as chat:
        first = complete(harness, write_generator(harness, chat))
        assert len({answer for _, answer in first}) == 20
        assert len(chat.requests) == 22
        assert requests(bill_of(harness)) == (20, 22, 0)
        assert complete(harness, write_generator(harness, chat, columns="[generation, instruction]", batch=3))
        assert len(chat.requests) <= 24, "but for what was bad"
        kept, _, saved = requests(bill_of(harness))
        assert kept + saved == 20


def test_a_killed_generator_finds_what_it_had(harness: Harness) -> None:
    with endpoint(numbered(), delay=0.02) as chat:
        run = harness.start_run(write_generator(harness, chat, rows=100, batch=2))
        wait_for(lambda: len(chat.requests) > 40, what="some answers")
        Sight(harness).worker("ask").kill()
        assert run.wait() == 0, run.text
        assert len({row["generation"] for row in harness.rows()}) == 100
        assert len(chat.requests) - 100 <= 2 + 12


def vectors(body: dict[str, Any]) -> Answer:
    data = [{"index": n, "embedding": [float(len(text)), 0.1, 1 / 3]} for n, text in enumerate(body["input"])]
    return 200, {}, {"data": data, "usage": {"prompt_tokens": sum(map(len, body["input"]))}}


def texts(chat: ChatServer) -> list[str]:
    return [text for _, _, body in chat.requests for text in body["input"]]


def rows_of(rows: Sequence[tuple[str, Any]]) -> list[tuple[str, list[float]]]:
    return [(text, list(vector)) for text, vector in rows]


@pytest.mark.parametrize("kind", ["EmbedTogether", "EmbedEach"])
def test_no_vector_is_paid_for_twice(harness: Harness, kind: str) -> None:
    write_rows(harness, PROMPTS)
    with endpoint(vectors) as chat:
        first = rows_of(complete(harness, write(harness, chat, kind, more="" if "Tog" in kind else "concurrency: 1")))
        assert first == [(prompt, [float(len(prompt)), 0.1, 1 / 3]) for prompt in PROMPTS]
        assert sorted(texts(chat)) == sorted(set(PROMPTS)), "equal texts are asked once"
        bill = bill_of(harness)
        assert bill["kept"]["input_tokens"] == bill["spent"]["input_tokens"] == 9 * 5
        assert bill["saved"]["input_tokens"] > 0
        again = complete(harness, write(harness, chat, kind, batch=3, columns="[generation, instruction]"))
        assert rows_of(again) == first
        assert requests(bill_of(harness))[:2] == (0, 0)
        assert bill_of(harness)["saved"]["input_tokens"] == 12 * 5
        write_rows(harness, ["new", *PROMPTS])
        complete(harness, write(harness, chat, kind, batch=4))
        assert sorted(texts(chat)) == sorted({"new", *PROMPTS})


def test_a_step_with_embeddings_is_a_step_with_a_model_everywhere(harness: Harness) -> None:
    """Its endpoint is shown, its calls have a price, and a text that is never answered fails at once."""
    write_rows(harness, ["good", "too long", "good too"])

    def answer(body: dict[str, Any]) -> Answer:
        return vectors(body) if body["input"] != ["too long"] else (400, {}, {"error": {"message": "too many tokens"}})

    with endpoint(answer) as chat:
        spec = write(harness, chat, "EmbedEach", more="max_failure_rate: 1.0")
        spec.write_text(spec.read_text() + "prices: {m: {input: 1000000, output: 0}}\n")
        checked = harness.start("pipeline-coordinator", "validate", spec, "--allow", "asking_steps")
        assert checked.wait() == 0, checked.text
        code, text = harness.run(spec)
        assert code == 3, text
        assert len(chat.requests) == 3, "a text that is never answered is not sent again"
        assert bill_of(harness)["spent"]["dollars"] == len("good" + "good too")
        assert harness.record().endpoints == {"ask": [chat.url]}
        (letter,) = harness.letters()
        assert "too many tokens" in letter.error


def test_a_step_that_forks_asks_in_its_children_without_kept_answers(harness: Harness) -> None:
    write_rows(harness, PROMPTS)
    with endpoint(numbered()) as chat:
        assert len(complete(harness, write(harness, chat, "AskInChildren"))) == 12
        assert len(chat.requests) == 12
