"""The broker of the tests: a Redis of the session's own, or the one that PENSTOCK_TEST_BROKER names."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator

import hypothesis
import pytest
import redis

from common.errors import BrokerError
from coordinator.server_binary import find_server, server_version
from tests.redis_server import RedisServer

BROKER_VARIABLE = "PENSTOCK_TEST_BROKER"


def pytest_configure() -> None:
    """A shell that starts the tests with `&` has SIGINT ignored, and so would every process that they start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # How long an example takes says more about the machine than about the code.
    hypothesis.settings.register_profile("penstock", deadline=None)
    hypothesis.settings.load_profile("penstock")


def pytest_report_header() -> str:
    if url := os.environ.get(BROKER_VARIABLE):
        return f"broker: {url.rpartition('@')[2]} ({BROKER_VARIABLE}; its database is emptied)"
    try:
        server = find_server()
    except BrokerError as error:
        return f"broker: none; {error}"
    version = ".".join(map(str, server_version(server) or ()))
    return f"broker: {server} {version}"


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A Redis that lives as long as the session. A test that kills servers starts a `RedisServer` of its own."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database, for one test."""
    url = os.environ.get(BROKER_VARIABLE) or request.getfixturevalue("redis_server").url
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return str(url)


@pytest.fixture
def wait_until() -> Callable[..., None]:
    """`wait_until(condition, timeout=10)`: returns once `condition()` is true, fails the test if it never is."""

    def wait(condition: Callable[[], object], timeout: float = 10.0) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, f"still not true after {timeout} s"
            time.sleep(0.01)

    return wait
