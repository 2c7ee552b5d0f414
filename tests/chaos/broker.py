"""The broker of a scenario: beside the command, behind a proxy, or the command's own."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

from common.protocol.keys import Keys
from tests.support.runs.sight import Sight
from tests.support.servers.proxy import Proxy
from tests.support.servers.redis_server import RedisServer

FORGOTTEN = 1.0
"""Seconds of which a broker that loses power knows nothing."""


@dataclass(slots=True)
class Broker:
    """The broker, as faults harm it and tests look at it.

    Args:
        server, proxy: of a broker beside the command; None for the embedded one.
    """

    sight: Sight
    server: RedisServer | None
    proxy: Proxy | None
    _client: redis.Redis | None = None
    _sizes: list[tuple[float, int]] = field(default_factory=list)

    @property
    def keys(self) -> Keys:
        return Keys(self.sight.run_id)

    @property
    def url(self) -> str:
        """Of a broker beside the command, for the command and for workers."""
        assert self.proxy is not None
        return self.proxy.url

    def client(self) -> Any:
        """The broker itself, past the proxy. Raises what redis-py raises, and FileNotFoundError before it is there."""
        path = str(self.server.socket if self.server is not None else self.sight.socket)
        if self._client is None or self._client.connection_pool.connection_kwargs["path"] != path:
            self._client = redis.Redis(unix_socket_path=path, socket_timeout=5)
        return self._client

    def written(self) -> int:
        """Entries of the journal; 0 while that is unknown."""
        try:
            return int(self.client().xlen(self.keys.journal))
        except (redis.RedisError, OSError, ValueError, AssertionError):
            return 0

    def look(self) -> None:
        """Called often: notes how long the append-only file of a broker beside the command is."""
        now = time.monotonic()
        if self.server is not None and (not self._sizes or now - self._sizes[-1][0] > 0.1):
            self._sizes.append((now, sum(file.stat().st_size for file in self._logs())))

    @property
    def can_lose_a_second(self) -> bool:
        """Whether it has been watched for long enough."""
        return len(self._sizes) >= 20

    def lose_power(self) -> None:
        """Kills a broker beside the command; what it wrote in its last second is gone."""
        assert self.server is not None
        self.server.kill()
        now = self._sizes[-1][0]
        size = next(size for when, size in reversed(self._sizes) if now - when > FORGOTTEN)
        for file in self._logs():
            with file.open("rb+") as log:
                log.truncate(min(size, file.stat().st_size))

    def _logs(self) -> list[Path]:
        """The append-only file of the broker that lives beside the command, in its incremental part."""
        assert self.server is not None
        return sorted((self.server.folder / "appendonlydir").glob("*.incr.aof"))[-1:] or [
            file for file in (self.server.folder / "appendonly.aof",) if file.exists()
        ]
