"""How long to wait for an unreachable broker, by a clock that moves only with the waits."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from common.broker.connection import Connection
from common.broker.patience import Patience
from common.errors import BrokerError, BrokerFull, Disconnected

NOWHERE = "redis://127.0.0.1:1/0"


@dataclass
class Clock:
    """Waits end at once, and advance the time."""

    time: float = 0.0
    waits: list[float] = field(default_factory=list)
    meanwhile: Callable[[threading.Event], None] = lambda _: None

    def now(self) -> float:
        return self.time

    def wait(self, stop: threading.Event, seconds: float) -> None:
        self.waits.append(seconds)
        self.time += seconds
        self.meanwhile(stop)


def patience(clock: Clock, said: list[str], seconds: float = 60.0) -> Patience:
    return Patience(Connection(NOWHERE), seconds, said.append, now=clock.now, wait=clock.wait)


def failing(*errors: Exception) -> Callable[[], str]:
    """Raises one error after the other, and then returns a value."""
    left = list(errors)

    def act() -> str:
        if left:
            raise left.pop(0)
        return "done"

    return act


def always(error: Exception) -> Callable[[], str]:
    def act() -> str:
        raise error

    return act


def test_what_the_broker_does_not_take_now_is_done_again_and_said_once() -> None:
    clock, said = Clock(), list[str]()
    act = failing(Disconnected("away"), BrokerFull("full"), Disconnected("away again"))
    assert patience(clock, said).insist(act) == "done"
    assert (len(clock.waits), said) == (3, ["away"])


@pytest.mark.parametrize("error", [Disconnected("away"), BrokerFull("full")])
def test_it_is_given_up_with_the_last_reason_when_time_is_up(error: BrokerError) -> None:
    clock, said = Clock(), list[str]()
    with pytest.raises(type(error), match=str(error)):
        patience(clock, said, seconds=60.0).insist(always(error))
    assert 60.0 <= clock.time < 60.0 + 2.1
    assert said == [str(error)]


def test_waits_grow_to_two_seconds() -> None:
    clock = Clock()
    with pytest.raises(Disconnected):
        patience(clock, [], seconds=60.0).insist(always(Disconnected("away")))
    assert clock.waits[0] < 0.2
    assert 2.0 <= max(clock.waits) <= 2.1


def test_without_patience_it_is_tried_once_and_nothing_is_said() -> None:
    clock, said = Clock(), list[str]()
    with pytest.raises(Disconnected):
        patience(clock, said, seconds=0.0).insist(always(Disconnected("away")))
    assert (clock.waits, said) == ([], [])


def test_time_is_counted_anew_for_each_thing_that_is_insisted_on() -> None:
    clock = Clock()
    bound = patience(clock, [], seconds=1.0)
    for _ in range(3):
        assert bound.insist(failing(*[Disconnected("away")] * 4)) == "done"
    assert clock.time > 1.0


def test_other_errors_are_not_waited_for() -> None:
    clock = Clock()
    with pytest.raises(BrokerError, match="too old"):
        patience(clock, []).insist(always(BrokerError("too old")))
    assert clock.waits == []


def test_a_stop_does_not_end_what_is_insisted_on() -> None:
    clock = Clock()
    bound = patience(clock, [])
    bound.stop.set()
    assert bound.insist(failing(Disconnected("away"), Disconnected("away"))) == "done"


def test_a_broker_that_stays_away_is_said_and_given_up() -> None:
    clock, said = Clock(), list[str]()
    with pytest.raises(Disconnected, match="cannot be reached"):
        patience(clock, said, seconds=60.0).outlast(Disconnected("away"))
    assert 60.0 <= clock.time < 60.0 + 2.1
    assert said == ["away"]


def test_a_stop_ends_the_wait_for_a_broker() -> None:
    clock, said = Clock(meanwhile=threading.Event.set), list[str]()
    assert not patience(clock, said).outlast(Disconnected("away"))
    assert (len(clock.waits), said) == (1, ["away"])


def test_a_broker_that_is_tried_for_the_first_time_is_waited_for_without_a_word() -> None:
    clock, said = Clock(), list[str]()
    with pytest.raises(Disconnected, match="cannot be reached"):
        patience(clock, said, seconds=10.0).reach()
    assert (clock.time >= 10.0, said) == (True, [])
