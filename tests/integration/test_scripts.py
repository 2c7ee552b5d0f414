"""Each script through its typed wrapper against a real Redis: what it does, to whom it does nothing, and its retry."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest

from common.batch import Batch, Failure, Payload, Reopened, Result, Routed
from common.broker.connection import BrokerFull, Connection, Disconnected
from common.broker.control import Control, Tick
from common.broker.runs import RunRegistry
from common.broker.work import Done, GeneratorState, Taken, WorkQueue
from common.errors import Fenced, PayloadMissing, RunError
from common.keys import GROUP
from common.wire import PROTOCOL
from tests.integration.broker import Run, batch, done, holder, letter, part
from tests.proxy import Proxy
from tests.redis_server import RedisServer


@pytest.fixture
def run(redis_url: str) -> Run:
    return Run(redis_url)


@pytest.fixture
def proxy(redis_url: str, run: Run) -> Iterator[Proxy]:
    """A way to the same broker on which replies get lost."""
    run.load_scripts()
    with Proxy(redis_url) as proxy:
        yield proxy


def take(worker: WorkQueue, count: int = 1) -> list[Taken]:
    taken = worker.read(count, 0)
    assert len(taken) == count
    return taken


def unchanged(run: Run, call: Callable[[], Any]) -> Any:
    """The call's answer; it must not have written anything."""
    before = run.everything()
    answer = call()
    assert run.everything() == before
    return answer


def lose(proxy: Proxy, script: str, call: Callable[[], Any]) -> None:
    """The call runs in the broker and its reply is lost."""
    from common.broker.connection import script_text

    proxy.lose_reply(script_text(script)[1].encode())
    with pytest.raises(Disconnected):
        call()
    assert proxy.lost


# commit


def test_a_commit_acknowledges_stores_journals_and_keeps_the_dead_letters(run: Run) -> None:
    run.dispatch(batch(0))
    worker = run.worker("w1")
    (taken,) = take(worker)
    worker.note(taken, running=0)
    assert worker.commit([done(taken, b"rows", (letter(), letter()), taken=10, failed=2)]) == [True]
    assert (run.waiting(), run.pending()) == (0, {})
    assert run.connection.command("GET", run.keys.payload("a", 0, 0)) == b"rows"
    assert run.journal() == [Result("a", 0, 0, taken=10, failed=2, worker="w")]
    assert run.control.letters()[0] == [letter(), letter()]
    assert worker.isolated(batch(0)) == {}


def test_a_commit_without_rows_stores_no_payload(run: Run) -> None:
    run.dispatch(batch(0))
    worker = run.worker("w1")
    assert worker.commit([done(take(worker)[0], None)]) == [True]
    assert run.stored(Payload("a", 0)) == [False]
    assert len(run.journal()) == 1


def test_a_commit_lands_once(run: Run) -> None:
    run.dispatch(batch(0))
    worker = run.worker("w1")
    one = done(*take(worker), letters=(letter(),))
    assert worker.commit([one, one]) == [True, False]
    assert unchanged(run, lambda: worker.commit([one])) == [False]


def test_a_commit_of_an_entry_that_is_another_workers_writes_nothing_at_all(run: Run) -> None:
    run.dispatch(batch(0))
    first, second, stranger = run.worker("w1"), run.worker("w2"), run.worker("w3")
    (taken,) = take(first)
    late = done(taken, b"late", (letter(),))
    assert unchanged(run, lambda: stranger.commit([late])) == [False]
    run.die(first)
    (claimed,) = second.claim("w1", 5)
    assert unchanged(run, lambda: first.commit([late])) == [False]
    assert second.commit([done(claimed, b"mine")]) == [True]
    assert unchanged(run, lambda: first.commit([late])) == [False]
    assert run.connection.command("GET", run.keys.payload("a", 0, 0)) == b"mine"


def test_a_commit_of_an_entry_that_was_handed_back_writes_nothing(run: Run) -> None:
    run.dispatch(batch(0))
    worker = run.worker("w1")
    (taken,) = take(worker)
    worker.hand_back([taken])
    assert unchanged(run, lambda: worker.commit([done(taken)])) == [False]
    (again,) = take(worker)
    assert unchanged(run, lambda: worker.commit([done(taken)])) == [False]
    assert worker.commit([done(again)]) == [True]


def test_of_several_commits_in_one_round_trip_each_stands_alone(run: Run) -> None:
    run.dispatch(*map(batch, range(3)))
    worker, other = run.worker("w1"), run.worker("w2")
    first, second, third = take(worker, 3)
    run.die(worker)
    assert [one.entry for one in other.claim("w1", 1)] == [first.entry]
    assert worker.commit([done(first), done(second), done(third)]) == [False, True, True]
    assert [entry.seq for entry in run.journal() if isinstance(entry, Result)] == [1, 2]


def test_a_commit_whose_reply_was_lost_is_a_no_op_the_second_time(run: Run, proxy: Proxy) -> None:
    run.dispatch(*map(batch, range(3)))
    worker = run.worker("w1", url=proxy.url)
    ready = [done(taken, letters=(letter(taken.batch.seq),)) for taken in take(worker, 3)]
    lose(proxy, "commit", lambda: worker.commit(ready))
    assert unchanged(run, lambda: worker.commit(ready)) == [False, False, False]
    assert [entry.seq for entry in run.journal() if isinstance(entry, Result)] == [0, 1, 2]
    assert len(run.control.letters()[0]) == 3


def test_a_failure_is_committed_like_a_result(run: Run) -> None:
    run.dispatch(batch(0))
    worker = run.worker("w1")
    (taken,) = take(worker)
    failure = Failure("a", 0, 0, "ValueError: no", "w1")
    assert worker.commit([Done(taken, failure)]) == [True]
    assert unchanged(run, lambda: worker.commit([Done(taken, failure)])) == [False]
    assert run.journal() == [failure]


