"""What a worker does to the broker, script by script: commit, take, leave, isolation."""

from __future__ import annotations

import threading
from itertools import pairwise

import pytest

from common.broker.commits import Done
from common.broker.inbox import Taken
from common.broker.membership import EXIT_SECONDS
from common.broker.runs import RunRegistry
from common.errors import Disconnected
from common.protocol.batch import Failure, Payload, Result
from common.protocol.keys import GROUP
from tests.support.runs.broker import Run, Worker, batch, done, letter, lose, take, unchanged
from tests.support.servers.proxy import Proxy

# commit


def test_a_commit_acknowledges_stores_journals_and_keeps_the_dead_letters(run: Run) -> None:
    run.dispatch(batch(0))
    worker = run.worker("w1")
    (taken,) = take(worker)
    worker.isolation.note(taken, running=0)
    assert worker.commits.commit([done(taken, b"rows", (letter(), letter()), taken=10, failed=2)]) == [True]
    assert (run.waiting(), run.pending()) == (0, {})
    assert run.connection.command("GET", run.keys.payload("a", 0, 0)) == b"rows"
    assert run.journal() == [Result("a", 0, 0, taken=10, failed=2, worker="w")]
    assert run.reports.letters()[0] == [letter(), letter()]
    assert worker.isolation.read(batch(0)) == {}


def test_a_commit_without_rows_stores_no_payload(run: Run) -> None:
    run.dispatch(batch(0))
    worker = run.worker("w1")
    assert worker.commits.commit([done(take(worker)[0], None)]) == [True]
    assert run.stored(Payload("a", 0)) == [False]
    assert len(run.journal()) == 1


def test_a_commit_lands_once(run: Run) -> None:
    run.dispatch(batch(0))
    worker = run.worker("w1")
    one = done(*take(worker), letters=(letter(),))
    assert worker.commits.commit([one, one]) == [True, False]
    assert unchanged(run, lambda: worker.commits.commit([one])) == [False]


def test_of_a_batch_that_was_delivered_twice_the_first_payload_stays(run: Run) -> None:
    run.dispatch(batch(0))
    (_, fields), *_ = run.connection.command("XRANGE", run.keys.inputs("a"), "-", "+")
    run.connection.command("XADD", run.keys.inputs("a"), "*", "m", fields[b"m"])
    worker = run.worker("w1")
    first, second = take(worker, 2)
    assert worker.commits.commit([done(first, b"first"), done(second, b"second")]) == [True, True]
    assert worker.payloads.read([Payload("a", 0)]) == [b"first"]


def test_a_commit_of_an_entry_that_is_another_workers_writes_nothing_at_all(run: Run) -> None:
    run.dispatch(batch(0))
    first, second, stranger = run.worker("w1"), run.worker("w2"), run.worker("w3")
    (taken,) = take(first)
    late = done(taken, b"late", (letter(),))
    assert unchanged(run, lambda: stranger.commits.commit([late])) == [False]
    run.die(first)
    (claimed,) = second.inbox.claim("w1", 5)
    assert unchanged(run, lambda: first.commits.commit([late])) == [False]
    assert second.commits.commit([done(claimed, b"mine")]) == [True]
    assert unchanged(run, lambda: first.commits.commit([late])) == [False]
    assert run.connection.command("GET", run.keys.payload("a", 0, 0)) == b"mine"


def test_a_commit_of_an_entry_that_was_handed_back_writes_nothing(run: Run) -> None:
    run.dispatch(batch(0))
    worker = run.worker("w1")
    (taken,) = take(worker)
    worker.inbox.hand_back([taken])
    assert unchanged(run, lambda: worker.commits.commit([done(taken)])) == [False]
    (again,) = run.worker("w2").inbox.claim_handed_back(5)
    assert unchanged(run, lambda: worker.commits.commit([done(taken)])) == [False]
    assert run.worker("w2").commits.commit([done(again)]) == [True]


def test_of_several_commits_in_one_round_trip_each_stands_alone(run: Run) -> None:
    run.dispatch(*map(batch, range(3)))
    worker, other = run.worker("w1"), run.worker("w2")
    first, second, third = take(worker, 3)
    run.die(worker)
    assert [one.entry for one in other.inbox.claim("w1", 1)] == [first.entry]
    assert worker.commits.commit([done(first), done(second), done(third)]) == [False, True, True]
    assert [entry.seq for entry in run.journal() if isinstance(entry, Result)] == [1, 2]


