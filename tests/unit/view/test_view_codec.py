"""Views of runs as bytes: what is written is read again, is bounded, and nothing else is read."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import WireError
from common.llms.price_table import Price
from common.protocol.checks import GREATEST_COUNT
from common.protocol.usage import Counts
from coordinator.runs.bill import Bill, BillLine
from coordinator.view.view import Point, RunView, StepView, WorkerView
from coordinator.view.view_codec import VIEW_LIMIT, VIEW_VERSION, decode_point, decode_view, encode_point, encode_view

counts = st.integers(0, GREATEST_COUNT)
amounts = st.floats(0, 1e12)
names = st.text(st.characters(codec="ascii", exclude_categories=["C"]), min_size=1, max_size=60)
words = st.text(max_size=15)
OF_TYPE = {"int": counts, "float": amounts, "str": words, "bool": st.booleans()}


def records(cls: type, **given: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Records with every field that it has, whatever becomes of them."""
    drawn = {}
    for each in fields(cls):
        base = OF_TYPE.get(str(each.type).removesuffix(" | None"))
        if base is not None:
            drawn[each.name] = st.none() | base if str(each.type).endswith("None") else base
    return st.builds(cls, **{**drawn, **given})


steps = st.lists(records(StepView, name=names), max_size=4).map(tuple)
workers = st.lists(records(WorkerView), max_size=4).map(tuple)
prices = st.none() | st.builds(Price, amounts, amounts, st.none() | amounts)
numbers = records(Counts, finish_reasons=st.just(()))
stops = st.dictionaries(words, counts, max_size=3).map(lambda reasons: tuple(sorted(reasons.items())))
lines = records(BillLine, kept=records(Counts, finish_reasons=stops), spent=numbers, saved=numbers, price=prices)
views = records(
    RunView,
    steps=steps,
    workers=workers,
    rows_written=st.dictionaries(names, counts, max_size=3),
    bill=st.builds(Bill, st.lists(lines, max_size=3).map(tuple), st.booleans()),
    more_steps=st.just(0),
    more_workers=st.just(0),
)


def step(number: int) -> StepView:
    big = GREATEST_COUNT
    name = f"{'s' * 60}{number:04}"
    return StepView(name, "generator", big, big, big, big, big, big, big, big, big, big, big, 1e9, big, 1e9, "ü" * 500)


def worker(number: int, step: str) -> WorkerView:
    return WorkerView(f"{number:064}", step, "ü" * 500, True, True, GREATEST_COUNT, "ü" * 5_000)


def large(steps: int, workers: int) -> RunView:
    made = tuple(map(step, range(steps)))
    crowd = tuple(worker(number, made[number % steps].name) for number in range(workers))
    written = {one.name: GREATEST_COUNT for one in made}
    reasons = tuple((f"{'ü' * 50}{number:03}", GREATEST_COUNT) for number in range(100))
    counts = Counts(*([10 * GREATEST_COUNT] * 6), reasons)
    bill = Bill(tuple(BillLine(one.name, "ü" * 500, counts, counts, counts, Price(0.1, 0.1, 0.1)) for one in made * 5))
    told = "ü" * 10_000
    return RunView("r" * 255, told, 1e9, GREATEST_COUNT, written, made, reason=told, workers=crowd, bill=bill)


def usual(steps: int, workers: int) -> RunView:
    made = tuple(
        StepView(f"generate_{number}", "step", 310, 400, None, 15_500, 15_480, 20, 0, 4, 40, 4, 1, 123.4, 4, 48.6)
        for number in range(steps)
    )
    crowd = tuple(
        WorkerView(f"{number:08x}", made[number % steps].name, f"gpu-{number}", True, True, 2)
        for number in range(workers)
    )
    return RunView("quickstart-3f2a81bc90de", "running", 93.4, 12_300_000, {"keep": 1_500}, made, workers=crowd)


@given(views)
def test_a_view_that_was_written_is_read_again(view: RunView) -> None:
    assert decode_view(encode_view(view)) == view


@given(views)
def test_a_point_of_the_history_that_was_written_is_read_again(view: RunView) -> None:
    assert decode_point(encode_point(view)) == Point.of(view)