# take


def test_a_read_whose_reply_was_lost_leaves_the_entries_pending_for_the_worker_alone(run: Run, proxy: Proxy) -> None:
    run.dispatch(*map(batch, range(3)))
    worker, other = run.worker("w1", url=proxy.url), run.worker("w2")
    proxy.lose_reply(b"XREADGROUP")
    with pytest.raises(Disconnected):
        worker.read(2, 0)
    assert [taken.batch.seq for taken in other.read(5, 0)] == [2]
    assert [taken.batch for taken in worker.pending()] == [batch(0), batch(1)]
    assert worker.commit([done(taken) for taken in worker.pending()]) == [True, True]


def test_a_claim_takes_only_from_a_worker_without_a_lease(run: Run) -> None:
    run.dispatch(*map(batch, range(3)))
    owner, other = run.worker("w1"), run.worker("w2")
    taken = take(owner, 3)
    assert other.silent_workers() == {}
    assert unchanged(run, lambda: other.claim("w1", 5)) == []
    run.die(owner)
    assert other.silent_workers() == {"w1": 3}
    assert [one.batch.seq for one in other.claim("w1", 2)] == [0, 1]
    assert set(run.pending().values()) == {"w1", "w2"}
    assert other.silent_workers() == {"w1": 1}
    assert [one.entry for one in owner.pending()] == [taken[2].entry]
    assert unchanged(run, lambda: other.claim("nobody", 5)) == []


def test_two_workers_that_claim_at_once_do_not_both_get_an_entry(run: Run) -> None:
    run.dispatch(*map(batch, range(20)))
    owner = run.worker("w0")
    take(owner, 20)
    run.die(owner)
    claimed: dict[str, list[Taken]] = {}
    rivals = [run.worker(f"w{number}") for number in range(1, 5)]

    def claim(rival: WorkQueue) -> None:
        claimed[rival.worker_id] = rival.claim("w0", 20)

    threads = [threading.Thread(target=claim, args=(rival,)) for rival in rivals]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    got = [one.entry for some in claimed.values() for one in some]
    assert len(got) == len(set(got)) == 20
    assert run.pending() == {one.entry: worker for worker, some in claimed.items() for one in some}


def test_a_claim_that_comes_after_anothers_takes_nothing(run: Run) -> None:
    """Between the look at what a dead worker has and the claim, another worker was faster."""
    run.dispatch(batch(0))
    owner, fast = run.worker("w1"), run.worker("w2")
    (taken,) = take(owner)
    run.die(owner)
    assert len(fast.claim("w1", 5)) == 1
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
        (claimed,) = worker.claim(last.worker_id, 5)
        assert claimed.batch == batch(0)
        deliveries.append(claimed.deliveries)
    assert deliveries == [1, 2, 3, 4]


def test_to_look_at_what_is_pending_is_no_delivery(run: Run) -> None:
    """A worker looks every half lease: a batch that takes long must not look like one that kills."""
    run.dispatch(batch(0), batch(1))
    worker, other = run.worker("w1"), run.worker("w2")
    first, second = take(worker, 2)
    for _ in range(5):
        assert worker.pending() == [first, second]
    assert worker.pending([first.entry]) == [second]
    worker.hand_back([second])
    run.die(worker)
    (claimed,) = other.claim("w1", 5)
    assert (claimed.batch, claimed.deliveries) == (first.batch, 2)
    (again,) = take(other)
    assert (again.batch, again.deliveries) == (second.batch, 1)


def test_a_claim_whose_reply_was_lost_is_found_among_what_is_pending(run: Run, proxy: Proxy) -> None:
    run.dispatch(batch(0))
    owner, other = run.worker("w1"), run.worker("w2", url=proxy.url)
    take(owner)
    run.die(owner)
    lose(proxy, "claim", lambda: other.claim("w1", 5))
    assert other.claim("w1", 5) == []
    (found,) = other.pending()
    assert found.batch == batch(0)
    assert found.deliveries == 2, "the worker before it died on the batch"
    assert other.commit([done(found)]) == [True]


def test_an_entry_that_was_done_meanwhile_is_not_claimed(run: Run) -> None:
    run.dispatch(batch(0), batch(1))
    owner, other = run.worker("w1"), run.worker("w2")
    first, second = take(owner, 2)
    run.die(owner)
    owner.commit([done(first)])
    assert [one.entry for one in other.claim("w1", 5)] == [second.entry]


def test_what_is_handed_back_goes_to_whoever_reads_next_and_keeps_its_deliveries(run: Run) -> None:
    run.dispatch(batch(0))
    dead, patient, third = run.worker("w1"), run.worker("w2"), run.worker("w3")
    take(dead)
    run.die(dead)
    (claimed,) = patient.claim("w1", 1)
    assert claimed.deliveries == 2
    for _ in range(3):  # to hand back what was not begun is no delivery
        patient.hand_back([claimed])
        assert run.pending() == {}
        (claimed,) = take(patient)
        assert (claimed.batch, claimed.deliveries) == (batch(0), 2)
    run.die(patient)
    (last,) = third.claim("w2", 1)
    assert last.deliveries == 3


def test_only_the_owner_hands_back_and_only_once(run: Run) -> None:
    run.dispatch(*map(batch, range(2)))
    worker, other = run.worker("w1"), run.worker("w2")
    taken = take(worker, 2)
    unchanged(run, lambda: other.hand_back(taken))
    worker.hand_back(taken)
    unchanged(run, lambda: worker.hand_back(taken))
    assert sorted(one.batch.seq for one in take(other, 2)) == [0, 1]


