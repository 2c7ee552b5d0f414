"""One run in a real Redis for tests of the protocol: a coordinator's side, workers' sides, and a look at every key."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from common.broker.commits import Commits, Done
from common.broker.connection import Connection, script_text
from common.broker.consumer import Consumer
from common.broker.control import Control, Tick
from common.broker.generators import GeneratorOwnership
from common.broker.inbox import Inbox, Taken
from common.broker.isolation import IsolationNotes
from common.broker.membership import Membership
from common.broker.payloads import BrokerPayloads
from common.broker.reports import LogLines, Reports
from common.broker.staging import Staging
from common.broker.step_notes import StepNotes
from common.errors import Disconnected
from common.protocol.batch import Batch, DeadLetter, Entry, Failure, Input, PartWritten, Payload, Result, Slice
from common.protocol.holder import Holder
from common.protocol.keys import GROUP, HANDED_BACK, Keys
from tests.support.servers.proxy import Proxy

LEASE = 60.0
SCRIPTS = (
    *(
        "claim",
        "commit",
        "commit_generator",
        "delete_keys",
        "describe",
        "dispatch",
        "evict_answers",
        "find_answer",
        "finish",
        "forget_descriptors",
        "hand_back",
    ),
    *(
        "isolate",
        "join",
        "journal",
        "keep_answer",
        "leave",
        "note",
        "own_generator",
        "part_written",
        "publish_view",
        "redo",
        "reject_answer",
        "release",
        "remove",
    ),
    *("renew_lease", "report", "stage", "store", "take_over", "unstage", "update_run", "void_ticket"),
)


def holder(token: str = "") -> Holder:
    """Who a coordinator says it is."""
    return Holder(4711, "here", token or secrets.token_hex(4), "/run")


def batch(seq: int, attempt: int = 0, step: str = "a", slices: int = 1) -> Batch:
    """A batch of `step` with rows of the generator `g`."""
    pieces = tuple(Slice(Payload("g", seq * slices + number), 0, 10) for number in range(slices))
    return Batch(step, seq, attempt, (Input("g", pieces),))


def letter(seq: int = 0, step: str = "a") -> DeadLetter:
    """A row that failed."""
    return DeadLetter(step, seq, 0, 3, "ValueError: no", 3, "w", {"n": 1})


def part(first: int = 0, last: int = 0, step: str = "a") -> PartWritten:
    """A part of a leaf."""
    return PartWritten(step, first, last, f"{step}-{first}.parquet", 10, 0, "digest", b"schema", 100)


class Worker:
    """Everything that one worker of a step does at the broker."""

    def __init__(self, consumer: Consumer, lease: float = LEASE) -> None:
        self.consumer = consumer
        self.worker_id = consumer.worker_id
        self.membership = Membership(consumer, lease)
        self.notes = StepNotes(consumer)
        self.inbox = Inbox(consumer)
        self.commits = Commits(consumer)
        self.staging = Staging(consumer)
        self.generator = GeneratorOwnership(consumer, lease)
        self.isolation = IsolationNotes(consumer)
        self.payloads = BrokerPayloads(consumer.connection, consumer.run_id)
        self.log = LogLines(consumer)


@dataclass
class Run:
    """A run with the steps `a` and `b` and the generator `g`, its coordinator alive."""

    url: str
    steps: Sequence[str] = ("g", "a", "b")
    run_id: str = field(default_factory=lambda: f"run-{secrets.token_hex(4)}")

    def __post_init__(self) -> None:
        self.connection = Connection(self.url)
        self.keys = Keys(self.run_id)
        self.control = self.coordinator()
        self.reports = Reports(self.connection, self.run_id)
        self.control.take_over()
        self.control.ensure_groups(self.steps)
        self.control.update(status="running")

    def coordinator(self, token: str = "", lease: float = LEASE, url: str = "") -> Control:
        """Another coordinator, that has taken nothing over yet."""
        return Control(Connection(url or self.url), self.run_id, holder(token), lease)

    def worker(self, name: str, step: str = "a", url: str = "") -> Worker:
        """A worker with a lease."""
        worker = Worker(Consumer(Connection(url or self.url), self.run_id, step, name))
        worker.membership.join({"step": step, "host": "here", "pid": 1})
        return worker

    def die(self, worker: Worker) -> None:
        """Certifies the death, as the worker's keeper does when it has seen the worker end."""
        self.fall_silent(worker)
        self.connection.command("SADD", self.keys.dead, worker.worker_id)

    def fall_silent(self, worker: Worker) -> None:
        """As if the worker's lease had run out."""
        self.connection.command("DEL", self.keys.worker(worker.worker_id))

    def dispatch(self, *batches: Batch, control: Control | None = None) -> tuple[dict[str, int], bool]:
        """Sends batches of one step."""
        return (control or self.control).tick(Tick(dispatch={batches[0].step: list(batches)}))

    def store(self, *payloads: Payload, data: bytes = b"x") -> None:
        """Puts payloads into the broker."""
        for payload in payloads:
            self.connection.command("SET", self.payload_key(payload), data)

    def payload_key(self, payload: Payload) -> str:
        return self.keys.payload(payload.step, payload.seq, payload.attempt)

    def stored(self, *payloads: Payload) -> list[bool]:
        """Which of the payloads are in the broker."""
        return [bool(self.connection.command("EXISTS", self.payload_key(payload))) for payload in payloads]

    def journal(self) -> list[Entry]:
        """All of it; positions that are not dense raise."""
        return [journaled.entry for journaled in self.control.journal.read(0, 10_000)]

    def waiting(self, step: str = "a") -> int:
        """Entries in the step's stream, taken or not."""
        return int(self.connection.command("XLEN", self.keys.inputs(step)))

    def pending(self, step: str = "a") -> dict[str, str]:
        """Entry -> worker that has it."""
        held = self.connection.pending(self.keys.inputs(step), GROUP, 10_000)
        return {one.entry: one.consumer for one in held if one.consumer != HANDED_BACK}

    def field(self, name: str) -> str:
        """A field of the run hash."""
        return (self.connection.command("HGET", self.keys.run, name) or b"").decode()

    def everything(self) -> dict[str, bytes]:
        """Every key of the run with all that is in it: equal before and after means that nothing was written."""
        cursor, found = b"0", set()
        while True:
            cursor, some = self.connection.command("SCAN", cursor, "MATCH", self.keys.everything, "COUNT", 1000)
            found |= set(some)
            if int(cursor) == 0:
                return {key.decode(): self.connection.command("DUMP", key) for key in sorted(found)}

    def load_scripts(self) -> None:
        """So that no call is sent twice because the broker did not know its script."""
        for script in SCRIPTS:
            self.connection.command("SCRIPT", "LOAD", script_text(script)[0])


