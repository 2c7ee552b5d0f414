"""`pipeline-coordinator status --json`: what a run looks like, for programs."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from common.broker.connection import Connection
from common.broker.runs import RunRegistry
from common.broker.views import Views
from common.errors import Disconnected, WireError
from common.llms.prices import Cost
from coordinator.runs.bill import Bill, BillLine
from coordinator.runs.lookup import FoundRun, broker_of, coordinator_of
from coordinator.view.view import RunView
from coordinator.view.view_codec import decode_view

PARTS = ("kept", "spent", "wasted", "saved")


def status_json(found: FoundRun, broker: str | None) -> str:
    """One JSON object. `view` is what the coordinator published last; null if there is nothing or no broker.

    Raises:
        Disconnected: the broker is unreachable, and the run has no directory here.
    """
    view, age, said, is_coordinated = None, None, "", False
    try:
        with broker_of(found, broker) as connection:
            record = RunRegistry(connection).read(found.run_id) if connection else None
            lease = RunRegistry(connection).lease_holder(found.run_id) if connection else None
            is_coordinated = coordinator_of(found, lease) is not None
            said = record.status if record is not None else ""
            if connection is not None and record is not None:
                view, age = _view(connection, record.run_id)
    except Disconnected:
        if found.directory is None:
            raise
    kept = found.record
    bill = view.bill if view is not None and view.bill else kept.bill if kept is not None else Bill()
    return json.dumps(
        {
            "run": found.run_id,
            "status": said or (kept.status if kept is not None else "unknown"),
            "coordinated": is_coordinated,
            "directory": str(found.directory.path) if found.directory is not None else None,
            "rows": dict(kept.rows) if kept is not None else None,
            "failed": dict(kept.failed) if kept is not None else None,
            "skipped": dict(kept.skipped) if kept is not None else None,
            "bill": bill_as_data(bill),
            "view": {**_view_as_data(view), "age": age} if view is not None else None,
        },
        ensure_ascii=False,
        indent=2,
    )


def bill_as_data(bill: Bill) -> dict[str, Any]:
    """A bill as plain data. A cost that is unknown is null; `whole` says whether no part of one is unknown."""
    return {
        "is_lower_bound": bill.is_lower_bound,
        **{part: _numbers(getattr(bill, part)) | _cost(bill.cost(part)) for part in PARTS},
        "models": [_line(line) for line in bill.lines],
    }


def _line(line: BillLine) -> dict[str, Any]:
    found: dict[str, Any] = {"step": line.step, "model": line.model}
    found["price"] = None if line.price is None else asdict(line.price)
    for part in PARTS:
        counts = getattr(line, part)
        found[part] = _numbers(counts) | _cost(Cost.of([(line.model, counts, line.price)]))
    return found


def _numbers(counts: Any) -> dict[str, Any]:
    return {**asdict(counts), "finish_reasons": dict(counts.finish_reasons)}


def _cost(cost: Cost) -> dict[str, Any]:
    known = cost.is_whole or cost.priced
    return {"dollars": cost.dollars if known else None, "whole": cost.is_whole, "unpriced": list(cost.unpriced)}


def _view(connection: Connection, run_id: str) -> tuple[RunView | None, float | None]:
    published = Views(connection, run_id).read()
    if published is None:
        return None, None
    try:
        return decode_view(published.message), published.age
    except WireError:
        return None, None


def _view_as_data(view: RunView) -> dict[str, Any]:
    return {name: value for name, value in asdict(view).items() if name != "bill"}