def test_what_is_handed_back_with_a_lost_reply_is_there_once(run: Run, proxy: Proxy) -> None:
    run.dispatch(*map(batch, range(2)))
    worker, other = run.worker("w1", url=proxy.url), run.worker("w2")
    taken = take(worker, 2)
    lose(proxy, "hand_back", lambda: worker.hand_back(taken))
    unchanged(run, lambda: worker.hand_back(taken))
    assert sorted(one.batch.seq for one in other.read(10, 0)) == [0, 1]


def test_reclaim_gives_back_what_dead_workers_had(run: Run) -> None:
    """They died with their coordinator, which is no delivery; a death before that, at the batch, stays one."""
    run.dispatch(*map(batch, range(5)))
    dead, first, second = run.worker("w0"), run.worker("w1"), run.worker("w2")
    take(dead)
    run.die(dead)
    assert len(first.claim("w0", 5)) == 1
    take(first, 2), take(second, 2)
    assert run.control.in_hand(run.steps) == 5
    run.die(first)
    assert run.control.in_hand(run.steps) == 2, "of live workers"
    assert run.control.reclaim(run.steps) == 5
    assert run.pending() == {}
    taken = take(run.worker("w3"), 5)
    assert {one.batch.seq: one.deliveries for one in taken} == {0: 2, 1: 1, 2: 1, 3: 1, 4: 1}


# leave


def test_a_worker_that_leaves_is_gone_with_its_lease(run: Run) -> None:
    run.dispatch(batch(0))
    worker = run.worker("w1")
    worker.commit([done(*take(worker))])
    registry = RunRegistry(run.connection)
    assert [record.worker_id for record in registry.workers(run.run_id)] == ["w1"]
    worker.leave()
    worker.leave()
    assert registry.workers(run.run_id) == []
    assert not run.connection.command("EXISTS", run.keys.worker("w1"))
    assert run.connection.command("XINFO", "CONSUMERS", run.keys.inputs("a"), GROUP) == []


def test_to_leave_never_drops_pending_entries(run: Run) -> None:
    run.dispatch(*map(batch, range(3)))
    worker, other = run.worker("w1"), run.worker("w2")
    taken = take(worker, 3)
    worker.commit([done(taken[0])])
    worker.leave()
    assert sorted(run.pending().values()) == ["w1", "w1"]
    assert [one.batch.seq for one in other.claim("w1", 5)] == [1, 2]


def test_a_worker_that_leaves_lets_only_its_own_generator_go(run: Run) -> None:
    owner, other = run.worker("w1", "g"), run.worker("w2", "g")
    assert owner.own_generator() is not None
    other.leave()
    assert other.own_generator() is None
    owner.leave()
    assert other.own_generator() is not None


def test_a_worker_may_leave_a_run_that_is_gone(run: Run) -> None:
    worker = run.worker("w1")
    RunRegistry(run.connection).delete(run.run_id)
    worker.leave()
    assert run.everything() == {}


# dispatch


def test_dispatch_sends_in_order_and_counts(run: Run) -> None:
    assert run.dispatch(batch(0), batch(1)) == ({"a": 2}, False)
    assert run.dispatch(batch(2)) == ({"a": 3}, False)
    assert [taken.batch for taken in take(run.worker("w1"), 3)] == [batch(0), batch(1), batch(2)]
    assert run.control.marks(run.steps)[2] == {"g": 0, "a": 3, "b": 0}


def test_what_was_dispatched_is_not_sent_again(run: Run) -> None:
    run.dispatch(batch(0), batch(1))
    assert run.dispatch(batch(0), batch(1)) == ({"a": 2}, False)
    assert run.dispatch(batch(1), batch(2)) == ({"a": 3}, False)
    worker = run.worker("w1")
    worker.commit([done(taken) for taken in take(worker, 3)])
    assert run.dispatch(batch(0)) == ({"a": 3}, False)
    assert run.waiting() == 0


def test_dispatch_refuses_a_gap(run: Run) -> None:
    run.dispatch(batch(0))
    with pytest.raises(RunError, match="batches of step 'a' were skipped"):
        run.dispatch(batch(2))
    assert run.waiting() == 1


def test_a_dispatch_whose_reply_was_lost_is_a_no_op_the_second_time(run: Run, proxy: Proxy) -> None:
    through = run.coordinator(url=proxy.url)
    through.epoch = run.control.epoch
    lose(proxy, "dispatch", lambda: run.dispatch(batch(0), batch(1), control=through))
    before = run.waiting()
    assert run.dispatch(batch(0), batch(1), control=through) == ({"a": 2}, False)
    assert run.waiting() == before == 2


def test_a_batch_is_sent_again_once_per_attempt(run: Run) -> None:
    run.dispatch(batch(0))
    for attempt in (1, 1, 2, 1, 2):
        run.control.tick(Tick(redo=[batch(0, attempt)]))
    assert [taken.batch.attempt for taken in take(run.worker("w1"), 3)] == [0, 1, 2]


def test_batches_are_sent_again_each_by_its_own_count(run: Run) -> None:
    run.control.tick(Tick(redo=[batch(0, 2), batch(1, 1), batch(1, 1, step="b"), batch(0, 2)]))
    assert (run.waiting("a"), run.waiting("b")) == (2, 1)


def test_a_redo_whose_reply_was_lost_is_a_no_op_the_second_time(run: Run, proxy: Proxy) -> None:
    through = run.coordinator(url=proxy.url)
    through.epoch = run.control.epoch
    lose(proxy, "redo", lambda: through.tick(Tick(redo=[batch(0, 1)])))
    through.tick(Tick(redo=[batch(0, 1)]))
    assert run.waiting() == 1


