"""The endpoint of a scenario's models: a process, which faults kill, restart and trouble, and what it was asked."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import urllib.request
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import SystemRandom

from tests.chaos.endpoint_server import ANSWERED, ERRORS, REFUSED, RESETS
from tests.support.places import REPOSITORY
from tests.support.runs.harness import wait_for


@dataclass(frozen=True, slots=True)
class Asked:
    """What an endpoint did with the requests that it got.

    Args:
        answers: when, in seconds of the monotonic clock, and of which row, whether or not the answer arrived.
        refused: with 429.
        errors: with 500.
        resets: connections that it reset in the middle of an answer.
    """

    answers: tuple[tuple[float, int], ...]
    refused: int
    errors: int
    resets: int

    @property
    def answered(self) -> Counter[int]:
        """Row -> how often it was answered."""
        return Counter(row for _, row in self.answers)


@dataclass(slots=True)
class ChaosEndpoint:
    """An endpoint that listens at one port, whenever it lives.

    Args:
        log: a file for what it does.
    """

    log: Path
    port: int = field(default_factory=lambda: own_port())
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def is_up(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Starts it, if it is down, and waits until it listens."""
        if not self.is_up:
            command = [sys.executable, "-P", "-m", "tests.chaos.endpoint_server", str(self.port), str(self.log)]
            self._process = subprocess.Popen(command, cwd=REPOSITORY, env={"PYTHONPATH": str(REPOSITORY)})
        wait_for(self._listens, 20, "the endpoint")

    def _listens(self) -> bool:
        assert self.is_up, "the endpoint has ended by itself"
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def kill(self) -> None:
        """Ends it at once, with the connections that it has."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def trouble(self, kind: str, seconds: float) -> None:
        """It misbehaves for that long. Raises OSError if it is down."""
        data = json.dumps({"kind": kind, "seconds": seconds}).encode()
        urllib.request.urlopen(f"http://127.0.0.1:{self.port}/trouble", data, 5).close()

    @property
    def was_asked(self) -> bool:
        return self.log.exists() and self.log.stat().st_size > 0

    def asked(self) -> Asked:
        """So far."""
        noted = [line.split(" ", 2) for line in self.log.read_text().splitlines()] if self.was_asked else []
        counts = Counter(what for _, _, what in noted)
        answers = tuple((float(when), int(row)) for when, row, what in noted if what == ANSWERED)
        return Asked(answers, counts[REFUSED], counts[ERRORS], counts[RESETS])


def own_port() -> int:
    """A free port that is none of those that the system gives to clients: one of them would take it in an outage."""
    random = SystemRandom()
    while True:
        with socket.socket() as tried, suppress(OSError):
            tried.bind(("127.0.0.1", random.randrange(15_000, 30_000)))
            return int(tried.getsockname()[1])
