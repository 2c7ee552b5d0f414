"""Arbitrary data in the keys of a run: every reader ends with an error of Penstock, and no command with a traceback.

Each example is a run at a real broker, of which one field, entry or key is not what Penstock writes.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgpack
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from common.broker.consumer import Consumer
from common.broker.reports import Reports
from common.broker.runs import RunRegistry
from common.errors import PenstockError
from common.protocol.batch import Batch, Payload, Result
from common.protocol.codec import decode_rows
from common.protocol.keys import GROUP, Keys
from common.protocol.wire import PROTOCOL, encode_batch, encode_entry, encode_letter
from common.settings import Settings
from coordinator.cli import group
from coordinator.engine.crew import Crew, collect_reports
from coordinator.launch.program import LoggingReporter
from coordinator.runs.failures import FailureLog
from coordinator.runs.logfile import PipelineLog
from coordinator.runs.removal import old_at_broker
from tests.support.runs.broker import Run, Worker, batch, letter, part
from worker.life.finder import Finder
from worker.life.turns import Turns

EXAMPLES = 25
PATIENT = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
SPEC = {"name": "p", "steps": {step: {"type": "KeepColumns"} for step in ("g", "a", "b")}}
OPTIONS: dict[str, Any] = {
    "base_dir": "/x",
    "limit": None,
    "dry_run": False,
    "payloads": None,
    "artifacts": {"local": None, "shared": None},
    "stages": [["g"], ["a", "b"]],
    "spill": [],
    "routing": {},
    "digests": {},
    "described": [],
    "undescribed": [],
    "unchecked": [],
    "fingerprints": {},
    "files": {},
    "devices": {},
}
ODD = [
    *(b"", b"\xff", b"\x00", b"-1", b"0", b"01", b"1.5", b"1e400", b"nan", b"inf", b"9" * 18, b"9" * 40, b"true"),
    *(b"null", b"[]", b"{}", b"[[]]", b'"x"', b'{"token": 5}', b'"\\ud800"', b"[" * 50_000, b'{"a":' * 3_000),
    *(b"\x1b[2J\x07", b"running", b"complete", b"stop", "\u202eok".encode(), b"x" * 300_000, b"{", b'{"steps": 5}'),
    *(b'{"steps": {}}', b'{"steps": {"a": 1}}', b'{"stages": 5}', b'{"stages": [5, 5]}', b'{"devices": []}'),
]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
texts = st.one_of(
    st.sampled_from(ODD), st.binary(max_size=40), json_values.map(lambda value: json.dumps(value).encode())
)
"""For fields of hashes."""
right = [
    *(encode_batch(batch(0, step="a")), encode_batch(Batch("g", 0)), encode_letter(letter())),
    *(encode_entry(Result("a", 0, 0)), encode_entry(part())),
]


@st.composite
def broken_messages(draw: st.DrawFn) -> bytes:
    """A message of Penstock's with a piece removed, repeated or changed; or an array of any values of any kind."""
    if draw(st.booleans()):
        kind = draw(st.sampled_from(["batch", "manifest", "letter", "result", "failure", "routed", "part", "reopened"]))
        values = draw(st.lists(json_values | st.binary(max_size=8), max_size=12))
        packed: bytes = msgpack.packb([PROTOCOL, kind, *values], default=str) if fits(values) else b""
        return packed
    message = draw(st.sampled_from(right))
    start = draw(st.integers(0, len(message)))
    stop = draw(st.integers(start, len(message)))
    return message[:start] + draw(st.binary(max_size=6)) * draw(st.integers(0, 3)) + message[stop:]


def fits(values: list[object]) -> bool:
    try:
        msgpack.packb(values)
    except (ValueError, OverflowError, TypeError):
        return False
    return True


messages = st.one_of(texts, broken_messages())
entries = st.dictionaries(st.sampled_from([b"m", b"d", b"x", b"\xff"]), messages, min_size=1, max_size=3)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PENSTOCK_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("PENSTOCK_BROKER_URL", raising=False)
    return tmp_path


