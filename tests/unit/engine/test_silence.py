"""How long the holder of a lock has been silent, as a standby counts it."""

from common.protocol.holder import Holder
from coordinator.engine.standby import Silence

ONE, OTHER = Holder(1, "a"), Holder(2, "a")


def test_silence_counts_from_the_first_look_at_a_holder() -> None:
    silence = Silence()
    assert silence.of(ONE, 100.0) == 0
    assert silence.of(ONE, 103.0) == 3


def test_another_holder_begins_anew() -> None:
    silence = Silence()
    silence.of(ONE, 0.0)
    assert silence.of(OTHER, 5.0) == 0
    assert silence.of(OTHER, 6.0) == 1


def test_a_holder_that_has_spoken_begins_anew() -> None:
    silence = Silence()
    silence.of(ONE, 0.0)
    silence.end()
    assert silence.of(ONE, 5.0) == 0
