"""Fixtures of the tests that talk to a broker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.broker import Run
from tests.proxy import Proxy


@pytest.fixture
def run(redis_url: str) -> Run:
    return Run(redis_url)


@pytest.fixture
def proxy(redis_url: str, run: Run) -> Iterator[Proxy]:
    """A way to the same broker on which replies get lost."""
    run.load_scripts()
    with Proxy(redis_url) as proxy:
        yield proxy
