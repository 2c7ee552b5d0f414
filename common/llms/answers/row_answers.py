"""Which answers a row has: how the call path finds those of the row in progress, without knowing runners and steps."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from weakref import ref

from common.llms.answers.kept import Answers, Found, Kept, Place
from common.llms.answers.request_key import KEY_BYTES, Family, request_key
from common.process.forks import forks_so_far


@dataclass(slots=True)
class _Branch:
    """The calls with one request that one task of a row makes: samples are asked for in tasks of their own.

    Args:
        taken: the numbers of its calls that were answered or are in flight.
    """

    task: ref[asyncio.Task[Any]]
    taken: set[int] = field(default_factory=set)

    @property
    def is_free(self) -> bool:
        """Whether its task has ended without an answer, so that another one may have its places."""
        return not self.taken and ((task := self.task()) is None or task.done())


class RowAnswers:
    """The answers of one row, over all its attempts.

    A place in it is a request, a branch and a number: the n-th answer to the request in that branch. A call that failed
    takes no number, so a row that runs again finds each answer in its place.

    Args:
        row: identifies the row: run and when it was begun, step, batch, place in the batch.
        attempt: how often a halted run was resumed with the batch.
    """

    def __init__(self, store: Answers, row: tuple[str, str, str, int, int], attempt: int) -> None:
        self.store = store
        self._run = row[:2]
        self._row = repr(row).encode()
        self._attempt = attempt
        self._forks = forks_so_far()
        self._asked: defaultdict[bytes, list[_Branch]] = defaultdict(list)

    @property
    def is_in_a_child(self) -> bool:
        """Whether a step has forked: neither the threads nor the file of the store are for its children."""
        return forks_so_far() != self._forks

    def take_place(self, key: bytes) -> tuple[Place, set[int], int]:
        """The place of the next answer to a request: (place, taken numbers of its branch, its own number)."""
        branch, taken = self._branch(self._asked[key])
        number = _first_free(taken)
        taken.add(number)
        return self._place(key, branch, number), taken, number

    def shared_place(self, key: bytes) -> Place:
        """The place that all rows of the run share, for a request whose answer depends on it alone."""
        run = repr(self._run).encode()
        return Place(hashlib.blake2b(run, digest_size=KEY_BYTES, key=key, person=b"shared").digest())

    @property
    def mark(self) -> str:
        """Identifies the row."""
        return hashlib.blake2b(self._row, digest_size=KEY_BYTES).hexdigest()

    def find_again(self) -> None:
        """The row is tried again for a reason that lies in no answer: it gets the same ones."""
        self._asked.clear()

    def _place(self, key: bytes, branch: int, number: int) -> Place:
        hashed = hashlib.blake2b(self._row, digest_size=KEY_BYTES, key=key)
        hashed.update(b"%d.%d" % (branch, number))
        return Place(hashed.digest(), self._attempt)

    def _branch(self, branches: list[_Branch]) -> tuple[int, set[int]]:
        task = asyncio.current_task()
        assert task is not None
        mine = ref(task)
        for number, branch in enumerate(branches):
            if branch.task == mine:
                return number, branch.taken
        for number, branch in enumerate(branches):
            if branch.is_free:
                branch.task = mine
                return number, branch.taken
        branches.append(_Branch(mine))
        return len(branches) - 1, branches[-1].taken


class BatchAnswers(RowAnswers):
    """The answers of a batch of a step that asks for those of all its rows in one call, in any tasks or threads.

    The n-th answer to a request in the batch has the n-th place. The places of a call that failed may be given back:
    the calls for parts of the batch take them again, in the order of its rows.
    """

    def __init__(self, store: Answers, row: tuple[str, str, str, int, int], attempt: int) -> None:
        super().__init__(store, row, attempt)
        self._taken: defaultdict[bytes, set[int]] = defaultdict(set)
        self._of_this_call: list[tuple[set[int], int]] = []
        self._lock = threading.Lock()

    def begin_call(self) -> None:
        """What was taken so far is kept."""
        self._of_this_call.clear()

    def give_back(self) -> None:
        """The places that were taken since `begin_call` are free again."""
        with self._lock:
            for taken, number in self._of_this_call:
                taken.discard(number)
            self._of_this_call.clear()

    def take_place(self, key: bytes) -> tuple[Place, set[int], int]:
        """See `RowAnswers`."""
        with self._lock:
            taken = self._taken[key]
            number = _first_free(taken)
            taken.add(number)
            self._of_this_call.append((taken, number))
        return self._place(key, 0, number), taken, number


@dataclass(slots=True)
class Used:
    """The answers that were used for one purpose, such as one generation of a row."""

    _kept: list[tuple[Answers, Kept]] = field(default_factory=list)

    def note(self, store: Answers, kept: Kept) -> None:
        """One more."""
        self._kept.append((store, kept))

    def reject(self) -> None:
        """No row can keep what came of them: they are given to no other row, run or sample."""
        for store, kept in self._kept:
            store.reject(kept)


class Question:
    """One call of a row, before it is sent."""

    def __init__(self, row: RowAnswers, family: Family, request: Mapping[str, Any]) -> None:
        self._row = row
        self._family = family
        self._request = request
        self._key = request_key(family, request)
        self._place, self._taken, self._number = row.take_place(self._key)
        self._kept: Kept | None = None

    async def find(self) -> Found | None:
        """The answer, if it was paid for before."""
        found = await self._row.store.find(self._key, self._place)
        if found is not None:
            self._note(found.kept)
        return found

    def keep(self, reply: bytes) -> None:
        """The answer has come; JSON."""
        self._note(self._row.store.keep(self._key, self._place, self._family, self._request, reply))

    def failed(self) -> None:
        """No answer has come."""
        self._taken.discard(self._number)

    def reject(self) -> None:
        """The answer is none."""
        if self._kept is not None:
            self._row.store.reject(self._kept)

    def _note(self, kept: Kept) -> None:
        self._kept = kept
        if (used := _USED.get()) is not None:
            used.note(self._row.store, kept)


class SharedQuestion:
    """A request whose answer depends on it alone, as the vector of a text does: one is enough for a whole run.

    Attributes:
        row_mark: of the row that asks.
    """

    def __init__(self, row: RowAnswers, row_mark: str, family: Family, request: Mapping[str, Any]) -> None:
        self.key = request_key(family, request)
        self.row_mark = row_mark
        self._row = row
        self._family = family
        self._request = request

    async def find(self) -> Found | None:
        """The answer, if it was paid for before."""
        return await self._row.store.find(self.key, self._row.shared_place(self.key))

    def keep(self, reply: bytes) -> None:
        """The answer has come; JSON."""
        self._row.store.keep(self.key, self._row.shared_place(self.key), self._family, self._request, reply)


def _first_free(taken: set[int]) -> int:
    number = 0
    while number in taken:
        number += 1
    return number


_ROW: ContextVar[RowAnswers | None] = ContextVar("penstock_row_answers", default=None)
_USED: ContextVar[Used | None] = ContextVar("penstock_used_answers", default=None)


def use_answers(answers: RowAnswers | None) -> None:
    """Makes them those of the row that the current task runs, and of the tasks that it starts."""
    _ROW.set(answers)


def question(family: Family, request: Mapping[str, Any]) -> Question | None:
    """A call of the row in progress; None outside a pipeline, in a child of a step, and where answers are not kept."""
    row = _ROW.get()
    return Question(row, family, request) if row is not None and not row.is_in_a_child else None


def shared_questions(family: Family, requests: Iterable[Mapping[str, Any]]) -> list[SharedQuestion] | None:
    """Requests of the row in progress; None as with `question`."""
    row = _ROW.get()
    if row is None or row.is_in_a_child:
        return None
    mark = row.mark
    return [SharedQuestion(row, mark, family, request) for request in requests]


def note_used() -> Used:
    """Notes the answers that the current task uses from now on, and the tasks that it starts."""
    used = Used()
    _USED.set(used)
    return used
