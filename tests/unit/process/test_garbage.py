"""How often a process looks for garbage."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from common.process.garbage import collect_as_usual, collect_less_often

USUAL = (700, 10, 10)


@pytest.fixture(autouse=True)
def thresholds() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(*USUAL)
    yield
    gc.set_threshold(*before)


def test_a_process_collects_less_often_until_it_has_started() -> None:
    collect_less_often()
    assert gc.get_threshold()[0] > USUAL[0]
    collect_as_usual()
    assert gc.get_threshold() == USUAL


def test_the_choice_of_a_program_stands() -> None:
    gc.set_threshold(10_000, 5, 5)
    collect_less_often()
    collect_as_usual()
    assert gc.get_threshold() == (10_000, 5, 5)