def done(entry: Taken, payload: bytes | None = b"rows", letters: tuple[DeadLetter, ...] = (), **facts: Any) -> Done:
    """What a worker commits for an entry."""
    batch = entry.batch
    return Done(entry, Result(batch.step, batch.seq, batch.attempt, worker="w", **facts), payload, letters)


def take(worker: Worker, count: int = 1) -> list[Taken]:
    taken = worker.inbox.read(count, 0)
    assert len(taken) == count
    return taken


def unchanged(run: Run, call: Callable[[], Any]) -> Any:
    """The call's answer; it must not have written anything."""
    before = run.everything()
    answer = call()
    assert run.everything() == before
    return answer


def lose(proxy: Proxy, script: str, call: Callable[[], Any]) -> None:
    """The call runs in the broker and its reply is lost."""
    proxy.lose_reply(script_text(script)[1].encode())
    with pytest.raises(Disconnected):
        call()
    assert proxy.lost


def rows_of(seq: int) -> bytes:
    return b"rows %d" % seq


def made(taken: Taken, seq: int, offset: int, attempt: int = 0, *, last: bool = False) -> tuple[Done, int]:
    return Done(taken, Result("g", seq, attempt, last=last, worker="w"), rows_of(seq)), offset


def failed(taken: Taken, seq: int, offset: int, attempt: int = 0) -> tuple[Done, int]:
    return Done(taken, Failure("g", seq, attempt, "no")), offset


def tickets(run: Run, worker: Worker, count: int) -> list[Taken]:
    sent = run.control.journal.marks(["g"])[2]["g"]
    run.dispatch(*(Batch("g", seq) for seq in range(sent, sent + count)))
    return take(worker, count)
