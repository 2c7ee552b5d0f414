"""How often Python looks for garbage in cycles: by default so often that it costs a fifth of a call of a model."""

from __future__ import annotations

import gc

_DEFAULT = 700
_THRESHOLDS = (50_000, 10, 10)
"""Rows and calls in flight are many objects that live for a moment, and hardly any of them are in cycles."""


def collect_less_often() -> None:
    """For a process with many rows in flight, when all that lasts is loaded, which is then looked at no more.

    A program's own choice stands.
    """
    if gc.get_threshold()[0] == _DEFAULT:
        gc.set_threshold(*_THRESHOLDS)
        gc.freeze()
