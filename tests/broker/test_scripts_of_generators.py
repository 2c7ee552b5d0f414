"""Generators at the broker: only the owner, only the next batch, and from where the last one stopped."""

from __future__ import annotations

import threading

import pytest

from common.broker.consumer import Consumer
from common.broker.digests import note_digests, read_digests
from common.errors import WireError
from common.protocol.batch import Payload, Result
from common.protocol.generator_state import GeneratorState
from tests.support.runs.broker import Run, Worker, failed, lose, made, tickets, unchanged
from tests.support.runs.harness import wait_for
from tests.support.servers.proxy import Proxy

# generators


def test_a_generator_has_one_owner_until_it_dies(run: Run) -> None:
    first, second = run.worker("w1", "g"), run.worker("w2", "g")
    assert first.generator.own() == GeneratorState(0, 0, 0, False)
    assert unchanged(run, second.generator.own) is None
    assert unchanged(run, first.generator.own) == GeneratorState(0, 0, 0, False)
    run.die(first)
    assert second.generator.own() == GeneratorState(0, 0, 0, False, ("w1",), deaths=1)
    assert first.generator.own() is None


def test_a_generator_is_taken_from_an_owner_that_stays_silent_and_not_from_one_that_the_broker_has_forgotten(
    run: Run,
) -> None:
    """If the broker was away for longer than a lease, no worker has one."""
    owner = run.worker("w1", "g")
    other = Worker(Consumer(run.connection, run.run_id, "g", "w2"), lease=0.2)
    owner.generator.own()
    run.fall_silent(owner)
    assert unchanged(run, other.generator.own) is None
    owner.membership.join({"step": "g"})
    assert unchanged(run, other.generator.own) is None
    run.fall_silent(owner)
    assert unchanged(run, other.generator.own) is None
    wait_for(lambda: other.generator.own() == GeneratorState(0, 0, 0, False, ("w1",), deaths=1), 10, "the second look")


def test_a_generator_is_not_taken_from_an_owner_that_came_between(run: Run) -> None:
    """Another worker was faster, after this one saw a dead owner and before it called the script."""
    dead, fast = run.worker("w1", "g"), run.worker("w2", "g")
    dead.generator.own()
    run.die(dead)
    fast.generator.own()
    late = [run.keys.generator("g"), run.keys.worker("w1")], "w3", "w1"
    assert unchanged(run, lambda: run.connection.call("own_generator", *late)) == [0, b"w2"]


def test_the_deaths_of_owners_are_counted_until_a_batch_is_made(run: Run) -> None:
    owners = [run.worker(f"w{number}", "g") for number in range(4)]
    for deaths, owner in enumerate(owners[:3]):
        state = owner.generator.own()
        assert state is not None
        assert state.deaths == deaths
        run.die(owner)
    last = owners[3]
    last.generator.own()
    (ticket,) = tickets(run, last, 1)
    assert last.generator.commit([made(ticket, 0, 5)]) == [True]
    assert last.generator.own() == GeneratorState(1, 5, 0, False)
    last.membership.leave()
    again = run.worker("w9", "g").generator.own()
    assert again is not None
    assert again.deaths == 0, "it left in good order"


def test_an_owner_that_was_only_slow_does_not_count(run: Run) -> None:
    """On an overloaded machine the leases of live workers expire, and they take the generator in turns."""
    owners = [run.worker(f"w{number}", "g") for number in range(3)]
    for owner in owners * 3:
        state = owner.generator.own()
        assert state is not None
        assert state.deaths == 0
        run.die(owner)
        next_one = owners[(owners.index(owner) + 1) % 3]
        assert next_one.generator.own() is not None
        owner.membership.join({"step": "g"})


def test_an_owner_that_was_only_slow_and_leaves_in_good_order_does_not_count(run: Run) -> None:
    owners = [run.worker(f"w{number}", "g") for number in range(3)]
    for owner in owners:
        owner.generator.own()
        run.die(owner)
    last = run.worker("w", "g")
    assert last.generator.own() == GeneratorState(0, 0, 0, False, ("w0", "w1", "w2"), deaths=3)
    owners[1].membership.leave()
    assert last.generator.own() == GeneratorState(0, 0, 0, False, ("w0", "w2"), deaths=2)
    owners[0].membership.leave(), owners[2].membership.leave()
    assert last.generator.own() == GeneratorState(0, 0, 0, False)