def test_release_frees_payloads_and_notes_the_cursor(run: Run) -> None:
    payloads = [Payload("g", seq) for seq in range(2_500)]
    run.store(*payloads, Payload("g", 9_999))
    assert run.control.tick(Tick(release=payloads, cursor=7)) == ({}, False)
    assert not any(run.stored(*payloads[:3], payloads[1_500], payloads[-1]))
    assert run.stored(Payload("g", 9_999)) == [True]
    assert run.control.marks([])[1] == 7
    run.control.tick(Tick(release=payloads[:2], cursor=8))
    assert run.control.marks([])[1] == 8


# inputs that are too many for a message


def test_the_inputs_of_a_large_batch_are_there_when_it_is_read(run: Run) -> None:
    """Also where the broker knows the script that sends and not the one that stores: stored first, then sent."""
    run.dispatch(batch(0, step="b"))
    large = batch(0, slices=1_500)
    worker = run.worker("w1")
    found: list[Taken] = []
    reader = threading.Thread(target=lambda: found.extend(worker.read(1, 20)))
    reader.start()
    run.dispatch(large)
    reader.join()
    assert [(one.batch, one.broken) for one in found] == [(large, None)]


def test_large_batches_of_one_step_do_not_share_their_inputs(run: Run) -> None:
    large = [batch(seq, slices=1_200) for seq in range(3)]
    run.dispatch(*large)
    worker = run.worker("w1")
    taken = take(worker, 3)
    assert [one.batch for one in taken] == large
    worker.commit([done(taken[0])])
    worker.hand_back(taken[1:])
    assert [one.batch for one in take(worker, 2)] == large[1:]


def test_a_batch_whose_inputs_are_gone_is_given_with_what_is_missing(run: Run) -> None:
    run.dispatch(batch(0, slices=1_500))
    run.connection.command("DEL", run.keys.manifest("a", 0, 0))
    (taken,) = take(run.worker("w1"))
    assert isinstance(taken.broken, PayloadMissing)
    assert taken.broken.name == run.keys.manifest("a", 0, 0)
    assert (taken.batch.step, taken.batch.seq, taken.batch.inputs) == ("a", 0, ())


# the journal


def test_positions_are_dense_whoever_appends(run: Run) -> None:
    run.dispatch(*map(batch, range(40)))
    run.dispatch(*(Batch("g", seq) for seq in range(10)))

    def work(name: str) -> None:
        worker = run.worker(name)
        while taken := worker.read(3, 0):
            worker.commit([done(one) for one in taken])

    def generate() -> None:
        worker = run.worker("gen", "g")
        assert worker.own_generator() is not None
        for seq, taken in enumerate(take(worker, 10)):
            assert worker.commit_generated([(done(taken, rows_of(seq)), seq)]) == [True]

    def decide() -> None:
        for seq in range(20):
            run.control.journal([Routed("g", seq, ("a",)), Reopened()])
            run.control.part_written(part(seq, seq), [], [])

    calls: list[Callable[[], None]] = [generate, decide, *(lambda name=f"w{n}": work(name) for n in range(3))]  # type: ignore[misc]
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    journal = run.control.read(0, 10_000)
    assert [one.position for one in journal] == list(range(1, 40 + 10 + 60 + 1))
    assert run.control.marks([])[0] == len(journal)
    seqs = [one.entry.seq for one in journal if isinstance(one.entry, Result) and one.entry.step == "a"]
    assert sorted(seqs) == list(range(40))


def rows_of(seq: int) -> bytes:
    return b"rows %d" % seq


def test_the_journal_is_read_from_any_position_in_pieces(run: Run) -> None:
    run.control.journal([Routed("g", seq, ()) for seq in range(5)])
    assert [one.position for one in run.control.read(0, 2)] == [1, 2]
    assert [one.position for one in run.control.read(2, 10)] == [3, 4, 5]
    assert run.control.read(5, 10) == []
    assert run.control.read(5, 10, block=0.01) == []


def test_a_journal_with_a_gap_is_lost_data_in_words(run: Run) -> None:
    run.control.journal([Routed("g", seq, ()) for seq in range(5)])
    run.connection.command("XDEL", run.keys.journal, "3-0")
    assert len(run.control.read(0, 2)) == 2
    with pytest.raises(RunError, match=r"has no entry 3: the broker lost data; start over with --fresh"):
        run.control.read(2, 10)


def test_a_part_is_journaled_and_its_payloads_are_freed_together(run: Run) -> None:
    payloads = [Payload("a", seq) for seq in range(3_000)]
    run.store(*payloads, Payload("a", 3_000))
    position = run.control.part_written(part(0, 2_999), payloads, [letter(), letter()])
    assert run.journal() == [part(0, 2_999)]
    assert position == 1
    assert not any(run.stored(payloads[0], payloads[1_700], payloads[-1]))
    assert run.stored(Payload("a", 3_000)) == [True]
    assert run.control.letters()[0] == [letter(), letter()]


def test_a_part_of_a_coordinator_that_was_replaced_is_neither_journaled_nor_are_its_payloads_freed(run: Run) -> None:
    run.store(Payload("a", 0))
    run.coordinator().take_over(dead_token=token_of(run.control))
    with pytest.raises(Fenced, match="another coordinator has taken over"):
        unchanged(run, lambda: run.control.part_written(part(), [Payload("a", 0)], [letter()]))
    assert run.stored(Payload("a", 0)) == [True]
    assert run.journal() == []


# who coordinates


def token_of(control: Control) -> str:
    return control.epoch.partition(":")[2]


def test_a_run_whose_coordinator_is_alive_is_not_taken_over(run: Run) -> None:
    other = run.coordinator()
    with pytest.raises(Fenced, match=rf"'{run.run_id}' is coordinated by process 4711 on here.*coordinator stop"):
        unchanged(run, other.take_over)
    run.control.renew()


