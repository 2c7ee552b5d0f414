"""How long a process waits for a broker that is away or full, and what it says meanwhile."""

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


def _say_nothing(_: str) -> None:
    """Who waits a few seconds, or has a caller that says it."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Waits with backoff, says what it waits for, and gives up when time is up or a stop is asked for.

    Args:
        seconds: how long it waits each time.
        say: told what is waited for.
        stop: set when nothing is to be waited for any longer.
        now: a clock, in seconds.
        wait: waits for an event, at most so many seconds.
    """

    connection: Connection
    seconds: float
    say: Callable[[str], None] = _say_nothing
    stop: threading.Event = field(default_factory=threading.Event)
    now: Callable[[], float] = time.monotonic
    wait: Callable[[threading.Event, float], object] = threading.Event.wait

    def insist(self, act: Callable[[], T]) -> T:
        """Does something that may be done twice, again and again while the broker is away or full.

        `stop` does not end it: much of what is insisted on, such as handing batches back, is part of a good stop.
        What is waited for is said once.

        Raises:
            Disconnected, BrokerFull: it was away or full for all that time.
        """

        def say_first(state: RetryCallState) -> None:
            if state.attempt_number == 1 and state.outcome is not None:
                self.say(str(state.outcome.exception()))

        retrying = self._retrying(threading.Event(), say_first, Disconnected, BrokerFull)
        return retrying(lambda: self.connection.with_whoever(act))

    def reach(self) -> ServerFacts:
        """Tries until the broker is there and takes writes. Says nothing.

        Raises:
            Disconnected: with the last reason; it stayed away, or `stop` was set.
        """
        return self._retrying(self.stop, None, Disconnected)(self.connection.facts_if_writable)

    def outlast(self, error: Disconnected) -> bool:
        """Says that the broker is away, and waits until it is back. What has changed meanwhile the caller must find.

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
