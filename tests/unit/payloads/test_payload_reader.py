"""The rows of batches, read from a real Redis: slices of larger payloads, each row once; what is missing by name."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path

import pytest

from common.broker.connection import Connection
from common.broker.payloads import BrokerPayloads
from common.errors import PayloadMissing, WireError
from common.payloads.source import PayloadSource
from common.payloads.stores import FileStore
from common.protocol.batch import Batch, Input, Payload, Slice
from common.protocol.codec import encode_rows
from worker.batches import payload_reader
from worker.batches.payload_reader import PayloadReader, Rows


@pytest.fixture
def kept(redis_url: str) -> BrokerPayloads:
    return BrokerPayloads(Connection(redis_url), f"run-{secrets.token_hex(4)}")


def store(kept: BrokerPayloads, seq: int, rows: int, step: str = "above") -> Payload:
    """A payload with rows {"id": "<step>-<seq>-<place>"}; every third one is a hole."""
    return store_bytes(kept, Payload(step, seq), encode_rows(expected(step, seq, 0, rows)))


def store_bytes(kept: BrokerPayloads, payload: Payload, data: bytes) -> Payload:
    kept.connection.command("SET", kept.name(payload), data)
    return payload


def expected(step: str, seq: int, start: int, stop: int) -> Rows:
    return [None if place % 3 == 2 else {"id": f"{step}-{seq}-{place}", "tags": []} for place in range(start, stop)]


def batch(seq: int, *slices: Slice, step: str = "above") -> Batch:
    return Batch("below", seq, inputs=(Input(step, tuple(slices)),))


def read(reader: PayloadReader, batches: Sequence[Batch]) -> list[list[Rows]]:
    found = reader.read(batches)
    assert not any(isinstance(one, PayloadMissing) for one in found), found
    return found  # type: ignore[return-value]


def asked(kept: BrokerPayloads) -> int:
    """Times that payloads were asked for."""
    return int(kept.connection.command("INFO", "commandstats").get("cmdstat_mget", {}).get("calls", 0))


def test_a_batch_is_read_with_its_holes_in_place(kept: BrokerPayloads) -> None:
    payload = store(kept, 0, 5)
    reader = PayloadReader(PayloadSource(kept))
    assert read(reader, [batch(0, Slice(payload, 0, 5))]) == [[expected("above", 0, 0, 5)]]


def test_a_batch_is_put_together_from_slices_of_several_payloads_in_their_order(kept: BrokerPayloads) -> None:
    first, second, third = store(kept, 0, 7), store(kept, 1, 2), store(kept, 2, 9)
    reader = PayloadReader(PayloadSource(kept))
    pieces = batch(0, Slice(first, 5, 7), Slice(second, 0, 2), Slice(third, 0, 1))
    assert read(reader, [pieces]) == [
        [expected("above", 0, 5, 7) + expected("above", 1, 0, 2) + expected("above", 2, 0, 1)]
    ]


def test_a_join_is_given_one_list_per_predecessor(kept: BrokerPayloads) -> None:
    left, right = store(kept, 0, 4, "left"), store(kept, 0, 3, "right")
    join = Batch("below", 0, inputs=(Input("left", (Slice(left, 0, 4),)), Input("right", (Slice(right, 1, 3),))))
    reader = PayloadReader(PayloadSource(kept))
    assert read(reader, [join]) == [[expected("left", 0, 0, 4), expected("right", 0, 1, 3)]]


def test_the_batches_cut_from_one_payload_cost_one_round_trip(kept: BrokerPayloads) -> None:
    payload = store(kept, 0, 30)
    reader = PayloadReader(PayloadSource(kept))
    before = asked(kept)
    for seq in range(3):
        cut = batch(seq, Slice(payload, 10 * seq, 10 * seq + 10))
        assert read(reader, [cut]) == [[expected("above", 0, 10 * seq, 10 * seq + 10)]]
    assert asked(kept) == before + 1


def test_several_batches_cost_one_round_trip(kept: BrokerPayloads) -> None:
    payloads = [store(kept, seq, 5) for seq in range(20)]
    reader = PayloadReader(PayloadSource(kept))
    before = asked(kept)
    found = read(reader, [batch(seq, Slice(payload, 0, 5)) for seq, payload in enumerate(payloads)])
    assert found == [[expected("above", seq, 0, 5)] for seq in range(20)]
    assert asked(kept) == before + 1


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1)], ids=str)
@pytest.mark.parametrize("together", [True, False], ids=["one read", "a read each"])
def test_slices_may_be_read_in_any_order(kept: BrokerPayloads, order: tuple[int, ...], together: bool) -> None:
    """Other workers have the batches between, and those that died return theirs late."""
    payload = store(kept, 0, 28)
    reader = PayloadReader(PayloadSource(kept))
    batches = [batch(seq, Slice(payload, 10 * seq, min(28, 10 * seq + 10))) for seq in order]
    reads = [batches] if together else [[one] for one in batches]
    found = [inputs for some in reads for inputs in read(reader, some)]
    assert found == [[expected("above", 0, 10 * seq, min(28, 10 * seq + 10))] for seq in order]


def test_a_batch_that_is_read_again_is_new_whatever_a_step_did_to_its_rows(kept: BrokerPayloads) -> None:
    payload = store(kept, 0, 30)
    reader = PayloadReader(PayloadSource(kept))
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


def test_the_same_batch_twice_in_one_read_gets_rows_of_its_own(kept: BrokerPayloads) -> None:
    payload = store(kept, 0, 5)
    cut = batch(0, Slice(payload, 0, 5))
    (first,), (second,) = read(PayloadReader(PayloadSource(kept)), [cut, cut])
    assert first == second == expected("above", 0, 0, 5)
    assert first[0] is not second[0]


def test_what_is_kept_of_large_payloads_is_bounded_and_what_was_dropped_is_read_again(
    kept: BrokerPayloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payload_reader, "KEPT_ROWS", 50)
    payloads = [store(kept, seq, 40) for seq in range(6)]
    reader = PayloadReader(PayloadSource(kept))
    for start in range(0, 40, 10):
        for seq, payload in enumerate(payloads):
            cut = batch(0, Slice(payload, start, start + 10))
            assert read(reader, [cut]) == [[expected("above", seq, start, start + 10)]]


def test_more_payloads_than_fit_a_round_trip_are_read_in_order(
    kept: BrokerPayloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A global step takes everything at once."""
    monkeypatch.setattr(payload_reader, "PAYLOADS_AT_ONCE", 4)
    payloads = [store(kept, seq, 2) for seq in range(30)]
    everything = batch(0, *(Slice(payload, 0, 2) for payload in payloads))
    before = asked(kept)
    ((rows,),) = read(PayloadReader(PayloadSource(kept)), [everything])
    assert rows == [row for seq in range(30) for row in expected("above", seq, 0, 2)]
    assert asked(kept) == before + 8


