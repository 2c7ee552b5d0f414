"""Obstacles of a run: reported once, and fatal when patience is exhausted."""

import pytest

from common.errors import RunError
from coordinator.engine.obstacle import Obstacle


def test_an_obstacle_is_said_once_however_often_it_is_met() -> None:
    said: list[str] = []
    obstacle = Obstacle(10.0, said.append)
    obstacle.meet("the disk", 0.0)
    obstacle.meet("the disk", 1.0)
    assert said == ["waiting for the disk"]
    obstacle.clear()
    assert obstacle.what == ""
    obstacle.meet("the disk", 2.0)
    assert said == ["waiting for the disk", "waiting for the disk"]


def test_patience_runs_out_with_the_time_since_the_first_obstacle_in_a_row() -> None:
    obstacle = Obstacle(10.0, lambda _: None)
    obstacle.meet("the disk", 5.0)
    obstacle.meet("the broker", 15.0)
    with pytest.raises(RunError, match="waited 10 s for the broker; once that is fixed, rerun the command"):
        obstacle.meet("the broker", 15.1)


def test_patience_begins_anew_once_nothing_stands_in_the_way() -> None:
    obstacle = Obstacle(10.0, lambda _: None)
    obstacle.meet("the disk", 0.0)
    obstacle.clear()
    obstacle.meet("the disk", 100.0)
    obstacle.meet("the disk", 110.0)


def test_patience_does_not_run_out_while_work_in_hand_makes_room() -> None:
    obstacle = Obstacle(10.0, lambda _: None)
    obstacle.meet("the broker", 0.0, draining=True)
    obstacle.meet("the broker", 100.0, draining=True)
    obstacle.meet("the broker", 110.0)
    with pytest.raises(RunError):
        obstacle.meet("the broker", 110.1)
