"""Keeping answers and looking for them outside an event loop, in a file or in a broker."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.llms.answers.answers_file import answers_file
from common.llms.answers.broker_store import BrokerAnswerStore
from common.llms.answers.kept import Answers, Found, Kept, Place
from common.llms.answers.request_key import KEY_BYTES, Family, request_key
from common.llms.answers.store import AnswerStore

FAMILY = Family("/chat/completions", "m")
BUDGET = 1 << 30
EXPIRY = 86_400.0

_LOOP = asyncio.Runner()


def request(prompt: str, **options: object) -> dict[str, object]:
    return {"model": "m", "messages": [{"role": "user", "content": prompt}], **options}


def key(prompt: str, **options: object) -> bytes:
    return request_key(FAMILY, request(prompt, **options))


def place(name: str, attempt: int = 0) -> Place:
    return Place(hashlib.blake2b(name.encode(), digest_size=KEY_BYTES).digest(), attempt)


def store_at(where: str | Path, run: str = "run", budget: int = BUDGET, expiry: float = EXPIRY) -> Answers:
    """The store of a worker in the broker at a URL, or in the file of a folder."""
    if "://" in str(where):
        return BrokerAnswerStore(str(where), run, "begun", budget, expiry)
    return AnswerStore(answers_file(Path(where)), run, "begun", budget)


@contextmanager
def opened(where: str | Path, run: str = "run", budget: int = BUDGET, expiry: float = EXPIRY) -> Iterator[Answers]:
    """The store of a worker that ends."""
    store = store_at(where, run, budget, expiry)
    try:
        yield store
    finally:
        store.close()


def look(store: Answers, key: bytes, place: Place) -> Found | None:
    """What the store finds."""
    return _LOOP.run(store.find(key, place))


def reply(found: Found | None) -> str | None:
    """Its text."""
    return found.reply.decode() if found is not None else None


def found(store: Answers, prompt: str, where: str, attempt: int = 0) -> str | None:
    """The answer to a prompt that the store finds for a place."""
    return reply(look(store, key(prompt), place(where, attempt)))


def put(store: Answers, prompt: str, where: str, text: str, attempt: int = 0) -> Kept:
    """Keeps an answer whatever the store has."""
    return store.keep(key(prompt), place(where, attempt), FAMILY, request(prompt), text.encode())


def keep(store: Answers, prompt: str, where: str, text: str, attempt: int = 0) -> Kept:
    """Asks in vain, and keeps the answer."""
    assert found(store, prompt, where, attempt) is None
    return put(store, prompt, where, text, attempt)