@given(views, st.data())
def test_a_view_that_was_cut_is_a_wire_error(view: RunView, data: st.DataObject) -> None:
    message = encode_view(view)
    with pytest.raises(WireError, match="the view of the run is not what a coordinator writes"):
        decode_view(message[: data.draw(st.integers(0, len(message) - 1))])


def junk() -> st.SearchStrategy[Any]:
    leaves = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | words | st.binary(max_size=9)
    return st.recursive(leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4))


@given(st.binary(max_size=200) | junk().map(msgpack.packb) | junk().map(lambda one: msgpack.packb([VIEW_VERSION, one])))
def test_bytes_of_anybody_else_are_a_wire_error(data: bytes) -> None:
    for decode in (decode_view, decode_point):
        with pytest.raises(WireError):
            decode(data)


@given(views, st.sampled_from([each.name for each in fields(RunView)]), junk())
def test_a_field_of_another_shape_is_read_as_it_is_or_a_wire_error(view: RunView, name: str, value: Any) -> None:
    version, written = msgpack.unpackb(encode_view(view))
    try:
        read = decode_view(msgpack.packb([version, {**written, name: value}]))
    except WireError:
        return
    assert isinstance(getattr(read, name), str | int | float | tuple | dict | None)


def test_lists_in_lists_without_end_are_a_wire_error() -> None:
    with pytest.raises(WireError):
        decode_view(b"\x92\x01" + b"\x91" * 100_000 + b"\xc0")


def test_what_is_too_large_is_not_looked_into() -> None:
    with pytest.raises(WireError, match=f"{VIEW_LIMIT + 1:,} bytes"):
        decode_view(bytes(VIEW_LIMIT + 1))


def test_another_version_is_named() -> None:
    _, written = msgpack.unpackb(encode_view(usual(2, 2)))
    with pytest.raises(WireError, match="in version 2, and this version of Penstock reads 1"):
        decode_view(msgpack.packb([2, written]))


def test_fields_that_a_later_version_has_are_passed_over() -> None:
    version, written = msgpack.unpackb(encode_view(usual(2, 2)))
    written["tokens"] = {"input": 1}
    written["steps"][0]["cost"] = 1.5
    assert decode_view(msgpack.packb([version, written, "more"])) == usual(2, 2)
    version, point = msgpack.unpackb(encode_point(usual(2, 2)))
    more = [*point[:2], [[*one, 7] for one in point[2]], "more"]
    assert decode_point(msgpack.packb([version, more])) == Point.of(usual(2, 2))


def test_fields_that_an_earlier_version_had_not_have_their_defaults() -> None:
    version, written = msgpack.unpackb(encode_view(usual(1, 1)))
    del written["memory"], written["steps"][0]["waits_for"], written["workers"][0]["says"]
    assert decode_view(msgpack.packb([version, written])) == usual(1, 1)
    del written["steps"][0]["rows_out"]
    with pytest.raises(WireError, match="has no 'rows_out'"):
        decode_view(msgpack.packb([version, written]))


def test_200_steps_and_1000_workers_have_less_than_700_kb_whatever_they_are_called() -> None:
    message = encode_view(large(200, 1_000))
    assert len(message) < 700_000
    read = decode_view(message)
    assert (len(read.steps), len(read.workers), read.more_workers) == (200, 1_000, 0)
    assert len(encode_view(usual(200, 1_000))) < 160_000
    assert len(encode_point(large(200, 1_000))) < 10_000


def test_of_more_steps_and_workers_as_many_as_may_be_read_are_written_and_the_others_counted() -> None:
    message = encode_view(large(700, 5_000))
    assert len(message) < VIEW_LIMIT
    read = decode_view(message)
    assert (read.more_steps, read.more_workers) == (200, 4_000)


def test_a_text_that_is_no_unicode_is_written_as_escapes() -> None:
    view = replace(usual(1, 0), state="waiting for \ud800")
    assert decode_view(encode_view(view)).state == "waiting for \\ud800"


def test_a_number_that_is_no_count_does_not_make_a_view_unreadable() -> None:
    view = usual(1, 0)
    odd = replace(view, payload_bytes=-5, memory=2**70)
    assert decode_view(encode_view(odd)) == replace(view, payload_bytes=0, memory=GREATEST_COUNT)
