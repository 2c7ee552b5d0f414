"""Views of runs <-> bytes. Pure, and the only place that knows how a view is written.

A message is a msgpack array of the version and a mapping of the fields by name. A reader ignores unknown fields and
uses the default of a missing one, so only a change of meaning needs a new version. Anything else unexpected is a
`WireError`.

The size is bounded, whatever workers and brokers say: at most 500 steps, 1,000 workers and 100 lines of the bill, with
texts cut, make less than 1 MB. 200 steps and 1,000 workers take less than 700 KB, or about 150 KB with names of usual
length.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, replace
from typing import Any, TypeVar

import msgpack

from common.errors import WireError
from common.llms.price_table import Price
from common.protocol.checks import GREATEST_COUNT, as_bool, as_count, as_list, as_text, shown
from common.protocol.usage import Counts, Usage, usage_in, usage_out
from coordinator.runs.bill import Bill, BillLine
from coordinator.view.view import Point, RunView, StepPoint, StepView, WorkerView

VIEW_VERSION = 1
VIEW_LIMIT = 1 << 20
"""Largest view that is read, in bytes."""
MOST_STEPS, MOST_WORKERS, MOST_LINES = 500, 1_000, 100
NAME_BYTES, SAYS_BYTES, REASON_BYTES = 64, 160, 2_000
MOST_REASONS = 8

T = TypeVar("T")
Check = Callable[[Any], Any]


def encode_view(view: RunView) -> bytes:
    """Steps and workers that do not fit are counted in `more_steps` and `more_workers`."""
    kept = replace(
        view,
        steps=view.steps[:MOST_STEPS],
        workers=view.workers[:MOST_WORKERS],
        rows_written=dict(list(view.rows_written.items())[:MOST_STEPS]),
        more_steps=len(view.steps[MOST_STEPS:]),
        more_workers=len(view.workers[MOST_WORKERS:]),
    )
    written: dict[str, Any] = _fields_out(kept)
    written["steps"] = [_fields_out(step) for step in kept.steps]
    written["workers"] = [_fields_out(worker) for worker in kept.workers]
    written["bill"] = [kept.bill.is_lower_bound, [_line_out(line) for line in kept.bill.lines[:MOST_LINES]]]
    written["rows_written"] = {_cut(leaf, NAME_BYTES): rows for leaf, rows in kept.rows_written.items()}
    return _pack([VIEW_VERSION, written])


def decode_view(data: bytes) -> RunView:
    """Raises WireError for anything that `encode_view` of this version does not write."""
    return _read(data, lambda said: _fields_in(RunView, _RUN, said), "the view of the run")


def encode_point(view: RunView) -> bytes:
    """What the history keeps of a view, in some 15 bytes per step."""
    point = Point.of(replace(view, steps=view.steps[:MOST_STEPS]))
    steps = [[getattr(step, each.name) for each in fields(step)] for step in point.steps]
    return _pack([VIEW_VERSION, [point.payload_bytes, point.memory, steps]])


def decode_point(data: bytes) -> Point:
    """Raises WireError for anything that `encode_point` of this version does not write; extra elements are ignored."""

    def point(said: Any) -> Point:
        payload_bytes, memory, steps = as_list(said)[:3]
        width = len(fields(StepPoint))
        return Point(
            as_count(payload_bytes),
            as_count(memory),
            tuple(StepPoint(*map(as_count, as_list(step)[:width])) for step in as_list(steps)),
        )

    return _read(data, point, "an entry of the run's history")


def _read(data: bytes, parse: Callable[[Any], T], what: str) -> T:
    try:
        if len(data) > VIEW_LIMIT:
            raise ValueError(f"it has {len(data):,} bytes")
        message = msgpack.unpackb(data)
        if type(message) is not list or len(message) < 2:
            raise ValueError("it is not a message")
        if message[0] != VIEW_VERSION:
            version = message[0] if type(message[0]) is int else "?"
            raise WireError(
                f"{what} is in version {version}, and this version of Penstock reads {VIEW_VERSION}: use the version "
                "of Penstock that coordinates the run"
            )
        return parse(message[1])
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise WireError(f"{what} is not what a coordinator writes: {shown(error)}") from None


def _pack(message: list[Any]) -> bytes:
    packed: bytes = msgpack.packb(message)
    return packed


def _fields_out(record: RunView | StepView | WorkerView) -> dict[str, Any]:
    return {each.name: _value_out(each.name, getattr(record, each.name)) for each in fields(record)}


def _value_out(name: str, value: Any) -> Any:
    if isinstance(value, str):
        return _cut(value, _BYTES.get(name, NAME_BYTES))
    return min(max(value, 0), GREATEST_COUNT) if type(value) is int else value


def _line_out(line: BillLine) -> list[Any]:
    reasons = sorted(line.kept.finish_reasons, key=lambda reason: -reason[1])[:MOST_REASONS]
    kept = replace(line.kept, finish_reasons=tuple((_cut(reason, NAME_BYTES), times) for reason, times in reasons))
    used = [kept, replace(line.spent, finish_reasons=()), replace(line.saved, finish_reasons=())]
    price = None if line.price is None else [line.price.input, line.price.output, line.price.cached]
    model = _cut(line.model, NAME_BYTES)
    return [_cut(line.step, NAME_BYTES), *(usage_out(_bounded(model, counts)) for counts in used), price]


def _bounded(model: str, counts: Counts) -> Usage:
    numbers = {each.name: getattr(counts, each.name) for each in fields(counts) if each.name != "finish_reasons"}
    bounded = {name: min(number, GREATEST_COUNT) for name, number in numbers.items()}
    reasons = tuple((reason, min(times, GREATEST_COUNT)) for reason, times in counts.finish_reasons)
    return Usage(((model, Counts(**bounded, finish_reasons=reasons)),))


def _bill_in(said: Any) -> Bill:
    is_lower_bound, lines = as_list(said)[:2]
    return Bill(tuple(_line_in(*as_list(line)[:5]) for line in as_list(lines)), as_bool(is_lower_bound))


def _line_in(step: Any, kept: Any, spent: Any, saved: Any, price: Any) -> BillLine:
    ((model, kept_counts),) = usage_in(kept).models
    numbers = None if price is None else as_list(price)
    return BillLine(
        as_text(step),
        model,
        kept_counts,
        usage_in(spent).total,
        usage_in(saved).total,
        None if numbers is None else Price(_amount(numbers[0]), _amount(numbers[1]), _or_none(_amount)(numbers[2])),
    )


def _cut(text: str, most: int) -> str:
    return text.encode(errors="backslashreplace")[:most].decode(errors="ignore")


def _fields_in(cls: type[T], checks: Mapping[str, Check], said: Any) -> T:
    if type(said) is not dict:
        raise ValueError(f"{type(said).__name__} is not a mapping of fields")
    known: dict[str, Any] = {}
    for each in fields(cls):  # type: ignore[arg-type]
        if each.name in said:
            known[each.name] = checks[each.name](said[each.name])
        elif each.default is MISSING:
            raise ValueError(f"it has no '{each.name}'")
    return cls(**known)


def _amount(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value) or value < 0:
        raise ValueError(f"{shown(value)} is not an amount")
    return float(value)


def _or_none(check: Check) -> Check:
    return lambda value: None if value is None else check(value)


def _each(cls: type[Any], checks: Mapping[str, Check]) -> Check:
    return lambda value: tuple(_fields_in(cls, checks, one) for one in as_list(value))


def _counts(value: Any) -> dict[str, int]:
    if type(value) is not dict:
        raise ValueError(f"{type(value).__name__} is not a mapping of counts")
    return {as_text(name): as_count(number) for name, number in value.items()}


_BYTES = {"waits_for": SAYS_BYTES, "says": SAYS_BYTES, "state": SAYS_BYTES * 4, "reason": REASON_BYTES}
_BYTES |= {"run_id": 255, "epoch": 255, "pipeline": 255}
_COUNTS_OF_A_STEP = ("batches_done", "batches", "rows_in", "rows_out", "rows_failed", "rows_lost", "in_flight")
_COUNTS_OF_A_RUN = ("payload_bytes", "store_bytes", "memory", "memory_limit", "position", "pid", "stage", "stages")
_STEP: Mapping[str, Check] = {
    **dict.fromkeys(("name", "kind", "waits_for"), as_text),
    **dict.fromkeys((*_COUNTS_OF_A_STEP, "waiting", "workers", "loading", "busy", "rows_skipped"), as_count),
    "batches_total": _or_none(as_count),
    "seconds": _amount,
    "rows_per_second": _or_none(_amount),
}
_WORKER: Mapping[str, Check] = {
    **dict.fromkeys(("worker_id", "step", "host", "says"), as_text),
    **dict.fromkeys(("alive", "loaded"), as_bool),
    "in_hand": as_count,
}
_RUN: Mapping[str, Check] = {
    **dict.fromkeys(("run_id", "state", "pipeline", "status", "reason", "epoch", "host"), as_text),
    **dict.fromkeys((*_COUNTS_OF_A_RUN, "more_steps", "more_workers"), as_count),
    **dict.fromkeys(("elapsed", "started"), _amount),
    "seconds_left": _or_none(_amount),
    "rows_written": _counts,
    "bill": _bill_in,
    "steps": _each(StepView, _STEP),
    "workers": _each(WorkerView, _WORKER),
}