def test_of_workers_that_want_a_generator_at_once_one_gets_it(run: Run) -> None:
    dead = run.worker("dead", "g")
    dead.generator.own()
    run.die(dead)
    rivals = [run.worker(f"w{number}", "g") for number in range(6)]
    owners: list[str] = []

    def own(rival: Worker) -> None:
        if rival.generator.own() is not None:
            owners.append(rival.worker_id)

    threads = [threading.Thread(target=own, args=(rival,)) for rival in rivals]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(owners) == 1


def test_the_next_owner_goes_on_at_the_seq_and_the_offset_of_the_last_commit(run: Run) -> None:
    first, second = run.worker("w1", "g"), run.worker("w2", "g")
    first.generator.own()
    one, two = tickets(run, first, 2)
    assert first.generator.commit([made(one, 0, 7), made(two, 1, 12)]) == [True, True]
    run.die(first)
    assert second.generator.own() == GeneratorState(2, 12, 0, False, ("w1",), deaths=1)
    (three,) = tickets(run, second, 1)
    assert second.generator.commit([made(three, 2, 20)]) == [True]
    assert second.generator.own() == GeneratorState(3, 20, 0, False), "deaths count for one batch"
    assert [entry.seq for entry in run.journal() if isinstance(entry, Result)] == [0, 1, 2]
    assert run.connection.command("GET", run.keys.payload("g", 1, 0)) == b"rows 1"


def test_only_the_owner_commits_what_a_generator_made(run: Run) -> None:
    first, second = run.worker("w1", "g"), run.worker("w2", "g")
    first.generator.own()
    (ticket,) = tickets(run, first, 1)
    (other,) = tickets(run, second, 1)
    assert unchanged(run, lambda: second.generator.commit([made(other, 0, 5)])) == [False]
    assert unchanged(run, lambda: second.generator.commit([made(ticket, 0, 5)])) == [False]
    assert unchanged(run, lambda: first.generator.commit([made(other, 0, 5)])) == [False], "not its ticket"
    run.die(first)
    second.generator.own()
    assert unchanged(run, lambda: first.generator.commit([made(ticket, 0, 5)])) == [False]
    assert second.generator.commit([made(other, 0, 5)]) == [True]


def test_a_generator_commits_only_its_next_seq(run: Run) -> None:
    worker = run.worker("w1", "g")
    worker.generator.own()
    one, two, three = tickets(run, worker, 3)
    assert unchanged(run, lambda: worker.generator.commit([made(one, 1, 5)])) == [False]
    assert unchanged(run, lambda: worker.generator.commit([made(one, 1, 5), made(two, 2, 9)])) == [False, False]
    assert worker.generator.commit([made(one, 0, 5)]) == [True]
    assert unchanged(run, lambda: worker.generator.commit([made(two, 0, 5)])) == [False]
    assert unchanged(run, lambda: worker.generator.commit([made(one, 1, 9)])) == [False], "the ticket is used up"
    assert worker.generator.commit([made(two, 1, 9), made(three, 2, 11)]) == [True, True]


def test_what_a_generator_made_lands_once_though_the_reply_was_lost(run: Run, proxy: Proxy) -> None:
    worker = run.worker("w1", "g", url=proxy.url)
    worker.generator.own()
    ready = [made(taken, seq, 5 * seq + 5) for seq, taken in enumerate(tickets(run, worker, 3))]
    lose(proxy, "commit_generator", lambda: worker.generator.commit(ready))
    assert unchanged(run, lambda: worker.generator.commit(ready)) == [False, False, False]
    assert worker.generator.own() == GeneratorState(3, 15, 0, False)
    assert len(run.journal()) == 3


