"""The bill of a run: kept, spent, wasted and saved."""

from __future__ import annotations

import json

from common.llms.price_table import Price
from common.llms.prices import Prices
from common.protocol.usage import Usage
from coordinator.runs.bill import Bill
from coordinator.runs.run_directory import RunRecord


def calls(model: str, number: int, *, tokens: int | None = 1_000, out: int | None = 100) -> Usage:
    one = Usage.of_call(model, input_tokens=tokens, output_tokens=out, finish_reason="stop")
    return sum([one] * number, Usage())


PRICES = Prices({"a": Price(1, 10)})


def test_what_was_spent_and_is_not_kept_is_wasted() -> None:
    bill = Bill.make({"ask": calls("a", 3), "judge": Usage()}, {}, {"ask": calls("a", 5)}, PRICES)
    assert (bill.kept.requests, bill.spent.requests, bill.wasted.requests) == (3, 5, 2)
    assert list(bill.words()) == [
        ("models", "5 answers, 5,000 tokens in, 500 out; $0.010"),
        ("wasted", "2 answers, 2,000 tokens in, 200 out; $0.0040"),
    ]


def test_what_is_kept_was_spent_even_if_the_worker_had_not_noted_it() -> None:
    bill = Bill.make({"ask": calls("a", 3)}, {}, {"ask": calls("a", 1)}, PRICES, is_lower_bound=True)
    assert (bill.spent.requests, bill.wasted.requests) == (3, 0)
    words = dict(bill.words())
    assert words["models"].startswith("at least 3 answers")
    assert words[""] == "a worker was killed, and its last calls are not counted"


def test_what_another_run_has_paid_for_is_saved_and_costs_nothing() -> None:
    bill = Bill.make({"ask": Usage()}, {"ask": calls("a", 2)}, {}, PRICES)
    assert (bill.kept.requests, bill.spent.requests, bill.saved.requests) == (0, 0, 2)
    assert dict(bill.words())["saved"].startswith("2 answers, 2,000 tokens in, 200 out, paid for before; $0.00")


def test_models_are_counted_per_step_in_the_order_of_the_pipeline() -> None:
    bill = Bill.make({"z": calls("b", 1) + calls("a", 2), "a": calls("a", 4)}, {}, {}, PRICES)
    assert [(line.step, line.model, line.kept.requests) for line in bill.lines] == [
        *(("z", "a", 2), ("z", "b", 1), ("a", "a", 4)),
    ]
    assert str(bill.cost("kept")) == "at least $0.012; no price for b"
    assert [row[-1] for row in bill.rows()] == ["$0.0040", "unknown", "$0.0080"]


def test_answers_of_unknown_length_are_said_to_be_so() -> None:
    unknown = Bill.make({"ask": calls("a", 2, tokens=None)}, {}, {}, PRICES)
    assert dict(unknown.words())["models"].startswith("2 answers, tokens unknown; cost unknown")
    some = Bill.make({"ask": calls("a", 1) + calls("a", 1, tokens=None, out=None)}, {}, {}, PRICES)
    assert "1,000 tokens in, 100 out, and 1 of unknown length; at least $0.0020" in dict(some.words())["models"]
    assert [row[2:5] for row in some.rows()] == [("2", "1,000+", "0+")]


def test_a_run_that_asked_no_model_has_no_bill() -> None:
    assert not Bill.make({"load": Usage()}, {}, {}, PRICES)
    assert list(Bill().words()) == []


def test_the_record_of_a_run_keeps_its_bill() -> None:
    bill = Bill.make({"ask": calls("a", 3)}, {"ask": calls("a", 1)}, {"ask": calls("a", 5)}, PRICES)
    record = RunRecord(run="r", pipeline="p", signature="s", bill=bill)
    assert RunRecord.model_validate_json(record.model_dump_json()).bill == bill
    older = {name: value for name, value in json.loads(record.model_dump_json()).items() if name != "bill"}
    assert RunRecord.model_validate_json(json.dumps(older)).bill == Bill()
