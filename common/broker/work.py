"""What a worker does to the broker: join, take, commit, leave. Ownership of an entry is decided here alone."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from common.batch import Batch, DeadLetter, Failure, Payload, Result
from common.broker.connection import Argument, Call, Connection
from common.broker.generator_state import GeneratorState
from common.broker.held import holders
from common.broker.reports import LOG_BYTES, LOG_LENGTH
from common.broker.runs import RunRegistry
from common.errors import PayloadMissing, RunError, RunGone, WireError
from common.keys import GROUP, HANDED_BACK, KEYS_PER_CALL, Keys
from common.wire import decode_batch, decode_pointer, encode_entry, encode_letters, is_pointer, message_of

EXIT_SECONDS = 10
"""How long a process that has left the run may take to end. Later on, its id may be another's."""
MOST_HELD = 1_000
"""Entries that a worker may have in hand."""
SHOWN_BYTES = 64
"""Bytes of an entry that is no batch that its dead letter shows."""

logger = logging.getLogger("penstock.worker")


@dataclass(frozen=True, slots=True)
class Taken:
    """An entry that is pending for this worker.

    Args:
        entry: its id in the step's stream.
        deliveries: workers that have had it, this one included.
        broken: why its inputs are not known, where that is so.
    """

    entry: str
    batch: Batch
    deliveries: int
    broken: PayloadMissing | WireError | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """What is to be committed for an entry.

    Args:
        payload: encoded rows for the broker; None without rows, or where they are in the file store.
        letters: rows that failed.
    """

    taken: Taken
    result: Result | Failure
    payload: bytes | None = None
    letters: tuple[DeadLetter, ...] = ()