def test_a_run_whose_coordinator_is_silent_or_known_to_be_dead_is_taken_over(
    run: Run, wait_until: Callable[..., None]
) -> None:
    second = run.coordinator(lease=0.05)
    second.take_over(dead_token=token_of(run.control))
    assert second.epoch != run.control.epoch
    wait_until(lambda: not run.connection.command("EXISTS", run.keys.lease))
    third = run.coordinator()
    third.take_over()
    third.renew()
    with pytest.raises(Fenced):
        second.renew()


def test_another_dead_token_does_not_open_the_run(run: Run) -> None:
    with pytest.raises(Fenced):
        unchanged(run, lambda: run.coordinator().take_over(dead_token="somebody"))


def test_the_same_coordinator_takes_over_again_under_a_new_epoch(run: Run) -> None:
    before = run.control.epoch
    run.control.take_over()
    assert run.control.epoch != before
    assert token_of(run.control) == before.partition(":")[2]
    run.control.renew()


def test_a_coordinator_that_was_replaced_changes_nothing_any_more(run: Run) -> None:
    run.store(Payload("g", 0))
    old, new = run.control, run.coordinator()
    new.take_over(dead_token=token_of(old))
    calls: list[Callable[[], object]] = [
        old.renew,
        lambda: old.update(status="failed"),
        lambda: old.journal([Reopened()]),
        lambda: old.part_written(part(), [Payload("g", 0)], []),
        lambda: run.dispatch(batch(0), control=old),
        lambda: run.dispatch(batch(0, slices=1_500), control=old),
        lambda: old.tick(Tick(redo=[batch(0, 1)])),
        lambda: old.tick(Tick(release=[Payload("g", 0)], cursor=5)),
        lambda: old.finish("failed", run.steps),
    ]
    before = run.everything()
    for call in calls:
        with pytest.raises(Fenced, match="another coordinator has taken over"):
            call()
        assert run.everything() == before
    old.resign()
    assert run.everything() == before
    new.renew()


def test_a_renewed_lease_lasts_and_one_that_was_given_back_is_free_at_once(run: Run) -> None:
    run.connection.command("PEXPIRE", run.keys.lease, 2_000)
    run.control.renew()
    assert run.connection.command("PTTL", run.keys.lease) > 30_000
    assert RunRegistry(run.connection).lease_holder(run.run_id) == holder(token_of(run.control))
    run.control.resign()
    assert RunRegistry(run.connection).lease_holder(run.run_id) is None
    run.coordinator().take_over()


def test_a_lease_that_ran_out_is_renewed_while_nobody_else_took_the_run(run: Run) -> None:
    run.connection.command("DEL", run.keys.lease)
    run.control.renew()
    with pytest.raises(Fenced):
        run.coordinator().take_over()


def test_a_takeover_whose_reply_was_lost_is_done_again(run: Run, proxy: Proxy) -> None:
    run.control.resign()
    other = run.coordinator(url=proxy.url)
    lose(proxy, "take_over", other.take_over)
    other.take_over()
    other.renew()
    other.journal([Reopened()])


def test_a_finished_run_expires_with_all_its_keys_and_a_stopped_one_never(run: Run) -> None:
    run.dispatch(batch(0))
    worker = run.worker("w1")
    worker.commit([done(*take(worker), letters=(letter(),))])
    worker.report([b"a line"])
    run.control.update(want="stop")
    run.control.finish("stopped", run.steps)
    assert [key for key, ttl in ttls(run).items() if ttl != -1] == [run.keys.worker("w1")]
    assert (run.field("status"), run.field("want")) == ("stopped", "")
    assert not run.connection.command("EXISTS", run.keys.lease)
    run.control.update(status="running")
    worker.leave()
    run.control.tick(Tick(release=[Payload("a", 0)]))
    run.control.finish("complete", run.steps, keep=100)
    assert all(90_000 < ttl <= 100_000 for ttl in ttls(run).values()), ttls(run)


def test_a_run_that_is_worked_on_again_does_not_expire(run: Run) -> None:
    run.control.finish("complete", run.steps, keep=100)
    run.control.take_over()
    run.control.update(status="running")
    assert run.connection.command("PTTL", run.keys.run) == -1


def ttls(run: Run) -> dict[str, int]:
    """Milliseconds that each key has left; -1 for one that stays."""
    return {key: int(run.connection.command("PTTL", key)) for key in run.everything()}


def test_only_dead_workers_are_forgotten_by_the_next_coordinator(run: Run) -> None:
    run.worker("alive").tell({"step": "a", "loaded": True})
    run.die(run.worker("dead"))
    run.control.forget_workers()
    assert [record.worker_id for record in RunRegistry(run.connection).workers(run.run_id)] == ["alive"]
    run.die(run.worker("alive"))
    run.control.forget_workers()
    run.control.forget_workers()
    assert RunRegistry(run.connection).workers(run.run_id) == []


# generators


def made(taken: Taken, seq: int, offset: int, attempt: int = 0, *, last: bool = False) -> tuple[Done, int]:
    return Done(taken, Result("g", seq, attempt, last=last, worker="w"), rows_of(seq)), offset


def failed(taken: Taken, seq: int, offset: int, attempt: int = 0) -> tuple[Done, int]:
    return Done(taken, Failure("g", seq, attempt, "no")), offset


def tickets(run: Run, worker: WorkQueue, count: int) -> list[Taken]:
    sent = run.control.marks(["g"])[2]["g"]
    run.dispatch(*(Batch("g", seq) for seq in range(sent, sent + count)))
    return take(worker, count)


