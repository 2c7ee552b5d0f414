"""Rows per second and core of steps that work on columns, beside a bare Python loop that does the same work.

    python benchmarks/column_steps.py [--rows 20000] [--runs 5]

Steps are called as a worker calls them, in batches of 50 rows of about 500 bytes, without a broker; time is CPU time.
Step and loop alternate; medians are printed. Ends with 1 if a step is below 20,000 rows per second.
"""

from __future__ import annotations

import random
import re
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from common.steps import FilterRows, ParseColumns, SampleColumns
from common.steps.base import Step
from worker.runners.attempts import call_step

Row = dict[str, Any]

BATCH_ROWS = 50
BOUND = 20_000
"""Rows per second."""
ANSWER = re.compile(r"Reason: (?P<reason>.*)\nScore: (?P<score>\d+)/(?P<most>\d+)")


def rows(count: int) -> list[Row]:
    return [
        {
            "id": number,
            "language": ("en", "de")[number % 2],
            "score": number % 6,
            "generation": f"Reason: {'clear and to the point, ' * 18}\nScore: {number % 11}/10",
        }
        for number in range(count)
    ]


def filtered(batch: list[Row]) -> list[Row]:
    return [row for row in batch if row["score"] >= 4 and row["language"] == "en"]


def parsed(batch: list[Row]) -> list[Row]:
    made = []
    for row in batch:
        found = ANSWER.search(row["generation"])
        assert found is not None
        points = float(found["score"]) * 5 / float(found["most"])
        made.append({**row, "reason": found["reason"], "score": points})
    return made


def drawn(batch: list[Row]) -> list[Row]:
    made = []
    for row in batch:
        chance = random.Random(row["id"])
        topic = chance.choices(["sport", "art"], [1, 3])[0]
        detail = chance.choice({"sport": ["tennis", "golf"], "art": ["film", "dance"]}[topic])
        made.append({**row, "topic": topic, "detail": detail, "age": chance.randint(18, 80)})
    return made


PARSED = {"score": {"as": "score", "scale": 5}}
DRAWN = {
    "topic": {"draw": "category", "values": ["sport", "art"], "weights": [1, 3]},
    "detail": {
        "draw": "subcategory",
        "of": "topic",
        "values": {"sport": ["tennis", "golf"], "art": ["film", "dance"]},
    },
    "age": {"draw": "integer", "low": 18, "high": 80},
}
CASES: dict[str, tuple[Callable[[], Step], Callable[[list[Row]], list[Row]]]] = {
    "FilterRows": (lambda: FilterRows(condition="score >= 4 and language == 'en'"), filtered),
    "ParseColumns": (
        lambda: ParseColumns(pattern=r"Reason: (?P<reason>.*)\nScore: (?P<score>.*)", columns=PARSED),
        parsed,
    ),
    "SampleColumns": (lambda: SampleColumns(columns=DRAWN), drawn),
    "SampleColumns, by id": (lambda: SampleColumns(columns=DRAWN, by=["id"]), drawn),
}


def called(step: Step, batch: list[Row]) -> list[Row]:
    return call_step(step, [batch])


def speed(work: Callable[[list[Row]], object], data: list[Row]) -> float:
    """Rows per second of CPU time."""
    began = time.process_time()
    for start in range(0, len(data), BATCH_ROWS):
        work(data[start : start + BATCH_ROWS])
    return len(data) / (time.process_time() - began)


@click.command(help="Rows per second and core of steps on columns, beside a bare Python loop.")
@click.option("--rows", "count", default=20_000, show_default=True, type=click.IntRange(min=1_000))
@click.option("--runs", default=5, show_default=True, type=click.IntRange(min=1))
def main(count: int, runs: int) -> None:
    data = rows(count)
    slow = False
    for name, (make, bare) in CASES.items():
        step = make()
        pairs = [(speed(partial(called, step), data), speed(bare, data)) for _ in range(runs)]
        ours, theirs = (statistics.median(each) for each in zip(*pairs, strict=True))
        slow = slow or ours < BOUND
        click.echo(f"{name:22} {ours:>9,.0f} rows/s   bare loop {theirs:>9,.0f} rows/s   ratio {ours / theirs:.2f}")
    sys.exit(1 if slow else 0)


if __name__ == "__main__":
    main()
