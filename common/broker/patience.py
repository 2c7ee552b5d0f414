"""How long a process waits for an unreachable or full broker, and what it reports meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_exponential_jitter

from common.broker.connection import Connection
from common.broker.server_facts import ServerFacts
from common.errors import BrokerFull, Disconnected

T = TypeVar("T")

FIRST_SECONDS = 10.0
"""How long to wait at most for an unreachable broker before there is anything to lose."""


def _say_nothing(_: str) -> None:
    """Who waits a few seconds, or has a caller that says it."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Waits with backoff, reports what it waits for, and gives up when time is up or a stop is requested.

    Args:
        seconds: how long it waits each time.
        say: told what is waited for.
        stop: set to end all waiting.
        now: a clock, in seconds.
        wait: waits for an event, at most a number of seconds.
    """

    connection: Connection
    seconds: float
    say: Callable[[str], None] = _say_nothing
    stop: threading.Event = field(default_factory=threading.Event)
    now: Callable[[], float] = time.monotonic
    wait: Callable[[threading.Event, float], object] = threading.Event.wait

    def insist(self, act: Callable[[], T]) -> T:
        """Does something repeatable, and repeats it while the broker is away or full.

        `stop` does not end it: much of this work, such as handing batches back, is part of an orderly stop.
        The reason of the wait is reported once.

        Raises:
            Disconnected, BrokerFull: it was away or full for the whole time.
        """

        def say_first(state: RetryCallState) -> None:
            if state.attempt_number == 1 and state.outcome is not None:
                self.say(str(state.outcome.exception()))

        retrying = self._retrying(threading.Event(), say_first, Disconnected, BrokerFull)
        return retrying(lambda: self.connection.with_whoever(act))

    def reach(self) -> ServerFacts:
        """Tries until the broker is reachable and accepts writes. Reports nothing.

        Raises:
            Disconnected: with the last reason; it stayed away, or `stop` was set.
        """
        return self._retrying(self.stop, None, Disconnected)(self.connection.facts_if_writable)

    def outlast(self, error: Disconnected) -> bool:
        """Reports that the broker is away, and waits until it is back. The caller must look for changes.

        Returns:
            Whether it is back; False when `stop` was set.

        Raises:
            Disconnected: it stayed away.
        """
        self.say(str(error))
        try:
            self.reach()
        except Disconnected:
            if self.stop.is_set():
                return False
            raise
        return True

    def _retrying(
        self,
        stop: threading.Event,
        before_sleep: Callable[[RetryCallState], None] | None,
        *passing: type[Exception],
    ) -> Retrying:
        deadline = self.now() + self.seconds

        def pause(seconds: float) -> None:
            self.wait(stop, seconds)

        return Retrying(
            retry=retry_if_exception_type(passing),
            wait=wait_exponential_jitter(multiplier=0.05, max=2.0, jitter=0.1),
            stop=lambda _: stop.is_set() or self.now() >= deadline,
            sleep=pause,
            before_sleep=before_sleep,
            reraise=True,
        )