def begun(url: str) -> Run:
    """A run with work that waits, work in hand, reports, workers and a generator."""
    run = Run(url)
    run.connection.command("FLUSHDB")
    run = Run(url)
    run.control.update(protocol=PROTOCOL, pipeline="p", spec=json.dumps(SPEC), options=json.dumps(OPTIONS), stage=0)
    RunRegistry(run.connection).add(run.run_id)
    run.dispatch(*(batch(seq) for seq in range(3)))
    run.dispatch(*(Batch("g", seq) for seq in range(3)))
    run.worker("w").inbox.read(1, 0)
    run.worker("h", "g").generator.own()
    run.worker("w").log.send([b'{"text": "x"}'])
    return run


def endures(read: Callable[[], object]) -> object:
    """The result; an error of Penstock's is an answer, any other exception fails the test."""
    try:
        return read()
    except PenstockError as error:
        said = str(error)
    assert 0 < len(said) < 3_000, "it repeats what it has read"
    return None


def read_as_coordinator(run: Run, folder: Path) -> None:
    registry, control, steps = RunRegistry(run.connection), run.control, list(run.steps)
    crew = Crew(registry, run.run_id, Settings(), LoggingReporter(), str)
    for read in (
        lambda: control.journal.marks(steps),
        lambda: control.descriptors(steps),
        control.want,
        control.discarded,
        lambda: control.in_hand(steps),
        lambda: [control.sent_batches(step) for step in steps],
        lambda: control.journal.read(0, 100),
        lambda: crew.look(steps),
        lambda: crew.check(steps, steps),
        lambda: collect(run.reports, folder),
        control.forget_workers,
        lambda: control.reclaim(steps),
        lambda: control.take_over(),
        control.renew,
        lambda: control.append([]),
        lambda: control.forget_descriptors(steps),
    ):
        endures(read)


def collect(reports: Reports, folder: Path) -> None:
    with PipelineLog.open(folder / "pipeline.log") as log:
        collect_reports(reports, log, FailureLog(folder / "failures.jsonl"))


def read_as_worker(run: Run) -> None:
    registry = RunRegistry(run.connection)
    looked_once = threading.Event()
    looked_once.set()
    finder = Finder(run.connection, step="a", run_id=run.run_id, pipeline=None, patience=0)
    endures(lambda: finder.find(looked_once))
    record = endures(lambda: registry.read(run.run_id))
    if record is not None:
        turns: Any = endures(lambda: Turns(run.connection, record))  # type: ignore[arg-type]
        if turns is not None:
            for read in (turns.look, lambda: turns.of("a"), lambda: turns.wait("a", lambda _: True)):
                endures(read)
    for step in ("a", "g"):
        worker = Worker(Consumer(run.connection, run.run_id, step, "late"))
        for read in (
            partial(worker.membership.join, {"step": step}),
            partial(worker.notes.describe, b"x"),
            worker.notes.columns_noted,
            partial(claim_all, worker),
            partial(worker.inbox.read, 10, 0),
            worker.inbox.pending,
            worker.generator.own,
            partial(worker.isolation.read, Batch(step, 0)),
            partial(rows_of, worker),
            worker.membership.leave,
        ):
            endures(read)


def claim_all(worker: Worker) -> None:
    for other in worker.consumer.dead_workers() | worker.inbox.silent_workers().keys():
        worker.inbox.claim(other, 5)


def rows_of(worker: Worker) -> None:
    for data in worker.payloads.read([Payload("g", 0)]):
        decode_rows(data or b"")


def look_at(run: Run) -> None:
    """Runs the commands for users; `rm` comes last and must remove everything."""
    url = run.url
    endures(lambda: list(old_at_broker(url, 0, unfinished=True, here=())))
    for command in (("runs",), ("status", run.run_id), ("failures", run.run_id), ("gc", "--older-than", "1s"),
                    ("gc", "--older-than", "1s", "--unfinished", "--dry-run"), ("stop", run.run_id)):  # fmt: skip
        ended = CliRunner().invoke(group, [*command, "--broker", url])
        assert isinstance(ended.exception, SystemExit | None), (command, ended.exception)
        assert ended.exit_code in (0, 1, 2), (command, ended.output)
        assert "\x1b[2J" not in ended.output
        assert "\x07" not in ended.output
    run.connection.command("UNLINK", run.keys.lease)
    ended = CliRunner().invoke(group, ["rm", run.run_id, "--broker", url])
    assert ended.exit_code == 0, ended.output
    assert run.everything() == {}


def check(run: Run, folder: Path) -> None:
    read_as_worker(run)
    read_as_coordinator(run, folder)
    look_at(run)


