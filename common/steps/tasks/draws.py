"""What a task draws for a row: by its seed and by what the row holds, so alike in any worker, order and resume."""

from __future__ import annotations

import random
from typing import Any

import orjson

from common.steps.base import Row
from common.steps.metadata import METADATA


def draws_of(seed: int, row: Row, *more: Any) -> random.Random:
    """The source of chance of a row. Rows that are equal, but for their metadata, draw the same.

    Args:
        more: what tells apart several draws for one row, such as the number of a turn.
    """
    held = {name: value for name, value in row.items() if name != METADATA}
    key = orjson.dumps([seed, held, *more], default=repr, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
    return random.Random(key)
