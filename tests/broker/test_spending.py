"""What workers note as spent: per worker, replaced by what is newer, and kept after they have left."""

from __future__ import annotations

from common.broker.runs import RunRegistry
from common.broker.spending import Spending, Spent, read_spent
from common.protocol.usage import Usage
from tests.support.runs.broker import Run, Worker, batch, done, take, unchanged


def calls(number: int) -> Usage:
    return sum([Usage.of_call("m", input_tokens=10, output_tokens=2)] * number, Usage())


def spending(worker: Worker, number: int) -> Spending:
    return Spending(worker.consumer, lambda: calls(number))


def requests(spent: Spent) -> int:
    return sum(usage.total.requests for usage in spent.steps.values())


def test_the_notes_of_all_workers_add_up_also_of_those_that_have_left(run: Run) -> None:
    first, second = run.worker("w1"), run.worker("w2")
    spending(first, 3).write()
    spending(second, 4).write(last=True)
    second.membership.leave()
    found = read_spent(run.connection, run.run_id)
    assert found == Spent({"a": calls(7)}, is_lower_bound=False)


def test_an_older_note_never_replaces_a_newer_one_and_a_repeated_one_changes_nothing(run: Run) -> None:
    worker = run.worker("w1")
    spending(worker, 5).write()
    assert unchanged(run, lambda: spending(worker, 3).write()) is None
    assert unchanged(run, lambda: spending(worker, 5).write()) is None
    assert requests(read_spent(run.connection, run.run_id)) == 5


def test_of_a_worker_that_was_killed_it_is_a_lower_bound(run: Run) -> None:
    first, second = run.worker("w1"), run.worker("w2")
    spending(first, 3).write()
    spending(second, 4).write(last=True)
    assert not read_spent(run.connection, run.run_id).is_lower_bound
    run.die(first)
    assert read_spent(run.connection, run.run_id).is_lower_bound


def test_it_is_noted_with_a_commit_ahead_of_what_is_kept(run: Run) -> None:
    from common.broker.commits import Commits

    run.dispatch(batch(0))
    worker = run.worker("w1")
    commits = Commits(worker.consumer, spending(worker, 2))
    assert commits.commit([done(*take(worker))]) == [True]
    assert requests(read_spent(run.connection, run.run_id)) == 2


def test_a_run_that_is_gone_gets_no_key(run: Run) -> None:
    worker = run.worker("w1")
    RunRegistry(run.connection).delete(run.run_id)
    spending(worker, 2).write()
    assert not run.connection.command("EXISTS", run.keys.spent)


def test_for_a_coordinator_that_does_not_read_it_nothing_is_noted(run: Run) -> None:
    worker = run.worker("w1")
    assert Spending(worker.consumer, lambda: calls(2), enabled=False).calls() == []
    assert Spending(worker.consumer, Usage).calls() == []


def test_what_somebody_else_has_written_is_left_out(run: Run) -> None:
    spending(run.worker("w1"), 2).write()
    for noted in (b"", b"7", b"x y z", b"3 1 \x93abc", b"\xff"):
        run.connection.command("HSET", run.keys.spent, f"w{len(noted)}9", noted)
    assert requests(read_spent(run.connection, run.run_id)) == 2