FIELDS = [
    *(("run", name) for name in ("spec", "options", "pipeline", "signature", "protocol", "status", "want", "stage")),
    *(("run", name) for name in ("epoch", "takeovers", "cursor", "sent:a", "redo:a:0", "other")),
    *(("progress", name) for name in ("position", "status", "loaded:a", "columns:a", "descriptor:a", "discarded")),
    *(("workers", name) for name in ("w", "\udcff")),
    *(("generator", name) for name in ("owner", "next", "offset", "attempt", "ended", "silent", "failed")),
    *(("isolation", name) for name in ("running", "row0", "kills0", "why0", "routing", "\udcff")),
]


def key_of(keys: Keys, name: str) -> str:
    match name:
        case "generator":
            return keys.generator("g")
        case "isolation":
            return keys.isolation("a", 0, 0)
        case _:
            return str(getattr(keys, name))


@given(place=st.sampled_from(FIELDS), value=texts)
@example(("run", "spec"), b"{}")
@example(("run", "spec"), b'{"steps": 5}')
@example(("run", "options"), b'{"stages": [5, 5]}')
@example(("run", "stage"), b"9" * 18)
@example(("run", "pipeline"), b"\x1b[2J\x07")
@example(("run", "protocol"), b"\x1b[2J\x07")
@example(("generator", "next"), b"nan")
@example(("isolation", "\udcff"), b"")
@PATIENT
def test_any_field_of_any_hash(redis_url: str, folder: Path, place: tuple[str, str], value: bytes) -> None:
    run = begun(redis_url)
    run.connection.command("HSET", key_of(run.keys, place[0]), place[1].encode(errors="surrogateescape"), value)
    check(run, folder)


@given(name=st.sampled_from(["lease", "worker", "payload", "manifest"]), value=messages)
@example("lease", b"\xff")
@example("lease", b"[]")
@PATIENT
def test_any_string(redis_url: str, folder: Path, name: str, value: bytes) -> None:
    run = begun(redis_url)
    keys = run.keys
    key = {
        "lease": keys.lease,
        "worker": keys.worker("w"),
        "payload": keys.payload("g", 0, 0),
        "manifest": keys.manifest("a", 0, 0),
    }[name]
    run.connection.command("SET", key, value)
    check(run, folder)


@given(name=st.sampled_from(["a", "g", "journal", "failed", "log"]), fields=st.lists(entries, min_size=1, max_size=3))
@PATIENT
def test_any_entry_of_any_stream(redis_url: str, folder: Path, name: str, fields: list[dict[bytes, bytes]]) -> None:
    run = begun(redis_url)
    stream = run.keys.inputs(name) if name in run.steps else str(getattr(run.keys, name))
    for number, entry in enumerate(fields, 1):
        flat = [part for pair in entry.items() for part in pair]
        run.connection.command("XADD", stream, f"{number}-0" if name == "journal" else "*", *flat)
    check(run, folder)


@given(
    name=st.sampled_from(["run", "progress", "lease", "journal", "workers", "dead", "log", "failed", "generator"]),
    command=st.sampled_from(
        [("SET", "x"), ("RPUSH", "x"), ("SADD", b"\xff"), ("HSET", b"\xff", b"\xff"), ("XADD", "*", b"\xff", b"\xff")]
    ),
)
@PATIENT
def test_any_key_of_another_type(redis_url: str, folder: Path, name: str, command: tuple[str | bytes, ...]) -> None:
    run = begun(redis_url)
    key = key_of(run.keys, name)
    run.connection.command("DEL", key)
    run.connection.command(command[0], key, *command[1:])
    check(run, folder)


@example(name=b"\xff")
@given(name=st.binary(max_size=12) | st.sampled_from([b"../..", b"*", b"a b", b"\xff", b"}{", b"x" * 500]))
@PATIENT
def test_any_name_of_a_run_or_a_consumer(redis_url: str, folder: Path, name: bytes) -> None:
    run = begun(redis_url)
    run.connection.command("SADD", "penstock:runs", name)
    run.connection.command("SADD", run.keys.dead, name)
    run.connection.command("XREADGROUP", "GROUP", GROUP, name, "COUNT", 1, "STREAMS", run.keys.inputs("a"), ">")
    check(run, folder)
