"""The answers kept in the broker, as one worker uses them: for workers on several hosts. A row never fails for them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from common.broker.answers import MARK_BYTES, AnswersInBroker, AnswersOfBroker, HeldAnswer, NewAnswer, Number, run_mark
from common.broker.connection import Connection
from common.errors import BrokerFull, Disconnected
from common.llms.answers.group_commit import GroupCommit
from common.llms.answers.inserts import New
from common.llms.answers.kept import Found, Kept, Place
from common.llms.answers.look_ups import LookUps
from common.llms.answers.request_key import Family, parts_of
from common.llms.answers.values import DIGEST_BYTES, Values

_TIMEOUT = 5.0
"""Seconds that a reply of the broker may take. A row waits for it."""
_PAUSE = 5.0
"""Seconds after which a broker that was away is tried again."""
_MOST_BYTES = 32 << 20
"""Of answers that wait for a broker that is away."""
_AT_A_TIME = 64
"""Answers sent in one round trip; none of a worker's other calls waits long for it."""

logger = logging.getLogger("penstock.llm")


class BrokerAnswerStore:
    """The store of one worker. `find`, `keep` and `reject` are called on its event loop; threads talk to the broker.

    Args:
        url: of the broker.
        run, begun: identify the run.
        budget: bytes above which what was not used for the longest time is deleted.
        expiry: seconds after which what was not used is deleted.
    """

    def __init__(self, url: str, run: str, begun: str, budget: int, expiry: float) -> None:
        self._run = run_mark(run, begun)
        self._connection = Connection(url, _TIMEOUT)
        self._answers = AnswersInBroker(self._connection, self._run, expiry)
        self._room = _Room(AnswersOfBroker(self._connection), budget, expiry)
        self._standing = Standing(self._connection.shown_url)
        self._look_ups = LookUps(self._look)
        self._writer: GroupCommit[New | Kept] = GroupCommit(self._begin, self._commit)
        self._is_open = False
        self._opening = threading.Lock()
        self._uncommitted: dict[bytes, New] = {}
        self._waiting: list[New | Kept] = []
        self._values = Values()

    def close(self) -> None:
        """Commits what is kept."""
        if self._is_open:
            self._is_open = False
            self._writer.close()
            self._look_ups.close()
            self._connection.close()
        self._standing.is_off = True

    async def find(self, key: bytes, place: Place) -> Found | None:
        """The answer that this place has had before, else one to the request that no place of this run has."""
        new = self._uncommitted.get(place.claimant)
        if new is not None and (found := new.found_by(place)) is not None:
            return found
        if not self._standing.may_be_asked:
            return None
        if not self._is_open:
            self._open()
        return await self._look_ups.find(key, place)

    def keep(self, key: bytes, place: Place, family: Family, request: Mapping[str, Any], reply: bytes) -> Kept:
        """Keeps a new answer, for this place. Waits for nothing."""
        new = New(key, place, family, request, reply)
        if not self._standing.is_off:
            if not self._is_open:
                self._open()
            self._uncommitted[place.claimant] = new
            self._writer.put(new)
        return new.kept

    def reject(self, kept: Kept) -> None:
        """No row can keep this answer: only its own place is given it again, when its batch runs again."""
        if not kept.rejected:
            kept.rejected = True
            if self._is_open:
                self._writer.put(kept)

    def _open(self) -> None:
        """Begins with the first question: threads never before a fork, and none for a step that asks nothing."""
        with self._opening:
            if not self._is_open:
                self._look_ups.start()
                self._writer.start()
            self._is_open = True

    def _look(self, wanted: Sequence[tuple[bytes, Place]]) -> list[Found | None]:
        """In the thread of the look-ups."""
        if not self._standing.may_be_asked:
            return [None] * len(wanted)
        try:
            held = self._answers.find([(key, place.claimant, place.attempt) for key, place in wanted])
            found = [self._unpacked(one) if one is not None else None for one in held]
            damaged = [one.number for one, read in zip(held, found, strict=True) if one is not None and read is None]
            if damaged:
                self._answers.reject(damaged, damaged=True)
        except Exception as error:  # whatever it is, rows wait
            self._standing.note(error)
            return [None] * len(wanted)
        self._standing.is_back()
        return found

    def _unpacked(self, held: HeldAnswer) -> Found | None:
        """None for a damaged one."""
        run, digest = held.data[:MARK_BYTES], held.data[MARK_BYTES : MARK_BYTES + DIGEST_BYTES]
        text = self._values.unpack(digest, held.data[MARK_BYTES + DIGEST_BYTES :])
        return Found(text, run == self._run, Kept(held.number, held.is_rejected)) if text is not None else None

    def _begin(self) -> None:
        """In the thread that commits, like all below."""
        try:
            self._room.make()
        except Exception as error:
            self._standing.note(error)

    def _commit(self, items: Sequence[New | Kept]) -> None:
        self._waiting.extend(items)
        while self._waiting and not self._standing.is_off:
            some = self._waiting[:_AT_A_TIME]
            try:
                self._send(some)
            except Disconnected as error:  # they wait for the next commit
                self._standing.note(error)
                self._forget_what_is_too_much()
                return
            except Exception as error:  # whatever it is, the next ones wait
                self._standing.note(error)
            self._drop(len(some))
        if self._standing.is_off:
            self._drop(len(self._waiting))

    def _send(self, items: Sequence[New | Kept]) -> None:
        new = [item for item in items if isinstance(item, New)]
        if new:
            packed = self._packed(new)
            try:
                numbers, total = self._answers.keep(packed)
            except BrokerFull:
                self._room.make_half()
                numbers, total = self._answers.keep(packed)
            for one, number in zip(new, numbers, strict=True):
                one.kept.id = number
            self._room.keep_within(total)
        rejected = [item.id for item in items if isinstance(item, Kept) and isinstance(item.id, Number)]
        if rejected:
            self._answers.reject(rejected)
        self._standing.is_back()

    def _packed(self, news: Sequence[New]) -> list[NewAnswer]:
        return [
            NewAnswer(
                new.key,
                new.place.claimant,
                new.place.attempt,
                new.family.model,
                orjson.dumps(parts_of(new.family, new.request)),
                self._run + digest + reply,
            )
            for new, (digest, reply) in zip(news, self._values.pack([new.reply for new in news]), strict=True)
        ]

    def _drop(self, count: int) -> None:
        """The first of those that wait are committed, or never will be."""
        for item in self._waiting[:count]:
            if isinstance(item, New) and self._uncommitted.get(item.place.claimant) is item:
                del self._uncommitted[item.place.claimant]
        del self._waiting[:count]

    def _forget_what_is_too_much(self) -> None:
        sizes = [len(item.reply) if isinstance(item, New) else 0 for item in self._waiting]
        excess, count = sum(sizes) - _MOST_BYTES, 0
        while excess > 0:
            excess -= sizes[count]
            count += 1
        self._drop(count)