def test_a_commit_whose_reply_was_lost_is_a_no_op_the_second_time(run: Run, proxy: Proxy) -> None:
    run.dispatch(*map(batch, range(3)))
    worker = run.worker("w1", url=proxy.url)
    ready = [done(taken, letters=(letter(taken.batch.seq),)) for taken in take(worker, 3)]
    lose(proxy, "commit", lambda: worker.commits.commit(ready))
    assert unchanged(run, lambda: worker.commits.commit(ready)) == [False, False, False]
    assert [entry.seq for entry in run.journal() if isinstance(entry, Result)] == [0, 1, 2]
    assert len(run.reports.letters()[0]) == 3


def test_a_failure_is_committed_like_a_result(run: Run) -> None:
    run.dispatch(batch(0))
    worker = run.worker("w1")
    (taken,) = take(worker)
    failure = Failure("a", 0, 0, "ValueError: no", "w1")
    assert worker.commits.commit([Done(taken, failure)]) == [True]
    assert unchanged(run, lambda: worker.commits.commit([Done(taken, failure)])) == [False]
    assert run.journal() == [failure]


# take


def test_a_read_whose_reply_was_lost_leaves_the_entries_pending_for_the_worker_alone(run: Run, proxy: Proxy) -> None:
    run.dispatch(*map(batch, range(3)))
    worker, other = run.worker("w1", url=proxy.url), run.worker("w2")
    proxy.lose_reply(b"XREADGROUP")
    with pytest.raises(Disconnected):
        worker.inbox.read(2, 0)
    assert [taken.batch.seq for taken in other.inbox.read(5, 0)] == [2]
    assert [taken.batch for taken in worker.inbox.pending()] == [batch(0), batch(1)]
    assert worker.commits.commit([done(taken) for taken in worker.inbox.pending()]) == [True, True]


def test_a_claim_takes_only_from_a_worker_without_a_lease(run: Run) -> None:
    run.dispatch(*map(batch, range(3)))
    owner, other = run.worker("w1"), run.worker("w2")
    taken = take(owner, 3)
    assert other.inbox.silent_workers() == {}
    assert unchanged(run, lambda: other.inbox.claim("w1", 5)) == []
    run.die(owner)
    assert other.inbox.silent_workers() == {"w1": 3}
    assert [one.batch.seq for one in other.inbox.claim("w1", 2)] == [0, 1]
    assert set(run.pending().values()) == {"w1", "w2"}
    assert other.inbox.silent_workers() == {"w1": 1}
    assert [one.entry for one in owner.inbox.pending()] == [taken[2].entry]
    assert unchanged(run, lambda: other.inbox.claim("nobody", 5)) == []


def test_two_workers_that_claim_at_once_do_not_both_get_an_entry(run: Run) -> None:
    run.dispatch(*map(batch, range(20)))
    owner = run.worker("w0")
    take(owner, 20)
    run.die(owner)
    claimed: dict[str, list[Taken]] = {}
    rivals = [run.worker(f"w{number}") for number in range(1, 5)]

    def claim(rival: Worker) -> None:
        claimed[rival.worker_id] = rival.inbox.claim("w0", 20)

    threads = [threading.Thread(target=claim, args=(rival,)) for rival in rivals]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    got = [one.entry for some in claimed.values() for one in some]
    assert len(got) == len(set(got)) == 20
    assert run.pending() == {one.entry: worker for worker, some in claimed.items() for one in some}


def test_a_claim_that_comes_after_anothers_takes_nothing(run: Run) -> None:
    """Another worker was faster, after this one saw the batches of a dead worker and before its claim."""
    run.dispatch(batch(0))
    owner, fast = run.worker("w1"), run.worker("w2")
    (taken,) = take(owner)
    run.die(owner)
    assert len(fast.inbox.claim("w1", 5)) == 1
    late = [run.keys.inputs("a"), run.keys.worker("w1")], GROUP, "w3", "w1", taken.entry
    assert unchanged(run, lambda: run.connection.call("claim", *late)) == []
    assert run.pending() == {taken.entry: "w2"}


def test_a_claim_counts_deliveries(run: Run) -> None:
    run.dispatch(batch(0))
    workers = [run.worker(f"w{number}") for number in range(4)]
    (taken,) = take(workers[0])
    deliveries = [taken.deliveries]
    for last, worker in pairwise(workers):
        run.die(last)
        (claimed,) = worker.inbox.claim(last.worker_id, 5)
        assert claimed.batch == batch(0)
        deliveries.append(claimed.deliveries)
    assert deliveries == [1, 2, 3, 4]


