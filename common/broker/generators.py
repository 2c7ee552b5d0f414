"""A generator at the broker: its worker, its position, and its output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from common.broker.commits import Done
from common.broker.connection import Argument, Call, raise_first
from common.broker.consumer import Consumer
from common.broker.deaths import Deaths
from common.errors import RunGone
from common.protocol.batch import Failure
from common.protocol.generator_state import GeneratorState
from common.protocol.keys import GROUP
from common.protocol.wire import encode_entry, encode_letters


class GeneratorOwnership:
    """One worker's side: one worker at a time owns the generator and commits its output.

    Args:
        lease: seconds that a worker is taken to be alive after each renewal.
    """

    def __init__(self, consumer: Consumer, lease: float) -> None:
        self._consumer = consumer
        self._connection = consumer.connection
        self._keys = consumer.keys
        self._stream = consumer.stream
        self._step = consumer.step
        self._worker_id = consumer.worker_id
        self._deaths = Deaths(lease)

    def own(self) -> GeneratorState | None:
        """Becomes, or remains, the one worker that serves the generator.

        Returns:
            None while another worker is alive, or has been silent for less than half a lease, as everyone is after
            the broker was away; also after a failure, until the run is resumed.

        Raises:
            WireError: the broker's record of the generator is not what this version writes.
        """
        hash_key = self._keys.generator(self._step)
        owner = (self._connection.command("HGET", hash_key, "owner") or b"").decode(errors="replace")
        if owner not in ("", self._worker_id) and not self._is_dead(owner):
            return None
        keys = [hash_key, self._keys.worker(owner)]
        reply = self._connection.call("own_generator", keys, self._worker_id, owner, self._epoch())
        if not reply[0]:
            return None
        state = GeneratorState.parse(reply[1:], hash_key)
        others = [self._keys.worker(owner) for owner in state.silent if owner != self._worker_id]
        leases = self._connection.batch([("EXISTS", lease) for lease in others])
        return replace(state, deaths=leases.count(0))

    def commit(self, made: Sequence[tuple[Done, int]]) -> list[bool]:
        """Commits a generator's batches in order, each with the number of rows yielded so far, its own included.

        Returns:
            For each, whether it landed. If one did not, later ones did not either.
        """
        replies = self._connection.batch([self._call(done, offset) for done, offset in made])
        raise_first(replies)
        return [bool(reply) for reply in replies]

    def void(self, entries: Sequence[str]) -> bool:
        """Removes tickets of an ended generator from the stream; returns whether it has ended."""
        keys = [self._stream, self._keys.generator(self._step)]
        return int(self._connection.call("void_ticket", keys, GROUP, self._worker_id, *entries)) >= 0

    def _call(self, done: Done, offset: int) -> Call:
        entry = done.result
        outcome = "failed" if isinstance(entry, Failure) else "last" if entry.last else "made"
        keys = [
            self._stream,
            self._keys.progress,
            self._keys.journal,
            self._keys.failed,
            self._keys.generator(self._step),
        ]
        if done.payload is not None:
            keys.append(self._keys.payload(self._step, entry.seq, entry.attempt))
        args: list[Argument] = [GROUP, self._worker_id, done.taken.entry, encode_entry(entry), done.payload or b""]
        args += [entry.seq, entry.attempt, offset, outcome, self._epoch() if outcome == "failed" else ""]
        return Call("commit_generator", keys, [*args, *encode_letters(done.letters)])

    def _is_dead(self, owner: str) -> bool:
        has_lease = self._connection.command("EXISTS", self._keys.worker(owner))
        return owner in self._deaths.look(set() if has_lease else {owner}, self._consumer.dead_workers())

    def _epoch(self) -> bytes:
        """The epoch of the run's coordinator, which changes when a halted run is resumed."""
        if epoch := self._connection.command("HGET", self._keys.run, "epoch"):
            return bytes(epoch)
        raise RunGone(self._connection.shown_url)