def test_a_missing_payload_is_named_and_the_batches_beside_it_are_read(kept: BrokerPayloads) -> None:
    there, gone = store(kept, 0, 3), Payload("above", 7, 2)
    reader = PayloadReader(PayloadSource(kept))
    found = reader.read([batch(0, Slice(there, 0, 3)), batch(1, Slice(gone, 0, 3)), batch(2, Slice(there, 0, 3))])
    assert found[0] == found[2] == [expected("above", 0, 0, 3)]
    missing = found[1]
    assert isinstance(missing, PayloadMissing)
    assert missing.name == kept.name(gone)
    assert "start over with --fresh" in str(missing)


def test_a_payload_that_went_missing_between_attempts_is_named(kept: BrokerPayloads) -> None:
    payload = store(kept, 0, 3)
    reader = PayloadReader(PayloadSource(kept))
    cut = batch(0, Slice(payload, 0, 3))
    read(reader, [cut])
    kept.connection.command("UNLINK", kept.name(payload))
    (missing,) = reader.read([cut])
    assert isinstance(missing, PayloadMissing)


def test_a_payload_with_fewer_rows_than_promised_is_no_batch_with_fewer_rows(kept: BrokerPayloads) -> None:
    payload = store(kept, 0, 3)
    for piece in (Slice(payload, 0, 5), Slice(payload, 2, 5), Slice(payload, 5, 7)):
        with pytest.raises(WireError, match=r"above:0:0 has fewer rows"):
            PayloadReader(PayloadSource(kept)).read([batch(0, piece)])


def test_bytes_that_are_no_payload_are_a_wire_error(kept: BrokerPayloads) -> None:
    store_bytes(kept, Payload("above", 0), b"nonsense")
    with pytest.raises(WireError):
        PayloadReader(PayloadSource(kept)).read([batch(0, Slice(Payload("above", 0), 0, 3))])


def test_payloads_in_files_are_read_beside_those_in_the_broker(kept: BrokerPayloads, tmp_path: Path) -> None:
    files = FileStore(str(tmp_path))
    name = files.write("above", 1, 0, encode_rows(expected("above", 1, 0, 4)))
    inside, outside = store(kept, 0, 4), Payload("above", 1, 0, name)
    reader = PayloadReader(PayloadSource(kept, files))
    cut = batch(0, Slice(inside, 2, 4), Slice(outside, 0, 2))
    assert read(reader, [cut]) == [[expected("above", 0, 2, 4) + expected("above", 1, 0, 2)]]
    assert read(reader, [batch(1, Slice(outside, 2, 4))]) == [[expected("above", 1, 2, 4)]]


def test_a_missing_file_is_named_and_the_batches_beside_it_are_read(kept: BrokerPayloads, tmp_path: Path) -> None:
    there, gone = store(kept, 0, 3), Payload("above", 1, 0, "above-1-0-abcdef")
    reader = PayloadReader(PayloadSource(kept, FileStore(str(tmp_path))))
    found = reader.read([batch(0, Slice(there, 0, 3)), batch(1, Slice(gone, 0, 3))])
    assert found[0] == [expected("above", 0, 0, 3)]
    assert isinstance(found[1], PayloadMissing)
    assert "above-1-0-abcdef" in found[1].name


def test_without_a_file_store_a_payload_in_a_file_is_missing(kept: BrokerPayloads) -> None:
    (missing,) = PayloadReader(PayloadSource(kept)).read([batch(0, Slice(Payload("above", 1, 0, "some-file"), 0, 3))])
    assert isinstance(missing, PayloadMissing)
    assert missing.name == "some-file"
