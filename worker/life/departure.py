"""Why a worker leaves, and who replaces it: the first reason stands."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from enum import Enum

from common.errors import (
    EXIT_CANNOT_SERVE,
    EXIT_COMPLETE,
    EXIT_ENDPOINT_AWAY,
    EXIT_FAILED,
    EXIT_NO_COORDINATOR,
    PenstockError,
    RunGone,
    WireError,
)


class Successor(Enum):
    """Which worker a supervisor starts to replace one that has left. The worker writes the value to the supervisor."""

    NOBODY = b"."
    AT_ONCE = b"f"
    WITH_ITS_STAGE = b"s"
    WITH_THE_RUN = b"g"
    LATER = b"l"


@dataclass(frozen=True, slots=True)
class Departure:
    """Why a worker leaves.

    Args:
        reason: in words.
        error: the error that is the reason, if it is one.
    """

    reason: str
    exit_code: int
    successor: Successor
    error: PenstockError | None = None

    @classmethod
    def because_of(cls, error: PenstockError) -> Departure:
        """A worker that fails has a successor, unless the successor would fail in the same way."""
        code = EXIT_CANNOT_SERVE if isinstance(error, WireError) else error.exit_code
        if isinstance(error, RunGone):
            successor = Successor.WITH_THE_RUN
        else:
            successor = Successor.AT_ONCE if code == EXIT_FAILED else Successor.NOBODY
        return cls(str(error), code, successor, error)


NOTHING_LEFT = Departure("the run has ended, or the worker was told to leave", EXIT_COMPLETE, Successor.NOBODY)
OUT_OF_TURN = Departure("the run is in another stage", EXIT_COMPLETE, Successor.WITH_ITS_STAGE)
ABANDONED = Departure("the run has had no coordinator for too long", EXIT_NO_COORDINATOR, Successor.NOBODY)
ALONE = Departure("no other worker of its step finds its endpoint away", EXIT_ENDPOINT_AWAY, Successor.LATER)
DEVICES_LOST = Departure("another worker has its devices", EXIT_FAILED, Successor.AT_ONCE)
NOT_LOADED = Departure("the step cannot be loaded", EXIT_FAILED, Successor.AT_ONCE)


class Leaving:
    """Whether a worker must leave, and why.

    Attributes:
        asked: set once the worker must leave. Without a reason, no work is left.
    """

    def __init__(self) -> None:
        self.asked = threading.Event()
        self._first: Departure | None = None
        self._lock = threading.Lock()

    def because(self, departure: Departure) -> None:
        """Records a reason; from any thread."""
        with self._lock:
            self._first = self._first or departure
        self.asked.set()

    @property
    def departure(self) -> Departure:
        """The first reason recorded."""
        return self._first or NOTHING_LEFT
