"""A coordinator's operations on the broker. Every write carries its epoch; a mismatch means that another took over."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain

from common.broker.connection import Argument, Call, Connection
from common.broker.held import holders
from common.broker.journal import Journal
from common.broker.payloads import BrokerPayloads
from common.errors import BrokerFull, Fenced, Forgotten, RunError, WireError
from common.protocol.batch import Batch, DeadLetter, Entry, PartWritten, Payload
from common.protocol.fields import number
from common.protocol.holder import Holder
from common.protocol.keys import GROUP, HANDED_BACK, KEYS_PER_CALL, Keys
from common.protocol.wire import (
    decode_batch,
    decode_pointer,
    encode_batch,
    encode_entry,
    encode_letter,
    encode_message,
    is_pointer,
    message_of,
    needs_manifest,
)

RETRY_SECONDS = 0.25


@dataclass(slots=True)
class Tick:
    """The work of one round trip.

    Args:
        dispatch: step -> batches, in seq order.
        redo: batches to send again.
        release: payloads in the broker to free.
        cursor: position up to which every release is done after this tick.
        drain: send even to a full broker, which cannot drain otherwise.
    """

    dispatch: dict[str, list[Batch]] = field(default_factory=dict)
    redo: list[Batch] = field(default_factory=list)
    release: list[Payload] = field(default_factory=list)
    cursor: int = 0
    drain: bool = False


class Control:
    """The coordinator's side of one run.

    Args:
        holder: who this coordinator is, as shown to others.
        lease: seconds.
    """

    def __init__(self, connection: Connection, run_id: str, holder: Holder, lease: float) -> None:
        self.keys = Keys(run_id)
        self.journal = Journal(connection, run_id)
        self.payloads = BrokerPayloads(connection, run_id)
        self.holder = holder
        self.lease = lease
        self.epoch = ""
        self._connection = connection
        self._lease_ms = round(lease * 1000)

    # who coordinates

    def take_over(self, dead_token: str = "") -> None:
        """Becomes the coordinator.

        Args:
            dead_token: token of a holder known to be dead, whose lease need not expire first.

        Raises:
            Fenced: another coordinator is alive; the message says who.
        """
        taken, answer = self._connection.call(
            "take_over",
            [self.keys.run, self.keys.lease],
            self.holder.token,
            self.holder.dump(),
            self._lease_ms,
            dead_token,
        )
        if not taken:
            other = Holder.parse(answer)
            if not other.token:
                raise WireError(f"{self.keys.lease} was not written by a coordinator: delete that key and try again")
            raise Fenced(other.has_run(self.keys.run_id))
        self.epoch = answer.decode()

    def regain(self, stop: threading.Event) -> None:
        """Takes over again if the broker has forgotten it; then the previous coordinator's lease has to expire again.

        Args:
            stop: set if there is no time for that.

        Raises:
            Fenced: another coordinator is alive.
        """
        deadline = time.monotonic() + self.lease + 2 * RETRY_SECONDS
        while True:
            try:
                return self.take_over()
            except Fenced:
                if not self.is_forgotten() or time.monotonic() > deadline or stop.wait(RETRY_SECONDS):
                    raise

    def renew(self) -> None:
        """Raises Fenced if another coordinator has the run."""
        keys = [self.keys.run, self.keys.lease]
        self._fence(self._connection.call("renew_lease", keys, self.epoch, self.holder.dump(), self._lease_ms))

    def resign(self) -> None:
        """Releases the lease, so that the next coordinator need not wait."""
        self._connection.call("renew_lease", [self.keys.run, self.keys.lease], self.epoch, self.holder.dump(), 0)

    # the run

    def update(self, **fields: Argument) -> None:
        """Sets fields of the run hash."""
        flat = [part for pair in fields.items() for part in pair]
        self._fence(self._connection.call("update_run", [self.keys.run, self.keys.progress], self.epoch, *flat))

    def ensure_groups(self, steps: Sequence[str]) -> None:
        """Creates every step's stream and its group, read from the start: batches dispatched before must be found."""
        there = self._connection.batch([("EXISTS", self.keys.inputs(step)) for step in steps])
        replies = self._connection.batch(
            [
                ("XGROUP", "CREATE", self.keys.inputs(step), GROUP, "0", "MKSTREAM")
                for step, exists in zip(steps, there, strict=True)
                if exists != 1
            ]
        )
        for reply in replies:
            if isinstance(reply, RunError) and "BUSYGROUP" not in str(reply):
                raise reply

    def descriptors(self, steps: Collection[str]) -> dict[str, bytes]:
        """Workers' descriptions of steps that the coordinator cannot import; undescribed steps are omitted."""
        if not steps:
            return {}
        held = self._connection.command("HMGET", self.keys.progress, *(f"descriptor:{step}" for step in steps))
        return {step: said for step, said in zip(steps, held, strict=True) if said}

    def forget_descriptors(self, steps: Collection[str]) -> None:
        """The next execution asks again."""
        fields = [f"descriptor:{step}" for step in steps]
        keys = [self.keys.run, self.keys.progress]
        self._fence(self._connection.call("forget_descriptors", keys, self.epoch, *fields))

    def want(self) -> str:
        """The request made to the run: "stop" or empty.

        Raises:
            Forgotten: the broker has lost the run's coordinator, which nothing else reveals while nobody writes.
        """
        want, takeovers = self._connection.command("HMGET", self.keys.run, "want", "takeovers")
        self._check_remembered(takeovers)
        return (want or b"").decode(errors="replace")

    def finish(self, status: str, steps: Sequence[str], keep: float = 0.0) -> None:
        """Ends the run; every key expires after `keep` seconds, or never if 0."""
        streams = [self.keys.inputs(step) for step in steps]
        others = [self.keys.journal, self.keys.failed, self.keys.log, self.keys.workers, self.keys.spent]
        others += [*self.keys.seen, *(self.keys.generator(step) for step in steps)]
        keys = [self.keys.run, self.keys.lease, self.keys.progress, *streams, *others]
        emptied = len(streams) if status == "complete" else 0
        self._fence(self._connection.call("finish", keys, self.epoch, status, round(keep * 1000), emptied))

    def in_hand(self, steps: Sequence[str]) -> int:
        """Entries that live workers have taken but neither committed nor handed back."""
        replies = self._connection.batch([("XPENDING", self.keys.inputs(step), GROUP) for step in steps])
        held = [one for reply in replies if isinstance(reply, dict) for one in holders(reply).items()]
        leases = self._connection.batch([("EXISTS", self.keys.worker(worker)) for worker, _ in held])
        return sum(entries for (_, entries), alive in zip(held, leases, strict=True) if alive)

    def reclaim(self, steps: Sequence[str]) -> int:
        """Hands back everything that workers have taken. Only if all of them are known to be dead.

        They died with their coordinator, not because of a batch: this delivery does not count.
        """
        given = 0
        for step in steps:
            stream = self.keys.inputs(step)
            for worker in holders(self._connection.command("XPENDING", stream, GROUP)):
                while held := self._connection.pending(stream, GROUP, KEYS_PER_CALL, worker):
                    entries = [one.entry for one in held]
                    given += int(self._connection.call("hand_back", [stream], GROUP, worker, HANDED_BACK, *entries))
            self._connection.command("HDEL", self.keys.generator(step), "owner")
        return given

    def discarded(self) -> int:
        """Entries that workers removed from their steps' streams because they were not batches."""
        return number(self._connection.command("HGET", self.keys.progress, "discarded"), "discarded")

    def sent_batches(self, step: str) -> set[tuple[int, int]]:
        """(seq, attempt) of the entries in the step's stream, taken or not; unreadable ones are omitted."""
        found, start = set(), "-"
        while entries := self._connection.command("XRANGE", self.keys.inputs(step), start, "+", "COUNT", KEYS_PER_CALL):
            start = f"({entries[-1][0].decode()}"
            for _, fields in entries:
                with suppress(WireError):
                    message = message_of(fields)
                    batch = (decode_pointer if is_pointer(message) else decode_batch)(step, message)
                    found.add((batch.seq, batch.attempt))
        return found

    def forget_workers(self) -> None:
        """Drops the records of an earlier execution's dead workers, such as why they could not serve."""
        known = self._connection.command("HKEYS", self.keys.workers)
        names = [worker.decode(errors="replace") for worker in known]
        leases = self._connection.batch([("EXISTS", self.keys.worker(name)) for name in names])
        dead = [worker for worker, lease in zip(known, leases, strict=True) if lease == 0]
        if dead:
            self._connection.command("HDEL", self.keys.workers, *dead)

    def append(self, entries: Sequence[Entry]) -> int:
        """Appends decisions to the journal and returns the position of the last one."""
        messages = [encode_entry(entry) for entry in entries]
        keys = [self.keys.run, self.keys.journal, self.keys.progress]
        return self._fence(self._connection.call("journal", keys, self.epoch, *messages))

    def part_written(self, part: PartWritten, payloads: Sequence[Payload], letters: Sequence[DeadLetter]) -> int:
        """Journals a part and frees its payloads in one script."""
        keys = self._payload_keys(payloads)
        return self._fence(
            self._connection.call(
                "part_written",
                [self.keys.run, self.keys.journal, self.keys.failed, self.keys.progress, *keys],
                self.epoch,
                encode_entry(part),
                *(encode_letter(letter) for letter in letters),
            )
        )

    # work

    def tick(self, tick: Tick) -> tuple[dict[str, int], bool]:
        """Does all the work in one round trip.

        Returns:
            Per step in `dispatch`, the number of batches sent so far in the run; was the broker too full for some?

        Raises:
            Fenced, Disconnected
        """
        calls: list[Call] = []
        # A batch must not be read before its manifest exists, nor be sent if the manifest has no room.
        full = not self._store_manifests([*chain.from_iterable(tick.dispatch.values()), *tick.redo])
        for step, batches in tick.dispatch.items() if not full else ():
            messages = [encode_message(batch) for batch in batches]
            calls.append(
                Call(
                    "dispatch",
                    [self.keys.run, self.keys.inputs(step)],
                    [self.epoch, f"sent:{step}", batches[0].seq, "drain" if tick.drain else "", *messages],
                )
            )
        for batch in tick.redo if not full else ():
            calls.append(
                Call(
                    "redo",
                    [self.keys.run, self.keys.inputs(batch.step)],
                    [self.epoch, f"redo:{batch.step}:{batch.seq}", batch.attempt, encode_message(batch)],
                )
            )
        keys = self._payload_keys(tick.release)
        for first in range(0, max(len(keys), 1), KEYS_PER_CALL):
            some = keys[first : first + KEYS_PER_CALL]
            calls.append(Call("release", [self.keys.run, *some], [self.epoch, tick.cursor]))
        sent: dict[str, int] = {}
        for call, reply in zip(calls, self._connection.batch(calls), strict=True):
            if isinstance(reply, BrokerFull):
                full = True
            elif isinstance(reply, RunError):
                raise reply
            elif call.script == "dispatch":
                step = str(call.args[1]).removeprefix("sent:")
                sent[step] = self._sent(step, reply)
            elif call.script == "redo":
                self._fence(reply + 1)
            elif call.script == "release":
                self._fence(reply)
        return sent, full

    def _sent(self, step: str, reply: int) -> int:
        if reply == -2:
            raise RunError(f"batches of step '{step}' were skipped: the broker lost data; start over with --fresh")
        return self._fence(reply + 1) - 1

    def _store_manifests(self, batches: Sequence[Batch]) -> bool:
        """Stores the inputs of batches whose messages refer to them; returns whether the broker had room."""
        for batch in filter(needs_manifest, batches):
            keys = [self.keys.run, self.keys.manifest(batch.step, batch.seq, batch.attempt)]
            try:
                self._fence(self._connection.call("store", keys, self.epoch, encode_batch(batch)))
            except BrokerFull:
                return False
        return True

    def _payload_keys(self, payloads: Sequence[Payload]) -> list[str]:
        return [
            self.keys.payload(payload.step, payload.seq, payload.attempt)
            for payload in payloads
            if payload.external is None
        ]

    def _fence(self, reply: int) -> int:
        if not reply:
            self._check_remembered(self._connection.command("HGET", self.keys.run, "takeovers"))
            raise Fenced(
                f"another coordinator has taken over run '{self.keys.run_id}'; this one has stopped and lost nothing"
            )
        return reply

    def is_forgotten(self) -> bool:
        """Whether the broker knows fewer takeovers than there were, because it lost the last one."""
        return self._misses_a_takeover(self._connection.command("HGET", self.keys.run, "takeovers"))

    def _check_remembered(self, takeovers: bytes | None) -> None:
        if self._misses_a_takeover(takeovers):
            raise Forgotten("the broker has lost its last writes, including the run's coordinator")

    def _misses_a_takeover(self, takeovers: bytes | None) -> bool:
        return number(takeovers, "takeovers") < int(self.epoch.partition(":")[0])
