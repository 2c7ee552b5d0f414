"""What a worker monitors while it lives: whether its run continues, with this worker in it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from common.broker.consumer import Consumer
from common.broker.membership import Membership
from common.broker.reports import LogLines
from common.broker.runs import RunRegistry
from common.errors import BrokerFull, Disconnected, PenstockError, RunGone
from common.protocol.status import ENDED
from worker.host.log import LogShipper
from worker.host.placement import Placement
from worker.life.absence import Absence
from worker.life.departure import ABANDONED, ALONE, DEVICES_LOST, OUT_OF_TURN, Departure
from worker.life.lease import Keeper
from worker.life.serving import Serving
from worker.life.turns import LOOK_SECONDS, Turns

WATCH_SECONDS = 0.5

logger = logging.getLogger("penstock.worker")


class Watch:
    """A thread that notices when its worker must leave. It also ships log records and keeps the lease alive.

    Args:
        absence: of a coordinator; None for a worker that ends with its coordinator.
        stopping: set when the worker must leave, which ends the thread.
        leave: called on the thread with the reason; with None if no work is left.

    Attributes:
        turns: the stages of the run; replaced once those are known.
        in_turn: whether the step's stage has begun. From then on the worker leaves with it.
        placement: the devices that the worker has.
        serving: once the step is loaded.
    """

    def __init__(
        self,
        consumer: Consumer,
        membership: Membership,
        turns: Turns,
        absence: Absence | None,
        shipper: LogShipper,
        keeper: Keeper,
        stopping: threading.Event,
        leave: Callable[[Departure | None], None],
    ) -> None:
        self._consumer = consumer
        self._membership = membership
        self._absence = absence
        self._shipper = shipper
        self._keeper = keeper
        self._leave = leave
        self._stopping = stopping
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self.turns = turns
        self.in_turn = False
        self.placement: Placement | None = None
        self.serving: Serving | None = None

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def join(self) -> None:
        """Waits for the end of the thread, unless it hangs."""
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def look_for_coordinator(self) -> None:
        """A first look, so that a user without permission is told now."""
        if self._absence is not None:
            self._absence.look()

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_SECONDS if self.turns.several else WATCH_SECONDS):
            try:
                self._look()
            except (Disconnected, BrokerFull):
                if self._absence is not None:
                    self._absence.forget()
            except PenstockError as error:  # the run is gone, or the broker holds foreign data
                self._leave(Departure.because_of(error))
            finally:
                self._keeper.ensure()

    def _look(self) -> None:
        self._shipper.ship(LogLines(self._consumer))
        self.look_for_coordinator()
        run_id, connection = self._consumer.run_id, self._consumer.connection
        status, want = RunRegistry(connection).status(run_id)
        self._check_devices()
        if not status:
            raise RunGone(connection.shown_url)
        if not self._consumer.is_of_this_run():
            logger.info("run '%s' was started over (--fresh): this worker leaves", run_id)
            self._leave(None)
            return
        self._membership.stay_known()
        is_alone = self.serving is not None and self.serving.look()
        if status in ENDED or want == "stop":
            self._leave(None)
        elif self._absence is not None and self._absence.is_too_long():
            self._leave(ABANDONED)
        elif is_alone:
            self._shipper.ship(LogLines(self._consumer))
            self._leave(ALONE)
        elif self.in_turn:
            self._check_turn()

    def _check_devices(self) -> None:
        """Leaves when another worker has devices of this one: their leases expired, as when the host was suspended."""
        if self.placement is not None and (lost := self.placement.lost()):
            logger.error("worker %s has lost its lease of GPUs and leaves: %s", self._consumer.worker_id, lost)
            self._leave(DEVICES_LOST)

    def _check_turn(self) -> None:
        """A step stays loaded while its stage lasts; a run goes back to a stage if the broker has lost some work."""
        turns, mine = self.turns, self.turns.of(self._consumer.step)
        stage = turns.look()
        if stage != mine:
            why = f"{turns.name(mine)} is over" if stage > mine else f"the run has gone back to {turns.name(stage)}"
            logger.info("%s: step '%s' leaves", why, self._consumer.step)
            self._shipper.ship(LogLines(self._consumer))
            self._leave(OUT_OF_TURN)
