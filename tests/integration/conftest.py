"""Fixtures of the tests that talk to a broker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.broker import Run
from tests.integration.harness import Harness, harnesses
from tests.integration.pipelines import CHAIN, GRAPH, Pipeline
from tests.integration.roles import Roles
from tests.proxy import Proxy
from tests.redis_server import RedisServer


@pytest.fixture
def run(redis_url: str) -> Run:
    return Run(redis_url)


@pytest.fixture
def proxy(redis_url: str, run: Run) -> Iterator[Proxy]:
    """A way to the same broker on which replies get lost."""
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
    """With what it gives when it is left alone."""
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
