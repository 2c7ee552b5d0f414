"""A broker smaller than what the run would put there: the run drains it and continues; it never waits for itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.runs.harness import Harness, harnesses
from tests.support.servers.redis_server import RedisServer

SPEC = """
name: bulky
steps:
  gen: {type: "mysteps:Count", rows: 1000, batch_size: 25}
  blobs: {type: "failing_steps:Bulky", after: gen, input_batch_size: 25, size: 30000}
  dbl: {type: "mysteps:Double", after: blobs, input_batch_size: 30}
  keep: {type: KeepColumns, after: dbl, columns: [n, double]}
"""
"""30 MB in `blobs`, and again in `dbl`."""


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path)


@pytest.mark.parametrize("megabytes", [6, 20])
@pytest.mark.parametrize("settings", [{}, {"FLUSH_INTERVAL": "60"}], ids=["parts often", "parts seldom"])
def test_a_run_completes_at_a_broker_that_is_too_small_for_it(
    harness: Harness, megabytes: int, settings: dict[str, str]
) -> None:
    with RedisServer("--maxmemory", f"{megabytes}mb") as broker:
        code, text = harness.run(harness.write_spec(SPEC), "--broker", broker.url, timeout=100, **settings)
    assert code == 0, text
    assert [row["double"] for row in harness.rows("keep")] == [2 * n for n in range(1000)]
    assert harness.letters() == []
    assert harness.left_over() == []
