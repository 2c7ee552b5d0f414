"""Answers that were paid for, over runs: real processes, and an endpoint that counts what it is asked."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from common.llms.answers.database import FORMAT
from tests.support.kept_answers import keep, opened
from tests.support.runs.harness import Harness, harnesses, wait_for
from tests.support.runs.sight import Sight
from tests.support.servers.chat_server import Answer, ChatServer, completion, serving
from tests.support.servers.on_a_thread import on_a_thread
from tests.support.small_disk import mounted_disk

ROWS = 12
PROMPTS = [f"row {number % 9}" for number in range(ROWS)]
"""Three of them twice."""

SPEC = """
name: asking
steps:
  load: {{type: LoadDataFromFile, path: rows.jsonl, batch_size: 5}}
  ask:
    type: TextGeneration
    after: load
    input_batch_size: {batch}
    num_generations: 2
    retries: 1
    backoff: [0.01, 0.02]
    {more}
    llm: {{type: OpenAILLM, model: m, base_url: "{url}"}}
  last: {{type: KeepColumns, after: ask, columns: {columns}}}
"""


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path)


@contextmanager
def endpoint(answer: Callable[[dict[str, Any]], Answer], delay: float = 0.0) -> Iterator[ChatServer]:
    """On a thread, while commands run."""
    with on_a_thread(serving(answer, delay)) as server:
        yield server


def numbered() -> Callable[[dict[str, Any]], Answer]:
    """No two answers are equal."""
    numbers = count()
    return lambda body: completion(f"answer {next(numbers)} to {body['messages'][-1]['content']}")


def write_rows(harness: Harness, prompts: Sequence[str] = PROMPTS) -> None:
    lines = [json.dumps({"instruction": prompt}) for prompt in prompts]
    (harness.folder / "rows.jsonl").write_text("\n".join(lines) + "\n")


def write(
    harness: Harness, chat: ChatServer, batch: int = 5, columns: str = "[instruction, generation]", more: str = ""
) -> Path:
    return harness.write_spec(SPEC.format(url=chat.url, batch=batch, columns=columns, more=more))


def complete(harness: Harness, spec: Path, *arguments: str, code: int = 0) -> list[tuple[str, str]]:
    """Prompts and answers of the run that a command makes, in order."""
    before = set((harness.folder / "cache").glob("*/*/run.json"))
    got, text = harness.run(spec, *arguments)
    assert got == code, text
    (made, *_) = set((harness.folder / "cache").glob("*/*/run.json")) - before or before
    rows = harness.rows(dataset=made.parent / "dataset")
    return [(row["instruction"], row["generation"]) for row in rows]


def test_no_answer_is_paid_for_twice_whatever_else_changes(harness: Harness) -> None:
    write_rows(harness)
    with endpoint(numbered()) as chat:
        spec = write(harness, chat)
        first = complete(harness, spec)
        assert len(chat.requests) == len(first) == 2 * ROWS
        assert len({answer for _, answer in first}) == 2 * ROWS, "equal prompts and samples have an answer each"

        os.utime(harness.folder / "rows.jsonl")
        assert complete(harness, spec) == first
        complete(harness, write(harness, chat, columns="[generation, instruction]"))
        complete(harness, write(harness, chat, columns="[generation, instruction]", batch=3))
        assert sorted(complete(harness, write(harness, chat), "--fresh")) == sorted(first)
        assert len(chat.requests) == 2 * ROWS

        write_rows(harness, ["new", *PROMPTS])
        rows = complete(harness, write(harness, chat))
        assert sorted(rows[2:]) == sorted(first)
        assert len(chat.requests) == 2 * ROWS + 2

        chat_options = [body for _, _, body in chat.requests]
        assert Counter(body["messages"][-1]["content"] for body in chat_options)["new"] == 2


def test_what_a_dry_run_has_asked_is_found_by_the_run_and_the_bill_says_so(harness: Harness) -> None:
    write_rows(harness)
    with endpoint(numbered()) as chat:
        spec = write(harness, chat, more="concurrency: 2")
        code, text = harness.run(spec, "--dry-run")
        assert code == 0, text
        dry = len(chat.requests)
        assert 0 < dry < 2 * ROWS
        assert len(complete(harness, spec)) == 2 * ROWS
        assert len(chat.requests) == 2 * ROWS
    status = harness.start("pipeline-coordinator", "status", "--json", harness.run_directory)
    assert status.wait() == 0, status.text
    bill = json.loads(status.text)["bill"]
    assert (bill["saved"]["requests"], bill["spent"]["requests"]) == (dry, 2 * ROWS - dry)


@pytest.mark.parametrize("arguments", [("--answers", "off"), ()])
def test_answers_are_asked_for_again_where_the_user_wants_that(harness: Harness, arguments: tuple[str, ...]) -> None:
    write_rows(harness)
    more = "" if arguments else "use_cache: false"
    with endpoint(numbered()) as chat:
        for number in (1, 2):
            complete(harness, write(harness, chat, more=more), "--fresh", *arguments)
            assert len(chat.requests) == number * 2 * ROWS
    assert not (harness.folder / "cache" / "answers.sqlite").exists()


def test_a_bad_answer_is_not_given_to_another_run_and_a_good_one_after_it_is(harness: Harness) -> None:
    write_rows(harness, ["often bad", "good"])
    numbers = count()

    def answer(body: dict[str, Any]) -> Answer:
        number = next(numbers)
        is_bad = body["messages"][-1]["content"] == "often bad" and number < 4
        return completion("" if is_bad else f"answer {number}")

    with endpoint(answer) as chat:
        more = "on_error: skip\n    max_failure_rate: 1.0\n    concurrency: 1"
        spec = write(harness, chat, more=more)
        assert [prompt for prompt, _ in complete(harness, spec, code=3)] == ["good", "good"]
        paid = len(chat.requests)
        assert paid == 2 * 2 + 2
        rows = complete(harness, spec, "--fresh")
        assert [prompt for prompt, _ in rows] == ["often bad", "often bad", "good", "good"]
        assert len(chat.requests) == paid + 2
        assert complete(harness, spec, "--fresh") == rows
        assert len(chat.requests) == paid + 2


def test_a_halted_run_that_is_resumed_asks_again_for_what_was_bad_alone(harness: Harness) -> None:
    write_rows(harness, [f"row {number}" for number in range(5)])
    is_well = threading.Event()
    numbers = count()

    def answer(body: dict[str, Any]) -> Answer:
        is_bad = body["messages"][-1]["content"] == "row 4" and not is_well.is_set()
        return completion("" if is_bad else f"answer {next(numbers)}")

    with endpoint(answer) as chat:
        spec = write(harness, chat, more="on_error: fail\n    concurrency: 1")
        assert harness.run(spec)[0] == 1
        paid = len(chat.requests)
        assert paid == 2 * 4 + 2 * 2
        is_well.set()
        complete(harness, spec)
        assert len(chat.requests) == paid + 2


def test_a_killed_worker_repeats_the_calls_in_flight_and_those_of_the_last_moment_at_most(harness: Harness) -> None:
    write_rows(harness, [f"row {number}" for number in range(300)])
    with endpoint(numbered(), delay=0.02) as chat:
        spec = write(harness, chat, batch=100, more="concurrency: 4")
        run = harness.start_run(spec)
        wait_for(lambda: len(chat.requests) > 150, what="some answers")
        Sight(harness).worker("ask").kill()
        killed_at = len(chat.requests)
        assert run.wait() == 0, run.text
        rows = harness.rows()
        assert len(rows) == 600
        assert len({row["generation"] for row in rows}) == 600
        # In flight: four rows with two calls each, and five rounds of them in a tenth of a second.
        assert len(chat.requests) - 600 <= 8 + 5 * 8
        assert killed_at > 150


def test_two_workers_share_what_earlier_runs_have_paid_for(harness: Harness) -> None:
    write_rows(harness, [f"row {number % 20}" for number in range(60)])
    with endpoint(numbered(), delay=0.001) as chat:
        complete(harness, write(harness, chat))
        spec = write(harness, chat, batch=3, columns="[generation, instruction]", more="resources: {replicas: 2}")
        rows = complete(harness, spec)
        assert len(chat.requests) == 120
        assert len({answer for _, answer in rows}) == 120


def test_two_runs_of_two_workers_each_use_one_file_at_once(harness: Harness) -> None:
    write_rows(harness, [f"row {number % 20}" for number in range(60)])
    with endpoint(numbered(), delay=0.001) as chat:
        specs = []
        for name in ("one", "two"):
            text = SPEC.format(url=chat.url, batch=3, columns="[generation]", more="resources: {replicas: 2}")
            specs.append(harness.write_spec(text.replace("name: asking", f"name: {name}"), f"{name}.yaml"))
        for options in ((), ("--fresh",)):
            runs = [harness.start_run(spec, *options) for spec in specs]
            assert [run.wait() for run in runs] == [0, 0], [run.text for run in runs]
            for record in (harness.folder / "cache").glob("*/*/run.json"):
                rows = harness.rows(dataset=record.parent / "dataset")
                assert len({row["generation"] for row in rows}) == 120
            if not options:
                paid = len(chat.requests)
                assert 120 <= paid <= 240
        assert len(chat.requests) == paid
    logs = [log.read_text() for log in (harness.folder / "cache").glob("*/*/pipeline.log")]
    assert len(logs) == 2
    assert not any("without them" in log for log in logs)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A folder with room for 256 KB."""
    with mounted_disk(tmp_path / "disk", "256k") as disk:
        yield disk


