"""The rows of batches, read from a real Redis: slices of larger payloads, each row once; what is missing by name."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path

import pytest

from common.batch import Batch, Input, Payload, Slice
from common.broker.connection import Connection
from common.broker.work import WorkQueue
from common.codec import encode_rows
from common.errors import PayloadMissing, WireError
from common.payloads import FileStore
from worker import payload_reader
from worker.payload_reader import PayloadReader, Rows


@pytest.fixture
def queue(redis_url: str) -> WorkQueue:
    return WorkQueue(Connection(redis_url), f"run-{secrets.token_hex(4)}", "below", "w1", 5.0)


def store(queue: WorkQueue, seq: int, rows: int, step: str = "above") -> Payload:
    """A payload with rows {"id": "<step>-<seq>-<place>"}; every third one is a hole."""
    return store_bytes(queue, Payload(step, seq), encode_rows(expected(step, seq, 0, rows)))


def store_bytes(queue: WorkQueue, payload: Payload, data: bytes) -> Payload:
    queue.connection.command("SET", queue.keys.payload(payload.step, payload.seq, payload.attempt), data)
    return payload


def expected(step: str, seq: int, start: int, stop: int) -> Rows:
    return [None if place % 3 == 2 else {"id": f"{step}-{seq}-{place}", "tags": []} for place in range(start, stop)]


def batch(seq: int, *slices: Slice, step: str = "above") -> Batch:
    return Batch("below", seq, inputs=(Input(step, tuple(slices)),))


def read(reader: PayloadReader, batches: Sequence[Batch]) -> list[list[Rows]]:
    found = reader.read(batches)
    assert not any(isinstance(one, PayloadMissing) for one in found), found
    return found  # type: ignore[return-value]


def asked(queue: WorkQueue) -> int:
    """Times that payloads were asked for."""
    return int(queue.connection.command("INFO", "commandstats").get("cmdstat_mget", {}).get("calls", 0))


def test_a_batch_is_read_with_its_holes_in_place(queue: WorkQueue) -> None:
    payload = store(queue, 0, 5)
    reader = PayloadReader(queue, None)
    assert read(reader, [batch(0, Slice(payload, 0, 5))]) == [[expected("above", 0, 0, 5)]]


def test_a_batch_is_put_together_from_slices_of_several_payloads_in_their_order(queue: WorkQueue) -> None:
    first, second, third = store(queue, 0, 7), store(queue, 1, 2), store(queue, 2, 9)
    reader = PayloadReader(queue, None)
    pieces = batch(0, Slice(first, 5, 7), Slice(second, 0, 2), Slice(third, 0, 1))
    assert read(reader, [pieces]) == [
        [expected("above", 0, 5, 7) + expected("above", 1, 0, 2) + expected("above", 2, 0, 1)]
    ]


def test_a_join_is_given_one_list_per_predecessor(queue: WorkQueue) -> None:
    left, right = store(queue, 0, 4, "left"), store(queue, 0, 3, "right")
    join = Batch("below", 0, inputs=(Input("left", (Slice(left, 0, 4),)), Input("right", (Slice(right, 1, 3),))))
    reader = PayloadReader(queue, None)
    assert read(reader, [join]) == [[expected("left", 0, 0, 4), expected("right", 0, 1, 3)]]


def test_the_batches_cut_from_one_payload_cost_one_round_trip(queue: WorkQueue) -> None:
    payload = store(queue, 0, 30)
    reader = PayloadReader(queue, None)
    before = asked(queue)
    for seq in range(3):
        cut = batch(seq, Slice(payload, 10 * seq, 10 * seq + 10))
        assert read(reader, [cut]) == [[expected("above", 0, 10 * seq, 10 * seq + 10)]]
    assert asked(queue) == before + 1


def test_several_batches_cost_one_round_trip(queue: WorkQueue) -> None:
    payloads = [store(queue, seq, 5) for seq in range(20)]
    reader = PayloadReader(queue, None)
    before = asked(queue)
    found = read(reader, [batch(seq, Slice(payload, 0, 5)) for seq, payload in enumerate(payloads)])
    assert found == [[expected("above", seq, 0, 5)] for seq in range(20)]
    assert asked(queue) == before + 1


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1)], ids=str)
@pytest.mark.parametrize("together", [True, False], ids=["one read", "a read each"])
def test_slices_may_be_read_in_any_order(queue: WorkQueue, order: tuple[int, ...], together: bool) -> None:
    """Other workers have the batches between, and those that died give theirs back late."""
    payload = store(queue, 0, 28)
    reader = PayloadReader(queue, None)
    batches = [batch(seq, Slice(payload, 10 * seq, min(28, 10 * seq + 10))) for seq in order]
    reads = [batches] if together else [[one] for one in batches]
    found = [inputs for some in reads for inputs in read(reader, some)]
    assert found == [[expected("above", 0, 10 * seq, min(28, 10 * seq + 10))] for seq in order]


def test_a_batch_that_is_read_again_is_new_whatever_a_step_did_to_its_rows(queue: WorkQueue) -> None:
    payload = store(queue, 0, 30)
    reader = PayloadReader(queue, None)
    cuts = [batch(seq, Slice(payload, 10 * seq, 10 * seq + 10)) for seq in range(3)]
    for _ in range(3):  # retries, interleaved with the other batches of the payload
        for cut in (*cuts, *cuts[:2], cuts[2], cuts[1]):
            ((rows,),) = read(reader, [cut])
            start = cut.inputs[0].slices[0].start
            assert rows == expected("above", 0, start, start + 10)
            for row in rows:
                if row is not None:
                    row["id"] = "changed"
                    row["tags"].append("changed")
            rows.clear()


def test_the_same_batch_twice_in_one_read_gets_rows_of_its_own(queue: WorkQueue) -> None:
    payload = store(queue, 0, 5)
    cut = batch(0, Slice(payload, 0, 5))
    (first,), (second,) = read(PayloadReader(queue, None), [cut, cut])
    assert first == second == expected("above", 0, 0, 5)
    assert first[0] is not second[0]


def test_what_is_kept_of_large_payloads_is_bounded_and_what_was_dropped_is_read_again(
    queue: WorkQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payload_reader, "KEPT_ROWS", 50)
    payloads = [store(queue, seq, 40) for seq in range(6)]
    reader = PayloadReader(queue, None)
    for start in range(0, 40, 10):
        for seq, payload in enumerate(payloads):
            cut = batch(0, Slice(payload, start, start + 10))
            assert read(reader, [cut]) == [[expected("above", seq, start, start + 10)]]


def test_more_payloads_than_fit_a_round_trip_are_read_in_order(
    queue: WorkQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A global step takes everything at once."""
    monkeypatch.setattr(payload_reader, "PAYLOADS_AT_ONCE", 4)
    payloads = [store(queue, seq, 2) for seq in range(30)]
    everything = batch(0, *(Slice(payload, 0, 2) for payload in payloads))
    before = asked(queue)
    ((rows,),) = read(PayloadReader(queue, None), [everything])
    assert rows == [row for seq in range(30) for row in expected("above", seq, 0, 2)]
    assert asked(queue) == before + 8


