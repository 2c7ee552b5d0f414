"""Where the rows of one worker wait while their endpoint is away or busy."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque

from common.errors import RowError
from common.llms.calls.outage import Outage
from common.llms.calls.pace import Pace
from common.llms.waiting import RowClock

_SAID_AFTER = 2.0
"""Seconds: shorter outages, such as a connection that was closed while idle, are not worth a line in the log."""


class EndpointAway(RowError):
    """The endpoint did not come back in time. Inside a pipeline, rows wait and the run decides how long."""


logger = logging.getLogger("penstock.llm")


class Gate:
    """The gate in front of one endpoint. For one event loop.

    Args:
        endpoint: its URL, for people.
    """

    def __init__(self, endpoint: str) -> None:
        self.outage = Outage(random.uniform)
        self.pace = Pace()
        self._endpoint = endpoint
        self._waiting: deque[asyncio.Future[bool]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._is_probed = False
        self._was_said = False

    async def enter(self, clock: RowClock) -> str:
        """Waits until a call may be sent.

        Returns:
            What the call probes, if it is the probe of an endpoint that is away; else nothing. `leave` wants it.

        Raises:
            Interrupted: the worker must stop.
        """
        while True:
            if probed := await self._until_it_is_there(clock):
                return probed
            cuts, (pause, is_turn) = self.pace.cuts, self.pace.turn(time.monotonic())
            if pause > 0:
                await clock.wait(seconds=pause)
            if is_turn and self.outage.since is None and self.pace.cuts == cuts:
                return ""

    async def _until_it_is_there(self, clock: RowClock) -> str:
        while self.outage.since is not None:
            away = time.monotonic() - self.outage.since
            left = None if clock.patience is None else max(0.0, clock.patience - away)
            if left == 0.0:
                raise EndpointAway(
                    f"cannot reach {self._endpoint} for {away:.0f} s: {self.outage.why}; check that the server is up "
                    "and that base_url is right as seen from this host"
                )
            turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            self._set_timer()
            why = f"endpoint {self._endpoint} ({self.outage.why})"
            try:
                await clock.wait(until=turn, seconds=left, why=why)
            except BaseException:
                if turn.done() and turn.result():
                    self._is_probed = False
                    self._set_timer()
                turn.cancel()
                raise
            if turn.done() and turn.result():
                clock.note_probe(why, 1)
                return why
            turn.cancel()
        return ""

    def worked(self) -> None:
        """The endpoint has answered."""
        if self._was_said:
            away = time.monotonic() - (self.outage.since or 0.0)
            logger.warning("endpoint %s answers again, after %.0f s", self._endpoint, away)
            self._was_said = False
        self.outage.worked()
        if self._waiting:
            self._open()

    def leave(self, clock: RowClock, probed: str) -> None:
        """A call has ended in whatever way.

        Args:
            probed: what `enter` returned.
        """
        if probed:
            self._is_probed = False
            clock.note_probe(probed, -1)
        if self.outage.since is None:
            return
        if not self._was_said and time.monotonic() - self.outage.since > _SAID_AFTER:
            self._was_said = True
            logger.warning("endpoint %s is away (%s): its rows wait", self._endpoint, self.outage.why)
        self._set_timer()

    def _open(self) -> None:
        self._is_probed = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(False)

    def _set_timer(self) -> None:
        if self._timer is None and not self._is_probed and self.outage.since is not None:
            seconds = max(0.0, self.outage.probe_at - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(seconds, self._probe)

    def _probe(self) -> None:
        self._timer = None
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                self._is_probed = True
                turn.set_result(True)
                return
