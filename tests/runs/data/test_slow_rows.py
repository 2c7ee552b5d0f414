"""Rows that take long: they keep no others from starting."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.runs.harness import Harness, harnesses

ROWS, IN_A_BATCH = 400, 4
STEPS = f"""
import asyncio
from pathlib import Path

from common.steps import AsyncStep, Row


class Ask(AsyncStep):
    notes: str

    async def process_row(self, row: Row) -> Row:
        notes = Path(self.notes)
        if row["n"] % {IN_A_BATCH}:
            with notes.open("a") as file:
                file.write(".")
            return row
        while not notes.exists() or notes.stat().st_size < {ROWS - ROWS // IN_A_BATCH}:
            await asyncio.sleep(0.01)
        return row
"""


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path)


def test_rows_that_end_after_all_others_keep_none_from_starting_though_each_batch_has_one(harness: Harness) -> None:
    (harness.folder / "slow_steps.py").write_text(STEPS)
    spec = harness.write_spec(f"""
name: slow
steps:
  count: {{type: "mysteps:Count", rows: {ROWS}, batch_size: {IN_A_BATCH}}}
  ask:
    type: "slow_steps:Ask"
    after: count
    concurrency: {ROWS // IN_A_BATCH + 20}
    input_batch_size: {IN_A_BATCH}
    batch_timeout: 20
    retries: 0
    notes: {harness.folder / "notes"}
""")
    code, text = harness.run(spec)
    assert code == 0, text
    assert [row["n"] for row in harness.rows()] == list(range(ROWS))