def test_a_generator_has_one_owner_until_it_dies(run: Run) -> None:
    first, second = run.worker("w1", "g"), run.worker("w2", "g")
    assert first.own_generator() == GeneratorState(0, 0, 0, False)
    assert unchanged(run, second.own_generator) is None
    assert unchanged(run, first.own_generator) == GeneratorState(0, 0, 0, False)
    run.die(first)
    assert second.own_generator() == GeneratorState(0, 0, 0, False, deaths=1)
    assert first.own_generator() is None


def test_a_generator_is_not_taken_from_an_owner_that_came_between(run: Run) -> None:
    """Between the look at who owns it, a dead worker, and the script, another worker was faster."""
    dead, fast = run.worker("w1", "g"), run.worker("w2", "g")
    dead.own_generator()
    run.die(dead)
    fast.own_generator()
    late = [run.keys.generator("g"), run.keys.worker("w1")], "w3", "w1"
    assert unchanged(run, lambda: run.connection.call("own_generator", *late)) == [0, b"w2"]


def test_the_deaths_of_owners_are_counted_until_a_batch_is_made(run: Run) -> None:
    owners = [run.worker(f"w{number}", "g") for number in range(4)]
    for deaths, owner in enumerate(owners[:3]):
        state = owner.own_generator()
        assert state is not None
        assert state.deaths == deaths
        run.die(owner)
    last = owners[3]
    last.own_generator()
    (ticket,) = tickets(run, last, 1)
    assert last.commit_generated([made(ticket, 0, 5)]) == [True]
    assert last.own_generator() == GeneratorState(1, 5, 0, False)
    last.leave()
    again = run.worker("w9", "g").own_generator()
    assert again is not None
    assert again.deaths == 0, "it left in good order"


def test_of_workers_that_want_a_generator_at_once_one_gets_it(run: Run) -> None:
    dead = run.worker("dead", "g")
    dead.own_generator()
    run.die(dead)
    rivals = [run.worker(f"w{number}", "g") for number in range(6)]
    owners: list[str] = []

    def own(rival: WorkQueue) -> None:
        if rival.own_generator() is not None:
            owners.append(rival.worker_id)

    threads = [threading.Thread(target=own, args=(rival,)) for rival in rivals]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(owners) == 1


def test_the_next_owner_goes_on_at_the_seq_and_the_offset_of_the_last_commit(run: Run) -> None:
    first, second = run.worker("w1", "g"), run.worker("w2", "g")
    first.own_generator()
    one, two = tickets(run, first, 2)
    assert first.commit_generated([made(one, 0, 7), made(two, 1, 12)]) == [True, True]
    run.die(first)
    assert second.own_generator() == GeneratorState(2, 12, 0, False, deaths=1)
    (three,) = tickets(run, second, 1)
    assert second.commit_generated([made(three, 2, 20)]) == [True]
    assert second.own_generator() == GeneratorState(3, 20, 0, False), "deaths count for one batch"
    assert [entry.seq for entry in run.journal() if isinstance(entry, Result)] == [0, 1, 2]
    assert run.connection.command("GET", run.keys.payload("g", 1, 0)) == b"rows 1"


def test_only_the_owner_commits_what_a_generator_made(run: Run) -> None:
    first, second = run.worker("w1", "g"), run.worker("w2", "g")
    first.own_generator()
    (ticket,) = tickets(run, first, 1)
    (other,) = tickets(run, second, 1)
    assert unchanged(run, lambda: second.commit_generated([made(other, 0, 5)])) == [False]
    assert unchanged(run, lambda: second.commit_generated([made(ticket, 0, 5)])) == [False]
    assert unchanged(run, lambda: first.commit_generated([made(other, 0, 5)])) == [False], "not its ticket"
    run.die(first)
    second.own_generator()
    assert unchanged(run, lambda: first.commit_generated([made(ticket, 0, 5)])) == [False]
    assert second.commit_generated([made(other, 0, 5)]) == [True]


def test_a_generator_commits_only_its_next_seq(run: Run) -> None:
    worker = run.worker("w1", "g")
    worker.own_generator()
    one, two, three = tickets(run, worker, 3)
    assert unchanged(run, lambda: worker.commit_generated([made(one, 1, 5)])) == [False]
    assert unchanged(run, lambda: worker.commit_generated([made(one, 1, 5), made(two, 2, 9)])) == [False, False]
    assert worker.commit_generated([made(one, 0, 5)]) == [True]
    assert unchanged(run, lambda: worker.commit_generated([made(two, 0, 5)])) == [False]
    assert unchanged(run, lambda: worker.commit_generated([made(one, 1, 9)])) == [False], "the ticket is used up"
    assert worker.commit_generated([made(two, 1, 9), made(three, 2, 11)]) == [True, True]


def test_what_a_generator_made_lands_once_though_the_reply_was_lost(run: Run, proxy: Proxy) -> None:
    worker = run.worker("w1", "g", url=proxy.url)
    worker.own_generator()
    ready = [made(taken, seq, 5 * seq + 5) for seq, taken in enumerate(tickets(run, worker, 3))]
    lose(proxy, "commit_generator", lambda: worker.commit_generated(ready))
    assert unchanged(run, lambda: worker.commit_generated(ready)) == [False, False, False]
    assert worker.own_generator() == GeneratorState(3, 15, 0, False)
    assert len(run.journal()) == 3


def test_the_generator_is_owned_though_the_reply_was_lost(run: Run, proxy: Proxy) -> None:
    worker = run.worker("w1", "g", url=proxy.url)
    lose(proxy, "own_generator", worker.own_generator)
    assert worker.own_generator() == GeneratorState(0, 0, 0, False)


