"""Looking for kept answers outside an event loop."""

from __future__ import annotations

import asyncio

from common.llms.answers.kept import Answers, Found, Place

_LOOP = asyncio.Runner()


def look(store: Answers, key: bytes, place: Place) -> Found | None:
    """What the store finds."""
    return _LOOP.run(store.find(key, place))
