"""The embedded broker: a Redis for one run only, on a unix socket, with its data in the run directory."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

from common.errors import BrokerError
from common.process.file_identity import FileIdentity
from coordinator.local.guardian import BROKER, Child, Guardian
from coordinator.local.server_binary import find_server, server_version
from coordinator.local.socket_folder import CONFIGURATION, SocketFolder

FOLDER = "broker"
MAX_RESTARTS = 3
STOP_GRACE = 10.0
DEATH_NOTICE = 1.0  # a lost connection may be noticed before the guardian reports the death
LOOK_INTERVAL = 0.02

# Relative names are in the working folder of the server, which is its data folder. The AOF takes every payload once,
# and few live long: a rewrite per 256 MB keeps the file small without a fork every other second.
SETTINGS = """\
port 0
unixsocket "{socket}"
unixsocketperm 700
daemonize no
dir ./
pidfile redis.pid
loglevel notice
logfile ""
save ""
appendonly yes
appendfsync everysec
aof-use-rdb-preamble yes
aof-load-truncated yes
auto-aof-rewrite-percentage 100
auto-aof-rewrite-min-size 256mb
maxmemory-policy noeviction
"""

logger = logging.getLogger(__name__)


class EmbeddedBroker:
    """Starts, restarts and stops the server. Only the holder of the run directory's lock may use it.

    Args:
        guardian: becomes the server's parent, and ends it after the workers, however this process ends.
        run_directory: the data and the log go to `broker/` in it.
        start_timeout: seconds that a start may take; loading an AOF takes about 10 s per GB.
    """

    def __init__(self, guardian: Guardian, run_directory: Path, *, start_timeout: float = 600.0) -> None:
        self.data = run_directory.resolve() / FOLDER
        self.log = self.data / "server.log"
        self._guardian = guardian
        self._start_timeout = start_timeout
        self._server: Path | None = None
        self._folder: SocketFolder | None = None
        self._child: Child | None = None
        self._restarts = 0

    @property
    def url(self) -> str:
        """Stays the same across restarts."""
        return self._socket_folder().url

    @property
    def child(self) -> Child | None:
        """The server's process, even if it has died; None before the start and after the stop."""
        return self._child

    def start(self) -> str:
        """Ends a server left by a crashed run on the same data, starts the server, waits for it; returns the URL.

        Raises:
            BrokerError: there is no server to start, it does not start, or it cannot read the existing data.
        """
        self.data.mkdir(parents=True, exist_ok=True)
        end_leftover(self.data)
        self._server = find_server()
        self._refuse_older_server(self._server)
        self._folder = SocketFolder.make(self.data)
        self._guardian.remove_at_end(self._folder.path)
        settings = SETTINGS.format(socket=_quoted(str(self._folder.socket)))
        (self.data / CONFIGURATION).write_text(settings, encoding="utf-8")
        self._launch()
        return self.url

    def restart(self) -> str:
        """Restarts a server that died, on its AOF and with the same URL. Does nothing if it is still running.

        Raises:
            BrokerError: it died more than 3 times, or does not come up.
        """
        assert self._child is not None, "the broker was not started"
        if self._guardian.wait(self._child, DEATH_NOTICE) is None:
            return self.url
        if self._restarts >= MAX_RESTARTS:
            raise BrokerError(
                f"the embedded broker died {self._restarts + 1} times; the end of its log {self.log}:\n"
                f"{self._log_tail()}\nThe run can be resumed: rerun the command to restart the broker on its data"
            )
        self._restarts += 1
        logger.warning("the embedded broker died; restarting it (%d of %d)", self._restarts, MAX_RESTARTS)
        self._launch()
        return self.url

    def stop(self) -> None:
        """Makes the server write its data and waits for it to end, for about 15 s at most. May be called again."""
        if self._child is not None:
            self._end_child()
            self._child = None
        if self._folder is not None:
            self._folder.remove()

    def _launch(self) -> None:
        assert self._server is not None
        # A server killed during a rewrite leaves the unfinished file behind, and nothing else cleans it up.
        for unfinished in (*self.data.glob("temp-*.aof"), *self.data.glob("temp-*.rdb")):
            unfinished.unlink(missing_ok=True)
        self._child = self._guardian.start(
            [self._server, CONFIGURATION],
            rank=BROKER,
            cwd=self.data,
            stdout=self.log,
            end_signal=signal.SIGTERM,
            end_grace=STOP_GRACE,
        )
        deadline = time.monotonic() + self._start_timeout
        while (answer := ping(self._socket_folder().socket)) != "PONG":
            code = self._guardian.wait(self._child, LOOK_INTERVAL)
            if code is None and time.monotonic() < deadline:
                continue
            if code is None:
                self._end_child()
                what = f"is not ready after {self._start_timeout:.0f} s (its last answer: {answer or 'none'})"
            else:
                what = f"ended at once with {code}"
            raise BrokerError(f"the embedded broker {what}; the end of its log {self.log}:\n{self._log_tail()}")

    def _end_child(self) -> None:
        assert self._child is not None
        for signum, grace in ((signal.SIGTERM, STOP_GRACE), (signal.SIGKILL, 5.0)):
            if self._guardian.wait(self._child, 0.0) is not None:
                return
            self._guardian.signal(self._child, signum)
            self._guardian.wait(self._child, grace)

    def _refuse_older_server(self, server: Path) -> None:
        # Redis 7 keeps its AOF in a folder that Redis 6 ignores: it would silently start empty.
        version = server_version(server)
        if (self.data / "appendonlydir").is_dir() and version is not None and version < (7,):
            raise BrokerError(
                f"the data in {self.data} were written by Redis 7 or newer, which {server} (version "
                f"{'.'.join(map(str, version))}) cannot read; "
                "put the newer server first on PATH, or start over with --fresh"
            )

    def _socket_folder(self) -> SocketFolder:
        assert self._folder is not None, "the broker was not started"
        return self._folder

    def _log_tail(self, lines: int = 10) -> str:
        try:
            return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
        except OSError as error:
            return f"(none: {error})"


