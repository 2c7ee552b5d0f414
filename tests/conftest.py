"""The broker of the tests: a separate Redis for the session, in a container or not, or that of PENSTOCK_TEST_BROKER.

Tests that kill servers, or start them with options, start their own from the binary of this host in any case.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
import redis

from common.errors import BrokerError
from coordinator.local.server_binary import find_server, server_version
from tests.support.places import REPOSITORY
from tests.support.runs.broker import Run
from tests.support.runs.harness import Harness, harnesses
from tests.support.runs.pipelines import CHAIN, GRAPH, Pipeline
from tests.support.runs.roles import Roles
from tests.support.servers.proxy import Proxy
from tests.support.servers.redis_container import REDIS_8, RedisContainer, why_no_container
from tests.support.servers.redis_server import RedisServer

BROKER_VARIABLE = "PENSTOCK_TEST_BROKER"
IMAGE = pytest.StashKey[str]()
"""Image of the broker's container; empty for the binary of this host."""
REASON = pytest.StashKey[str]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--redis",
        default="auto",
        metavar="WHICH",
        help="The broker of the tests: an image such as redis:8 or valkey/valkey:8, or 'server' for the binary of this "
        "host. Default: redis:8 where a Docker engine has it, else the binary.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """A shell that starts the tests with `&` has SIGINT ignored, and so would every process that they start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # How long an example takes says more about the machine than about the code.
    hypothesis.settings.register_profile("penstock", deadline=None)
    hypothesis.settings.load_profile("penstock")
    asked = str(config.getoption("--redis"))
    reason = why_no_container(REDIS_8) if asked == "auto" else ""
    config.stash[IMAGE] = "" if reason or asked == "server" else REDIS_8 if asked == "auto" else asked
    config.stash[REASON] = f"; not {REDIS_8} in a container: {reason}" if reason else ""


def pytest_report_header(config: pytest.Config) -> str:
    if url := os.environ.get(BROKER_VARIABLE):
        return f"broker: {url.rpartition('@')[2]} ({BROKER_VARIABLE}; its database is emptied)"
    try:
        server = find_server()
        binary = f"{server} {'.'.join(map(str, server_version(server) or ()))}"
    except BrokerError as error:
        binary = f"none; {error}"
    if image := config.stash[IMAGE]:
        return f"broker: {image} in a container; tests that need a server of their own: {binary}"
    return f"broker: {binary}{config.stash[REASON]}"


@pytest.fixture(autouse=True)
def imports_forgotten(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Forgets the modules of users that a test imports: those of the examples, and those that tests write.

    Another test has others of the same names.
    """
    path, known = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    folders = (f"{REPOSITORY / 'examples'}{os.sep}", f"{tmp_path_factory.getbasetemp()}{os.sep}")
    for name in set(sys.modules) - known:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(folders):
            del sys.modules[name]


@pytest.fixture(scope="session")
def broker_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A broker that lives as long as the session. A test that kills servers starts its own `RedisServer`."""
    if url := os.environ.get(BROKER_VARIABLE):
        yield url
        return
    image = request.config.stash[IMAGE]
    with RedisContainer(image) if image else RedisServer() as server:
        yield server.url


@pytest.fixture
def redis_url(broker_url: str) -> str:
    """The URL of an empty database, for one test."""
    with redis.Redis.from_url(broker_url) as client:
        client.flushdb()
    return broker_url


@pytest.fixture
def wait_until() -> Callable[..., None]:
    """`wait_until(condition, timeout=10)`: returns once `condition()` is true, fails the test if it never is."""

    def wait(condition: Callable[[], object], timeout: float = 10.0) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, f"still not true after {timeout} s"
            time.sleep(0.01)

    return wait


@pytest.fixture
def run(redis_url: str) -> Run:
    return Run(redis_url)


@pytest.fixture
def proxy(redis_url: str, run: Run) -> Iterator[Proxy]:
    """A connection to the same broker that loses replies."""
    run.load_scripts()
    with Proxy(redis_url) as proxy:
        yield proxy


@pytest.fixture
def gate(harness: Harness) -> Path:
    """A file for which steps such as `Gated` wait as long as it is there. The module has a harness."""
    path = harness.folder / "gate"
    path.touch()
    return path


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """With the results of an uninterrupted run."""
    for harness in harnesses(tmp_path_factory.mktemp("chain")):
        yield Pipeline.left_alone(harness, CHAIN)


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """The same for the larger one."""
    for harness in harnesses(tmp_path_factory.mktemp("graph")):
        yield Pipeline.left_alone(harness, GRAPH)


@pytest.fixture(scope="module")
def acl_server() -> Iterator[RedisServer]:
    """A server whose users a module may change."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def roles(acl_server: RedisServer) -> Iterator[Roles]:
    """The users of the ACL file, at an empty server."""
    roles = Roles(acl_server.url)
    roles.admin.flushall()
    roles.admin.script_flush()
    roles.admin.execute_command("ACL", "LOG", "RESET")
    yield roles
    roles.remove()
