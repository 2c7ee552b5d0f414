"""Foreign data in every stream of a run: reported clearly, never a crash loop, never a hang."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgpack
import pytest
from pyarrow import parquet

from common.broker.connection import Connection
from common.errors import BrokerError, WireError
from common.protocol.batch import Payload, Result
from common.protocol.codec import encode_rows
from common.protocol.keys import Keys
from common.protocol.wire import PROTOCOL, encode_entry
from common.settings import Settings
from coordinator.dataset.sink import Sink
from coordinator.fold.effects import Emit
from tests.support.runs.broker import Run
from tests.support.runs.harness import Command, Harness, harnesses, wait_for
from tests.support.runs.hosts import MINE, SLOW, check_end, coordinator, the_run, worker

ROWS = 250
BRIEF = SLOW.replace("400", str(ROWS))
GARBAGE: list[list[str | bytes]] = [
    ["m", b"\xc1\xff\x00"],
    ["m", b""],
    ["m", msgpack.packb([99, "batch", 0, 0, []])],
    ["m", msgpack.packb([PROTOCOL, "batch", 0, 0, [["../../etc", []]]])],
    ["m", b"\x91" * 100_000],
    ["n", b"1"],
]


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path)


class Intruder:
    """Someone else who can write to the broker of a run."""

    def __init__(self, url: str) -> None:
        self.connection = Connection(url)
        self.keys = Keys(the_run(url))

    def add(self, stream: str, fields: list[str | bytes], entry: str = "*") -> str:
        added: bytes = self.connection.command("XADD", stream, entry, *fields)
        return added.decode()

    def overwrite(self, stream: str) -> str:
        """Replaces the last entry of the stream with garbage."""
        ((entry, _),) = self.connection.command("XREVRANGE", stream, "+", "-", "COUNT", 1)
        self.connection.command("XDEL", stream, entry)
        return self.add(stream, GARBAGE[0])

    def length(self, stream: str) -> int:
        return int(self.connection.command("XLEN", stream))


def under_way(harness: Harness, url: str) -> tuple[Command, Intruder]:
    """A run with local workers, in the middle of its batches, with many that wait."""
    run = harness.start_run(harness.write_spec(BRIEF), "--broker", url)
    intruder = Intruder(url)
    wait_for(lambda: intruder.length(intruder.keys.inputs("double")) > 10, what="waiting batches")
    return run, intruder


def check_failed(harness: Harness, run: Command, *words: str) -> None:
    """The run has ended with 1 and a message, and no process of it is left."""
    assert run.wait(60) == 1, run.text
    assert "Traceback" not in run.text
    for word in words:
        assert word in run.text
    wait_for(lambda: not harness.processes(), what="the end of all processes")


# the stream of a step


def test_entries_that_are_no_batches_become_dead_letters_and_every_row_comes_out(
    harness: Harness, redis_url: str
) -> None:
    run, intruder = under_way(harness, redis_url)
    stream = intruder.keys.inputs("double")
    entries = [intruder.add(stream, fields) for fields in GARBAGE]
    assert run.wait(60) == 0, run.text
    assert [row["n"] for row in harness.rows()] == list(range(ROWS))
    letters = {letter.error.split()[1]: letter for letter in harness.letters()}
    assert sorted(letters) == sorted(entries)
    assert all(f"of {stream} is not a batch: " in letter.error for letter in letters.values())
    assert "(it begins with 6d 3d c1 ff 00)" in letters[entries[0]].error
    assert f"speaks {PROTOCOL}" in letters[entries[2]].error
    assert "'../../etc' is not the name of a step" in letters[entries[3]].error
    assert "it was removed" in harness.log
    assert "starting another" not in harness.log, "no worker died"
    assert harness.left_over() == []


def test_a_batch_that_was_overwritten_halts_the_run_and_is_done_when_it_goes_on(
    harness: Harness, redis_url: str
) -> None:
    run, intruder = under_way(harness, redis_url)
    intruder.overwrite(intruder.keys.inputs("double"))
    check_failed(harness, run, "step 'double': batch ", "is gone from the broker: something other than Penstock")
    code, text = harness.run(harness.folder / "spec.yaml", "--broker", redis_url)
    assert code == 0, text
    assert [row["n"] for row in harness.rows()] == list(range(ROWS))


def test_tickets_that_were_overwritten_are_sent_again(harness: Harness, redis_url: str) -> None:
    run = coordinator(harness, harness.write_spec(BRIEF.replace("0.1", "0.0")), redis_url)
    intruder = Intruder(redis_url)
    stream = intruder.keys.inputs("load")
    tickets = wait_for(lambda: intruder.length(stream), what="tickets")
    for _ in range(tickets):
        intruder.connection.command("XTRIM", stream, "MAXLEN", 0)
        intruder.add(stream, GARBAGE[0])
    workers = [worker(harness, redis_url, step) for step in ("load", "double")]
    check_end(harness, run, workers)
    assert [row["n"] for row in harness.rows()] == list(range(ROWS))


# the journal


@pytest.mark.parametrize("entry", ["next", "*"])
@pytest.mark.parametrize(
    ("message", "words"),
    [
        (b"\xc1", "is not a message"),
        (encode_entry(Result("nobody", 0, 0)), "the pipeline has no step 'nobody'"),
    ],
)
def test_a_foreign_entry_in_the_journal_ends_the_run_and_is_named(
    harness: Harness, redis_url: str, entry: str, message: bytes, words: str
) -> None:
    run, intruder = under_way(harness, redis_url)
    journal = intruder.keys.journal

    def intrude() -> str:
        position = int(intruder.connection.command("HGET", intruder.keys.progress, "position"))
        with suppress(BrokerError):  # a worker took the position before us
            return intruder.add(journal, ["m", message], f"{position + 1}-0" if entry == "next" else "*")
        return ""

    added = wait_for(intrude)
    if entry == "*" and words.startswith("the pipeline"):
        words = f"continues with entry {added}"
    check_failed(harness, run, words, added.removesuffix("-0") if "pipeline" in words else added, "--fresh")
    code, text = harness.run(harness.folder / "spec.yaml", "--broker", redis_url, "--fresh")
    assert code == 0, text
    assert len(harness.rows()) == ROWS


# reports


def test_garbage_among_log_lines_and_dead_letters_is_passed_over_with_a_word(harness: Harness, redis_url: str) -> None:
    run, intruder = under_way(harness, redis_url)
    for fields in GARBAGE:
        intruder.add(intruder.keys.failed, fields)
        intruder.add(intruder.keys.log, fields)
    assert run.wait(60) == 0, run.text
    assert len(harness.rows()) == ROWS
    assert harness.letters() == []
    assert harness.log.count("is not a dead letter and is dropped") == len(GARBAGE)
    assert "a worker shipped a line that is not a record" in harness.log


# hashes


def test_nonsense_about_workers_is_passed_over(harness: Harness, redis_url: str) -> None:
    run, intruder = under_way(harness, redis_url)
    for facts in (b"\xff", b"[]", b"{", b'{"pid": "x", "step": 5, "fault": 7}'):
        intruder.connection.command("HSET", intruder.keys.workers, b"\xffx" + facts, facts)
    assert run.wait(60) == 0, run.text
    assert len(harness.rows()) == ROWS


@pytest.mark.parametrize("key", ["run", "progress", "journal", "workers", "lease", "failed", "log", "inputs"])
def test_a_key_of_another_type_in_mid_run_ends_everybody_in_words_or_nobody(
    harness: Harness, redis_url: str, key: str
) -> None:
    run = coordinator(harness, harness.write_spec(BRIEF), redis_url)
    all_steps = harness.start("pipeline-worker", "--all-steps", "--broker", redis_url, *MINE)
    intruder = Intruder(redis_url)
    stream = intruder.keys.inputs("double")
    wait_for(lambda: intruder.length(stream) > 10, what="waiting batches")
    name = stream if key == "inputs" else getattr(intruder.keys, key)
    intruder.connection.batch([("DEL", name), ("SADD", name, "x")])
    if key == "inputs":  # whoever comes next may do better, as far as a coordinator knows that has no more to send
        over = run.process.poll
        wait_for(lambda: over() is not None or "has left: " in run.text, 60, "the coordinator's word of it")
        run.kill(signal.SIGINT)
    assert run.wait(60) in (0, 1, 130), run.text
    assert all_steps.wait(60) in (0, 78), all_steps.text
    assert "Traceback" not in run.text + all_steps.text
    assert run.process.returncode == 0 or "something other than Penstock" in run.text
    wait_for(lambda: not harness.processes(), what="the end of all processes")


@pytest.mark.parametrize(
    ("key", "field"), [("run", "spec"), ("run", "options"), ("run", "protocol"), ("progress", "position")]
)
def test_a_run_that_cannot_be_read_is_refused_in_words(harness: Harness, redis_url: str, key: str, field: str) -> None:
    run = coordinator(harness, harness.write_spec(BRIEF), redis_url)
    intruder = Intruder(redis_url)
    wait_for(lambda: intruder.length(intruder.keys.inputs("load")), what="tickets")
    run.kill()
    run.wait()
    intruder.connection.command("HSET", getattr(intruder.keys, key), field, b"\xff{")
    code, text = harness.run(harness.folder / "spec.yaml", "--broker", redis_url, "--workers", "external")
    assert code == 1, text
    assert "Traceback" not in text
    assert "--fresh" in text
    assert harness.left_over() == []


@pytest.mark.parametrize("rows", [9, 11])
def test_a_payload_of_a_leaf_with_other_rows_than_the_journal_says_ends_in_words(
    run: Run, tmp_path: Path, rows: int
) -> None:
    sink = Sink(run.control, ["a"], tmp_path, "token", None, Settings())
    sink.open()
    run.store(Payload("a", 0), data=encode_rows([{"n": n} for n in range(10)]))
    run.store(Payload("a", 1), data=encode_rows([{"n": n} for n in range(rows)]))
    for seq in (0, 1):
        sink.emit(Emit(Payload("a", seq), 10, 100))
    with pytest.raises(WireError, match=rf"payload .*:a:1:0 has {rows} rows, and the journal says 10.*--fresh"):
        sink.take_in(0.0)
    sink.flush()
    assert [parquet.read_metadata(part).num_rows for part in tmp_path.glob("*.parquet")] == [10]