def test_a_generator_that_failed_starts_its_next_attempt_at_the_same_seq_and_offset(run: Run) -> None:
    worker = run.worker("w1", "g")
    worker.own_generator()
    one, two, three, four = tickets(run, worker, 4)
    worker.commit_generated([made(one, 0, 5)])
    assert worker.commit_generated([failed(two, 1, 5)]) == [True]
    assert worker.own_generator() == GeneratorState(1, 5, 1, False)
    assert unchanged(run, lambda: worker.commit_generated([made(three, 1, 9, attempt=0)])) == [False]
    assert worker.commit_generated([made(three, 1, 9, attempt=1)]) == [True]
    assert worker.own_generator() == GeneratorState(2, 9, 0, False)
    assert run.stored(Payload("g", 1, 0), Payload("g", 1, 1)) == [False, True]
    assert worker.commit_generated([made(four, 2, 11)]) == [True]


def test_once_a_generator_has_ended_its_tickets_are_void(run: Run) -> None:
    worker, other = run.worker("w1", "g"), run.worker("w2", "g")
    worker.own_generator()
    one, two, three = tickets(run, worker, 3)
    (foreign,) = tickets(run, other, 1)
    unchanged(run, lambda: worker.void([one.entry, two.entry]))
    assert worker.commit_generated([made(one, 0, 5, last=True)]) == [True]
    assert unchanged(run, lambda: worker.commit_generated([made(two, 1, 9)])) == [False]
    worker.void([two.entry, three.entry, foreign.entry])
    assert run.pending("g") == {foreign.entry: "w2"}
    assert run.waiting("g") == 1
    unchanged(run, lambda: worker.void([two.entry]))
    run.die(worker)
    assert other.own_generator() == GeneratorState(1, 5, 0, True, deaths=1)
    assert len(run.journal()) == 1


# isolation


def test_notes_of_an_isolated_batch_are_its_owners_alone(run: Run) -> None:
    run.dispatch(batch(0))
    first, second = run.worker("w1"), run.worker("w2")
    (taken,) = take(first)
    assert first.note(taken, running=3, row2=b"rows")
    run.die(first)
    (claimed,) = second.claim("w1", 1)
    assert unchanged(run, lambda: first.note(taken, running=4)) is False
    assert second.isolated(claimed.batch) == {"running": b"3", "row2": b"rows"}
    assert second.isolated(batch(0, attempt=1)) == {}
    second.commit([done(claimed)])
    assert second.isolated(claimed.batch) == {}


# a full broker


@pytest.fixture
def full_broker() -> Iterator[tuple[Run, Callable[[], None]]]:
    """A run on a server of its own, and what makes that server full."""
    with RedisServer() as server:
        run = Run(server.url)
        run.load_scripts()
        yield run, lambda: run.connection.command("CONFIG", "SET", "maxmemory", "1")


FullBroker = tuple[Run, Callable[[], None]]


def test_what_finishes_work_goes_through_on_a_full_broker(full_broker: FullBroker) -> None:
    run, fill = full_broker
    run.dispatch(*map(batch, range(4)))
    worker, generator, dead = run.worker("w1"), run.worker("w2", "g"), run.worker("w3")
    orphans = take(dead, 2)
    run.die(dead)
    one, two = take(worker, 2)
    generator.own_generator()
    ticket, spare = tickets(run, generator, 2)
    run.store(Payload("a", 7), Payload("a", 8))
    fill()
    with pytest.raises(BrokerFull):
        run.connection.command("SET", "x", "y")
    assert worker.commit([done(one, b"rows" * 1_000, (letter(),))]) == [True]
    assert generator.commit_generated([made(ticket, 0, 5, last=True)]) == [True]
    generator.void([spare.entry])
    run.control.part_written(part(), [Payload("a", 7)], [letter()])
    assert run.control.tick(Tick(release=[Payload("a", 8)], cursor=3)) == ({}, False)
    assert run.stored(Payload("a", 2), Payload("g", 0), Payload("a", 7), Payload("a", 8)) == [True, True, False, False]
    assert [one.entry for one in worker.claim("w3", 5)] == [one.entry for one in orphans]
    worker.hand_back([two])
    assert [one.batch for one in take(worker)] == [two.batch]
    worker.leave()
    assert len(run.journal()) == 3
    assert len(run.control.letters()[0]) == 2


def test_a_part_without_payloads_to_free_is_journaled_on_a_full_broker(full_broker: FullBroker) -> None:
    """Its rows came from files, or there were none."""
    run, fill = full_broker
    fill()
    assert run.control.part_written(part(), [], [letter()]) == 1


def test_what_starts_work_writes_nothing_on_a_full_broker(full_broker: FullBroker) -> None:
    run, fill = full_broker
    run.dispatch(batch(0))
    fill()
    before = run.everything()
    assert run.dispatch(batch(1)) == ({}, True)
    assert run.dispatch(batch(1, slices=1_500)) == ({}, True)
    assert run.control.tick(Tick(redo=[batch(0, 1)])) == ({}, True)
    with pytest.raises(BrokerFull, match="is full"):
        run.control.journal([Reopened()])
    after = run.everything()
    changed = {key for key in before | after if before.get(key) != after.get(key)}
    assert changed <= {run.keys.run}  # a tick also notes its cursor
    assert run.control.marks(run.steps) == (0, 0, {"g": 0, "a": 1, "b": 0})
    run.connection.command("CONFIG", "SET", "maxmemory", "0")
    assert run.dispatch(batch(1)) == ({"a": 2}, False)
    assert run.control.tick(Tick(redo=[batch(0, 1)])) == ({}, False)
    assert run.control.journal([Reopened()]) == 1


