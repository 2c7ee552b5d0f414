"""Whatever workers and a coordinator do, in whatever order: every batch waits or is done, never both or none."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from common.broker.commits import Done
from common.broker.control import Tick
from common.broker.inbox import Taken
from common.protocol.batch import Payload, Result
from common.protocol.wire import decode_batch
from tests.support.runs.broker import Run, Worker, batch, done

WORKERS = ("w0", "w1", "w2")
names = st.sampled_from(WORKERS)
counts = st.integers(1, 4)


class Protocol(RuleBasedStateMachine):
    """Workers of step `a` that take, commit, repeat themselves, die, claim, hand back and leave."""

    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.run = Run(self.url)
        self.workers: dict[str, Worker] = {name: self.run.worker(name) for name in WORKERS}
        self.alive = set(WORKERS)
        self.sent = 0
        self.attempts: Counter[int] = Counter()
        self.hands: dict[str, dict[str, Taken]] = {name: {} for name in WORKERS}
        """What each worker believes to have in hand; the broker may know better."""
        self.owner: dict[str, str] = {}
        self.deliveries: Counter[tuple[int, int]] = Counter()
        self.committed: list[tuple[str, Done]] = []

    @rule(count=counts, repeated=st.integers(0, 3))
    def dispatch(self, count: int, repeated: int) -> None:
        first = max(0, self.sent - repeated)
        self.run.dispatch(*(batch(seq) for seq in range(first, self.sent + count)))
        self.sent += count

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), times=st.integers(1, 2))
    def redo(self, data: st.DataObject, times: int) -> None:
        seq = data.draw(st.integers(0, self.sent - 1))
        self.attempts[seq] += 1
        for _ in range(times):
            self.run.control.tick(Tick(redo=[batch(seq, self.attempts[seq])]))

    @rule(name=names, count=counts)
    def read(self, name: str, count: int) -> None:
        self.hold(name, self.workers[name].inbox.read(count, 0))

    @rule(name=names, of=names, count=counts)
    def claim(self, name: str, of: str, count: int) -> None:
        claimed = self.workers[name].inbox.claim(of, count)
        assert not claimed or of not in self.alive
        self.hold(name, claimed)

    def hold(self, name: str, taken: list[Taken]) -> None:
        for one in taken:
            self.hands[name][one.entry] = one
            self.owner[one.entry] = name
            self.deliveries[identity(one)] += 1
            assert one.deliveries == self.deliveries[identity(one)]

    @rule(name=names)
    def look(self, name: str) -> None:
        """A reply may have been lost: what the broker says is pending is what this worker has."""
        mine = {entry for entry, owner in self.owner.items() if owner == name}
        found = self.workers[name].inbox.pending()
        assert {one.entry for one in found} == mine
        assert all(one.deliveries == self.deliveries[identity(one)] for one in found)
        self.hands[name] = {one.entry: one for one in found}

    @rule(name=names, count=counts)
    def claim_handed_back(self, name: str, count: int) -> None:
        self.hold(name, self.workers[name].inbox.claim_handed_back(count))

    @rule(name=names, data=st.data())
    def commit(self, name: str, data: st.DataObject) -> None:
        if not self.hands[name]:
            return
        some = data.draw(st.lists(st.sampled_from(sorted(self.hands[name])), min_size=1, max_size=3))
        ready = [done(self.hands[name][entry], name.encode()) for entry in some]
        for entry, one, landed in zip(some, ready, self.workers[name].commits.commit(ready), strict=True):
            assert landed == (self.owner.get(entry) == name)
            if landed:
                del self.owner[entry]
            self.committed.append((name, one))

    @precondition(lambda self: self.committed)
    @rule(data=st.data())
    def commit_again(self, data: st.DataObject) -> None:
        name, one = data.draw(st.sampled_from(self.committed))
        if self.owner.get(one.taken.entry) != name:
            assert self.workers[name].commits.commit([one]) == [False]

    @rule(name=names, data=st.data(), times=st.integers(1, 2))
    def hand_back(self, name: str, data: st.DataObject, times: int) -> None:
        if not self.hands[name]:
            return
        some = data.draw(st.sets(st.sampled_from(sorted(self.hands[name])), min_size=1))
        taken = [self.hands[name].pop(entry) for entry in some]
        for _ in range(times):
            self.workers[name].inbox.hand_back(taken)
        for one in taken:
            if self.owner.get(one.entry) == name:
                del self.owner[one.entry]
                self.deliveries[identity(one)] -= 1

    @rule(name=names)
    def fall_silent(self, name: str) -> None:
        """The worker may continue nevertheless: it was suspended, or is disconnected."""
        self.run.die(self.workers[name])
        self.alive.discard(name)

    @rule(name=names)
    def come_back(self, name: str) -> None:
        self.workers[name].membership.join({"step": "a"})
        self.alive.add(name)

    @rule(name=names)
    def leave(self, name: str) -> None:
        self.workers[name].membership.leave()
        self.alive.discard(name)

    @rule()
    def take_over(self) -> None:
        self.run.control.take_over()

    @invariant()
    def every_batch_is_either_waiting_or_done(self) -> None:
        waiting = Counter(
            (found.seq, found.attempt)
            for _, fields in self.run.connection.command("XRANGE", self.run.keys.inputs("a"), "-", "+")
            for found in [decode_batch("a", fields[b"m"])]
        )
        results = Counter((one.seq, one.attempt) for one in self.run.journal() if isinstance(one, Result))
        sent = {(seq, 0) for seq in range(self.sent)}
        sent |= {(seq, attempt) for seq, last in self.attempts.items() for attempt in range(1, last + 1)}
        assert waiting + results == Counter(sent)
        payloads = [Payload("a", seq, attempt) for seq, attempt in sorted(sent)]
        assert self.run.stored(*payloads) == [results[one.seq, one.attempt] == 1 for one in payloads]

    @invariant()
    def an_entry_has_the_owner_that_it_should_have(self) -> None:
        assert self.run.pending() == self.owner


def identity(taken: Taken) -> tuple[int, int]:
    return taken.batch.seq, taken.batch.attempt


@pytest.mark.timeout(300)
def test_whatever_happens_every_batch_is_done_once(redis_url: str) -> None:
    class AtThisBroker(Protocol):
        url = redis_url

    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        AtThisBroker,
        settings=settings(
            max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