class WorkQueue:
    """One worker's side of one step of a run.

    Args:
        worker_id: random per process.
        lease: seconds that the worker is taken to be alive after each renewal.
        begun: when the run was begun that it works for.
    """

    def __init__(
        self, connection: Connection, run_id: str, step: str, worker_id: str, lease: float, begun: str = ""
    ) -> None:
        self.keys = Keys(run_id)
        self.step = step
        self.worker_id = worker_id
        self.connection = connection
        self._begun = begun
        self._stream = self.keys.inputs(step)
        self._lease_ms = round(lease * 1000)
        self._facts: Mapping[str, Any] = {}
        self._silent_since: dict[str, float] = {}

    # membership

    def join(self, facts: Mapping[str, Any]) -> None:
        """Makes the worker known, with a first lease; its keeper renews it from then on.

        Raises:
            RunGone: there is no such run; nothing was written, as with all that follows.
        """
        keys = [self.keys.workers, self.keys.worker(self.worker_id)]
        self._write("join", keys, self.worker_id, json.dumps(dict(facts)), self._lease_ms)
        self._facts = dict(facts)

    def stay_known(self) -> None:
        """Joins again where the broker has forgotten the worker: it may have lost its last writes."""
        if self._facts and not self.connection.command("HEXISTS", self.keys.workers, self.worker_id):
            logger.warning("the broker has forgotten worker %s, which joins again", self.worker_id)
            self.join(self._facts)
            if self._facts.get("loaded"):
                self.note_loaded()

    def is_of_this_run(self) -> bool:
        """Is the run still the one that the worker joined? `--fresh` begins another one of the same id."""
        return RunRegistry(self.connection).begun(self.keys.run_id) == self._begun

    def tell(self, facts: Mapping[str, Any]) -> None:
        """Leaves word about a worker that could not serve, for the coordinator to read."""
        self._write("join", [self.keys.workers], self.worker_id, json.dumps(dict(facts)))

    def note_loaded(self) -> None:
        """From now on the step is known to be loadable: a worker that cannot load it is to blame, not the step."""
        self._write("note", [], f"loaded:{self.step}")

    def note_columns(self) -> None:
        """From now on a column that is missing is known to be a matter of the rows, not of the pipeline."""
        self._write("note", [], f"columns:{self.step}")

    def columns_noted(self) -> bool:
        """Has a worker of the step seen rows with all columns that the step requires?"""
        return bool(self.connection.command("HEXISTS", self.keys.progress, f"columns:{self.step}"))

    def describe(self, descriptor: bytes) -> bytes | None:
        """Says what the step is, if no worker has said so before.

        Returns:
            What the run takes it to be from now on: this, or what an earlier worker said. None where it does not ask.
        """
        keys = [self.keys.progress]
        held: bytes | None = self.connection.call("describe", keys, f"descriptor:{self.step}", descriptor)
        return held

    def leave(self) -> None:
        """Takes the worker out; what is still pending for it can be claimed at once."""
        self.connection.call(
            "leave",
            [
                self._stream,
                self.keys.workers,
                self.keys.worker(self.worker_id),
                self.keys.generator(self.step),
                self.keys.left,
            ],
            GROUP,
            self.worker_id,
            EXIT_SECONDS,
        )

    def _write(self, script: str, keys: Sequence[str], *args: Argument) -> int:
        """Calls a script that writes nothing where the run is gone: nobody would ever remove it."""
        if not (reply := self.connection.call(script, [self.keys.progress, *keys], *args)):
            raise RunGone(self.connection.shown_url)
        return int(reply)

    # take

    def read(self, count: int, block: float) -> list[Taken]:
        """New entries, at most `count`; waits up to `block` seconds. Never to be retried: the reply may be lost.

        Raises:
            Disconnected: what was read is pending for this worker; `pending` finds it.
        """
        waiting: list[Argument] = ["BLOCK", max(1, round(block * 1000))] if block else []
        reply = self.connection.command(
            "XREADGROUP", "GROUP", GROUP, self.worker_id, "COUNT", count, *waiting, "STREAMS", self._stream, ">"
        )
        entries = reply[0][1] if reply else []
        return self._batches((entry.decode(), fields, 1) for entry, fields in entries if fields)

    def pending(self, known: Container[str] = ()) -> list[Taken]:
        """What the broker holds for this worker to be its own, but for entries that the worker knows of.

        Not by XREADGROUP: to read one's own entries again would count as another delivery of each.
        """
        held = self.connection.pending(self._stream, GROUP, MOST_HELD, self.worker_id)
        unknown = [one for one in held if one.entry not in known]
        replies = self.connection.batch([("XRANGE", self._stream, one.entry, one.entry) for one in unknown])
        _raise_first(replies)
        return self._batches(
            (one.entry, reply[0][1], one.deliveries) for one, reply in zip(unknown, replies, strict=True) if reply
        )

    def silent_workers(self) -> dict[str, int]:
        """Other workers whose lease is gone, with the number of entries that each holds."""
        reply = self.connection.command("XPENDING", self._stream, GROUP)
        held = {name: entries for name, entries in holders(reply).items() if name != self.worker_id}
        leases = self.connection.batch([("EXISTS", self.keys.worker(worker)) for worker in held])
        return {worker: held[worker] for worker, lease in zip(held, leases, strict=True) if not lease}

    def dead_workers(self) -> set[str]:
        """Workers whose keeper saw them end."""
        return {worker.decode(errors="replace") for worker in self.connection.command("SMEMBERS", self.keys.dead)}

    def claim_handed_back(self, count: int) -> list[Taken]:
        """Takes what other workers have given back, the oldest first."""
        return self.claim(HANDED_BACK, count)

    def claim(self, worker: str, count: int) -> list[Taken]:
        """Takes over entries of a worker that is dead, or was found silent twice."""
        entries = [held.entry for held in self.connection.pending(self._stream, GROUP, count, worker)]
        if not entries:
            return []
        reply = self.connection.call(
            "claim", [self._stream, self.keys.worker(worker)], GROUP, self.worker_id, worker, *entries
        )
        return self._batches(
            (entry.decode(), dict(zip(flat[::2], flat[1::2], strict=True)), int(deliveries))
            for entry, flat, deliveries in reply
        )

    def _batches(self, entries: Iterable[tuple[str, Mapping[bytes, bytes], int]]) -> list[Taken]:
        """Entries that are pending for this worker, read. One that is no batch is taken out of the stream."""
        taken = []
        for entry, fields, deliveries in entries:
            try:
                taken.append(self._read_fields(entry, fields, deliveries))
            except WireError as error:
                self._discard(entry, fields, error)
        return taken

    def _read_fields(self, entry: str, fields: Mapping[bytes, bytes], deliveries: int) -> Taken:
        message = message_of(fields)
        if not is_pointer(message):
            return Taken(entry, decode_batch(self.step, message), deliveries)
        batch = decode_pointer(self.step, message)
        manifest = self.keys.manifest(self.step, batch.seq, batch.attempt)
        try:
            stored = self.connection.command("GET", manifest)
            if stored is None:  # lost, or done by another worker by now: a commit will show which
                return Taken(entry, batch, deliveries, PayloadMissing(manifest))
            found = decode_batch(self.step, stored)
            if (found.seq, found.attempt) != (batch.seq, batch.attempt):
                raise WireError(f"it is of batch {found.seq}, attempt {found.attempt}")
        except WireError as error:
            return Taken(entry, batch, deliveries, WireError(f"{manifest} cannot be read: {error}"))
        return Taken(entry, found, deliveries)

    def _discard(self, entry: str, fields: Mapping[bytes, bytes], error: WireError) -> None:
        """Whoever reads it next could not read it either."""
        shown = b" ".join(name + b"=" + value[:SHOWN_BYTES] for name, value in fields.items())[:SHOWN_BYTES]
        what = f"entry {entry} of {self._stream} is no batch: {error} (it begins with {shown.hex(' ')})"
        logger.error("%s; it is taken out", what)
        milliseconds, _, number = entry.partition("-")
        # The place of a row that is none: the entry's own number, so that no two of them look alike.
        letter = DeadLetter(self.step, int(milliseconds), 0, int(number), what, 1, self.worker_id)
        keys = [self._stream, self.keys.failed, self.keys.progress]
        self.connection.call("discard", keys, GROUP, self.worker_id, entry, *encode_letters([letter]))

    # payloads

    def payloads(self, payloads: Sequence[Payload]) -> list[bytes | None]:
        """Bytes of payloads in the broker, in one round trip; None for one that is missing."""
        if not payloads:
            return []
        keys = [self.keys.payload(payload.step, payload.seq, payload.attempt) for payload in payloads]
        return list(self.connection.command("MGET", *keys))

    def stage(self, taken: Taken, payload: Payload, data: bytes) -> None:
        """Stores one chunk of a global step's output ahead of the commit that links it, if the entry is this worker's.

        Raises:
            BrokerFull: there is no room for it.
        """
        keys = [self._stream, self.keys.payload(payload.step, payload.seq, payload.attempt)]
        self.connection.call("stage", keys, GROUP, self.worker_id, taken.entry, data)

    def unstage(self, taken: Taken, payloads: Sequence[Payload]) -> None:
        """Frees chunks that no commit will link, if the entry is this worker's."""
        keys = [self.keys.payload(payload.step, payload.seq, payload.attempt) for payload in payloads]
        for first in range(0, len(keys), KEYS_PER_CALL):
            some = [self._stream, *keys[first : first + KEYS_PER_CALL]]
            self.connection.call("unstage", some, GROUP, self.worker_id, taken.entry)

    # commit

    def commit(self, done: Sequence[Done]) -> list[bool]:
        """Commits results in one round trip, each by one script of its own.

        Returns:
            For each, whether it landed; False where the entry was no longer this worker's, and nothing was written.

        Raises:
            Disconnected: any of them may have landed; to commit again is safe.
            BrokerError: one of them was refused.
        """
        replies = self.connection.batch([self._commit_call(one) for one in done])
        _raise_first(replies)
        return [bool(reply) for reply in replies]

    def _commit_call(self, done: Done) -> Call:
        batch = done.taken.batch
        keys = [
            self._stream,
            self.keys.progress,
            self.keys.journal,
            self.keys.failed,
            self.keys.isolation(self.step, batch.seq, batch.attempt),
            self.keys.manifest(self.step, batch.seq, batch.attempt),
        ]
        if done.payload is not None:
            keys.append(self.keys.payload(self.step, batch.seq, batch.attempt))
        args: list[Argument] = [GROUP, self.worker_id, done.taken.entry, encode_entry(done.result), done.payload or b""]
        return Call("commit", keys, [*args, *encode_letters(done.letters)])

    def commit_generated(self, made: Sequence[tuple[Done, int]]) -> list[bool]:
        """Commits what a generator made, in order; each with the rows yielded up to then, its own included.

        Returns:
            For each, whether it landed. Where one did not, those after it did not either.
        """
        replies = self.connection.batch([self._generated_call(done, offset) for done, offset in made])
        _raise_first(replies)
        return [bool(reply) for reply in replies]

    def _generated_call(self, done: Done, offset: int) -> Call:
        entry = done.result
        outcome = "failed" if isinstance(entry, Failure) else "last" if entry.last else "made"
        keys = [self._stream, self.keys.progress, self.keys.journal, self.keys.failed, self.keys.generator(self.step)]
        if done.payload is not None:
            keys.append(self.keys.payload(self.step, entry.seq, entry.attempt))
        args: list[Argument] = [GROUP, self.worker_id, done.taken.entry, encode_entry(entry), done.payload or b""]
        args += [entry.seq, entry.attempt, offset, outcome, self._epoch() if outcome == "failed" else ""]
        return Call("commit_generator", keys, [*args, *encode_letters(done.letters)])

    def own_generator(self) -> GeneratorState | None:
        """Becomes the one worker that serves the generator, or stays it.

        Returns:
            None while another one is alive, or has been silent for less than half a lease, as everyone is where the
            broker was away; and after a failure until the run goes on.

        Raises:
            WireError: what the broker holds of the generator is not what this version writes.
        """
        hash_key = self.keys.generator(self.step)
        owner = (self.connection.command("HGET", hash_key, "owner") or b"").decode(errors="replace")
        if owner not in ("", self.worker_id) and not self._is_dead(owner):
            return None
        keys = [hash_key, self.keys.worker(owner)]
        reply = self.connection.call("own_generator", keys, self.worker_id, owner, self._epoch())
        if not reply[0]:
            return None
        state = GeneratorState.parse(reply[1:], hash_key)
        others = [self.keys.worker(owner) for owner in state.silent if owner != self.worker_id]
        leases = self.connection.batch([("EXISTS", lease) for lease in others])
        return replace(state, deaths=leases.count(0))

    def _is_dead(self, owner: str) -> bool:
        """Has its keeper seen it end, or is its lease gone, as it was half a lease ago?"""
        if owner in self.dead_workers():
            return True
        if self.connection.command("EXISTS", self.keys.worker(owner)):
            self._silent_since.clear()
            return False
        now = time.monotonic()
        return now - self._silent_since.setdefault(owner, now) >= self._lease_ms / 2_000

    def _epoch(self) -> bytes:
        """Of the coordinator that the run has, which changes when a halted run goes on."""
        if epoch := self.connection.command("HGET", self.keys.run, "epoch"):
            return bytes(epoch)
        raise RunGone(self.connection.shown_url)

    def void(self, entries: Sequence[str]) -> bool:
        """Takes tickets of a generator that has ended out of the stream; returns whether it has ended."""
        keys = [self._stream, self.keys.generator(self.step)]
        return int(self.connection.call("void_ticket", keys, GROUP, self.worker_id, *entries)) >= 0

    def hand_back(self, taken: Sequence[Taken]) -> None:
        """Gives entries that were not run to whoever claims them next; this delivery does not count."""
        entries = [one.entry for one in taken]
        self.connection.call("hand_back", [self._stream], GROUP, self.worker_id, HANDED_BACK, *entries)

    # isolation

    def isolated(self, batch: Batch) -> dict[str, bytes]:
        """What workers before this one noted about a batch that runs row by row."""
        flat = self.connection.command("HGETALL", self.keys.isolation(self.step, batch.seq, batch.attempt))
        return {key.decode(errors="replace"): value for key, value in flat.items()}

    def note(self, taken: Taken, **fields: Argument) -> bool:
        """Notes fields of an isolated batch; False when the entry is no longer this worker's."""
        flat = [part for pair in fields.items() for part in pair]
        batch = taken.batch
        keys = [self._stream, self.keys.isolation(self.step, batch.seq, batch.attempt)]
        return bool(self.connection.call("isolate", keys, GROUP, self.worker_id, taken.entry, *flat))

    # reports

    def report(self, lines: Sequence[bytes]) -> int:
        """Sends log records on their way to the run directory; returns how many older ones were dropped for them."""
        return self._write("report", [self.keys.log], LOG_LENGTH, LOG_BYTES, *lines) - 1


def _raise_first(replies: Sequence[Any]) -> None:
    for error in (reply for reply in replies if isinstance(reply, RunError)):
        raise error