class _Room:
    """How much the kept answers of a broker may take."""

    def __init__(self, answers: AnswersOfBroker, budget: int, expiry: float) -> None:
        self._answers = answers
        self._budget = budget
        self._expiry = expiry
        self._most: int | None = None

    def make(self) -> None:
        """Deletes what has expired, and what is too much."""
        self._answers.delete_unused(time.time() - self._expiry)
        self.keep_within(self._answers.total())

    def make_half(self) -> None:
        """The broker is full: the run needs its memory more."""
        self._answers.keep_within(self._answers.total() // 2)

    def keep_within(self, total: int) -> None:
        """Deletes what is too much, if all take so many bytes."""
        if self._most is None:
            self._most = self._answers.most(self._budget)
        if total > self._most:
            self._answers.keep_within(self._most)


class Standing:
    """Whether the broker may be asked for answers; says so when that changes. From any thread."""

    def __init__(self, shown_url: str) -> None:
        self.is_off = False
        self._shown_url = shown_url
        self._lock = threading.Lock()
        self._away_until = 0.0
        self._said: set[type[Exception]] = set()

    @property
    def may_be_asked(self) -> bool:
        """False while it is away, and for good after an error that does not pass."""
        return not self.is_off and time.monotonic() >= self._away_until

    def note(self, error: Exception) -> None:
        """It could not be used."""
        with self._lock:
            passes = isinstance(error, Disconnected | BrokerFull)
            is_new = not self.is_off and not (passes and type(error) in self._said)
            self._said.add(type(error))
            self.is_off = self.is_off or not passes
            if isinstance(error, Disconnected):
                self._away_until = time.monotonic() + _PAUSE
        if is_new:
            until = "for now" if passes else "from now on"
            logger.warning(
                "the answers kept in the broker cannot be used, so every question is asked %s: %s; the run continues "
                "without them",
                until,
                error,
            )

    def is_back(self) -> None:
        """It was used. That it was full is said once for all: it may be full again with each commit."""
        if Disconnected in self._said and not self.is_off:
            with self._lock:
                self._said.discard(Disconnected)
            logger.warning("the answers kept in the broker at %s are used again", self._shown_url)