def test_the_generator_is_owned_though_the_reply_was_lost(run: Run, proxy: Proxy) -> None:
    worker = run.worker("w1", "g", url=proxy.url)
    lose(proxy, "own_generator", worker.generator.own)
    assert worker.generator.own() == GeneratorState(0, 0, 0, False)


def test_a_generator_that_failed_starts_its_next_attempt_at_the_same_seq_and_offset(run: Run) -> None:
    worker = run.worker("w1", "g")
    worker.generator.own()
    one, two, three, four = tickets(run, worker, 4)
    worker.generator.commit([made(one, 0, 5)])
    assert worker.generator.commit([failed(two, 1, 5)]) == [True]
    run.control.take_over()
    assert worker.generator.own() == GeneratorState(1, 5, 1, False)
    assert unchanged(run, lambda: worker.generator.commit([made(three, 1, 9, attempt=0)])) == [False]
    assert worker.generator.commit([made(three, 1, 9, attempt=1)]) == [True]
    assert worker.generator.own() == GeneratorState(2, 9, 0, False)
    assert run.stored(Payload("g", 1, 0), Payload("g", 1, 1)) == [False, True]
    assert worker.generator.commit([made(four, 2, 11)]) == [True]


def test_nobody_serves_a_generator_that_failed_until_the_run_goes_on(run: Run) -> None:
    """A worker that continued at once would die of the same rows again, and that would count after a resume."""
    worker = run.worker("w1", "g")
    worker.generator.own()
    one, _ = tickets(run, worker, 2)
    assert worker.generator.commit([failed(one, 0, 0)]) == [True]
    assert unchanged(run, worker.generator.own) is None
    run.die(worker)
    other = run.worker("w2", "g")
    assert unchanged(run, other.generator.own) is None
    run.control.take_over()
    assert other.generator.own() == GeneratorState(0, 0, 1, False, ("w1",), deaths=1)


def test_owners_that_died_with_their_coordinator_do_not_count(run: Run) -> None:
    worker = run.worker("w1", "g")
    worker.generator.own()
    tickets(run, worker, 1)
    run.die(worker)
    assert run.control.reclaim(["g"]) == 1
    assert run.worker("w2", "g").generator.own() == GeneratorState(0, 0, 0, False, deaths=0)


def test_a_generator_whose_state_nobody_wrote_is_refused_in_words(run: Run) -> None:
    worker = run.worker("w1", "g")
    run.connection.command("HSET", run.keys.generator("g"), "offset", "many")
    with pytest.raises(WireError, match="does not hold the position of a generator"):
        worker.generator.own()


def test_once_a_generator_has_ended_its_tickets_are_void(run: Run) -> None:
    worker, other = run.worker("w1", "g"), run.worker("w2", "g")
    worker.generator.own()
    one, two, three = tickets(run, worker, 3)
    (foreign,) = tickets(run, other, 1)
    unchanged(run, lambda: worker.generator.void([one.entry, two.entry]))
    assert worker.generator.commit([made(one, 0, 5, last=True)]) == [True]
    assert unchanged(run, lambda: worker.generator.commit([made(two, 1, 9)])) == [False]
    worker.generator.void([two.entry, three.entry, foreign.entry])
    assert run.pending("g") == {foreign.entry: "w2"}
    assert run.waiting("g") == 1
    unchanged(run, lambda: worker.generator.void([two.entry]))
    run.die(worker)
    assert other.generator.own() == GeneratorState(1, 5, 0, True, ("w1",), deaths=1)
    assert len(run.journal()) == 1


def test_digests_of_data_files_are_noted_and_what_is_none_is_passed_over(run: Run) -> None:
    run.worker("w1")
    note_digests(run.connection, run.keys, "a", ["0" * 32, ""])
    assert read_digests(run.connection, run.keys, ["a", "b"]) == {"a": ["0" * 32, ""]}
    assert read_digests(run.connection, run.keys, []) == {}
    for text in ("", "x", "{}", "[1]", '["short"]', "[[", "[" * 100_000):
        run.connection.command("HSET", run.keys.progress, "digests:a", text)
        assert read_digests(run.connection, run.keys, ["a"]) == {}
