"""A Redis or Valkey in a container, started by testcontainers, for the tests that need only a broker."""

from __future__ import annotations

import contextlib
import os
import time
from types import TracebackType

import redis

REDIS_8 = "redis:8"
PORT = 6379

# Its helper, which removes what a killed test leaves, is another image to be fetched; Docker removes it instead.
os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")


def why_no_container(image: str) -> str:
    """Why no container of this image can be started without fetching it; empty where it can."""
    import docker

    try:
        with contextlib.closing(docker.from_env(timeout=10)) as engine:
            engine.ping()
            engine.images.get(image)
    except docker.errors.ImageNotFound:
        return f"the image is not here (docker pull {image})"
    except docker.errors.DockerException:
        return "no Docker engine"
    return ""


class RedisContainer:
    """A broker for a whole session. `url` leads to it from this host."""

    def __init__(self, image: str) -> None:
        from testcontainers.core.container import DockerContainer

        server = "valkey-server" if "valkey" in image else "redis-server"
        options = "--appendonly yes --appendfsync everysec --save '' --maxmemory-policy noeviction --protected-mode no"
        self._container = DockerContainer(image).with_command(f"{server} {options}").with_kwargs(auto_remove=True)
        self._container.ports = {PORT: ("127.0.0.1", None)}  # it asks for no password
        self.url = ""

    def start(self, timeout: float = 60.0) -> None:
        """Returns when the server answers."""
        self._container.start()
        try:
            self.url = f"redis://127.0.0.1:{self._container.get_exposed_port(PORT)}/0"
            self._wait(timeout)
        except BaseException:
            self.close()
            raise

    def _wait(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        with redis.Redis.from_url(self.url, socket_timeout=5) as client:
            while True:
                with contextlib.suppress(redis.exceptions.ConnectionError, redis.exceptions.TimeoutError):
                    if client.ping():
                        return
                assert time.monotonic() < deadline, f"no answer from {self._container.image} at {self.url}"
                time.sleep(0.05)

    def close(self) -> None:
        """Ends the server and removes its data."""
        self._container.stop()

    def __enter__(self) -> RedisContainer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