def test_to_look_at_what_is_pending_is_no_delivery(run: Run) -> None:
    """A worker looks every half lease: a batch that takes long must not look like one that kills."""
    run.dispatch(batch(0), batch(1))
    worker, other = run.worker("w1"), run.worker("w2")
    first, second = take(worker, 2)
    for _ in range(5):
        assert worker.inbox.pending() == [first, second]
    assert worker.inbox.pending([first.entry]) == [second]
    worker.inbox.hand_back([second])
    run.die(worker)
    (claimed,) = other.inbox.claim("w1", 5)
    assert (claimed.batch, claimed.deliveries) == (first.batch, 2)
    (again,) = other.inbox.claim_handed_back(5)
    assert (again.batch, again.deliveries) == (second.batch, 1)


def test_a_claim_whose_reply_was_lost_is_found_among_what_is_pending(run: Run, proxy: Proxy) -> None:
    run.dispatch(batch(0))
    owner, other = run.worker("w1"), run.worker("w2", url=proxy.url)
    take(owner)
    run.die(owner)
    lose(proxy, "claim", lambda: other.inbox.claim("w1", 5))
    assert other.inbox.claim("w1", 5) == []
    (found,) = other.inbox.pending()
    assert found.batch == batch(0)
    assert found.deliveries == 2, "the worker before it died on the batch"
    assert other.commits.commit([done(found)]) == [True]


def test_an_entry_that_was_done_meanwhile_is_not_claimed(run: Run) -> None:
    run.dispatch(batch(0), batch(1))
    owner, other = run.worker("w1"), run.worker("w2")
    first, second = take(owner, 2)
    run.die(owner)
    owner.commits.commit([done(first)])
    assert [one.entry for one in other.inbox.claim("w1", 5)] == [second.entry]


def test_what_is_handed_back_goes_to_whoever_claims_it_next_and_keeps_its_deliveries(run: Run) -> None:
    run.dispatch(batch(0))
    dead, patient, third = run.worker("w1"), run.worker("w2"), run.worker("w3")
    take(dead)
    run.die(dead)
    (claimed,) = patient.inbox.claim("w1", 1)
    assert claimed.deliveries == 2
    for _ in range(3):  # handing back an unstarted batch is not a delivery
        patient.inbox.hand_back([claimed])
        assert (run.pending(), patient.inbox.silent_workers()) == ({}, {})
        (claimed,) = patient.inbox.claim_handed_back(5)
        assert (claimed.batch, claimed.deliveries) == (batch(0), 2)
    run.die(patient)
    (last,) = third.inbox.claim("w2", 1)
    assert last.deliveries == 3


def test_only_the_owner_hands_back_and_only_once(run: Run) -> None:
    run.dispatch(*map(batch, range(2)))
    worker, other = run.worker("w1"), run.worker("w2")
    taken = take(worker, 2)
    unchanged(run, lambda: other.inbox.hand_back(taken))
    worker.inbox.hand_back(taken)
    unchanged(run, lambda: worker.inbox.hand_back(taken))
    assert [one.batch.seq for one in other.inbox.claim_handed_back(10)] == [0, 1]


def test_what_is_handed_back_with_a_lost_reply_is_there_once(run: Run, proxy: Proxy) -> None:
    run.dispatch(*map(batch, range(2)))
    worker, other = run.worker("w1", url=proxy.url), run.worker("w2")
    taken = take(worker, 2)
    lose(proxy, "hand_back", lambda: worker.inbox.hand_back(taken))
    unchanged(run, lambda: worker.inbox.hand_back(taken))
    assert [one.batch.seq for one in other.inbox.claim_handed_back(10)] == [0, 1]


def test_reclaim_gives_back_what_dead_workers_had(run: Run) -> None:
    """They died with their coordinator, which does not count as a delivery; an earlier death at the batch does."""
    run.dispatch(*map(batch, range(5)))
    dead, first, second = run.worker("w0"), run.worker("w1"), run.worker("w2")
    take(dead)
    run.die(dead)
    assert len(first.inbox.claim("w0", 5)) == 1
    take(first, 2), take(second, 2)
    assert run.control.in_hand(run.steps) == 5
    run.die(first)
    assert run.control.in_hand(run.steps) == 2, "of live workers"
    assert [run.control.reclaim(run.steps) for _ in range(2)] == [5, 0]
    assert run.pending() == {}
    taken = run.worker("w3").inbox.claim_handed_back(10)
    assert [(one.batch.seq, one.deliveries) for one in taken] == [(0, 2), (1, 1), (2, 1), (3, 1), (4, 1)]


# leave