def test_one_tick_frees_though_there_is_no_room_to_send(full_broker: FullBroker) -> None:
    run, fill = full_broker
    run.store(Payload("g", 0))
    fill()
    large = batch(0, step="b", slices=1_500)
    tick = Tick(dispatch={"a": [batch(0)], "b": [large]}, redo=[batch(0, 1)], release=[Payload("g", 0)], cursor=1)
    assert run.control.tick(tick) == ({}, True)
    assert run.stored(Payload("g", 0)) == [False]
    assert run.control.marks([])[1] == 1
    assert (run.waiting("a"), run.waiting("b")) == (0, 0)


def test_a_batch_that_is_to_drain_a_full_broker_goes_through(full_broker: FullBroker) -> None:
    run, fill = full_broker
    worker = run.worker("w1")
    fill()
    assert run.control.tick(Tick(dispatch={"a": [batch(0)]}, drain=True)) == ({"a": 1}, False)
    assert [taken.batch for taken in take(worker)] == [batch(0)]


def test_a_coordinator_lives_goes_and_comes_on_a_full_broker(full_broker: FullBroker) -> None:
    """What is in hand must be able to drain, also after a crash."""
    run, fill = full_broker
    RunRegistry(run.connection).add(run.run_id)
    fill()
    run.control.renew()
    run.control.resign()
    other = run.coordinator()
    other.take_over()
    other.update(status="running", want="", protocol=PROTOCOL)
    other.ensure_groups(run.steps)
    other.forget_workers()
    assert other.reclaim(run.steps) == 0
    RunRegistry(run.connection).add(run.run_id)
    other.renew()
    other.finish("stopped", run.steps)
    other.finish("complete", run.steps, keep=10)


# the connection


def test_scripts_that_the_broker_has_forgotten_are_sent_again(run: Run) -> None:
    run.dispatch(batch(0), batch(1))
    worker = run.worker("w1")
    taken = take(worker, 2)
    run.connection.command("SCRIPT", "FLUSH")
    assert worker.commit([done(one) for one in taken]) == [True, True]
    run.connection.command("SCRIPT", "FLUSH")
    tick = Tick(dispatch={"a": [batch(2)]}, redo=[batch(0, 1)], release=[Payload("a", 0)], cursor=2)
    assert run.control.tick(tick) == ({"a": 3}, False)
    assert (run.waiting(), run.control.marks([])[1]) == (2, 2)


def test_a_broker_that_ended_is_disconnected_and_is_back_with_its_data(wait_until: Callable[..., None]) -> None:
    with RedisServer() as server:
        run = Run(server.url)
        run.dispatch(batch(0))
        server.kill()
        with pytest.raises(Disconnected, match="cannot be reached"):
            run.control.renew()
        with pytest.raises(Disconnected):
            run.connection.wait_until_reachable(0.2)
        server.start()
        run.connection.wait_until_reachable(10)
        run.control.renew()


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("redsi://localhost:6379", "redis://"),
        ("localhost:6379", "redis://"),
        ("redis://[::1", "not a broker's URL"),
        ("redis://localhost:63x79", "port"),
        ("redis://localhost:99999", "port"),
        ("redis://localhost:6379/0?sockt_timeout=1", "'sockt_timeout'"),
        ("redis://localhost:6379/0?socket_timeout=soon", "socket_timeout"),
    ],
)
def test_a_url_that_is_none_is_refused_in_words(url: str, reason: str) -> None:
    from common.errors import UsageError

    with pytest.raises(UsageError) as caught:
        Connection(url)
    assert str(caught.value).startswith(f"'{url}' is not a broker's URL")
    assert reason in str(caught.value)


@pytest.mark.parametrize("url", ["http://me:hunter2@host", "redis://:hunter2@host:63x79", "redis://me:hun/ter2@host"])
def test_a_refused_url_is_shown_without_its_password(url: str) -> None:
    from common.errors import UsageError

    with pytest.raises(UsageError) as caught:
        Connection(url)
    assert "hun" not in str(caught.value)
    assert "ter2" not in str(caught.value)


# the registry


def register(run: Run, protocol: int = PROTOCOL, **fields: str) -> None:
    run.control.update(spec='{"steps": {}}', protocol=protocol, pipeline="p", **fields)
    RunRegistry(run.connection).add(run.run_id)


def test_a_run_is_read_as_it_was_written(run: Run) -> None:
    register(run, signature="abc")
    registry = RunRegistry(run.connection)
    record = registry.read(run.run_id)
    assert record is not None
    assert (record.pipeline, record.signature, record.status, record.want) == ("p", "abc", "running", "")
    registry.ask_to_stop(run.run_id)
    assert registry.status(run.run_id) == ("running", "stop")
    assert run.control.want() == "stop"


def test_a_run_of_another_protocol_is_refused_in_words_and_leaves_other_runs_alone(redis_url: str) -> None:
    new, old = Run(redis_url), Run(redis_url)
    register(new), register(old, PROTOCOL + 1)
    registry = RunRegistry(new.connection)
    with pytest.raises(RunError, match=rf"speaks protocol {PROTOCOL + 1}; this one speaks {PROTOCOL}.*--fresh"):
        registry.read(old.run_id)
    assert [record.run_id for record in registry.all()] == [new.run_id]
    assert old.run_id in registry.run_ids()


def test_a_run_whose_keys_have_expired_is_forgotten(run: Run) -> None:
    register(run)
    registry = RunRegistry(run.connection)
    run.connection.command("DEL", run.keys.run)
    assert list(registry.all()) == []
    assert registry.run_ids() == []


def test_a_run_is_deleted_with_all_its_keys_and_no_others(redis_url: str) -> None:
    first = Run(redis_url, run_id="run[1]*")
    second = Run(redis_url, run_id="run[1]*2")
    for run in (first, second):
        register(run)
        run.dispatch(batch(0))
    before = second.everything()
    assert RunRegistry(first.connection).delete(first.run_id) > 2
    assert first.everything() == {}
    assert second.everything() == before
