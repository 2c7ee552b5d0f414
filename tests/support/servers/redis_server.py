"""A real Redis for the tests: on a unix socket in its own folder with a short path, AOF everysec, ended by pid."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

import redis

from coordinator.local.server_binary import find_server


class RedisServer:
    """Start it, kill it, start it again on the same data.

    Example:
        >>> with RedisServer() as server:
        ...     redis.Redis.from_url(server.url).set("key", "value")
        ...     server.restart()
    """

    def __init__(self, *options: str) -> None:
        """`options` go to the server's command line, such as `"--maxmemory", "8mb"`."""
        self._options = options
        # Not pytest's tmp_path: a socket's path is limited to about 100 characters.
        self.folder = Path(tempfile.mkdtemp(prefix="penstock-test-"))
        self.socket = self.folder / "redis.sock"
        self.url = f"unix://{self.socket}"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server is not running"
        return self._process.pid

    def start(self, timeout: float = 30.0) -> None:
        """Returns when the server answers and has loaded its data."""
        assert self._process is None, "the server is running"
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(find_server(), "--port", "0", "--unixsocket", self.socket, "--unixsocketperm", "700"),
                    *("--dir", self.folder, "--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
                    *("--maxmemory-policy", "noeviction", "--daemonize", "no", *self._options),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + timeout
        with redis.Redis(unix_socket_path=str(self.socket), socket_timeout=5) as client:
            while True:
                with contextlib.suppress(redis.exceptions.ConnectionError, redis.exceptions.TimeoutError):
                    if client.ping():  # a server that is still loading raises BusyLoadingError, a ConnectionError
                        return
                if self._process.poll() is not None or time.monotonic() > deadline:
                    code = self._process.poll()
                    self.kill()
                    log_text = (self.folder / "server.log").read_text(errors="replace")
                    raise AssertionError(f"redis did not start (exit code {code}):\n{log_text[-2000:]}")
                time.sleep(0.01)

    def kill(self) -> None:
        """SIGKILL, as a crash would do it."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM, as a service manager would do it."""
        self._end(signal.SIGTERM)

    def restart(self) -> None:
        """Kills the server if it runs and starts it on the same data and the same socket."""
        if self._process is not None:
            self.kill()
        self.start()

    def close(self) -> None:
        """Ends the server and removes its data."""
        if self._process is not None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _end(self, signum: signal.Signals) -> None:
        assert self._process is not None, "the server is not running"
        self._process.send_signal(signum)
        self._process.wait(timeout=30)
        self._process = None