def test_a_missing_payload_is_named_and_the_batches_beside_it_are_read(queue: WorkQueue) -> None:
    there, gone = store(queue, 0, 3), Payload("above", 7, 2)
    reader = PayloadReader(queue, None)
    found = reader.read([batch(0, Slice(there, 0, 3)), batch(1, Slice(gone, 0, 3)), batch(2, Slice(there, 0, 3))])
    assert found[0] == found[2] == [expected("above", 0, 0, 3)]
    missing = found[1]
    assert isinstance(missing, PayloadMissing)
    assert missing.name == queue.keys.payload("above", 7, 2)
    assert "start over with --fresh" in str(missing)


def test_a_payload_that_went_missing_between_attempts_is_named(queue: WorkQueue) -> None:
    payload = store(queue, 0, 3)
    reader = PayloadReader(queue, None)
    cut = batch(0, Slice(payload, 0, 3))
    read(reader, [cut])
    queue.connection.command("UNLINK", queue.keys.payload("above", 0, 0))
    (missing,) = reader.read([cut])
    assert isinstance(missing, PayloadMissing)


def test_a_payload_with_fewer_rows_than_promised_is_no_batch_with_fewer_rows(queue: WorkQueue) -> None:
    payload = store(queue, 0, 3)
    for piece in (Slice(payload, 0, 5), Slice(payload, 2, 5), Slice(payload, 5, 7)):
        with pytest.raises(WireError, match=r"above:0:0 has fewer rows"):
            PayloadReader(queue, None).read([batch(0, piece)])


def test_bytes_that_are_no_payload_are_a_wire_error(queue: WorkQueue) -> None:
    store_bytes(queue, Payload("above", 0), b"nonsense")
    with pytest.raises(WireError):
        PayloadReader(queue, None).read([batch(0, Slice(Payload("above", 0), 0, 3))])


def test_payloads_in_files_are_read_beside_those_in_the_broker(queue: WorkQueue, tmp_path: Path) -> None:
    files = FileStore(str(tmp_path))
    name = files.write("above", 1, 0, encode_rows(expected("above", 1, 0, 4)))
    inside, outside = store(queue, 0, 4), Payload("above", 1, 0, name)
    reader = PayloadReader(queue, files)
    cut = batch(0, Slice(inside, 2, 4), Slice(outside, 0, 2))
    assert read(reader, [cut]) == [[expected("above", 0, 2, 4) + expected("above", 1, 0, 2)]]
    assert read(reader, [batch(1, Slice(outside, 2, 4))]) == [[expected("above", 1, 2, 4)]]


def test_a_missing_file_is_named_and_the_batches_beside_it_are_read(queue: WorkQueue, tmp_path: Path) -> None:
    there, gone = store(queue, 0, 3), Payload("above", 1, 0, "above-1-0-abcdef")
    reader = PayloadReader(queue, FileStore(str(tmp_path)))
    found = reader.read([batch(0, Slice(there, 0, 3)), batch(1, Slice(gone, 0, 3))])
    assert found[0] == [expected("above", 0, 0, 3)]
    assert isinstance(found[1], PayloadMissing)
    assert "above-1-0-abcdef" in found[1].name


def test_without_a_file_store_a_payload_in_a_file_is_missing(queue: WorkQueue) -> None:
    (missing,) = PayloadReader(queue, None).read([batch(0, Slice(Payload("above", 1, 0, "some-file"), 0, 3))])
    assert isinstance(missing, PayloadMissing)
    assert missing.name == "some-file"