def check_that_no_row_is_lost(harness: Harness, chat: ChatServer, spec: Path, why: str) -> None:
    """The run asks for all that it needs, and says once why nothing is found or kept."""
    rows = complete(harness, spec)
    assert len(rows) == len({answer for _, answer in rows}) == len(chat.requests) == 2 * ROWS
    [said] = [line for line in harness.log.splitlines() if "the run continues without them" in line]
    assert why in said


def test_a_full_disk_for_the_answers_costs_no_row(harness: Harness, disk: Path) -> None:
    write_rows(harness)
    (harness.folder / "cache").mkdir()
    (harness.folder / "cache" / "answers.sqlite").symlink_to(disk / "answers.sqlite")
    with endpoint(lambda body: completion(os.urandom(20_000).hex())) as chat:
        check_that_no_row_is_lost(harness, chat, write(harness, chat), "full")
        assert (disk / "answers.sqlite").exists(), "it was full before anything was kept"


def test_a_read_only_folder_for_the_answers_costs_no_row(harness: Harness, disk: Path) -> None:
    write_rows(harness)
    (harness.folder / "cache").mkdir()
    (harness.folder / "cache" / "answers.sqlite").symlink_to(disk / "answers.sqlite")
    with endpoint(numbered()) as chat:
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        check_that_no_row_is_lost(harness, chat, write(harness, chat), "Read-only")


def damage_pages(file: Path) -> None:
    data = file.read_bytes()
    file.write_bytes(data[:4096] + os.urandom(len(data) - 4096))


def write_another_format(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(f"PRAGMA user_version = {FORMAT + 1}")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def write_something_else(file: Path) -> None:
    file.write_bytes(b"not a database " * 1000)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (damage_pages, "malformed"),
        (write_another_format, f"format {FORMAT + 1}"),
        (write_something_else, "not a database"),
    ],
)
def test_a_file_of_answers_that_cannot_be_read_costs_no_row_and_is_left_alone(
    harness: Harness, spoil: Callable[[Path], None], why: str
) -> None:
    write_rows(harness)
    file = harness.folder / "cache" / "answers.sqlite"
    with opened(file.parent) as store:
        keep(store, "a", "1", "of an earlier run")
    spoil(file)
    spoilt = file.read_bytes()
    with endpoint(numbered()) as chat:
        check_that_no_row_is_lost(harness, chat, write(harness, chat), why)
    assert file.read_bytes() == spoilt
