"""How often Python looks for garbage in cycles: by default so often that it costs a fifth of a call of a model."""

from __future__ import annotations

import gc

_DEFAULT = 700
_SELDOM = (50_000, 10, 10)
"""Modules that are loaded, and rows and calls in flight, are many objects, and hardly any of them are in cycles."""


def collect_less_often() -> None:
    """For a process that starts, or that has many rows in flight. A program's own choice stands."""
    if gc.get_threshold()[0] == _DEFAULT:
        gc.set_threshold(*_SELDOM)


def collect_as_usual() -> None:
    """For a process that has started: the objects of a step may be few and large."""
    if gc.get_threshold() == _SELDOM:
        gc.set_threshold(_DEFAULT, *_SELDOM[1:])


def leave_out_what_lasts() -> None:
    """What is there now is looked at no more: in the work that follows, in forked processes, at the end."""
    gc.freeze()
