"""What a coordinator does to the broker, script by script: dispatch, journal, who coordinates."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from common.broker.control import Control, Tick
from common.broker.inbox import Taken
from common.broker.membership import EXIT_SECONDS
from common.broker.runs import RunRegistry
from common.errors import Fenced, PayloadMissing, RunError, WireError
from common.protocol.batch import Batch, Payload, Reopened, Result, Routed
from coordinator.engine.replay import replay
from tests.support.runs.broker import (
    Run,
    batch,
    done,
    holder,
    letter,
    lose,
    part,
    rows_of,
    take,
    unchanged,
)
from tests.support.servers.proxy import Proxy

# dispatch


def test_dispatch_sends_in_order_and_counts(run: Run) -> None:
    assert run.dispatch(batch(0), batch(1)) == ({"a": 2}, False)
    assert run.dispatch(batch(2)) == ({"a": 3}, False)
    assert [taken.batch for taken in take(run.worker("w1"), 3)] == [batch(0), batch(1), batch(2)]
    assert run.control.journal.marks(run.steps)[2] == {"g": 0, "a": 3, "b": 0}


def test_what_was_dispatched_is_not_sent_again(run: Run) -> None:
    run.dispatch(batch(0), batch(1))
    assert run.dispatch(batch(0), batch(1)) == ({"a": 2}, False)
    assert run.dispatch(batch(1), batch(2)) == ({"a": 3}, False)
    worker = run.worker("w1")
    worker.commits.commit([done(taken) for taken in take(worker, 3)])
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
    assert run.control.journal.marks([])[1] == 7
    run.control.tick(Tick(release=payloads[:2], cursor=8))
    assert run.control.journal.marks([])[1] == 8


# inputs that exceed a message


def test_the_inputs_of_a_large_batch_are_there_when_it_is_read(run: Run) -> None:
    """Also where the broker knows the script that sends and not the one that stores: stored first, then sent."""
    run.dispatch(batch(0, step="b"))
    large = batch(0, slices=1_500)
    worker = run.worker("w1")
    found: list[Taken] = []
    reader = threading.Thread(target=lambda: found.extend(worker.inbox.read(1, 20)))
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
    worker.commits.commit([done(taken[0])])
    worker.inbox.hand_back(taken[1:])
    assert [one.batch for one in worker.inbox.claim_handed_back(10)] == large[1:]


def test_a_batch_whose_inputs_are_gone_is_given_with_what_is_missing(run: Run) -> None:
    run.dispatch(batch(0, slices=1_500))
    run.connection.command("DEL", run.keys.manifest("a", 0, 0))
    (taken,) = take(run.worker("w1"))
    assert isinstance(taken.broken, PayloadMissing)
    assert taken.broken.name == run.keys.manifest("a", 0, 0)
    assert (taken.batch.step, taken.batch.seq, taken.batch.inputs) == ("a", 0, ())


def test_a_batch_whose_inputs_something_else_has_overwritten_is_given_and_not_dropped(run: Run) -> None:
    run.dispatch(batch(0, slices=1_500))
    run.connection.command("DEL", run.keys.manifest("a", 0, 0))
    run.connection.command("RPUSH", run.keys.manifest("a", 0, 0), "x")
    (taken,) = take(run.worker("w1"))
    assert isinstance(taken.broken, WireError)
    assert "WRONGTYPE" in str(taken.broken)


# the journal


def test_positions_are_dense_whoever_appends(run: Run) -> None:
    run.dispatch(*map(batch, range(40)))
    run.dispatch(*(Batch("g", seq) for seq in range(10)))

    def work(name: str) -> None:
        worker = run.worker(name)
        while taken := worker.inbox.read(3, 0):
            worker.commits.commit([done(one) for one in taken])

    def generate() -> None:
        worker = run.worker("gen", "g")
        assert worker.generator.own() is not None
        for seq, taken in enumerate(take(worker, 10)):
            assert worker.generator.commit([(done(taken, rows_of(seq)), seq)]) == [True]

    def decide() -> None:
        for seq in range(20):
            run.control.append([Routed("g", seq, ("a",)), Reopened()])
            run.control.part_written(part(seq, seq), [], [])

    calls: list[Callable[[], None]] = [generate, decide, *(lambda name=f"w{n}": work(name) for n in range(3))]  # type: ignore[misc]
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    journal = run.control.journal.read(0, 10_000)
    assert [one.position for one in journal] == list(range(1, 40 + 10 + 60 + 1))
    assert run.control.journal.marks([])[0] == len(journal)
    seqs = [one.entry.seq for one in journal if isinstance(one.entry, Result) and one.entry.step == "a"]
    assert sorted(seqs) == list(range(40))


def test_the_journal_is_read_from_any_position_in_pieces(run: Run) -> None:
    run.control.append([Routed("g", seq, ()) for seq in range(5)])
    assert [one.position for one in run.control.journal.read(0, 2)] == [1, 2]
    assert [one.position for one in run.control.journal.read(2, 10)] == [3, 4, 5]
    assert run.control.journal.read(5, 10) == []
    assert run.control.journal.read(5, 10, block=0.01) == []


def test_a_journal_with_a_gap_is_lost_data_in_words(run: Run) -> None:
    run.control.append([Routed("g", seq, ()) for seq in range(5)])
    run.connection.command("XDEL", run.keys.journal, "3-0")
    assert len(run.control.journal.read(0, 2)) == 2
    with pytest.raises(RunError, match=r"has no entry 3: the broker lost data; start over with --fresh"):
        run.control.journal.read(2, 10)


def test_a_journal_that_is_shorter_than_it_was_is_lost_data_in_words(run: Run) -> None:
    end = run.control.append([Routed("g", seq, ()) for seq in range(5)])
    assert [one.position for entries in replay(run.control.journal, end) for one in entries] == [1, 2, 3, 4, 5]
    run.connection.command("XDEL", run.keys.journal, "4-0", "5-0")
    with pytest.raises(RunError, match=r"ends with entry 3 instead of 5: the broker lost data; start over with"):
        list(replay(run.control.journal, end))


def test_a_part_is_journaled_and_its_payloads_are_freed_together(run: Run) -> None:
    payloads = [Payload("a", seq) for seq in range(3_000)]
    run.store(*payloads, Payload("a", 3_000))
    position = run.control.part_written(part(0, 2_999), payloads, [letter(), letter()])
    assert run.journal() == [part(0, 2_999)]
    assert position == 1
    assert not any(run.stored(payloads[0], payloads[1_700], payloads[-1]))
    assert run.stored(Payload("a", 3_000)) == [True]
    assert run.reports.letters()[0] == [letter(), letter()]


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
        lambda: old.append([Reopened()]),
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
    other.append([Reopened()])


def test_a_finished_run_expires_with_all_its_keys_and_a_stopped_one_never(run: Run) -> None:
    run.dispatch(batch(0))
    worker = run.worker("w1")
    worker.commits.commit([done(*take(worker), letters=(letter(),))])
    worker.log.send([b"a line"])
    run.control.update(want="stop")
    run.control.finish("stopped", run.steps)
    assert [key for key, ttl in ttls(run).items() if ttl != -1] == [run.keys.worker("w1")]
    assert (run.field("status"), run.field("want")) == ("stopped", "")
    assert not run.connection.command("EXISTS", run.keys.lease)
    run.control.update(status="running")
    worker.membership.leave()
    run.control.tick(Tick(release=[Payload("a", 0)]))
    run.control.finish("complete", run.steps, keep=100)
    left = ttls(run)
    assert 0 < left.pop(run.keys.left) <= 1000 * EXIT_SECONDS
    assert all(90_000 < ttl <= 100_000 for ttl in left.values()), left


def test_what_a_worker_writes_to_a_complete_run_expires_with_it(run: Run) -> None:
    """Its last log lines, and a second delivery that it had in hand."""
    run.dispatch(batch(0), batch(1))
    worker = run.worker("w1")
    first, taken = take(worker, 2)
    worker.commits.commit([done(first)])
    run.control.tick(Tick(release=[Payload("a", 0)]))
    run.control.finish("complete", run.steps, keep=100)
    run.connection.command("DEL", run.keys.workers)
    worker.membership.join({"step": "a"})
    worker.log.send([b"last words"])
    worker.staging.stage(taken, Payload("a", 9), b"a chunk")
    assert worker.isolation.note(taken, begun=0)
    written = {run.keys.log, run.keys.workers, run.keys.payload("a", 9, 0), run.keys.isolation("a", 1, 0)}
    assert {key: ttl for key, ttl in ttls(run).items() if key in written and 90_000 < ttl <= 100_000}.keys() == written
    assert worker.commits.commit([done(taken, b"rows", letters=(letter(),))]) == [True]
    assert [key for key, ttl in ttls(run).items() if ttl == -1] == []


def test_nothing_waits_in_the_streams_of_a_run_that_is_complete(run: Run) -> None:
    """Tickets of a generator that has ended, and second deliveries, may be on their way to a worker."""
    run.dispatch(batch(0), batch(1))
    worker = run.worker("w1")
    (taken,) = take(worker)
    run.control.finish("stopped", run.steps)
    assert run.waiting() == 2
    run.control.finish("complete", run.steps)
    assert run.waiting() == 0
    assert worker.inbox.pending() == []
    assert worker.inbox.claim("w2", 5) == []
    assert worker.commits.commit([done(taken)]) == [True]
    assert run.waiting() == 0


def test_a_run_that_is_worked_on_again_does_not_expire(run: Run) -> None:
    run.control.finish("complete", run.steps, keep=100)
    run.control.take_over()
    run.control.update(status="running")
    assert run.connection.command("PTTL", run.keys.run) == -1


def ttls(run: Run) -> dict[str, int]:
    """Milliseconds until each key expires; -1 for one that stays."""
    return {key: int(run.connection.command("PTTL", key)) for key in run.everything()}


def test_only_dead_workers_are_forgotten_by_the_next_coordinator(run: Run) -> None:
    run.worker("alive").membership.tell({"step": "a", "loaded": True})
    run.die(run.worker("dead"))
    run.control.forget_workers()
    assert [record.worker_id for record in RunRegistry(run.connection).workers(run.run_id)] == ["alive"]
    run.die(run.worker("alive"))
    run.control.forget_workers()
    run.control.forget_workers()
    assert RunRegistry(run.connection).workers(run.run_id) == []
