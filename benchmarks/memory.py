"""Whether memory is bounded: the no-op chain with 50,000 and with 1,000,000 rows of 500 bytes.

    python benchmarks/memory.py [--small 50000] [--large 1000000]

Prints the peak resident memory of the coordinator, the peak of what the broker uses (without the journal and without
the buffers of its AOF), and the bytes of the journal per batch and step; fails if the large run needs more than 1.5
times the small one's memory, or the journal more than 200 bytes.
"""

from __future__ import annotations

import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

import bare_loop
import click
import redis
from engine import HERE, run_spec

STEPS = 4
BATCH_ROWS = 50
LOOK_SECONDS = 0.2
BROKER_LOOK_SECONDS = 0.03
"""The small run lasts about a second: looks further apart miss its peak."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes: peaks of the coordinator and of the broker without the journal; the journal per batch and step."""

    coordinator: int
    broker: int
    journal: float


class BrokerWatch:
    """Looks at the broker during a run."""

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(url)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.peak = 0
        self.journal = 0
        self._thread.start()

    def end(self) -> None:
        """Takes a last look."""
        self._ended.set()
        self._thread.join()
        self._look()

    def _run(self) -> None:
        while not self._ended.wait(BROKER_LOOK_SECONDS):
            self._look()

    def _look(self) -> None:
        journals = list(self._client.scan_iter("penstock:*:out", count=10_000)) if not self.journal else []
        self._key = journals[0] if journals else getattr(self, "_key", None)
        if self._key is not None:
            self.journal = int(self._client.memory_usage(self._key) or 0)
        info = self._client.info("memory")
        # While Redis rewrites its AOF it buffers new data: that depends on its disk, not on what Penstock stores.
        self.peak = max(self.peak, int(info["used_memory"]) - int(info["mem_aof_buffer"]) - self.journal)


def measure(rows: int) -> Memory:
    """Runs the chain once."""
    with tempfile.TemporaryDirectory(prefix="penstock-memory-") as name:
        folder = Path(name)
        with bare_loop.own_broker(folder) as url:
            watch = BrokerWatch(url)
            overrides = [f"make.rows={rows}", f"leaf.stamp={folder / 'stamp.txt'}"]
            run = run_spec(HERE / "noop_chain.yaml", folder, overrides, broker=url, watch=LOOK_SECONDS)
            watch.end()
    batches = rows / BATCH_ROWS
    return Memory(run.peaks["coordinator"], watch.peak, watch.journal / (batches * STEPS))


@click.command()
@click.option("--small", default=50_000, show_default=True)
@click.option("--large", default=1_000_000, show_default=True)
def main(small: int, large: int) -> None:
    """Prints both runs and their ratios."""
    first, second = measure(small), measure(large)
    for rows, memory in ((small, first), (large, second)):
        click.echo(
            f"{rows:>9,} rows: coordinator {memory.coordinator / 2**20:.0f} MiB, broker without the journal "
            f"{memory.broker / 2**20:.1f} MiB, journal {memory.journal:.0f} bytes per batch and step"
        )
    coordinator, broker = second.coordinator / first.coordinator, second.broker / first.broker
    click.echo(f"ratios: coordinator {coordinator:.2f}, broker {broker:.2f}")
    sys.exit(0 if coordinator <= 1.5 and broker <= 1.5 and second.journal <= 200 else 1)


if __name__ == "__main__":
    main()
