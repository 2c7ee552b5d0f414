"""`python -m common.health`: are Penstock's processes in this container healthy? For HEALTHCHECK and probes.

A process is healthy if it exists, is not stopped, and reaches its broker. A worker that has joined a run must have its
lease as well, which only the live keeper of a live worker renews. Exits with 0 or 1, and says why.
"""

from __future__ import annotations

import argparse
import os
import re
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.broker.connection import Connection
from common.broker.runs import RunRegistry
from common.errors import PenstockError
from common.protocol.status import UNDER_WAY

BROKER_SECONDS = 10.0
COMMAND = re.compile(r"\S*python[\d.]*( -\w+)* (\S*/pipeline-(coordinator|worker)|(coordinator|worker)\.cli)( |$)")


@dataclass(frozen=True, slots=True)
class Process:
    """One of Penstock's processes, including forked ones.

    Args:
        state: the letter that `ps` shows.
        broker: the URL of its broker; empty if it has an embedded one.
    """

    pid: int
    state: str
    broker: str


def processes(proc: Path = Path("/proc")) -> Iterator[Process]:
    """Every `pipeline-coordinator` and `pipeline-worker` of this process namespace, including their children."""
    for folder in proc.iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            if COMMAND.match(" ".join(words)):
                yield Process(int(folder.name), state, _broker(words, folder))
        except OSError:  # it just ended
            continue


def _broker(words: Sequence[str], folder: Path) -> str:
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word == "--broker":
            return following
        if word.startswith("--broker="):
            return word.partition("=")[2]
    variables = (folder / "environ").read_bytes().decode(errors="replace").split("\0")
    return next((one.partition("=")[2] for one in variables if one.startswith("PENSTOCK_BROKER_URL=")), "")


def faults(found: Sequence[Process]) -> Iterator[str]:
    """The faults of these processes, in words.

    Raises:
        PenstockError: the broker cannot be queried.
    """
    if not found:
        yield "neither pipeline-coordinator nor pipeline-worker is running here"
    for process in found:
        if process.state in "TtZX":
            yield f"process {process.pid} is stopped (state {process.state})"
    for url in sorted({process.broker for process in found if process.broker}):
        connection = Connection(url, timeout=BROKER_SECONDS)
        for pid, leases in _leases(RunRegistry(connection)).items():
            if pid in {process.pid for process in found} and not any(leases.values()):
                yield f"process {pid} has lost its lease: worker {', '.join(leases)}"


def _leases(registry: RunRegistry) -> Mapping[int, Mapping[str, bool]]:
    """Process on this host -> its workers, and whether their leases exist. A process id may have been reused."""
    leases: dict[int, dict[str, bool]] = {}
    for record in registry.all():
        if record.status in UNDER_WAY:
            for worker in registry.workers(record.run_id):
                if worker.host == socket.gethostname():
                    leases.setdefault(worker.pid, {})[worker.worker_id] = worker.alive
    return leases


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m common.health",
        description="Checks Penstock's processes in this container: they exist, are not suspended, reach their broker, "
        "and workers have their leases. Exits with 0, or with 1 and the reasons.",
    )
    parser.parse_args()
    try:
        found = list(processes())
        wrong = list(faults(found))
    except PenstockError as error:
        wrong = [str(error)]
    for fault in wrong:
        print(fault)
    if not wrong:
        print(f"well: process {', '.join(str(process.pid) for process in found)}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
