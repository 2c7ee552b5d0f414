"""Kept answers of models in the broker, where the workers of all hosts find them: typed calls of the scripts."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from common.broker.connection import Call, Connection, raise_first
from common.protocol.keys import AnswerKeys

MARK_BYTES = 8
"""Of the mark of a run."""
BYTES_OF_CLAIM = 200
"""What one takes in the broker's memory, with the field by which the next answer is found."""
BYTES_OF_REQUEST = 1_100
"""What the first answer to a request takes beside itself: its key, the entries in two indices, its fields."""
SHARE_OF_MEMORY = 4
"""Answers take at most this part of a broker's maxmemory: a quarter."""
_LONGER_MS = 86_400_000
"""The indices outlive what they are of."""
_ROOM = 0.9
"""Share of the budget that is left in use."""
_AT_A_TIME = 50
_KEYS = AnswerKeys()


@dataclass(frozen=True, slots=True)
class Number:
    """Which answer it is.

    Args:
        request: key of the request.
        generation: of the broker's key, which may be deleted and made again.
    """

    request: bytes
    number: int
    generation: str


@dataclass(frozen=True, slots=True)
class HeldAnswer:
    """An answer in the broker; `data` is as it was given to `keep`."""

    number: Number
    is_rejected: bool
    data: bytes


@dataclass(frozen=True, slots=True)
class NewAnswer:
    """An answer for a place of a run.

    Args:
        parts: of the request, as JSON.
    """

    request: bytes
    claimant: bytes
    attempt: int
    model: str
    parts: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class HeldRequest:
    """The answers to one request.

    Args:
        size: about how many bytes they take.
        first, newest: when the first and the last one were made, in seconds since 1970.
    """

    model: str
    answers: int
    rejected: int
    size: int
    first: float
    newest: float
    parts: bytes


def run_mark(run: str, begun: str) -> bytes:
    """Identifies a run in the broker's kept answers: `MARK_BYTES` bytes."""
    return hashlib.blake2b(repr((run, begun)).encode(), digest_size=MARK_BYTES).digest()


class AnswersInBroker:
    """Asks for answers, and keeps them, for one run. What raises is as with `Connection`.

    Args:
        run: see `run_mark`.
        expiry: seconds until what is not used expires.
    """

    def __init__(self, connection: Connection, run: bytes, expiry: float) -> None:
        self._connection = connection
        self._run = run
        self._expiry_ms = round(expiry * 1000)

    def find(self, wanted: Sequence[tuple[bytes, bytes, int]]) -> list[HeldAnswer | None]:
        """Answers to requests for places, each (request, claimant, attempt), in one round trip."""
        calls = [Call("find_answer", self._keys(one[0]), self._arguments(*one)) for one in wanted]
        replies = self._connection.batch(calls)
        raise_first(replies)
        return [
            HeldAnswer(Number(request, int(reply[0]), reply[1].decode()), bool(reply[2]), reply[3]) if reply else None
            for (request, _, _), reply in zip(wanted, replies, strict=True)
        ]

    def keep(self, new: Sequence[NewAnswer]) -> tuple[list[Number], int]:
        """Keeps answers in one round trip; a repeated call keeps none twice. Returns also how many bytes all take."""
        replies = self._connection.batch([self._call(one) for one in new])
        raise_first(replies)
        numbers = [
            Number(one.request, int(reply[0]), reply[1].decode()) for one, reply in zip(new, replies, strict=True)
        ]
        return numbers, int(replies[-1][2]) if replies else 0

    def reject(self, numbers: Sequence[Number], *, damaged: bool = False) -> None:
        """No row could keep these; damaged ones are removed."""
        raise_first(
            self._connection.batch(
                [
                    Call(
                        "reject_answer",
                        [_KEYS.request(one.request)],
                        [one.number, one.generation, "1" if damaged else "0"],
                    )
                    for one in numbers
                ]
            )
        )

    def _keys(self, request: bytes) -> list[str]:
        return [_KEYS.request(request), _KEYS.claims(self._run, request), _KEYS.used, _KEYS.sizes]

    def _arguments(self, request: bytes, claimant: bytes, attempt: int) -> list[str | bytes | int | float]:
        now, expiry = round(time.time() * 1000), self._expiry_ms
        return [claimant, request, attempt, now, expiry, BYTES_OF_CLAIM, expiry + _LONGER_MS]

    def _call(self, new: NewAnswer) -> Call:
        beside = BYTES_OF_REQUEST + len(new.parts) + len(new.model)
        arguments = self._arguments(new.request, new.claimant, new.attempt)
        arguments += [len(new.data), beside, new.data, secrets.token_hex(4), new.model, new.parts]
        return Call("keep_answer", self._keys(new.request), arguments)


class AnswersOfBroker:
    """All kept answers of a broker, for those who look after them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def total(self) -> int:
        """About how many bytes all take."""
        return int(self._connection.command("HGET", _KEYS.sizes, "total") or 0)

    def most(self, budget: int) -> int:
        """The bytes that they may take: the budget, and no more than a share of a limited memory."""
        limit = self._connection.facts().maxmemory
        return min(budget, limit // SHARE_OF_MEMORY) if limit else budget

    def requests(self) -> Iterator[HeldRequest]:
        """All that have answers."""
        first = 0
        while keys := self._connection.command("ZRANGE", _KEYS.used, first, first + _AT_A_TIME - 1):
            first += len(keys)
            of_requests = [key for key in keys if key.startswith(_KEYS.request(b"").encode())]
            if not of_requests:
                continue
            fields = ("model", "last", "rejected", "first", "newest", "parts")
            found = self._connection.batch([("HMGET", key, *fields) for key in of_requests])
            raise_first(found)
            sizes = self._connection.command("HMGET", _KEYS.sizes, *of_requests)
            for (model, last, rejected, begun, newest, parts), size in zip(found, sizes, strict=True):
                if last is not None:
                    name, (made, ended) = (model or b"").decode(errors="replace"), map(_seconds, (begun, newest))
                    yield HeldRequest(name, int(last), int(rejected or 0), int(size or 0), made, ended, parts or b"{}")

    def keep_within(self, budget: int) -> int:
        """Deletes what was not used for the longest time if all take more; returns how many answers."""
        deleted, total = 0, self.total()
        if total <= budget:
            return 0
        while total > budget * _ROOM and (oldest := self._oldest()):
            evicted, total = self._evict(oldest)
            deleted += evicted
        return deleted

    def delete_unused(self, moment: float) -> int:
        """Deletes what was not used since a moment, in seconds since 1970; returns how many answers."""
        deleted = 0
        while oldest := self._oldest(moment):
            deleted += self._evict(oldest)[0]
        return deleted

    def _oldest(self, moment: float | None = None) -> list[tuple[bytes, float]]:
        """(key, when it was last used in ms)."""
        until = "+inf" if moment is None else f"{moment * 1000:.0f}"
        found = self._connection.command(
            "ZRANGE", _KEYS.used, "-inf", until, "BYSCORE", "LIMIT", 0, _AT_A_TIME, "WITHSCORES"
        )
        return [(key, float(score)) for key, score in zip(found[::2], found[1::2], strict=True)]

    def _evict(self, oldest: Sequence[tuple[bytes, float]]) -> tuple[int, int]:
        newest = max(score for _, score in oldest)
        keys: list[str | bytes] = [_KEYS.used, _KEYS.sizes, *(key for key, _ in oldest)]
        deleted, total = self._connection.call("evict_answers", keys, f"{newest:.0f}")
        return int(deleted), int(total)


def _seconds(milliseconds: bytes | None) -> float:
    return int(milliseconds or 0) / 1000
