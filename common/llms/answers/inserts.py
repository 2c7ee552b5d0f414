"""New answers go into the file together: one statement for all of them, during which the event loop runs on.

A statement for each would take Python's lock from the event loop and give it back as often.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from common.llms.answers.kept import Found, Kept, Place
from common.llms.answers.request_key import KEY_BYTES, Family, parts_of
from common.llms.answers.values import DIGEST_BYTES, Values

_LAST = """
SELECT max(coalesce((SELECT max(id) FROM answers), 0), coalesce((SELECT max(answer) FROM claims WHERE run = ?), 0))
"""
"""No number that a claim of the run still has, though its answer was deleted."""
_MODEL, _ATTEMPT = "json_extract(value, '$[0]')", "json_extract(value, '$[1]')"
_PARTS, _REPLY = (f"json_extract(value, '$[{at}]'), json_extract(value, '$[{at + 1}]')" for at in (2, 4))
_ANSWERS = f"""
INSERT INTO answers (id, request, run, made, rejected, model, parts, digest, reply)
SELECT :first + key, substr(:requests, key * {KEY_BYTES} + 1, {KEY_BYTES}), :run, :made, 0, {_MODEL},
       substr(:parts, {_PARTS}), substr(:digests, key * {DIGEST_BYTES} + 1, {DIGEST_BYTES}), substr(:replies, {_REPLY})
FROM json_each(:each)
"""
_CLAIMS = f"""
INSERT INTO claims (claimant, run, answer, attempt)
SELECT substr(:claimants, key * {KEY_BYTES} + 1, {KEY_BYTES}), :run, :first + key, {_ATTEMPT}
FROM json_each(:each) WHERE true
ON CONFLICT (claimant) DO UPDATE SET answer = excluded.answer, attempt = excluded.attempt
WHERE excluded.attempt > attempt
"""
"""If two workers have asked for the same place, the first one's answer stays in it."""


@dataclass(frozen=True, slots=True)
class New:
    """An answer that is not in the file yet."""

    key: bytes
    place: Place
    family: Family
    request: Mapping[str, Any]
    reply: bytes
    kept: Kept = field(default_factory=Kept)

    def found_by(self, place: Place) -> Found | None:
        """What its place finds: nothing once it was rejected and the run was resumed."""
        is_over = self.kept.rejected and self.place.attempt != place.attempt
        return None if is_over else Found(self.reply, True, self.kept)


def insert(connection: sqlite3.Connection, run: int, news: Sequence[New], values: Values) -> None:
    """Keeps answers, each for its place; call it in a transaction.

    Args:
        run: its number in the file.
    """
    replies = values.pack([new.reply for new in news])
    parts = [orjson.dumps(parts_of(new.family, new.request)) for new in news]
    each, part_at, reply_at = [], 1, 1
    for new, part, (_, reply) in zip(news, parts, replies, strict=True):
        each.append((new.family.model, new.place.attempt, part_at, len(part), reply_at, len(reply)))
        part_at += len(part)
        reply_at += len(reply)
    (last,) = connection.execute(_LAST, (run,)).fetchone()
    bound = {
        "first": last + 1,
        "run": run,
        "made": int(time.time()),
        "each": orjson.dumps(each).decode(),
        "requests": b"".join(new.key for new in news),
        "claimants": b"".join(new.place.claimant for new in news),
        "parts": b"".join(parts),
        "digests": b"".join(digest for digest, _ in replies),
        "replies": b"".join(reply for _, reply in replies),
    }
    connection.execute(_ANSWERS, bound)
    connection.execute(_CLAIMS, bound)
    for number, new in enumerate(news, last + 1):
        new.kept.id = number