def ping(path: Path, timeout: float = 2.0) -> str | None:
    """The answer of the server at a unix socket to PING: `PONG`, or an error such as `LOADING ...`; None if none."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout)
        try:
            connection.connect(str(path))
            connection.sendall(b"PING\r\n")
            return connection.recv(512).decode(errors="replace").lstrip("+-").strip() or None
        except OSError:
            return None


def end_leftover(data: Path) -> None:
    """Ends a server that a crashed run left on `data` and removes its socket. Only for the holder of the run's lock.

    A server that runs on other data, of which this may be a copy, is not touched.

    Raises:
        BrokerError: it cannot be ended.
    """
    pid = leftover(data)
    if pid is not None:
        logger.warning("ending the embedded broker that a crashed run left behind (pid %d)", pid)
        for signum, grace in ((signal.SIGTERM, STOP_GRACE), (signal.SIGKILL, 5.0)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signum)
            if _becomes_true(lambda: leftover(data) != pid, grace):
                break
        else:
            raise BrokerError(
                f"a Redis server (pid {pid}) that a crashed run left on {data} does not end; end it with: kill -9 {pid}"
            )
    if folder := SocketFolder.of(data):
        folder.remove()


def leftover(data: Path) -> int | None:
    """Pid of the server that runs on `data`, if there is one."""
    try:
        pid = int((data / "redis.pid").read_text())
        if sys.platform != "linux":
            os.kill(pid, 0)
            folder = SocketFolder.of(data)
            return pid if folder and ping(folder.socket) else None
        # The pid may have been reused: a server of Penstock has the data as its working folder.
        command = Path(f"/proc/{pid}/comm").read_text().strip()
        is_there = FileIdentity.at(Path(f"/proc/{pid}/cwd")) == FileIdentity.at(data)
        return pid if command.endswith("-server") and is_there else None
    except (OSError, ValueError):
        return None


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _becomes_true(condition: Callable[[], bool], timeout: float) -> bool:
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_INTERVAL)
    return True