def test_a_worker_that_leaves_is_gone_with_its_lease(run: Run) -> None:
    run.dispatch(batch(0))
    worker = run.worker("w1")
    worker.commits.commit([done(*take(worker))])
    registry = RunRegistry(run.connection)
    assert [record.worker_id for record in registry.workers(run.run_id)] == ["w1"]
    worker.membership.leave()
    worker.membership.leave()
    assert registry.workers(run.run_id) == []
    assert not run.connection.command("EXISTS", run.keys.worker("w1"))
    assert run.connection.command("XINFO", "CONSUMERS", run.keys.inputs("a"), GROUP) == []


def test_a_worker_that_the_broker_has_forgotten_joins_again(run: Run) -> None:
    worker, registry = run.worker("w1"), RunRegistry(run.connection)
    worker.membership.join({"step": "a", "pid": 7, "loaded": True})
    before = registry.workers(run.run_id)
    run.connection.batch([("DEL", run.keys.workers, run.keys.worker("w1")), ("HDEL", run.keys.progress, "loaded:a")])
    worker.membership.stay_known()
    assert registry.workers(run.run_id) == before
    assert registry.loaded_steps(run.run_id, ["a", "b"]) == {"a"}
    assert unchanged(run, worker.membership.stay_known) is None


def test_who_has_left_is_known_until_the_process_may_be_taken_to_have_ended(run: Run) -> None:
    worker = run.worker("w1")
    worker.membership.join({"step": "a", "host": "far", "pid": 4711, "loaded": True})
    registry = RunRegistry(run.connection)
    assert registry.left_workers(run.run_id) == []
    worker.membership.leave()
    (left,) = registry.left_workers(run.run_id)
    assert (left.step, left.host, left.pid, left.loaded, left.alive) == ("a", "far", 4711, True, False)
    assert 0 < run.connection.command("TTL", run.keys.left) <= EXIT_SECONDS


def test_to_leave_never_drops_pending_entries(run: Run) -> None:
    run.dispatch(*map(batch, range(3)))
    worker, other = run.worker("w1"), run.worker("w2")
    taken = take(worker, 3)
    worker.commits.commit([done(taken[0])])
    worker.membership.leave()
    assert sorted(run.pending().values()) == ["w1", "w1"]
    assert [one.batch.seq for one in other.inbox.claim("w1", 5)] == [1, 2]


def test_a_worker_that_leaves_lets_only_its_own_generator_go(run: Run) -> None:
    owner, other = run.worker("w1", "g"), run.worker("w2", "g")
    assert owner.generator.own() is not None
    other.membership.leave()
    assert other.generator.own() is None
    owner.membership.leave()
    assert other.generator.own() is not None


def test_a_worker_may_leave_a_run_that_is_gone(run: Run) -> None:
    worker = run.worker("w1")
    RunRegistry(run.connection).delete(run.run_id)
    worker.membership.leave()
    assert run.everything() == {}


# isolation


def test_notes_of_an_isolated_batch_are_its_owners_alone(run: Run) -> None:
    run.dispatch(batch(0))
    first, second = run.worker("w1"), run.worker("w2")
    (taken,) = take(first)
    assert first.isolation.note(taken, running=3, row2=b"rows")
    run.die(first)
    (claimed,) = second.inbox.claim("w1", 1)
    assert unchanged(run, lambda: first.isolation.note(taken, running=4)) is False
    assert second.isolation.read(claimed.batch) == {"running": b"3", "row2": b"rows"}
    assert second.isolation.read(batch(0, attempt=1)) == {}
    second.commits.commit([done(claimed)])
    assert second.isolation.read(claimed.batch) == {}


# descriptors


def test_what_the_first_worker_says_of_a_step_stays(run: Run) -> None:
    run.control.update(status="starting")
    assert run.worker("w1").notes.describe(b"first") == b"first"
    assert run.worker("w2").notes.describe(b"second") == b"first"
    assert run.control.descriptors(["a", "b"]) == {"a": b"first"}


def test_what_was_forgotten_is_asked_again(run: Run) -> None:
    run.control.update(status="starting")
    worker = run.worker("w1")
    worker.notes.describe(b"first")
    run.control.forget_descriptors(["a"])
    assert run.control.descriptors(["a"]) == {}
    assert worker.notes.describe(b"second") == b"second"


@pytest.mark.parametrize("status", ["running", "failed", "stopped", "complete"])
def test_a_run_that_does_not_wait_takes_no_descriptor(run: Run, status: str) -> None:
    run.control.update(status=status)
    worker = run.worker("w1")
    assert unchanged(run, lambda: worker.notes.describe(b"late")) is None


def test_a_run_that_is_gone_does_not_come_back_with_a_descriptor(run: Run) -> None:
    worker = run.worker("w1")
    RunRegistry(run.connection).delete(run.run_id)
    assert worker.notes.describe(b"late") is None
    assert run.connection.command("EXISTS", run.keys.run) == 0
