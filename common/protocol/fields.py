"""Fields of a run's hashes, read with care: anyone who can write to the broker can put anything there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from common.errors import WireError

if TYPE_CHECKING:
    from pydantic import ValidationError

MOST_DIGITS = 18


def number(held: bytes | None, name: str) -> int:
    """A count, 0 if missing.

    Args:
        name: of the field, for people.

    Raises:
        WireError: it is not a count.
    """
    if held and (not held.isdigit() or len(held) > MOST_DIGITS):
        raise WireError(
            f"the broker holds {held[:40]!r} as '{name}' of the run, which is not a number: something other than "
            "Penstock has written to it; start over with --fresh"
        )
    return int(held or 0)


def json_object(held: bytes | None) -> dict[str, Any]:
    """A JSON object; empty for anything else, which no version of Penstock writes."""
    try:
        found = json.loads(held or b"{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def first_problem(error: ValidationError, *place: str) -> str:
    """The first fault of the data at `place`: "options.stages.0: Input should be a valid list"."""
    detail = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, (*place, *detail["loc"])))[:100]
    return f"{where}{': ' if where else ''}{detail['msg']}"
