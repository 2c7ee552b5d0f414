"""What a worker has taken is delivered to its runner, whichever reply is lost on the way."""

from __future__ import annotations

import queue
from collections.abc import Iterator

import pytest

from common.broker.connection import Connection
from common.broker.consumer import Consumer
from common.broker.payloads import BrokerPayloads
from common.payloads.source import PayloadSource
from common.protocol.batch import Payload
from common.protocol.codec import encode_rows
from common.settings import Settings
from tests.support.runs.broker import Run, batch
from tests.support.runs.harness import wait_for
from tests.support.servers.proxy import Proxy
from worker.batches.batch_work import Work
from worker.batches.intake import Intake
from worker.batches.payload_reader import PayloadReader

ROWS = [{"n": n} for n in range(10)]


@pytest.fixture
def delivered() -> queue.SimpleQueue[Work | BaseException]:
    return queue.SimpleQueue()


@pytest.fixture
def intake(run: Run, proxy: Proxy, delivered: queue.SimpleQueue[Work | BaseException]) -> Iterator[Intake]:
    """The intake of a worker whose connection to the broker loses replies."""
    worker = run.worker("w1", url=proxy.url)
    settings = Settings(worker_lease=1.0, patience=20.0)
    taking = Intake(
        worker.consumer,
        PayloadReader(PayloadSource(worker.payloads)),
        settings,
        room=lambda: 1 - taking.held,
        deliver=delivered.put,
        fail=delivered.put,
    )
    yield taking
    taking.stop()


@pytest.mark.parametrize("lost", [b"MGET", b"XREADGROUP"])
def test_a_batch_is_delivered_although_a_reply_about_it_is_lost(
    run: Run, proxy: Proxy, intake: Intake, delivered: queue.SimpleQueue[Work | BaseException], lost: bytes
) -> None:
    run.store(Payload("g", 0), data=encode_rows(ROWS))
    run.dispatch(batch(0))
    proxy.lose_reply(lost)
    intake.start()
    work = delivered.get(timeout=20)
    assert proxy.lost
    assert isinstance(work, Work)
    assert work.whole.inputs == (ROWS,)


def test_a_batch_of_a_run_that_was_begun_anew_is_handed_back(
    run: Run, delivered: queue.SimpleQueue[Work | BaseException]
) -> None:
    run.store(Payload("g", 0), data=encode_rows(ROWS))
    run.dispatch(batch(0))
    run.control.update(begun="now")
    of_the_run_before = Consumer(Connection(run.url), run.run_id, "a", "w1", "before")
    reader = PayloadReader(PayloadSource(BrokerPayloads(of_the_run_before.connection, run.run_id)))
    settings = Settings(worker_lease=1.0, patience=20.0)
    taking = Intake(of_the_run_before, reader, settings, lambda: 1, delivered.put, delivered.put)
    taking.start()
    other = run.worker("w2")
    (again,) = wait_for(lambda: other.inbox.claim_handed_back(5), what="the batch")
    taking.stop()
    assert (delivered.empty(), taking.held) == (True, 0)
    assert (again.batch, again.deliveries) == (batch(0), 1)
